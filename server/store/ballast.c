#include "server/store/ballast.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

enum { SPARE = 2 }; /* the ballast is made where there is room for that many */

static bool
has_room(const struct ballast *b)
{
    struct statvfs fs;
    uint64_t need;

    /* The file itself need not be there for its file system to be asked: its folder does. */
    CLEANUP(mem_free_at) char *folder = mem_copy(b->path, strlen(b->path));

    if (folder == NULL)
        return false;
    *strrchr(folder, '/') = '\0';
    return statvfs(folder, &fs) == 0 && !__builtin_mul_overflow(b->bytes, SPARE, &need) &&
           (uint64_t)fs.f_bavail * fs.f_frsize >= need;
}

static bool
make(const struct ballast *b)
{
    int fd = open(b->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool is_made;

    if (fd < 0)
        return false;
    is_made = fallocate(fd, 0, 0, (off_t)b->bytes) == 0;
    (void)close(fd);
    if (!is_made)
        (void)unlink(b->path);
    return is_made;
}

enum status
ballast_open(const char *directory, uint64_t bytes, struct ballast *ret_ballast, struct err *err)
{
    CLEANUP(buf_done) struct buf path = buf_with_cap(8192);
    struct stat st;

    *ret_ballast = (struct ballast){0};
    if (bytes == 0)
        return OK;
    buf_printf(&path, "%s/ckptd.ballast", directory);
    TRY(buf_check(&path, err));
    ret_ballast->bytes = bytes;
    ret_ballast->path = buf_take(&path);
    ret_ballast->is_there = stat(ret_ballast->path, &st) == 0 && (uint64_t)st.st_size >= bytes &&
                            (uint64_t)st.st_blocks * 512 >= bytes;
    ballast_restore(ret_ballast);
    return OK;
}

void
ballast_done(struct ballast *b)
{
    if (b == NULL)
        return;
    mem_free(b->path);
    *b = (struct ballast){0};
}

bool
ballast_drop(struct ballast *b)
{
    if (!b->is_there)
        return false;
    b->is_there = false;
    return unlink(b->path) == 0;
}

void
ballast_restore(struct ballast *b)
{
    if (b->path != NULL && !b->is_there && has_room(b))
        b->is_there = make(b);
}
