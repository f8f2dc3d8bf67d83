#include "common/base/arena.h"

#include <stdint.h>

#include "common/base/attr.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

START_TEST(arena__lends_zeroed_objects_aligned_for_pointers)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(1 << 20);

    for (size_t i = 1; i < 200; i++) {
        char *object = arena_alloc(&a, i, 1);

        ck_assert_ptr_nonnull(object);
        ck_assert_uint_eq((uintptr_t)object % _Alignof(uint64_t), 0);
        for (size_t at = 0; at < i; at++)
            ck_assert_int_eq(object[at], 0);
        memset(object, 0x5A, i);
    }
}
END_TEST

START_TEST(arena__keeps_objects_apart_when_it_grows)
{
    enum { COUNT = 3000 };
    CLEANUP(arena_done) struct arena a = arena_with_cap(1 << 20);
    uint32_t *objects[COUNT];

    for (uint32_t i = 0; i < COUNT; i++) {
        objects[i] = arena_alloc(&a, 1, sizeof *objects[i]);
        ck_assert_ptr_nonnull(objects[i]);
        *objects[i] = i;
    }
    for (uint32_t i = 0; i < COUNT; i++)
        ck_assert_uint_eq(*objects[i], i);
}
END_TEST

START_TEST(arena__stops_at_its_cap_and_says_so)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(64);
    struct err err = {0};

    ck_assert_ptr_nonnull(arena_alloc(&a, 1, 48));
    ck_assert_ptr_null(arena_alloc(&a, 1, 17));
    ck_assert_int_eq(arena_fail(&a, &err), ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "64 bytes"));
    ck_assert_ptr_nonnull(arena_alloc(&a, 1, 16));
    ck_assert_ptr_null(arena_alloc(&a, 1, 1));
}
END_TEST

START_TEST(arena__counts_an_empty_object_too)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(16);

    ck_assert_ptr_nonnull(arena_alloc(&a, 0, 8));
    ck_assert_ptr_nonnull(arena_alloc(&a, 8, 0));
    ck_assert_ptr_null(arena_alloc(&a, 0, 0));
}
END_TEST

static const struct {
    size_t count, size;
} overflowing[] = {
    {SIZE_MAX, 1},         {SIZE_MAX, 2}, {SIZE_MAX / 2 + 2, 2}, {(size_t)1 << 32, (size_t)1 << 32},
    {SIZE_MAX / 2 + 1, 1},
};

START_TEST(arena__refuses_sizes_that_overflow)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(SIZE_MAX);

    ck_assert_ptr_null(arena_alloc(&a, overflowing[_i].count, overflowing[_i].size));
    ck_assert_int_eq(arena_fail(&a, NULL), ERR_LIMIT);
}
END_TEST

START_TEST(arena__tells_the_heaps_failure_from_its_own)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(1 << 20);
    struct slice copy;

    heap_fail_after(0);
    ck_assert_int_eq(arena_copy(&a, slice_of("text"), &copy, NULL), ERR_NO_MEMORY);
    ck_assert_int_eq(arena_printf(&a, &copy, NULL, "%d", 1), ERR_NO_MEMORY);
    heap_heal();
    ck_assert_int_eq(arena_copy(&a, slice_of("text"), &copy, NULL), OK);
}
END_TEST

START_TEST(arena__copies_and_formats_terminated_text)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(1 << 10);
    struct slice copy, text;

    ck_assert_int_eq(arena_copy(&a, (struct slice){.at = "a\0bc", .length = 3}, &copy, NULL), OK);
    ck_assert_uint_eq(copy.length, 3);
    ck_assert_mem_eq(copy.at, "a\0b", 4);
    ck_assert_int_eq(arena_copy(&a, (struct slice){0}, &copy, NULL), OK);
    ck_assert_str_eq(copy.at, "");
    ck_assert_int_eq(arena_printf(&a, &text, NULL, "%s-%03d", "layer", 7), OK);
    ck_assert_str_eq(text.at, "layer-007");
    ck_assert_uint_eq(text.length, 9);
}
END_TEST

START_TEST(arena__can_be_used_again_after_done)
{
    struct arena a = arena_with_cap(4096);

    ck_assert_ptr_nonnull(arena_alloc(&a, 4096, 1));
    arena_done(&a);
    ck_assert_ptr_nonnull(arena_alloc(&a, 4096, 1));
    arena_done(&a);
    arena_done(&a);
    arena_done(NULL);
}
END_TEST

START_TEST(arena__rewinds_to_a_mark_and_is_zeroed_again)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(1 << 20);
    struct arena_mark mark;
    char *before = arena_alloc(&a, 100, 1), *object;
    size_t used = a.used_bytes;

    memset(before, 'x', 100);
    mark = arena_mark(&a);
    for (size_t i = 0; i < 300; i++) { /* over several blocks */
        object = arena_alloc(&a, 100, 1);
        ck_assert_ptr_nonnull(object);
        memset(object, 0x5A, 100);
    }
    arena_rewind(&a, mark);
    ck_assert_uint_eq(a.used_bytes, used);
    for (size_t i = 0; i < 300; i++) {
        object = arena_alloc(&a, 100, 1);
        for (size_t at = 0; at < 100; at++)
            ck_assert_int_eq(object[at], 0);
    }
    for (size_t at = 0; at < 100; at++)
        ck_assert_int_eq(before[at], 'x');
}
END_TEST

START_TEST(arena__rewinds_to_nothing)
{
    CLEANUP(arena_done) struct arena a = arena_with_cap(1 << 20);
    struct arena_mark mark = arena_mark(&a);

    ck_assert_ptr_nonnull(arena_alloc(&a, 5000, 1));
    arena_rewind(&a, mark);
    ck_assert_uint_eq(a.used_bytes, 0);
    ck_assert_ptr_nonnull(arena_alloc(&a, 1 << 20, 1));
}
END_TEST

START_TEST(arena__drops_large_objects_only)
{
    enum { LARGE = 3 << 20, CAP = 8 << 20 };
    CLEANUP(arena_done) struct arena a = arena_with_cap(CAP);
    char *small = arena_alloc(&a, 100, 1), *large = arena_alloc(&a, LARGE, 1), *last;

    ck_assert_ptr_nonnull(large);
    last = arena_alloc(&a, LARGE, 1);
    ck_assert_ptr_nonnull(last);
    ck_assert_ptr_null(arena_alloc(&a, LARGE, 1));
    arena_drop(&a, small, 100);  /* it shares its block */
    arena_drop(&a, last, LARGE); /* it is being filled */
    arena_drop(&a, NULL, 0);
    ck_assert_ptr_null(arena_alloc(&a, LARGE, 1));
    arena_drop(&a, large, LARGE);
    ck_assert_ptr_nonnull(arena_alloc(&a, LARGE, 1));
    memset(small, 1, 100);
    memset(last, 1, LARGE);
}
END_TEST

SUITE(arena)
{
    return suite_with(
        "arena", TEST(arena__lends_zeroed_objects_aligned_for_pointers),
        TEST(arena__keeps_objects_apart_when_it_grows), TEST(arena__stops_at_its_cap_and_says_so),
        TEST(arena__counts_an_empty_object_too),
        LOOP(arena__refuses_sizes_that_overflow, overflowing),
        TEST(arena__tells_the_heaps_failure_from_its_own),
        TEST(arena__copies_and_formats_terminated_text), TEST(arena__can_be_used_again_after_done),
        TEST(arena__rewinds_to_a_mark_and_is_zeroed_again), TEST(arena__rewinds_to_nothing),
        TEST(arena__drops_large_objects_only));
}
