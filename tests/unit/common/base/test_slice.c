#include "common/base/slice.h"

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "tests/support/unit.h"

static const struct slice none;

static const struct {
    const char *a, *b;
    int want;
} orders[] = {
    {"", "", 0},     {"", "a", -1},  {"a", "", 1},     {"a", "b", -1},      {"ab", "a", 1},
    {"a", "ab", -1}, {"Z", "a", -1}, {"\xff", "a", 1}, {"a.10", "a.9", -1},
};

START_TEST(slice__orders_bytewise)
{
    int order = slice_compare(slice_of(orders[_i].a), slice_of(orders[_i].b));

    ck_assert_int_eq((order > 0) - (order < 0), orders[_i].want);
    ck_assert_int_eq(slice_equal(slice_of(orders[_i].a), slice_of(orders[_i].b)), order == 0);
}
END_TEST

START_TEST(slice__takes_the_empty_one_everywhere)
{
    struct slice rest = none;

    ck_assert(slice_equal(none, slice_of("")));
    ck_assert(slice_is(none, ""));
    ck_assert_int_eq(slice_compare(none, none), 0);
    ck_assert(slice_starts(none, none));
    ck_assert(slice_ends(none, none));
    ck_assert(slice_starts(slice_of("a"), none));
    ck_assert(slice_ends(slice_of("a"), none));
    ck_assert(!slice_starts(none, slice_of("a")));
    ck_assert(!slice_ends(none, slice_of("a")));
    ck_assert_uint_eq(slice_from(none, 0).length, 0);
    ck_assert_uint_eq(slice_cut(&rest, '.').length, 0);
}
END_TEST

START_TEST(slice__knows_beginnings_and_ends)
{
    struct slice name = slice_of("module.fc.weight");

    ck_assert(slice_starts(name, slice_of("module.")));
    ck_assert(!slice_starts(name, slice_of("module.fd")));
    ck_assert(slice_ends(name, slice_of(".weight")));
    ck_assert(!slice_ends(slice_of("weight"), name));
    ck_assert(slice_is(slice_part(name, 7, 2), "fc"));
    ck_assert(slice_is(slice_from(name, 10), "weight"));
    ck_assert(!slice_is(name, "module"));
}
END_TEST

static const struct {
    const char *text;
    const char *parts[4];
} cuts[] = {
    {"a.b.c", {"a", "b", "c"}}, {"a", {"a"}},         {"a.", {"a", ""}},
    {".a", {"", "a"}},          {"..", {"", "", ""}},
};

START_TEST(slice__cuts_at_each_separator)
{
    struct slice rest = slice_of(cuts[_i].text);
    size_t count = 0;

    while (rest.at != NULL) {
        struct slice part = slice_cut(&rest, '.');

        ck_assert_ptr_nonnull(cuts[_i].parts[count]);
        ck_assert(slice_is(part, cuts[_i].parts[count]));
        count++;
    }
    ck_assert_ptr_null(cuts[_i].parts[count]);
}
END_TEST

START_TEST(slice__prints_without_a_terminator)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(32);

    buf_printf(&b, "<%.*s><%.*s>", SLICE_PRINT(slice_part(slice_of("abcd"), 1, 2)),
               SLICE_PRINT(none));
    ck_assert_str_eq(b.bytes, "<bc><>");
}
END_TEST

SUITE(slice)
{
    return suite_with(
        "slice", LOOP(slice__orders_bytewise, orders), TEST(slice__takes_the_empty_one_everywhere),
        TEST(slice__knows_beginnings_and_ends), LOOP(slice__cuts_at_each_separator, cuts),
        TEST(slice__prints_without_a_terminator));
}
