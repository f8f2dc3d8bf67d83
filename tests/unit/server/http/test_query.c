#include "server/http/query.h"

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "tests/support/unit.h"

static const struct {
    const char *raw;
    const char *want; /* "name=value;" for each; NULL: refused */
} cases[] = {
    {"", ""},
    {"a=1", "a=1;"},
    {"a", "a=;"},
    {"a=", "a=;"},
    {"=b", "=b;"},
    {"a=1&b=2&a=3", "a=1;b=2;a=3;"},
    {"&&a=1&", "a=1;"},
    {"a=b=c", "a=b=c;"},
    {"a=x+y%2B%20z", "a=x y+ z;"},
    {"meta.%6bey=v%26w%3D", "meta.key=v&w=;"},
    {"a=%C3%A9", "a=\xc3\xa9;"},
    {"a=%", NULL},
    {"a=%4", NULL},
    {"a=%4g", NULL},
    {"%zz=1", NULL},
    {"a=%00", NULL},
    {"a=%0a", NULL},
    {"a=%7f", NULL},
    {"a=%ff", NULL},
    {"a=%c3", NULL},
    {"1&2&3&4&5", NULL},
};

START_TEST(query__is_split_and_decoded)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    CLEANUP(buf_done) struct buf out = buf_with_cap(1000);
    struct pair *pairs;
    size_t count;
    enum status status = query_parse(slice_of(cases[_i].raw), 4, &arena, &pairs, &count, NULL);

    ck_assert_int_eq(status == OK, cases[_i].want != NULL);
    if (status != OK)
        return;
    buf_text(&out, "");
    for (size_t i = 0; i < count; i++)
        buf_printf(&out, "%.*s=%.*s;", SLICE_PRINT(pairs[i].name), SLICE_PRINT(pairs[i].value));
    ck_assert(slice_is(buf_slice_of(&out), cases[_i].want));
}
END_TEST

static const struct {
    const char *raw, *known;
    bool is_good;
} rows[] = {
    {"a=1&b=2", "a b", true},
    {"a=1&a=2", "a b", false},
    {"a=1&a=2", "a+ b", true},
    {"c=1", "a b", false},
    {"", NULL, true},
    {"a=1", NULL, false},
    {"a=1", "", false},
    {"meta.x=1", "meta.*", true},
    {"meta.=1", "meta.*", false},
    {"meta=1", "meta.*", false},
    {"meta.x=1&meta.y=2", "meta.*", true},
    {"meta.x=1&meta.x=2", "meta.*", false},
    {"ab=1", "a b", false},
    {"=1", "a", false},
};

START_TEST(query__is_held_against_what_a_route_knows)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct err err = {0};
    struct pair *pairs;
    size_t count;

    ck_assert_int_eq(query_parse(slice_of(rows[_i].raw), 9, &arena, &pairs, &count, NULL), OK);
    ck_assert_int_eq(query_check(pairs, count, rows[_i].known, &err),
                     rows[_i].is_good ? OK : ERR_BAD_REQUEST);
    ck_assert_int_eq(err.text[0] == '\0', rows[_i].is_good);
}
END_TEST

START_TEST(query__keeps_a_plus_in_a_path)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct slice text;

    ck_assert_int_eq(query_decode(slice_of("a+b%2f"), false, "it", &arena, &text, NULL), OK);
    ck_assert(slice_is(text, "a+b/"));
}
END_TEST

SUITE(query)
{
    return suite_with("query", LOOP(query__is_split_and_decoded, cases),
                      LOOP(query__is_held_against_what_a_route_knows, rows),
                      TEST(query__keeps_a_plus_in_a_path));
}
