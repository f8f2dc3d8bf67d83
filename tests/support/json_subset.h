#pragma once
/*
 * For tests: whether a JSON text holds what another one asks for. Of objects only the members asked
 * for are compared; lists must match element by element; the rest must be equal.
 */
#include <check.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/json.h"

enum { SUBSET_WHERE_BYTES = 256 };

struct subset {
    struct arena arena;
    struct limits limits;
    char where[SUBSET_WHERE_BYTES]; /* of the first difference: "/tensors/0/dtype" */
    char why[SUBSET_WHERE_BYTES];
};

static inline bool
subset_differs(struct subset *s, const char *where, struct slice wanted, struct slice found)
{
    (void)snprintf(s->where, sizeof s->where, "%s", where == NULL ? "a deep place" : where);
    (void)snprintf(s->why, sizeof s->why, "wanted %.100s, found %.100s", wanted.at, found.at);
    return false;
}

/* The raw text of an object's member; at is NULL if it has none. */
static inline struct slice
subset_member(struct subset *s, struct slice object, struct slice name)
{
    CLEANUP(json_done) struct json j = {0};
    struct slice key, value;
    bool is_end;

    json_open(&j, object, &s->limits, &s->arena);
    ck_assert_int_eq(json_object(&j, "an object", NULL), OK);
    for (;;) {
        ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
        if (is_end)
            return (struct slice){0};
        ck_assert_int_eq(json_skip(&j, &value, NULL), OK);
        if (slice_equal(key, name))
            return value;
    }
}

static inline bool subset_matches(struct subset *s, const char *where, struct slice wanted,
                                  struct slice found);

static inline bool
subset_objects(struct subset *s, const char *where, struct slice wanted, struct slice found)
{
    CLEANUP(json_done) struct json j = {0};
    struct slice key, value, other;
    bool is_end;

    json_open(&j, wanted, &s->limits, &s->arena);
    ck_assert_int_eq(json_object(&j, "an object", NULL), OK);
    for (;;) {
        CLEANUP(buf_done) struct buf inner = buf_with_cap(SUBSET_WHERE_BYTES);

        ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
        if (is_end)
            return true;
        buf_printf(&inner, "%s/%.*s", where, SLICE_PRINT(key));
        ck_assert_int_eq(json_skip(&j, &value, NULL), OK);
        other = subset_member(s, found, key);
        if (other.at == NULL)
            return subset_differs(s, inner.bytes, value, slice_of("nothing"));
        if (!subset_matches(s, inner.bytes, value, other))
            return false;
    }
}

static inline bool
subset_lists(struct subset *s, const char *where, struct slice wanted, struct slice found)
{
    CLEANUP(json_done) struct json a = {0};
    CLEANUP(json_done) struct json b = {0};
    struct slice x, y;
    bool a_ends, b_ends;

    json_open(&a, wanted, &s->limits, &s->arena);
    json_open(&b, found, &s->limits, &s->arena);
    ck_assert_int_eq(json_array(&a, "a list", NULL), OK);
    ck_assert_int_eq(json_array(&b, "a list", NULL), OK);
    for (size_t i = 0;; i++) {
        CLEANUP(buf_done) struct buf inner = buf_with_cap(SUBSET_WHERE_BYTES);

        ck_assert_int_eq(json_element(&a, &a_ends, NULL), OK);
        ck_assert_int_eq(json_element(&b, &b_ends, NULL), OK);
        if (a_ends && b_ends)
            return true;
        buf_printf(&inner, "%s/%zu", where, i);
        if (a_ends || b_ends)
            return subset_differs(s, inner.bytes, a_ends ? slice_of("the end") : wanted,
                                  b_ends ? slice_of("the end") : found);
        ck_assert_int_eq(json_skip(&a, &x, NULL), OK);
        ck_assert_int_eq(json_skip(&b, &y, NULL), OK);
        if (!subset_matches(s, inner.bytes, x, y))
            return false;
    }
}

static inline bool
subset_matches(struct subset *s, const char *where, struct slice wanted, struct slice found)
{
    CLEANUP(json_done) struct json a = {0};
    CLEANUP(json_done) struct json b = {0};
    struct json_token x, y;

    json_open(&a, wanted, &s->limits, &s->arena);
    json_open(&b, found, &s->limits, &s->arena);
    ck_assert_int_eq(json_next(&a, &x, NULL), OK);
    ck_assert_int_eq(json_next(&b, &y, NULL), OK);
    if (x.kind != y.kind)
        return subset_differs(s, where, wanted, found);
    if (x.kind == JSON_OBJECT)
        return subset_objects(s, where, wanted, found);
    if (x.kind == JSON_ARRAY)
        return subset_lists(s, where, wanted, found);
    return slice_equal(x.text, y.text) || subset_differs(s, where, wanted, found);
}

/* Whether found holds all of wanted; else s->where and s->why tell the first difference. */
static inline bool
subset_of(struct subset *s, struct slice wanted, struct slice found)
{
    *s = (struct subset){.arena = arena_with_cap((size_t)64 << 20), .limits = limits_default()};
    bool matches = subset_matches(s, "", wanted, found);

    arena_done(&s->arena);
    return matches;
}
