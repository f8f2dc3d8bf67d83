#include "server/blobs/blobs.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/blobs/sink.h"

enum { HASH_QUEUE = 65536 }; /* more than uploads there can be: each queues one task */

struct blobs_config
blobs_config_default(void)
{
    return (struct blobs_config){
        .reserve_bytes = 256ULL << 20,
        .max_reserved = UINT64_MAX,
        .hash_threads = 2,
    };
}

static void
free_blobs_at(struct blobs **blobs)
{
    blobs_free(*blobs);
}

enum status
blobs_open(const struct blobs_config *config, struct blobs **ret_blobs, struct err *err)
{
    CLEANUP(free_blobs_at) struct blobs *blobs = mem_new(1, sizeof *blobs);

    FAIL_IF(blobs == NULL, err, NO_MEMORY, 0, "no memory for the blob store");
    blobs->local = local_none();
    (void)pthread_mutex_init(&blobs->lock, NULL);
    space_init(&blobs->space, -1, 0, 0);
    TRY(local_open(config->directory, &blobs->local, err));
    space_done(&blobs->space);
    space_init(&blobs->space, blobs->local.blobs, config->reserve_bytes, config->max_reserved);
    TRY(pool_start("blob-hash", config->hash_threads, HASH_QUEUE, &blobs->hashers, err));
    *ret_blobs = TAKE(blobs);
    return OK;
}

void
blobs_free(struct blobs *blobs)
{
    if (blobs == NULL)
        return;
    pool_free(blobs->hashers);
    local_done(&blobs->local);
    space_done(&blobs->space);
    (void)pthread_mutex_destroy(&blobs->lock);
    mem_free(blobs);
}

const char *
blobs_instance(const struct blobs *blobs)
{
    return blobs->local.instance;
}

bool
blobs_is_alive(struct blobs *blobs, const char *instance)
{
    return local_is_alive(&blobs->local, instance);
}

bool
blobs_is_suspect(struct blobs *blobs, struct err *err)
{
    bool is_suspect;

    (void)pthread_mutex_lock(&blobs->lock);
    is_suspect = blobs->suspect.code != OK;
    if (is_suspect)
        err_copy(err, &blobs->suspect);
    (void)pthread_mutex_unlock(&blobs->lock);
    return is_suspect;
}

struct blobs_stats
blobs_stats(struct blobs *blobs)
{
    struct blobs_stats stats = {.free_bytes = space_free(&blobs->space)};

    (void)pthread_mutex_lock(&blobs->space.lock);
    stats.reserved_bytes = blobs->space.reserved;
    (void)pthread_mutex_unlock(&blobs->space.lock);
    (void)pthread_mutex_lock(&blobs->lock);
    stats.sinks = blobs->sinks;
    (void)pthread_mutex_unlock(&blobs->lock);
    return stats;
}

enum status
blobs_has_room(struct blobs *blobs, uint64_t size, struct err *err)
{
    uint64_t available = space_free(&blobs->space);

    FAIL_IF(size > available, err, NO_SPACE, 0, "no room for %llu bytes: %llu are free",
            (unsigned long long)size, (unsigned long long)available);
    return OK;
}

/* ---- blobs that are there ---- */

enum status
blobs_open_file(struct blobs *blobs, const struct digest *digest, int *ret_fd, uint64_t *ret_size,
                struct err *err)
{
    return local_open_blob(&blobs->local, digest, ret_fd, ret_size, err);
}

enum status
blobs_remove(struct blobs *blobs, const struct digest *digest, struct err *err)
{
    struct err trouble = {0};
    bool is_suspect;
    enum status status = local_remove(&blobs->local, digest, &is_suspect, &trouble);

    if (is_suspect)
        return blobs_doubt(blobs, &trouble, err);
    err_copy(err, &trouble);
    return status;
}

enum status
blobs_list(struct blobs *blobs,
           enum status (*each)(void *context, const struct digest *digest, uint64_t size,
                               struct err *err),
           void *context, struct err *err)
{
    return local_list(&blobs->local, each, context, err);
}

/* A sync that failed once may seem to succeed the next time, with the bytes gone: nothing is believed
 * any more until a restart. */
enum status
blobs_doubt(struct blobs *blobs, const struct err *trouble, struct err *err)
{
    struct err suspect = {0};

    err_set(&suspect, ERR_STORE_SUSPECT, 0, "%s", trouble->text);
    (void)pthread_mutex_lock(&blobs->lock);
    err_copy(&blobs->suspect, &suspect);
    (void)pthread_mutex_unlock(&blobs->lock);
    err_copy(err, &suspect);
    return ERR_STORE_SUSPECT;
}
