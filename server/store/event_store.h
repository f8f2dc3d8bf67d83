#pragma once
/*
 * Events: each change is a row, made in the change's own transaction. Ids come from a counter row that is
 * updated last, so they are committed in their order, without gaps.
 */
#include "common/base/arena.h"
#include "server/store/store.h"
#include "server/work/principal.h"

struct event {
    int64_t id;
    struct slice kind; /* "version.opened", "version.created", "version.ready", "version.failed",
                          "version.expired", "alias.moved" */
    struct slice namespace;
    struct slice model;
    struct slice label;
    int64_t version_id; /* perhaps gone by now */
    int64_t at_us;
    struct slice by;     /* who caused it; empty: the daemon */
    struct slice detail; /* a JSON object, or empty */
};

struct event_list {
    struct event *events; /* ascending by id */
    size_t count;
    int64_t last; /* the newest event's id that was looked at: ask after this one next time */
};

/* At most limit events after that id, of the namespaces that the principal may see. */
enum status event_store_list(struct store *store, const struct principal *who, int64_t after,
                             size_t limit, struct arena *arena, struct event_list *ret_list,
                             struct err *err) MUST_CHECK;

/* The newest event's id; 0: there is none. */
enum status event_store_last(struct store *store, int64_t *ret_id, struct err *err) MUST_CHECK;
