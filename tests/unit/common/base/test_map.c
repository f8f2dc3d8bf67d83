#include "common/base/map.h"

#include <stdio.h>

#include "tests/support/heap.h"
#include "tests/support/unit.h"

START_TEST(map__finds_what_was_put_there_and_nothing_else)
{
    struct map m = {0};
    uint32_t present;

    ck_assert_uint_eq(map_get(&m, slice_of("a")), MAP_NONE);
    ck_assert_int_eq(map_add(&m, slice_of("a"), 1, &present, NULL), OK);
    ck_assert_uint_eq(present, MAP_NONE);
    ck_assert_int_eq(map_add(&m, slice_of("a"), 2, &present, NULL), OK);
    ck_assert_uint_eq(present, 1);
    ck_assert_int_eq(map_set(&m, slice_of("a"), 3, NULL), OK);
    ck_assert_uint_eq(map_get(&m, slice_of("a")), 3);
    ck_assert_uint_eq(map_get(&m, slice_of("ab")), MAP_NONE);
    ck_assert_int_eq(map_swap(&m, slice_of("a"), 4, &present, NULL), OK);
    ck_assert_uint_eq(present, 3);
    ck_assert_int_eq(map_swap(&m, slice_of("b"), 5, &present, NULL), OK);
    ck_assert_uint_eq(present, MAP_NONE);
    map_done(&m);
}
END_TEST

START_TEST(map__takes_the_empty_text)
{
    struct map m = {0};

    ck_assert_int_eq(map_set(&m, (struct slice){0}, 7, NULL), OK);
    ck_assert_uint_eq(map_get(&m, slice_of("")), 7);
    ck_assert_uint_eq(map_get(&m, slice_of("x")), MAP_NONE);
    map_done(&m);
}
END_TEST

START_TEST(map__keeps_all_of_many_keys)
{
    static char names[20000][8];
    struct map m = {0};

    for (uint32_t i = 0; i < 20000; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%u", (unsigned)i);
        ck_assert_int_eq(map_set(&m, slice_of(names[i]), i, NULL), OK);
    }
    for (uint32_t i = 0; i < 20000; i++)
        ck_assert_uint_eq(map_get(&m, slice_of(names[i])), i);
    map_done(&m);
}
END_TEST

START_TEST(map__says_when_there_is_no_memory_and_keeps_what_it_had)
{
    struct map m = {0};
    struct err err = {0};

    ck_assert_int_eq(map_set(&m, slice_of("a"), 1, NULL), OK);
    heap_fail_after(0);
    ck_assert_int_eq(map_reserve(&m, 1000, &err), ERR_NO_MEMORY);
    heap_heal();
    ck_assert_uint_eq(map_get(&m, slice_of("a")), 1);
    map_done(&m);
}
END_TEST

SUITE(map)
{
    return suite_with("map", TEST(map__finds_what_was_put_there_and_nothing_else),
                      TEST(map__takes_the_empty_text), TEST(map__keeps_all_of_many_keys),
                      TEST(map__says_when_there_is_no_memory_and_keeps_what_it_had));
}
