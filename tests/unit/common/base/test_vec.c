#include "common/base/vec.h"

#include "common/base/attr.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

struct thing {
    uint64_t number;
    char tail[5];
};

START_TEST(vec__grows_and_keeps_its_items)
{
    CLEANUP(vec_done) struct vec v = vec_of(sizeof(struct thing), 10000);

    for (size_t i = 0; i < 10000; i++) {
        struct thing *thing;

        ck_assert_int_eq(vec_add(&v, &thing, "things", NULL), OK);
        ck_assert_uint_eq(thing->number, 0);
        thing->number = i;
    }
    ck_assert_uint_eq(v.count, 10000);
    for (size_t i = 0; i < v.count; i++)
        ck_assert_uint_eq(VEC_AT(&v, struct thing, i).number, i);
}
END_TEST

START_TEST(vec__names_its_cap)
{
    CLEANUP(vec_done) struct vec v = vec_of(1, 3);
    struct err err = {0};
    char *item;

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(vec_add(&v, &item, "letters", &err), OK);
    ck_assert_int_eq(vec_add(&v, &item, "letters", &err), ERR_LIMIT);
    ck_assert_str_eq(err.text, "more than 3 letters");
    ck_assert_uint_eq(v.count, 3);
}
END_TEST

START_TEST(vec__keeps_what_it_has_when_memory_runs_out)
{
    CLEANUP(vec_done) struct vec v = vec_of(sizeof(int), 1000);
    int *item;

    for (int i = 0; i < 16; i++) {
        ck_assert_int_eq(vec_add(&v, &item, "numbers", NULL), OK);
        *item = i;
    }
    heap_fail_after(0);
    ck_assert_int_eq(vec_add(&v, &item, "numbers", NULL), ERR_NO_MEMORY);
    heap_heal();
    ck_assert_uint_eq(v.count, 16);
    ck_assert_int_eq(VEC_AT(&v, int, 15), 15);
    ck_assert_int_eq(vec_add(&v, &item, "numbers", NULL), OK);
}
END_TEST

START_TEST(vec__may_be_done_twice)
{
    struct vec v = vec_of(8, 8);
    uint64_t *item;

    ck_assert_int_eq(vec_add(&v, &item, "numbers", NULL), OK);
    vec_done(&v);
    ck_assert_uint_eq(v.count, 0);
    ck_assert_int_eq(vec_add(&v, &item, "numbers", NULL), OK);
    vec_done(&v);
    vec_done(&v);
    vec_done(NULL);
}
END_TEST

SUITE(vec)
{
    return suite_with("vec", TEST(vec__grows_and_keeps_its_items), TEST(vec__names_its_cap),
                      TEST(vec__keeps_what_it_has_when_memory_runs_out),
                      TEST(vec__may_be_done_twice));
}
