#include "common/base/num.h"

#include "tests/support/unit.h"

START_TEST(num__adds_and_multiplies_up_to_the_end)
{
    uint64_t value = 1;

    ck_assert(num_add(UINT64_MAX - 1, 1, &value));
    ck_assert_uint_eq(value, UINT64_MAX);
    ck_assert(!num_add(UINT64_MAX, 1, &value));
    ck_assert_uint_eq(value, UINT64_MAX);
    ck_assert(num_mul(UINT32_MAX, UINT32_MAX, &value));
    ck_assert_uint_eq(value, 0xFFFFFFFE00000001);
    ck_assert(!num_mul((uint64_t)1 << 32, (uint64_t)1 << 32, &value));
    ck_assert_uint_eq(value, 0xFFFFFFFE00000001);
    ck_assert(num_mul(0, UINT64_MAX, &value));
    ck_assert_uint_eq(value, 0);
}
END_TEST

static const struct {
    const char *text;
    uint64_t want;
} unsigned_numbers[] = {
    {"0", 0},
    {"7", 7},
    {"10", 10},
    {"18446744073709551615", UINT64_MAX},
};

START_TEST(num__reads_whole_numbers)
{
    uint64_t value = 1;

    ck_assert(num_parse_u64(slice_of(unsigned_numbers[_i].text), &value));
    ck_assert_uint_eq(value, unsigned_numbers[_i].want);
}
END_TEST

static const char *const not_unsigned[] = {
    "",
    "-1",
    "+1",
    " 1",
    "1 ",
    "01",
    "00",
    "1.0",
    "1e3",
    "0x10",
    "18446744073709551616",
    "99999999999999999999999",
    "\xd9\xa1",
};

START_TEST(num__refuses_what_is_no_whole_number)
{
    uint64_t value = 77;

    ck_assert(!num_parse_u64(slice_of(not_unsigned[_i]), &value));
    ck_assert_uint_eq(value, 77);
}
END_TEST

static const struct {
    const char *text;
    int64_t want;
} signed_numbers[] = {
    {"0", 0},
    {"-0", 0},
    {"-1", -1},
    {"9223372036854775807", INT64_MAX},
    {"-9223372036854775808", INT64_MIN},
};

START_TEST(num__reads_signed_numbers)
{
    int64_t value = 1;

    ck_assert(num_parse_i64(slice_of(signed_numbers[_i].text), &value));
    ck_assert_int_eq(value, signed_numbers[_i].want);
}
END_TEST

static const char *const not_signed[] = {
    "", "-", "--1", "-01", "9223372036854775808", "-9223372036854775809", "-1.0",
};

START_TEST(num__refuses_what_is_no_signed_number)
{
    int64_t value = 77;

    ck_assert(!num_parse_i64(slice_of(not_signed[_i]), &value));
    ck_assert_int_eq(value, 77);
}
END_TEST

static const struct {
    const char *text;
    double want;
} fractions[] = {
    {"0", 0},      {"-2.5", -2.5},
    {"1e3", 1000}, {"1E-2", 0.01},
    {"0.1", 0.1},  {".5", 0.5},
    {"1e-400", 0}, {"123456789012345678901234567890", 123456789012345678901234567890.0},
};

START_TEST(num__reads_fractions)
{
    double value = 77;

    ck_assert(num_parse_double(slice_of(fractions[_i].text), &value));
    ck_assert(value == fractions[_i].want);
}
END_TEST

static const char *const not_fractions[] = {
    "",    "-",     ".",     "e5",     "1e",  "1e+", "inf", "nan",
    "NaN", "0x1p3", "1e999", "-1e999", "1,5", "1 ",  " 1",  "1-2",
};

START_TEST(num__refuses_what_is_no_fraction)
{
    double value = 77;

    ck_assert(!num_parse_double(slice_of(not_fractions[_i]), &value));
    ck_assert(value == 77);
}
END_TEST

START_TEST(num__reads_no_further_than_the_slice)
{
    uint64_t value;
    double fraction;

    ck_assert(num_parse_u64(slice_part(slice_of("12345"), 1, 2), &value));
    ck_assert_uint_eq(value, 23);
    ck_assert(num_parse_double(slice_part(slice_of("1.2345"), 0, 3), &fraction));
    ck_assert(fraction == 1.2);
    ck_assert(!num_parse_double((struct slice){.at = "1\0002", .length = 3}, &fraction));
}
END_TEST

SUITE(num)
{
    return suite_with("num", TEST(num__adds_and_multiplies_up_to_the_end),
                      LOOP(num__reads_whole_numbers, unsigned_numbers),
                      LOOP(num__refuses_what_is_no_whole_number, not_unsigned),
                      LOOP(num__reads_signed_numbers, signed_numbers),
                      LOOP(num__refuses_what_is_no_signed_number, not_signed),
                      LOOP(num__reads_fractions, fractions),
                      LOOP(num__refuses_what_is_no_fraction, not_fractions),
                      TEST(num__reads_no_further_than_the_slice));
}
