#include "common/base/mem.h"

#include <stdint.h>
#include <string.h>

#include "common/base/attr.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

START_TEST(mem__gives_zeroed_objects)
{
    CLEANUP(mem_free_at) uint64_t *objects = mem_new(1000, sizeof *objects);

    for (int i = 0; i < 1000; i++)
        ck_assert_uint_eq(objects[i], 0);
}
END_TEST

START_TEST(mem__gives_something_even_for_nothing)
{
    CLEANUP(mem_free_at) char *none = mem_new(0, 8);
    CLEANUP(mem_free_at) char *shrunk = mem_resize(NULL, 0, 8);

    ck_assert_ptr_nonnull(none);
    ck_assert_ptr_nonnull(shrunk);
}
END_TEST

START_TEST(mem__copies_and_terminates)
{
    CLEANUP(mem_free_at) char *copy = mem_copy("abcdef", 3);
    CLEANUP(mem_free_at) char *empty = mem_copy(NULL, 0);

    ck_assert_str_eq(copy, "abc");
    ck_assert_str_eq(empty, "");
}
END_TEST

START_TEST(mem__resizes_and_keeps_the_content)
{
    CLEANUP(mem_free_at) char *block = mem_copy("abc", 3);
    char *larger = mem_resize(block, 10000, 3);

    ck_assert_ptr_nonnull(larger);
    block = larger;
    ck_assert_str_eq(block, "abc");
}
END_TEST

START_TEST(mem__refuses_products_that_overflow)
{
    CLEANUP(mem_free_at) char *block = mem_copy("abc", 3);

    ck_assert_ptr_null(mem_resize(block, SIZE_MAX / 4, 8));
    ck_assert_ptr_null(mem_resize(NULL, (size_t)1 << 33, (size_t)1 << 33));
    ck_assert_str_eq(block, "abc");
}
END_TEST

START_TEST(mem__says_null_when_the_heap_fails)
{
    char *block = NULL;

    heap_fail_after(0);
    ck_assert_ptr_null(mem_new(1, 1));
    ck_assert_ptr_null(mem_copy("a", 1));
    ck_assert_ptr_null(mem_resize(block, 1, 1));
    heap_heal();
    mem_free(block);
    mem_trim();
}
END_TEST

START_TEST(mem__take_leaves_nothing_to_clean_up)
{
    char *block = mem_copy("abc", 3);
    char *mine = TAKE(block);

    ck_assert_ptr_null(block);
    ck_assert_str_eq(mine, "abc");
    mem_free_at(&block);
    mem_free_at(&mine);
}
END_TEST

START_TEST(mem__works_when_it_keeps_little)
{
    char *large;

    mem_keep_little();
    large = mem_new(1 << 20, 1);
    ck_assert_ptr_nonnull(large);
    mem_free(large);
}
END_TEST

SUITE(mem)
{
    return suite_with(
        "mem", TEST(mem__gives_zeroed_objects), TEST(mem__gives_something_even_for_nothing),
        TEST(mem__copies_and_terminates), TEST(mem__resizes_and_keeps_the_content),
        TEST(mem__refuses_products_that_overflow), TEST(mem__says_null_when_the_heap_fails),
        TEST(mem__take_leaves_nothing_to_clean_up), TEST(mem__works_when_it_keeps_little));
}
