#pragma once
/* For the blob store's tests: one that is open in a folder of its own. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/blobs/blobs.h"
#include "tests/support/folder.h"

struct fixture {
    struct folder folder;
    struct blobs *blobs;
    struct err err;
};

static inline struct blobs *
fixture_blobs(const char *directory)
{
    struct blobs_config config = blobs_config_default();
    struct blobs *blobs = NULL;
    struct err err = {0};

    config.directory = directory;
    config.reserve_bytes = 0;
    ck_assert_msg(blobs_open(&config, &blobs, &err) == OK, "%s", err.text);
    return blobs;
}

static inline struct fixture
fixture_open(void)
{
    struct fixture f = {.folder = folder_make()};

    f.blobs = fixture_blobs(f.folder.path);
    return f;
}

static inline void
fixture_done(struct fixture *f)
{
    blobs_free(f->blobs);
    folder_done(&f->folder);
}

#define FIXTURE(f) CLEANUP(fixture_done) struct fixture f = fixture_open()

#define GOES_WELL(f, call) \
    do { \
        (f)->err = (struct err){0}; \
        ck_assert_msg((call) == OK, "%s: %s", err_name((f)->err.code), (f)->err.text); \
    } while (0)

#define FAILS_WITH(f, code_, call) \
    do { \
        (f)->err = (struct err){0}; \
        ck_assert_str_eq(err_name(call), #code_); \
    } while (0)

/* How many entries stand in a folder of the store, but for those that begin with a dot. */
static inline int
fixture_count(const struct fixture *f, const char *name)
{
    char path[512];
    const struct dirent *entry;
    int count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof path, "%s/%s", f->folder.path, name);
    dir = opendir(path);
    ck_assert_msg(dir != NULL, "%s", path);
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

static inline int
fixture_staged(const struct fixture *f)
{
    char name[128];

    (void)snprintf(name, sizeof name, "staging/%s", blobs_instance(f->blobs));
    return fixture_count(f, name);
}

/* Bytes that repeat nowhere near. */
static inline char *
fixture_bytes(size_t length, unsigned seed)
{
    char *bytes = mem_new(length + 1, 1);
    uint32_t state = seed * 2654435761U + 1;

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < length; i++) {
        state = state * 1664525U + 1013904223U;
        bytes[i] = (char)(state >> 24);
    }
    return bytes;
}
