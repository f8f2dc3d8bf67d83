#pragma once
/* For tests: a folder of their own, gone with all that is in it when its name goes out of scope. */
#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct folder {
    char path[256];
};

static inline int
folder_remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static inline void
folder_done(struct folder *f)
{
    if (f->path[0] != '\0')
        (void)nftw(f->path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct folder
folder_make_in(const char *parent)
{
    struct folder f = {0};

    (void)snprintf(f.path, sizeof f.path, "%s/ckptd-test-XXXXXX", parent);
    ck_assert_ptr_nonnull(mkdtemp(f.path));
    return f;
}

static inline struct folder
folder_make(void)
{
    const char *parent = getenv("TMPDIR");

    return folder_make_in(parent == NULL ? "/tmp" : parent);
}
