#include "server/jobs/expire.h"

#include "common/base/attr.h"
#include "server/store/blob_store.h"
#include "server/store/version_store.h"
#include "server/work/clock.h"

enum { BLOBS_AT_ONCE = 100, BLOBS_ARENA = 64 * 1024 };

static bool
is_stopped(const atomic_bool *stop)
{
    return stop != NULL && atomic_load(stop);
}

/* All are tried. One that cannot be unlinked is condemned again, for the next round: while it is ours,
 * nobody can upload its bytes. */
static enum status
remove_some(struct store *store, struct blobs *blobs, size_t *ret_count, struct err *err)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(BLOBS_ARENA);
    const char *owner = blobs_instance(blobs);
    struct digest *digests;
    enum status first = OK;

    TRY(blob_store_own_condemned(store, owner, BLOBS_AT_ONCE, &arena, &digests, ret_count, err));
    for (size_t i = 0; i < *ret_count; i++) {
        struct err why = {0};
        enum status status = blobs_remove(blobs, &digests[i], &why);

        if (status == OK)
            status = blob_store_release(store, &digests[i], owner, &why);
        else
            IGNORE(blob_store_give_back(store, &digests[i], owner, NULL));
        if (status == OK || first != OK)
            continue;
        first = status;
        err_copy(err, &why);
    }
    return first;
}

enum status
expire_run(struct store *store, struct blobs *blobs, const atomic_bool *stop,
           struct expire_result *ret_result, struct err *err)
{
    struct version_expired expired = {.id = 1};
    size_t removed = BLOBS_AT_ONCE;

    *ret_result = (struct expire_result){0};
    while (!is_stopped(stop) && expired.id != 0) {
        TRY(version_store_expire(store, clock_wall_us(), &expired, err));
        ret_result->versions += expired.id != 0 ? 1 : 0;
        ret_result->files += expired.files;
    }
    while (!is_stopped(stop) && removed == BLOBS_AT_ONCE) {
        TRY(remove_some(store, blobs, &removed, err));
        ret_result->blobs += removed;
    }
    return OK;
}
