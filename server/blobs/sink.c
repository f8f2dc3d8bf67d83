/*
 * One upload. The caller's thread writes; a thread of the pool hashes what the ring holds meanwhile.
 * Small pieces, as a slow client sends them, are hashed where they come, so that a thousand slow uploads
 * need neither rings nor threads.
 */
#include "server/blobs/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

enum {
    RING_BYTES = 1024 * 1024,
    HALF_BYTES = RING_BYTES / 2, /* free before a writer that found it full goes on */
    WORTH_BYTES = 256 * 1024,    /* held before the other thread is woken */
    PIECE_BYTES = 128 * 1024,    /* written, or hashed, in one go */
    SMALL_BYTES = 32 * 1024,     /* not worth another thread */
};
static const uint64_t PUSH_BYTES = 8ULL << 20;  /* between two starts of write-back */
static const uint64_t STEP_BYTES = 64ULL << 20; /* taken at once where the size is not known */

/* ---- hashing ---- */

static void
hash_some(struct task *task)
{
    struct blobs_sink *s = TASK_OWNER(task, struct blobs_sink, task);

    (void)pthread_mutex_lock(&s->lock);
    for (;;) {
        struct slice held = ring_held(&s->ring);

        if (held.length == 0)
            break;
        if (held.length > PIECE_BYTES)
            held.length = PIECE_BYTES;
        (void)pthread_mutex_unlock(&s->lock);
        hash_add(&s->hash, held.at, held.length);
        (void)pthread_mutex_lock(&s->lock);
        ring_read(&s->ring, held.length);
        if (s->is_waiting && s->ring.held <= HALF_BYTES)
            (void)pthread_cond_signal(&s->moved);
    }
    s->is_hashing = false;
    (void)pthread_cond_signal(&s->moved);
    (void)pthread_mutex_unlock(&s->lock); /* from here on the sink may be gone */
}

