#include "server/store/page.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

START_TEST(page__bounds_the_limit)
{
    ck_assert_uint_eq(page_limit(&(struct page){.limit = 0}), PAGE_DEFAULT);
    ck_assert_uint_eq(page_limit(&(struct page){.limit = 7}), 7);
    ck_assert_uint_eq(page_limit(&(struct page){.limit = 1000000}), PAGE_MAX);
}
END_TEST

static const struct {
    const char *key;
    int64_t number;
} keys[] = {{"", 0}, {"", INT64_MAX}, {"vision/resnet50", 0}, {"a\xff\n%&?/b", -7}};

START_TEST(page__reads_its_own_cursor)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct slice cursor, key;
    int64_t number;

    ck_assert_int_eq(
        page_cursor('m', slice_of(keys[_i].key), keys[_i].number, &arena, &cursor, NULL), OK);
    for (size_t i = 0; i < cursor.length; i++)
        ck_assert(strchr("0123456789abcdefm.-", cursor.at[i]) != NULL);
    ck_assert_int_eq(page_parse('m', cursor, &arena, &key, &number, NULL), OK);
    ck_assert(slice_is(key, keys[_i].key));
    ck_assert_int_eq(number, keys[_i].number);
    ck_assert_int_eq(page_parse('v', cursor, &arena, &key, &number, NULL), ERR_BAD_REQUEST);
}
END_TEST

SUITE(page)
{
    return suite_with("page", TEST(page__bounds_the_limit), LOOP(page__reads_its_own_cursor, keys));
}
