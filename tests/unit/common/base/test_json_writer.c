#include "common/base/json_writer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "tests/support/unit.h"

static void
write_sample(struct json_writer *w)
{
    jw_object(w);
    jw_pair_text(w, "name", "conv1");
    jw_key(w, "shape");
    jw_flat_array(w);
    jw_u64(w, 64);
    jw_i64(w, -3);
    jw_array_end(w);
    jw_key(w, "list");
    jw_array(w);
    jw_object(w);
    jw_pair_bool(w, "yes", true);
    jw_object_end(w);
    jw_null(w);
    jw_array_end(w);
    jw_key(w, "none");
    jw_array(w);
    jw_array_end(w);
    jw_key(w, "empty");
    jw_object(w);
    jw_object_end(w);
    jw_pair_u64(w, "last", 1);
    jw_object_end(w);
}

START_TEST(json_writer__writes_on_one_line)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(4096);
    struct json_writer w = json_writer_to(&b, 0);

    write_sample(&w);
    ck_assert_str_eq(b.bytes,
                     "{\"name\":\"conv1\",\"shape\":[64,-3],\"list\":[{\"yes\":true},null],"
                     "\"none\":[],\"empty\":{},\"last\":1}");
}
END_TEST

START_TEST(json_writer__indents)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(4096);
    struct json_writer w = json_writer_to(&b, 2);

    write_sample(&w);
    ck_assert_str_eq(b.bytes, "{\n"
                              "  \"name\": \"conv1\",\n"
                              "  \"shape\": [64, -3],\n"
                              "  \"list\": [\n"
                              "    {\n"
                              "      \"yes\": true\n"
                              "    },\n"
                              "    null\n"
                              "  ],\n"
                              "  \"none\": [],\n"
                              "  \"empty\": {},\n"
                              "  \"last\": 1\n"
                              "}");
}
END_TEST

static const struct {
    struct slice text;
    const char *want;
} strings[] = {
    {{"", 0}, "\"\""},
    {{NULL, 0}, "\"\""},
    {{"a\"b\\c/d", 7}, "\"a\\\"b\\\\c/d\""},
    {{"a\nb\tc\x01\x7f", 7}, "\"a\\nb\\u0009c\\u0001\\u007f\""},
    {{"nul\0in", 6}, "\"nul\\u0000in\""},
    {{"caf\xc3\xa9 \xf0\x9f\x98\x80", 10}, "\"caf\xc3\xa9 \xf0\x9f\x98\x80\""},
    {{"a\xff\xc3(", 4}, "\"a\xef\xbf\xbd\xef\xbf\xbd(\""},
    {{"\xed\xa0\x80", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
};

START_TEST(json_writer__quotes_any_bytes)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(4096);

    json_quote(&b, strings[_i].text);
    ck_assert_str_eq(b.bytes, strings[_i].want);
}
END_TEST

static const struct {
    double value;
    const char *want;
} fractions[] = {
    {0.0, "0.0"},      {-0.0, "-0.0"},     {1.0, "1.0"},        {0.1, "0.1"},  {-2.5, "-2.5"},
    {1e300, "1e+300"}, {INFINITY, "null"}, {-INFINITY, "null"}, {NAN, "null"}, {100.0, "100.0"},
};

START_TEST(json_writer__writes_fractions_short)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(64);
    struct json_writer w = json_writer_to(&b, 0);

    jw_double(&w, fractions[_i].value);
    ck_assert_str_eq(b.bytes, fractions[_i].want);
}
END_TEST

static const double awkward[] = {1.0 / 3, DBL_MAX, DBL_MIN, 5e-324, 123456789.123456789, 0.1 + 0.2};

START_TEST(json_writer__writes_fractions_that_read_back)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(64);
    struct json_writer w = json_writer_to(&b, 0);

    jw_double(&w, awkward[_i]);
    ck_assert(strtod(b.bytes, NULL) == awkward[_i]);
}
END_TEST

START_TEST(json_writer__writes_the_ends_of_the_number_ranges)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(256);
    struct json_writer w = json_writer_to(&b, 0);

    jw_array(&w);
    jw_u64(&w, UINT64_MAX);
    jw_i64(&w, INT64_MIN);
    jw_i64(&w, INT64_MAX);
    jw_text(&w, NULL);
    jw_raw(&w, slice_of("{\"as\":\"is\"}"));
    jw_array_end(&w);
    ck_assert_str_eq(b.bytes, "[18446744073709551615,-9223372036854775808,9223372036854775807,null,"
                              "{\"as\":\"is\"}]");
}
END_TEST

START_TEST(json_writer__says_at_the_end_that_it_did_not_fit)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(10);
    struct json_writer w = json_writer_to(&b, 0);

    write_sample(&w);
    ck_assert_int_eq(buf_check(&b, NULL), ERR_LIMIT);
}
END_TEST

SUITE(json_writer)
{
    return suite_with("json_writer", TEST(json_writer__writes_on_one_line),
                      TEST(json_writer__indents), LOOP(json_writer__quotes_any_bytes, strings),
                      LOOP(json_writer__writes_fractions_short, fractions),
                      LOOP(json_writer__writes_fractions_that_read_back, awkward),
                      TEST(json_writer__writes_the_ends_of_the_number_ranges),
                      TEST(json_writer__says_at_the_end_that_it_did_not_fit));
}