/* Copy some of the bytes to where the hasher finds them; wait while there is no room. */
static size_t
lay(struct blobs_sink *s, const char *bytes, size_t length)
{
    char *at;
    size_t room;

    (void)pthread_mutex_lock(&s->lock);
    s->is_waiting = s->ring.held == RING_BYTES;
    while (s->is_waiting && s->ring.held > HALF_BYTES)
        (void)pthread_cond_wait(&s->moved, &s->lock);
    s->is_waiting = false;
    room = ring_room(&s->ring, &at);
    (void)pthread_mutex_unlock(&s->lock);
    if (room > length)
        room = length;
    memcpy(at, bytes, room);
    (void)pthread_mutex_lock(&s->lock);
    ring_wrote(&s->ring, room);
    if (!s->is_hashing && s->ring.held >= WORTH_BYTES) {
        s->is_hashing = true;
        pool_continue(s->blobs->hashers, &s->task);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return room;
}

static bool
holds_bytes(struct blobs_sink *s)
{
    bool holds;

    (void)pthread_mutex_lock(&s->lock);
    holds = s->is_hashing || s->ring.held > 0;
    (void)pthread_mutex_unlock(&s->lock);
    return holds;
}

static enum status
feed(struct blobs_sink *s, const char *bytes, size_t length, struct err *err)
{
    if (length < SMALL_BYTES && !holds_bytes(s)) {
        hash_add(&s->hash, bytes, length);
        return OK;
    }
    if (s->ring.bytes == NULL)
        TRY(ring_init(&s->ring, RING_BYTES, err));
    while (length > 0) {
        size_t laid = lay(s, bytes, length);

        bytes += laid;
        length -= laid;
    }
    return OK;
}

static void
await_hash(struct blobs_sink *s)
{
    (void)pthread_mutex_lock(&s->lock);
    while (s->is_hashing)
        (void)pthread_cond_wait(&s->moved, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
}

/* All of it: what was not worth another thread is left to this one. */
static struct digest
end_hash(struct blobs_sink *s)
{
    struct slice held;

    await_hash(s);
    for (held = ring_held(&s->ring); held.length > 0; held = ring_held(&s->ring)) {
        hash_add(&s->hash, held.at, held.length);
        ring_read(&s->ring, held.length);
    }
    return hash_end(&s->hash);
}

/* ---- writing ---- */

/* Take what is needed up to end from the file system; all of it at the beginning, if it is known. */
static enum status
take_up_to(struct blobs_sink *s, uint64_t end, struct err *err)
{
    uint64_t more;

    if (end <= s->granted)
        return OK;
    more = end - s->granted;
    if (s->announced == BLOBS_SIZE_UNKNOWN && more < STEP_BYTES) {
        uint64_t available = space_free(&s->blobs->space);

        more = available < STEP_BYTES && available > more ? available
               : available >= STEP_BYTES                  ? STEP_BYTES
                                                          : more;
    }
    TRY(space_ask(&s->blobs->space, more, err));
    TRY(space_take(&s->blobs->space, s->fd, s->granted, more, err));
    s->granted += more;
    return OK;
}

static enum status
put(struct blobs_sink *s, const char *bytes, size_t length, struct err *err)
{
    while (length > 0) {
        ssize_t done = pwrite(s->fd, bytes, length, (off_t)s->written);

        if (done < 0 && errno == EINTR)
            continue;
        FAIL_IF(done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG), err, NO_SPACE,
                0, "the disk is full");
        FAIL_IF(done <= 0, err, IO, s->written, "writing an upload: %s", strerrordesc_np(errno));
        bytes += done;
        length -= (size_t)done;
        s->written += (uint64_t)done;
        space_wrote(&s->blobs->space, (uint64_t)done);
    }
    return OK;
}

/* Let the disk begin now: the sync at the end then finds little left to do. A hint, no more. */
static void
push(struct blobs_sink *s)
{
    if (s->written - s->pushed < PUSH_BYTES)
        return;
    (void)sync_file_range(s->fd, (off_t)s->pushed, (off_t)(s->written - s->pushed),
                          SYNC_FILE_RANGE_WRITE);
    s->pushed = s->written;
}

enum status
blobs_write(struct blobs_sink *s, const void *bytes, size_t length, struct err *err)
{
    const char *at = bytes;

    FAIL_IF(s->is_finished || s->fd < 0, err, INTERNAL, 0, "writing to a finished upload");
    FAIL_IF(s->announced != BLOBS_SIZE_UNKNOWN && length > s->announced - s->written, err, LIMIT,
            s->written, "more than the %llu bytes that were announced",
            (unsigned long long)s->announced);
    TRY(take_up_to(s, s->written + length, err));
    while (length > 0) {
        size_t piece = length < PIECE_BYTES ? length : PIECE_BYTES;

        TRY(feed(s, at, piece, err)); /* first, so that both go on at the same time */
        TRY(put(s, at, piece, err));
        at += piece;
        length -= piece;
        push(s);
    }
    return OK;
}

/* ---- beginning and end ---- */

static void
free_sink_at(struct blobs_sink **sink)
{
    blobs_sink_free(*sink);
}

enum status
blobs_begin(struct blobs *blobs, uint64_t size_hint, struct blobs_sink **ret_sink, struct err *err)
{
    CLEANUP(free_sink_at) struct blobs_sink *s = NULL;

    if (blobs_is_suspect(blobs, err))
        return ERR_STORE_SUSPECT;
    FAIL_IF(size_hint != BLOBS_SIZE_UNKNOWN && size_hint > INT64_MAX, err, NO_SPACE, 0,
            "no disk has room for %llu bytes", (unsigned long long)size_hint);
    s = mem_new(1, sizeof *s);
    FAIL_IF(s == NULL, err, NO_MEMORY, 0, "no memory for an upload");
    s->blobs = blobs;
    s->fd = -1;
    s->folder = -1;
    s->announced = size_hint;
    s->task.run = hash_some;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->moved, NULL);
    (void)pthread_mutex_lock(&blobs->lock);
    s->number = ++blobs->next_number;
    blobs->sinks++;
    (void)pthread_mutex_unlock(&blobs->lock);
    TRY(hash_begin(&s->hash, err));
    TRY(local_create(&blobs->local, s->number, &s->fd, err));
    if (size_hint != BLOBS_SIZE_UNKNOWN)
        TRY(take_up_to(s, size_hint, err));
    *ret_sink = TAKE(s);
    return OK;
}

