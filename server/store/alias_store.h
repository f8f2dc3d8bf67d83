#pragma once
/* Aliases: names that point to one version and can move. `latest`, the newest ready version, is
 * computed and cannot be set. */
#include "common/base/arena.h"
#include "server/store/store.h"

struct alias {
    struct slice name;
    int64_t version_id;
    struct slice label; /* of that version */
    uint64_t serial;
    int64_t moved_at_us;
};

/* All of a model, `latest` among them where there is a ready version; ascending by name. ERR_NOT_FOUND:
 * no such model. */
enum status alias_store_list(struct store *store, struct slice namespace, struct slice model,
                             struct arena *arena, struct alias **ret_aliases, size_t *ret_count,
                             struct err *err) MUST_CHECK;
