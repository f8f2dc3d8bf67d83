#include "common/base/natural.h"

#include "tests/support/unit.h"

static const struct {
    const char *lesser, *greater;
} ordered[] = {
    {"", "a"},
    {"a", "b"},
    {"layer2", "layer10"},
    {"layers.9.weight", "layers.10.weight"},
    {"layers.10.bias", "layers.10.weight"},
    {"layers.99999999999999999999998", "layers.99999999999999999999999"},
    {"layers.9", "layers.99999999999999999999999"},
    {"a.1", "a.b"},
    {"a", "a.1"},
    {"a1", "a1b"},
    {"a1.x", "a01.y"},
    {"a1", "a01"},
    {"a01", "a001"},
    {"a01b1", "a1b01"},
    {"block.2", "block.02.x"},
    {"a", "\xC3\xA4"},
};

START_TEST(natural__orders_numbers_as_numbers)
{
    struct slice lesser = slice_of(ordered[_i].lesser), greater = slice_of(ordered[_i].greater);

    ck_assert_int_lt(natural_compare(lesser, greater), 0);
    ck_assert_int_gt(natural_compare(greater, lesser), 0);
    ck_assert_int_eq(natural_compare(lesser, lesser), 0);
    ck_assert_int_eq(natural_compare(greater, greater), 0);
}
END_TEST

START_TEST(natural__is_a_total_order)
{
    static const char *const names[] = {"",    "0",    "00",  "1",   "01",  "1a",
                                        "01a", "a1",   "a01", "a9",  "a10", "a1.2",
                                        "a.1", "a.01", "aa",  "a1b", "a-",  "9z"};
    enum { COUNT = sizeof names / sizeof names[0] };

    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < COUNT; j++) {
            int order = natural_compare(slice_of(names[i]), slice_of(names[j]));

            ck_assert_int_eq(order == 0, i == j);
            ck_assert_int_eq(order<0, natural_compare(slice_of(names[j]), slice_of(names[i]))> 0);
            for (size_t k = 0; k < COUNT; k++)
                if (order < 0 && natural_compare(slice_of(names[j]), slice_of(names[k])) < 0)
                    ck_assert_int_lt(natural_compare(slice_of(names[i]), slice_of(names[k])), 0);
        }
}
END_TEST

SUITE(natural)
{
    return suite_with("natural", LOOP(natural__orders_numbers_as_numbers, ordered),
                      TEST(natural__is_a_total_order));
}
