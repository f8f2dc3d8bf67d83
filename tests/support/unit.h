#pragma once
/*
 * For unit tests: one file, one suite. A test's name is a sentence, thing__does_something.
 *
 *     SUITE(num)
 *     {
 *         return suite_with("num", TEST(num__takes_a_plain_number), LOOP(num__refuses, refused));
 *     }
 */
#include <check.h>
#include <stddef.h>

#define SUITE(name) \
    Suite *name##_suite(void); \
    Suite *name##_suite(void)

struct unit_test {
    const TTest *test;
    int rounds; /* of a loop test over a table; 0: no loop */
};

#define TEST(test)        ((struct unit_test){(test), 0})
#define LOOP(test, table) ((struct unit_test){(test), (int)(sizeof(table) / sizeof((table)[0]))})

#define suite_with(name, ...) \
    suite_of((name), (const struct unit_test[]){__VA_ARGS__}, \
             sizeof((const struct unit_test[]){__VA_ARGS__}) / sizeof(struct unit_test))

/* The same with something that is set up before each test and torn down after it. */
#define suite_around(name, setup, teardown, ...) \
    suite_of_fixture((name), (setup), (teardown), (const struct unit_test[]){__VA_ARGS__}, \
                     sizeof((const struct unit_test[]){__VA_ARGS__}) / sizeof(struct unit_test))

static inline Suite *
suite_of_fixture(const char *name, SFun setup, SFun teardown, const struct unit_test *tests,
                 size_t count)
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);

    tcase_set_timeout(cases, 60);
    if (setup != NULL)
        tcase_add_checked_fixture(cases, setup, teardown);
    for (size_t i = 0; i < count; i++) {
        if (tests[i].rounds > 0)
            tcase_add_loop_test(cases, tests[i].test, 0, tests[i].rounds);
        else
            tcase_add_test(cases, tests[i].test);
    }
    suite_add_tcase(suite, cases);
    return suite;
}

static inline Suite *
suite_of(const char *name, const struct unit_test *tests, size_t count)
{
    return suite_of_fixture(name, NULL, NULL, tests, count);
}
