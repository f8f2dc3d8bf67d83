#include "server/http/request.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

static struct pair
pair(const char *name, const char *value)
{
    return (struct pair){.name = slice_of(name), .value = slice_of(value)};
}

START_TEST(request__finds_headers_in_any_case_and_tells_empty_from_absent)
{
    struct pair headers[] = {pair("X-One", "1"), pair("x-empty", "")};
    struct pair query[] = {pair("a", ""), pair("b", "1"), pair("b", "2")};
    struct request r = {.headers = headers, .header_count = 2, .query = query, .query_count = 3};
    struct slice value;
    size_t at = 0;

    ck_assert(slice_is(request_header(&r, "x-oNE"), "1"));
    ck_assert_ptr_nonnull(request_header(&r, "X-Empty").at);
    ck_assert_ptr_null(request_header(&r, "X-On").at);
    ck_assert(request_has_query(&r, "a"));
    ck_assert(!request_has_query(&r, "A"));
    ck_assert(request_query_each(&r, "b", &at, &value));
    ck_assert(request_query_each(&r, "b", &at, &value));
    ck_assert(slice_is(value, "2"));
    ck_assert(!request_query_each(&r, "b", &at, &value));
}
END_TEST

static const struct {
    const char *text; /* NULL: absent */
    bool is_good;
    uint64_t want;
} numbers[] = {{NULL, true, 7},  {"2", true, 2},   {"9", true, 9},
               {"1", false, 0},  {"10", false, 0}, {"", false, 0},
               {"-2", false, 0}, {"2x", false, 0}, {"02", false, 0}};

START_TEST(request__reads_numbers_within_bounds)
{
    struct pair query[] = {pair("n", numbers[_i].text == NULL ? "" : numbers[_i].text)};
    struct request r = {.query = query, .query_count = numbers[_i].text != NULL};
    struct err err = {0};
    uint64_t value;

    ck_assert_int_eq(request_query_u64(&r, "n", 7, 2, 9, &value, &err),
                     numbers[_i].is_good ? OK : ERR_BAD_REQUEST);
    if (numbers[_i].is_good)
        ck_assert_uint_eq(value, numbers[_i].want);
    else
        ck_assert_ptr_nonnull(strstr(err.text, "n is"));
}
END_TEST

START_TEST(request__reads_flags_and_choices)
{
    static const char *const choices[] = {"none", "complete", "full", NULL};
    struct pair query[] = {pair("bare", ""), pair("off", "0"), pair("wrong", "maybe"),
                           pair("infer", "full")};
    struct request r = {.query = query, .query_count = 4};
    struct err err = {0};
    size_t choice;
    bool flag;

    ck_assert_int_eq(request_query_flag(&r, "bare", &flag, NULL), OK);
    ck_assert(flag);
    ck_assert_int_eq(request_query_flag(&r, "off", &flag, NULL), OK);
    ck_assert(!flag);
    ck_assert_int_eq(request_query_flag(&r, "absent", &flag, NULL), OK);
    ck_assert(!flag);
    ck_assert_int_eq(request_query_flag(&r, "wrong", &flag, NULL), ERR_BAD_REQUEST);
    ck_assert_int_eq(request_query_choice(&r, "infer", choices, 0, &choice, NULL), OK);
    ck_assert_uint_eq(choice, 2);
    ck_assert_int_eq(request_query_choice(&r, "absent", choices, 1, &choice, NULL), OK);
    ck_assert_uint_eq(choice, 1);
    ck_assert_int_eq(request_query_choice(&r, "wrong", choices, 0, &choice, &err), ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(err.text, "none, complete, full"));
}
END_TEST

static const struct {
    const char *match, *none_match; /* headers, or NULL */
    const char *etag;               /* the current one, or NULL */
    bool holds;
} conditions[] = {
    {NULL, NULL, "a", true},     {NULL, NULL, NULL, true},      {"\"a\"", NULL, "a", true},
    {"\"b\"", NULL, "a", false}, {"W/\"a\"", NULL, "a", false}, {"*", NULL, "a", true},
    {"*", NULL, NULL, false},    {"\"a\"", NULL, NULL, false},  {NULL, "*", NULL, true},
    {NULL, "*", "a", false},     {NULL, "\"a\"", "a", false},   {NULL, "W/\"a\"", "a", false},
    {NULL, "\"b\"", "a", true},  {NULL, "\"b\"", NULL, true},
};

START_TEST(request__knows_whether_a_precondition_holds)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct pair headers[2];
    struct request r = {.headers = headers, .arena = &arena};
    struct slice etag = {0};

    if (conditions[_i].match != NULL)
        headers[r.header_count++] = pair("if-match", conditions[_i].match);
    if (conditions[_i].none_match != NULL)
        headers[r.header_count++] = pair("If-None-Match", conditions[_i].none_match);
    if (conditions[_i].etag != NULL)
        etag = slice_of(conditions[_i].etag);
    ck_assert_int_eq(request_precondition(&r, etag, NULL),
                     conditions[_i].holds ? OK : ERR_PRECONDITION);
}
END_TEST

static const struct {
    const char *accept; /* NULL: absent */
    unsigned json, text;
} accepts[] = {
    {NULL, 1000, 1000},
    {"*/*", 1000, 1000},
    {"application/json", 1000, 0},
    {"text/*;q=0.5, application/json;q=0.25", 250, 500},
    {"text/plain, */*;q=0.1", 100, 1000},
    {"*/*;q=0, TEXT/PLAIN", 0, 1000},
    {"application/*;q=0.123,application/json; charset=utf-8; q=1.0", 1000, 0},
    {"text/html,application/xhtml+xml,*/*;q=0.8", 800, 800},
    {"nonsense", 0, 0},
    {"", 0, 0},
};

START_TEST(request__weighs_what_is_accepted)
{
    struct pair headers[] = {pair("Accept", accepts[_i].accept == NULL ? "" : accepts[_i].accept)};
    struct request r = {.headers = headers, .header_count = accepts[_i].accept != NULL};

    ck_assert_uint_eq(request_accepts(&r, "application/json"), accepts[_i].json);
    ck_assert_uint_eq(request_accepts(&r, "text/plain"), accepts[_i].text);
}
END_TEST

SUITE(request)
{
    return suite_with(
        "request", TEST(request__finds_headers_in_any_case_and_tells_empty_from_absent),
        LOOP(request__reads_numbers_within_bounds, numbers), TEST(request__reads_flags_and_choices),
        LOOP(request__knows_whether_a_precondition_holds, conditions),
        LOOP(request__weighs_what_is_accepted, accepts));
}
