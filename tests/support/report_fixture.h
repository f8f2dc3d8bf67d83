#pragma once
/*
 * A report on a wrapped checkpoint with a head of another size and a hostile name in it, for tests of
 * renderings.
 */
#include "common/render/render.h"
#include "tests/support/compat_fixture.h"

static inline struct report
fixture_report(struct compat_fixture *f, const char *found, const char *expected,
               struct report_options options)
{
    struct container *c = arena_alloc(&f->arena, 1, sizeof *c);
    struct manifest *m = arena_alloc(&f->arena, 1, sizeof *m);
    struct inspection *in = arena_alloc(&f->arena, 1, sizeof *in);
    struct report r = {0};

    ck_assert(c != NULL && m != NULL && in != NULL);
    *c = fixture_container(f, "", CONTAINER_WEIGHTS, found);
    *m = fixture_manifest(f, expected);
    *in = fixture_inspection(c, 1);
    ck_assert_msg(report_make(in, m, &options, &f->limits, &f->arena, &r, &f->err) == OK, "%s",
                  f->err.text);
    return r;
}
