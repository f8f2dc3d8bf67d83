#pragma once
/*
 * A version, a time, a list's end as JSON: what several resources print.
 */
#include "common/base/json_writer.h"
#include "server/api/loaded.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/store/version_store.h"

/* "2026-11-23T15:04:05.123456Z", microseconds since 1970, UTC. */
void json_time(struct json_writer *w, int64_t time_us);

/* "sha256:<hex>" */
void json_digest(struct json_writer *w, const struct digest *d);

/* How much of a version: a row of a list has no inspection. */
enum version_detail { VERSION_ROW, VERSION_WHOLE, VERSION_TENSORS };

/* The version (design.md §6). loaded NULL: no inspection (yet). */
void version_json(struct json_writer *w, const struct version *v, const struct loaded *loaded,
                  enum version_detail detail);

/* The version's inspection, or NULL where it has none. */
enum status version_loaded(struct app *app, const struct version *v, struct cache_item **ret_item,
                           struct err *err) MUST_CHECK;

/* The same where it must be there: ERR_PENDING while the version waits for its inspection, ERR_NOT_READY
 * where there is none, or where the version must be ready and is not. */
enum status version_need_loaded(struct app *app, const struct version *v, bool must_be_ready,
                                struct cache_item **ret_item, struct err *err) MUST_CHECK;

/* The version that the request's segments ns, model, ref name. */
enum status version_of_request(const struct request *r, struct version *ret_version,
                               struct err *err) MUST_CHECK;

/* The page that ?cursor= and ?limit= ask for. */
enum status page_of_request(const struct request *r, struct page *ret_page,
                            struct err *err) MUST_CHECK;

/* "next": the cursor or null, closing the list's object; and the Link header. */
void json_next_page(const struct request *r, struct json_writer *w, struct slice next,
                    struct reply *reply);
