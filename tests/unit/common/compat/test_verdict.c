#include "common/compat/verdict.h"

#include "tests/support/unit.h"

START_TEST(verdict__names_are_found_again)
{
    for (unsigned i = 0; i < VERDICT_COUNT; i++)
        ck_assert_int_eq(verdict_find(slice_of(verdict_name((enum verdict)i))), i);
    ck_assert_int_eq(verdict_find(slice_of("good")), VERDICT_COUNT);
}
END_TEST

static const struct {
    enum verdict verdict, required;
    bool met;
} levels[] = {
    {VERDICT_STRICT, VERDICT_STRICT, true},
    {VERDICT_STRICT, VERDICT_PARTIAL, true},
    {VERDICT_STRICT_AFTER_REMAP, VERDICT_STRICT, false},
    {VERDICT_NON_STRICT, VERDICT_STRICT_AFTER_REMAP, false},
    {VERDICT_PARTIAL, VERDICT_PARTIAL, true},
    {VERDICT_INCOMPATIBLE, VERDICT_PARTIAL, false},
    {VERDICT_UNKNOWN, VERDICT_PARTIAL, false},
    {VERDICT_UNKNOWN, VERDICT_UNKNOWN, false},
    {VERDICT_STRICT, VERDICT_INCOMPATIBLE, false},
};

START_TEST(verdict__meets_what_is_no_better)
{
    ck_assert_int_eq(verdict_meets(levels[_i].verdict, levels[_i].required), levels[_i].met);
}
END_TEST

SUITE(verdict)
{
    return suite_with("verdict", TEST(verdict__names_are_found_again),
                      LOOP(verdict__meets_what_is_no_better, levels));
}
