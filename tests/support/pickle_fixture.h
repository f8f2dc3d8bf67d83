#pragma once
/*
 * For tests: run a pickle given as a C string, with an arena and a budget of its own.
 *
 *     CLEANUP(fixture_done) struct fixture f = {0};
 *     fixture_run(&f, P("\x80\x02]q\x00."));
 *     ck_assert_str_eq(f.shown.bytes, "[]");
 */
#include <check.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "tests/support/pickle_show.h"

/* A literal with NULs in it: in a table's row, and in an expression. */
#define B(literal) \
    { \
        .at = (literal), .length = sizeof(literal) - 1 \
    }
#define P(literal) ((struct slice){.at = (literal), .length = sizeof(literal) - 1})

struct fixture {
    struct limits limits;
    struct pickle_budget budget;
    struct arena arena;
    struct pickle pickle;
    struct buf shown; /* the root, if there is one */
};

static inline void
fixture_done(struct fixture *f)
{
    buf_done(&f->shown);
    arena_done(&f->arena);
}

static inline void
fixture_run(struct fixture *f, struct slice bytes)
{
    if (f->limits.pickle_bytes == 0)
        f->limits = limits_default();
    f->budget = pickle_budget(&f->limits);
    f->arena = arena_with_cap(f->limits.arena_bytes);
    f->shown = buf_with_cap(1 << 20);
    ck_assert_int_eq(pickle_run(bytes, &f->budget, &f->arena, &f->pickle, NULL), OK);
    buf_text(&f->shown, "");
    if (f->pickle.has_stop)
        show(&f->shown, f->pickle.root, 0);
}

/* The bytes of a file under tests/cases, the caller's to free. */
static inline struct slice
fixture_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    long length;

    ck_assert_msg(file != NULL, "%s is not there", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    length = ftell(file);
    ck_assert_int_ge(length, 0);
    rewind(file);
    bytes = calloc((size_t)length + 1, 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)length, file), (size_t)length);
    ck_assert_int_eq(fclose(file), 0);
    return (struct slice){.at = bytes, .length = (size_t)length};
}
