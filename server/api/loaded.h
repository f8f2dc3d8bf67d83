#pragma once
/*
 * An inspection as the handlers use it: taken from the store once, then shared by all who ask. Its
 * placement is not in it: loaded_placement fetches that for the few who serve bytes.
 */
#include "common/structure/inspection.h"
#include "server/api/app.h"

struct loaded {
    struct inspection in;          /* structures and facts of every container */
    const int64_t *container_ids;  /* as the store knows them */
    const uint32_t *const *orders; /* of each container: its tensors in natural order */
    struct slice summary;          /* in as JSON, without tensors */
};

/* Borrow; cache_release gives it back, and with it the cache_value, a const struct loaded. */
enum status loaded_get(struct app *app, int64_t inspection_id, struct cache_item **ret_item,
                       struct err *err) MUST_CHECK;

/* The container with that path: the default one where path.at is NULL. ERR_NOT_FOUND names those that
 * are there. */
enum status loaded_container(const struct loaded *loaded, struct slice path, size_t *ret_index,
                             struct err *err) MUST_CHECK;

enum status loaded_placement(struct app *app, const struct loaded *loaded, size_t container,
                             struct arena *arena, struct placement *ret_placement,
                             struct err *err) MUST_CHECK;

/* For CLEANUP. */
void loaded_release(struct cache_item **item);
