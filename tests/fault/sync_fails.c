/*
 * Preloaded: the sync with the number in CKPTD_FAIL_SYNC fails with EIO, once, and all others succeed. That
 * is what a disk does whose bad block was written: the next sync knows nothing of it any more. Syncs of the
 * database's own directory are let through and not counted: SQLite does them, and does not look at what
 * becomes of them; ckptd syncs that directory itself when it has opened the store.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long count;

static int
is_counted(int fd)
{
    char link[64], path[4096] = "";
    struct stat st;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return fstat(fd, &st) == 0 && readlink(link, path, sizeof path - 1) > 0 &&
           (S_ISREG(st.st_mode) || strstr(path, "/blobs") != NULL);
}

static int
run(const char *name, int fd)
{
    const char *wanted = getenv("CKPTD_FAIL_SYNC");
    void *symbol = dlsym(RTLD_NEXT, name);
    int (*real)(int);

    if (wanted != NULL && is_counted(fd) &&
        atomic_fetch_add(&count, 1) + 1 == strtol(wanted, NULL, 10)) {
        errno = EIO;
        return -1;
    }
    memcpy(&real, &symbol, sizeof real); /* ISO C has no cast from object to function */
    return real(fd);
}

int
fsync(int fd)
{
    return run("fsync", fd);
}

int
fdatasync(int fd)
{
    return run("fdatasync", fd);
}
