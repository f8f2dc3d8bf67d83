#include "server/http/ranges.h"

#include "tests/support/unit.h"

static const struct {
    const char *header;
    uint64_t size;
    enum range want;
    uint64_t offset, length;
} cases[] = {
    {"bytes=0-0", 10, RANGE_PART, 0, 1},
    {"bytes=0-9", 10, RANGE_PART, 0, 10},
    {"bytes=0-", 10, RANGE_PART, 0, 10},
    {"bytes=9-", 10, RANGE_PART, 9, 1},
    {"bytes=3-100", 10, RANGE_PART, 3, 7},
    {"bytes=3-99999999999999999999999999", 10, RANGE_PART, 3, 7},
    {"bytes=-3", 10, RANGE_PART, 7, 3},
    {"bytes=-10", 10, RANGE_PART, 0, 10},
    {"bytes=-11", 10, RANGE_PART, 0, 10},
    {"bytes=-18446744073709551616", 10, RANGE_PART, 0, 10},
    {"Bytes = 1 - 2 ", 10, RANGE_PART, 1, 2},
    {"bytes=001-002", 10, RANGE_PART, 1, 2},
    {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=10-20", 10, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=99999999999999999999-", 10, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
    {"bytes=2-1", 10, RANGE_WHOLE, 0, 0},
    {"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0},
    {"bytes=", 10, RANGE_WHOLE, 0, 0},
    {"bytes=-", 10, RANGE_WHOLE, 0, 0},
    {"bytes=a-b", 10, RANGE_WHOLE, 0, 0},
    {"bytes=0x1-2", 10, RANGE_WHOLE, 0, 0},
    {"bytes=5", 10, RANGE_WHOLE, 0, 0},
    {"bytes=--1", 10, RANGE_WHOLE, 0, 0},
    {"bytes 0-1", 10, RANGE_WHOLE, 0, 0},
    {"byte=0-1", 10, RANGE_WHOLE, 0, 0},
    {"items=0-1", 10, RANGE_WHOLE, 0, 0},
    {"", 10, RANGE_WHOLE, 0, 0},
};

START_TEST(ranges__reads_one_range)
{
    uint64_t offset = 0, length = 0;

    ck_assert_int_eq(range_parse(slice_of(cases[_i].header), cases[_i].size, &offset, &length),
                     cases[_i].want);
    if (cases[_i].want == RANGE_PART) {
        ck_assert_uint_eq(offset, cases[_i].offset);
        ck_assert_uint_eq(length, cases[_i].length);
    }
}
END_TEST

static const struct {
    const char *header;
    bool strong, weak;
} lists[] = {
    {"\"a\"", true, true},       {"  \"a\"  ", true, true},       {"\"b\", \"a\"", true, true},
    {"\"b\",\"a\"", true, true}, {"W/\"a\"", false, true},        {"W/\"b\", W/\"a\"", false, true},
    {"*", true, true},           {"\"b,\\\", \"a\"", true, true}, /* no escapes within a tag */
    {"\"A\"", false, false},     {"\"b\"", false, false},         {"a", false, false},
    {"\"a", false, false},       {"\"b\" \"a\"", false, false},   {"\"b\",,\"a\"", false, false},
    {"", false, false},
};

START_TEST(ranges__finds_an_entity_tag_in_a_list)
{
    struct slice tag = slice_of("\"a\"");

    ck_assert_int_eq(etag_listed(slice_of(lists[_i].header), tag, false), lists[_i].strong);
    ck_assert_int_eq(etag_listed(slice_of(lists[_i].header), tag, true), lists[_i].weak);
}
END_TEST

SUITE(ranges)
{
    return suite_with("ranges", LOOP(ranges__reads_one_range, cases),
                      LOOP(ranges__finds_an_entity_tag_in_a_list, lists));
}