static void
close_file(struct blobs_sink *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    space_give_back(&s->blobs->space, s->granted, s->written);
    s->granted = 0;
}

void
blobs_sink_free(struct blobs_sink *s)
{
    if (s == NULL)
        return;
    blobs_let_go(s);
    await_hash(s);
    if (s->fd >= 0 || s->is_finished)
        local_discard(&s->blobs->local, s->number);
    close_file(s);
    hash_done(&s->hash);
    ring_done(&s->ring);
    (void)pthread_cond_destroy(&s->moved);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_mutex_lock(&s->blobs->lock);
    s->blobs->sinks--;
    (void)pthread_mutex_unlock(&s->blobs->lock);
    mem_free(s);
}

static enum status
sync_file(struct blobs_sink *s, struct err *err)
{
    /* Give back what was taken beyond the end; and nobody writes to it any more. */
    FAIL_IF(s->granted > s->written && ftruncate(s->fd, (off_t)s->written) != 0, err, IO, 0,
            "cutting an upload to its size: %s", strerrordesc_np(errno));
    FAIL_IF(fchmod(s->fd, 0400) != 0, err, IO, 0, "making an upload read-only: %s",
            strerrordesc_np(errno));
    if (fdatasync(s->fd) != 0) {
        struct err trouble = {0};

        err_set(&trouble, ERR_IO, 0, "syncing an upload failed: %s", strerrordesc_np(errno));
        return blobs_doubt(s->blobs, &trouble, err);
    }
    return OK;
}

enum status
blobs_finish(struct blobs_sink *s, const struct digest *expected, struct digest *ret_digest,
             uint64_t *ret_size, struct err *err)
{
    FAIL_IF(s->is_finished || s->fd < 0, err, INTERNAL, 0, "an upload finished twice");
    FAIL_IF(s->announced != BLOBS_SIZE_UNKNOWN && s->written != s->announced, err, TRUNCATED,
            s->written, "%llu bytes came of %llu", (unsigned long long)s->written,
            (unsigned long long)s->announced);
    s->digest = end_hash(s);
    ring_done(&s->ring);
    FAIL_IF(expected != NULL && !digest_equal(expected, &s->digest), err, DIGEST_MISMATCH, 0,
            "sha256:%s was announced, and sha256:%s came", digest_text(expected).hex,
            digest_text(&s->digest).hex);
    TRY(sync_file(s, err));
    close_file(s);
    s->is_finished = true;
    *ret_digest = s->digest;
    *ret_size = s->written;
    return OK;
}

enum status
blobs_keep(struct blobs_sink *s, struct err *err)
{
    struct err trouble = {0};
    bool is_suspect;
    enum status status;

    FAIL_IF(!s->is_finished, err, INTERNAL, 0, "an upload kept before it was finished");
    if (blobs_is_suspect(s->blobs, err))
        return ERR_STORE_SUSPECT;
    blobs_let_go(s);
    TRY(local_hold(&s->blobs->local, &s->digest, &s->folder, err));
    status = local_link(&s->blobs->local, s->folder, s->number, &s->digest, s->written, &is_suspect,
                        &trouble);
    if (status != OK)
        blobs_let_go(s); /* nothing will be committed, and who clears up may be this very thread */
    if (is_suspect)
        return blobs_doubt(s->blobs, &trouble, err);
    err_copy(err, &trouble);
    return status;
}

void
blobs_let_go(struct blobs_sink *s)
{
    if (s->folder >= 0)
        (void)close(s->folder);
    s->folder = -1;
}
