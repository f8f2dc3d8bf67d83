#include "server/blobs/space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

void
space_init(struct space *s, int folder, uint64_t reserve_bytes, uint64_t max_reserved)
{
    struct statfs fs;

    *s = (struct space){
        .folder = folder, .reserve_bytes = reserve_bytes, .max_reserved = max_reserved};
    s->is_memory = folder >= 0 && fstatfs(folder, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
    (void)pthread_mutex_init(&s->lock, NULL);
}

void
space_done(struct space *s)
{
    (void)pthread_mutex_destroy(&s->lock);
}

static uint64_t
less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* With the lock held. */
static uint64_t
free_now(const struct space *s)
{
    struct statvfs fs;
    uint64_t disk = fstatvfs(s->folder, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;

    return less(less(disk, s->reserve_bytes), s->promised);
}

enum status
space_ask(struct space *s, uint64_t bytes, struct err *err)
{
    uint64_t available, left;

    (void)pthread_mutex_lock(&s->lock);
    available = free_now(s);
    left = less(s->max_reserved, s->reserved);
    if (bytes <= available && bytes <= left) {
        s->promised += bytes;
        s->reserved += bytes;
    }
    (void)pthread_mutex_unlock(&s->lock);
    FAIL_IF(bytes > available, err, NO_SPACE, 0,
            "no room for %llu bytes: %llu are free, besides a reserve of %llu",
            (unsigned long long)bytes, (unsigned long long)available,
            (unsigned long long)s->reserve_bytes);
    FAIL_IF(bytes > left, err, NO_SPACE, 0,
            "no room for %llu bytes: uploads under way may take %llu more of %llu",
            (unsigned long long)bytes, (unsigned long long)left,
            (unsigned long long)s->max_reserved);
    return OK;
}

static void
settle(struct space *s, uint64_t promised, uint64_t given_back)
{
    (void)pthread_mutex_lock(&s->lock);
    s->promised -= promised;
    s->reserved -= given_back;
    (void)pthread_mutex_unlock(&s->lock);
}

enum status
space_take(struct space *s, int fd, uint64_t offset, uint64_t bytes, struct err *err)
{
    int reason = 0;

    if (s->is_memory)
        return OK;
    /* Where the file system cannot (EOPNOTSUPP), counting must do. */
    while (bytes > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) != 0) {
        reason = errno;
        if (reason != EINTR)
            break;
        reason = 0;
    }
    if (reason == EOPNOTSUPP)
        reason = 0;
    settle(s, bytes, reason == 0 ? 0 : bytes);
    FAIL_IF(reason == ENOSPC || reason == EDQUOT || reason == EFBIG, err, NO_SPACE, 0,
            "no room for %llu bytes: the disk refuses them", (unsigned long long)bytes);
    FAIL_IF(reason != 0, err, IO, 0, "taking space on the disk: %s", strerrordesc_np(reason));
    return OK;
}

void
space_wrote(struct space *s, uint64_t bytes)
{
    if (s->is_memory)
        settle(s, bytes, 0);
}

void
space_give_back(struct space *s, uint64_t granted, uint64_t written)
{
    settle(s, s->is_memory ? granted - written : 0, granted);
}

uint64_t
space_free(struct space *s)
{
    uint64_t available, left;

    (void)pthread_mutex_lock(&s->lock);
    available = free_now(s);
    left = less(s->max_reserved, s->reserved);
    (void)pthread_mutex_unlock(&s->lock);
    return available < left ? available : left;
}
