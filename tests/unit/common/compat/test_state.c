#include "common/compat/state.h"

#include "tests/support/unit.h"

static const uint64_t two[] = {2};
static const struct tensor tensors[] = {
    {.name = {"a.w", 3}, .dtype = DTYPE_FLOAT32, .shape = {1, two}, .elements = 2},
    {.name = {"c", 1}, .dtype = DTYPE_INT64, .elements = 1},
};
static const struct entry entries[] = {
    {.name = {"a", 1}, .kind = ENTRY_DICT, .type = {"dict", 4}},
    {.name = {"c", 1}, .kind = ENTRY_INT, .type = {"int", 3}},
    {.name = {"epoch", 5}, .kind = ENTRY_INT, .type = {"int", 3}},
};
static const struct module_version versions[] = {
    {.module = {"", 0}, .has_version = true, .version = 1},
    {.module = {"a", 1}, .has_version = true, .version = 2},
};
static const uint8_t layouts[] = {LAYOUT_SPARSE_COO, LAYOUT_STRIDED};

static const struct container container = {
    .structure = {.tensors = tensors, .count = 2},
    .facts = {.has_metadata = true,
              .versions = versions,
              .version_count = 2,
              .entries = entries,
              .entry_count = 3,
              .layouts = layouts},
};

START_TEST(state__merges_tensors_and_entries)
{
    struct arena arena = arena_with_cap(1 << 20);
    struct state s;

    ck_assert_int_eq(state_of_container(&container, &arena, &s, NULL), OK);
    ck_assert_uint_eq(s.count, 4);
    ck_assert(slice_is(s.keys[0].name, "a"));
    ck_assert(!s.keys[0].is_tensor);
    ck_assert_int_eq(s.keys[0].entry, ENTRY_DICT);
    ck_assert(slice_is(s.keys[1].name, "a.w"));
    ck_assert(s.keys[1].is_tensor);
    ck_assert_int_eq(s.keys[1].layout, LAYOUT_SPARSE_COO);
    ck_assert_uint_eq(s.keys[1].elements, 2);
    ck_assert(s.keys[2].is_tensor); /* a name that is both is the tensor */
    ck_assert_uint_eq(s.keys[3].origin, 3);
    arena_done(&arena);
}
END_TEST

START_TEST(state__finds_keys_and_versions)
{
    struct arena arena = arena_with_cap(1 << 20);
    struct state s;

    ck_assert_int_eq(state_of_container(&container, &arena, &s, NULL), OK);
    ck_assert_ptr_eq(state_find(&s, slice_of("epoch")), &s.keys[3]);
    ck_assert_ptr_null(state_find(&s, slice_of("b")));
    ck_assert_int_eq(state_version(&s, slice_of("a"))->version, 2);
    ck_assert_int_eq(state_version(&s, (struct slice){0})->version, 1);
    ck_assert_ptr_null(state_version(&s, slice_of("b")));
    arena_done(&arena);
}
END_TEST

START_TEST(state__may_be_empty)
{
    static const struct container empty;
    struct arena arena = arena_with_cap(1 << 20);
    struct state s;

    ck_assert_int_eq(state_of_container(&empty, &arena, &s, NULL), OK);
    ck_assert_uint_eq(s.count, 0);
    ck_assert_ptr_null(state_find(&s, slice_of("a")));
    ck_assert_ptr_null(state_version(&s, slice_of("a")));
    arena_done(&arena);
}
END_TEST

START_TEST(state__says_when_memory_is_short)
{
    struct arena arena = arena_with_cap(8);
    struct state s;

    ck_assert_int_eq(state_of_container(&container, &arena, &s, NULL), ERR_LIMIT);
    arena_done(&arena);
}
END_TEST

SUITE(state)
{
    return suite_with("state", TEST(state__merges_tensors_and_entries),
                      TEST(state__finds_keys_and_versions), TEST(state__may_be_empty),
                      TEST(state__says_when_memory_is_short));
}
