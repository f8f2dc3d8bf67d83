#include "common/base/limits.h"

#include "common/structure/shape.h"
#include "tests/support/unit.h"

START_TEST(limits__defaults_are_those_of_the_design)
{
    struct limits limits = limits_default();

    ck_assert_uint_eq(limits.tensors, 1000000);
    ck_assert_uint_eq(limits.name_bytes, 1024);
    ck_assert_uint_eq(limits.manifest_bytes, 64 * 1024 * 1024);
    ck_assert_uint_eq(limits.json_depth, 16);
    ck_assert_uint_le(limits.rank, TENSOR_RANK_MAX);
}
END_TEST

/* Every field is a bound: zero would refuse everything. All fields are of one type. */
START_TEST(limits__none_is_left_out)
{
    struct limits limits = limits_default();
    size_t fields[sizeof limits / sizeof(size_t)];

    memcpy(fields, &limits, sizeof limits);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        ck_assert_uint_gt(fields[i], 0);
}
END_TEST

SUITE(limits)
{
    return suite_with("limits", TEST(limits__defaults_are_those_of_the_design),
                      TEST(limits__none_is_left_out));
}
