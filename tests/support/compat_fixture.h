#pragma once
/*
 * States, manifests and inspections out of a few lines: "conv.weight 4,3; conv.bias 4; epoch !int".
 * A dtype may stand behind the shape: "w 2,2 float16". Each fixture owns what it makes.
 */
#include <check.h>
#include <stdlib.h>

#include "common/base/num.h"
#include "common/compat/report.h"

struct compat_fixture {
    struct arena arena;
    struct limits limits;
    struct err err;
};

static inline struct compat_fixture
compat_fixture_begin(void)
{
    return (struct compat_fixture){.arena = arena_with_cap((size_t)1 << 30),
                                   .limits = limits_default()};
}

static inline void
compat_fixture_done(struct compat_fixture *f)
{
    arena_done(&f->arena);
}

static inline struct shape
fixture_shape(struct compat_fixture *f, struct slice text)
{
    struct shape shape = {0};
    uint64_t *dims = arena_alloc(&f->arena, 8, sizeof *dims);

    ck_assert_ptr_nonnull(dims);
    shape.dims = dims;
    if (slice_is(text, "()"))
        return shape;
    while (text.at != NULL) {
        struct slice dim = slice_cut(&text, ',');

        ck_assert_uint_lt(shape.rank, 8);
        if (slice_is(dim, "*"))
            dims[shape.rank++] = MANIFEST_ANY_DIM;
        else
            ck_assert(num_parse_u64(dim, &dims[shape.rank++]));
    }
    return shape;
}

static inline struct slice
fixture_trim(struct slice s)
{
    while (s.length > 0 && (s.at[0] == ' ' || s.at[0] == '\n'))
        s = slice_from(s, 1);
    while (s.length > 0 && (s.at[s.length - 1] == ' ' || s.at[s.length - 1] == '\n'))
        s.length--;
    return s;
}

static inline int
fixture_compare(const void *left, const void *right)
{
    return slice_compare(((const struct state_key *)left)->name,
                         ((const struct state_key *)right)->name);
}

static inline struct state
fixture_state(struct compat_fixture *f, const char *text)
{
    struct slice rest = slice_of(text);
    size_t room = 1;
    struct state_key *keys;
    struct state s = {0};

    for (const char *at = text; *at != '\0'; at++)
        room += *at == ';' || *at == '\n';
    keys = arena_alloc(&f->arena, room, sizeof *keys);
    ck_assert_ptr_nonnull(keys);
    s.keys = keys;
    while (rest.at != NULL) {
        struct slice row = fixture_trim(slice_cut(&rest, ';')), name, shape;
        struct state_key *key = &keys[s.count];

        if (row.length == 0)
            continue;
        name = slice_cut(&row, ' ');
        shape = row.at == NULL ? slice_of("1") : slice_cut(&row, ' ');
        *key = (struct state_key){.name = name};
        s.count++;
        if (shape.at[0] == '!') {
            key->entry = ENTRY_INT;
            key->type = slice_from(shape, 1);
            continue;
        }
        key->is_tensor = true;
        key->dtype = row.at == NULL ? DTYPE_FLOAT32 : dtype_find(row);
        key->shape = fixture_shape(f, shape);
        ck_assert(shape_elements(key->shape, &key->elements));
    }
    qsort(keys, s.count, sizeof *keys, fixture_compare);
    for (size_t i = 0; i < s.count; i++)
        keys[i].origin = (uint32_t)i;
    return s;
}

static inline struct manifest
fixture_manifest(struct compat_fixture *f, const char *text)
{
    struct state s = fixture_state(f, text);
    struct expected *tensors = arena_alloc(&f->arena, s.count, sizeof *tensors);
    struct manifest m = {.tensors = tensors, .count = s.count, .name = slice_of("expected")};

    ck_assert_ptr_nonnull(tensors);
    for (size_t i = 0; i < s.count; i++)
        tensors[i] = (struct expected){.name = s.keys[i].name,
                                       .has_shape = true,
                                       .shape = s.keys[i].shape,
                                       .dtype = s.keys[i].dtype};
    return m;
}

/* A container of a state's tensors and entries. */
static inline struct container
fixture_container(struct compat_fixture *f, const char *path, enum container_kind kind,
                  const char *text)
{
    struct state s = fixture_state(f, text);
    struct tensor *tensors = arena_alloc(&f->arena, s.count, sizeof *tensors);
    struct entry *entries = arena_alloc(&f->arena, s.count, sizeof *entries);
    struct container c = {.path = slice_of(path), .kind = kind};

    ck_assert_ptr_nonnull(tensors);
    ck_assert_ptr_nonnull(entries);
    c.structure.tensors = tensors;
    c.facts.entries = entries;
    for (size_t i = 0; i < s.count; i++) {
        const struct state_key *key = &s.keys[i];

        if (key->is_tensor)
            tensors[c.structure.count++] = (struct tensor){.name = key->name,
                                                           .dtype = key->dtype,
                                                           .shape = key->shape,
                                                           .elements = key->elements};
        else
            entries[c.facts.entry_count++] =
                (struct entry){.name = key->name, .kind = key->entry, .type = key->type};
    }
    return c;
}

static inline struct inspection
fixture_inspection(struct container *containers, size_t count)
{
    return (struct inspection){.format = slice_of("torch-zip"),
                               .containers = containers,
                               .container_count = count,
                               .default_container = count > 0 ? 0 : SIZE_MAX};
}

/* A remap's lines with ';' for the line's end. */
static inline enum status
fixture_remap(struct compat_fixture *f, const char *text, struct remap *ret_remap)
{
    struct slice copy;
    size_t length = strlen(text);
    char *bytes;

    ck_assert_int_eq(arena_copy(&f->arena, slice_of(text), &copy, NULL), OK);
    bytes = arena_alloc(&f->arena, length + 1, 1);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = text[i] == ';' ? '\n' : text[i];
    f->err = (struct err){0};
    return remap_parse((struct slice){bytes, length}, &f->limits, &f->arena, ret_remap, &f->err);
}

/* "a 2,2; b 3" of a state: what a remap made. */
static inline struct slice
fixture_show(struct compat_fixture *f, const struct state *s)
{
    struct buf out = buf_with_cap(1 << 20);
    struct slice shown;

    for (size_t i = 0; i < s->count; i++) {
        if (i > 0)
            buf_text(&out, "; ");
        buf_slice(&out, s->keys[i].name);
        if (!s->keys[i].is_tensor)
            continue;
        buf_char(&out, ' ');
        if (s->keys[i].shape.rank == 0)
            buf_text(&out, "()");
        for (uint32_t k = 0; k < s->keys[i].shape.rank; k++) {
            if (k > 0)
                buf_char(&out, ',');
            buf_u64(&out, s->keys[i].shape.dims[k]);
        }
    }
    ck_assert_int_eq(arena_copy(&f->arena, buf_slice_of(&out), &shown, NULL), OK);
    buf_done(&out);
    return shown;
}

#define ck_assert_slice_eq(got, text) \
    do { \
        struct slice got_ = (got); \
        ck_assert_msg(slice_is(got_, (text)), "got \"%.*s\", want \"%s\"", SLICE_PRINT(got_), \
                      (text)); \
    } while (0)
