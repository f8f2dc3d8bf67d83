#include "server/jobs/sweep.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/store/blob_store.h"

enum { LEFT_ARENA = 32 << 20 }; /* for the rows of what is being deleted */

struct sweep {
    struct store *store;
    struct blobs *blobs;
    const atomic_bool *stop;
    struct sweep_result *result;
};

static bool
is_stopped(const struct sweep *s)
{
    return s->stop != NULL && atomic_load(s->stop);
}

/* The row is ours: nobody can commit a version of these bytes until it is gone. */
static enum status
remove_owned(struct store *store, struct blobs *blobs, const struct digest *digest, struct err *err)
{
    TRY(blobs_remove(blobs, digest, err));
    return blob_store_release(store, digest, blobs_instance(blobs), err);
}

enum status
sweep_blob(struct store *store, struct blobs *blobs, const struct digest *digest, uint64_t size,
           bool *ret_removed, struct err *err)
{
    enum blob_state state;
    uint64_t known_size;
    bool found;

    *ret_removed = false;
    TRY(blob_store_get(store, digest, &state, &known_size, &found, err));
    if (found)
        return OK;
    TRY(blob_store_own_orphan(store, digest, size, blobs_instance(blobs), ret_removed, err));
    return *ret_removed ? remove_owned(store, blobs, digest, err) : OK;
}

static enum status
sweep_file(void *context, const struct digest *digest, uint64_t size, struct err *err)
{
    const struct sweep *s = context;
    bool is_removed;

    if (is_stopped(s))
        return OK;
    TRY(sweep_blob(s->store, s->blobs, digest, size, &is_removed, err));
    s->result->files++;
    s->result->removed += is_removed ? 1 : 0;
    s->result->bytes += is_removed ? size : 0;
    return OK;
}

/* What a process began to delete and did not live to end. */
static enum status
sweep_left(const struct sweep *s, const struct blob_left *left, struct err *err)
{
    CLEANUP(mem_free_at) char *owner = mem_copy(left->owner.at, left->owner.length);
    bool is_owned;

    FAIL_IF(owner == NULL, err, NO_MEMORY, 0, "no memory to sweep");
    if (blobs_is_alive(s->blobs, owner))
        return OK;
    TRY(blob_store_own_left(s->store, &left->digest, owner, blobs_instance(s->blobs), &is_owned,
                            err));
    if (!is_owned)
        return OK;
    s->result->removed++;
    return remove_owned(s->store, s->blobs, &left->digest, err);
}

enum status
sweep_run(struct store *store, struct blobs *blobs, const atomic_bool *stop,
          struct sweep_result *ret_result, struct err *err)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(LEFT_ARENA);
    struct sweep s = {store, blobs, stop, ret_result};
    struct blob_left *left;
    size_t count;

    *ret_result = (struct sweep_result){0};
    TRY(blob_store_deleting(store, &arena, &left, &count, err));
    for (size_t i = 0; i < count && !is_stopped(&s); i++)
        TRY(sweep_left(&s, &left[i], err));
    return blobs_list(blobs, sweep_file, &s, err);
}
