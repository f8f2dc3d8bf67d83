#include "common/base/json.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

/* One letter a token, so that a test reads like the text: { } [ ] k(ey) s n t f 0(null) . */
static enum status
tokens_of(struct slice text, const struct limits *limits, char *ret_letters, size_t room,
          struct err *err)
{
    static const char letters[] = {
        [JSON_NULL] = '0',      [JSON_FALSE] = 'f',      [JSON_TRUE] = 't',   [JSON_NUMBER] = 'n',
        [JSON_STRING] = 's',    [JSON_ARRAY] = '[',      [JSON_OBJECT] = '{', [JSON_KEY] = 'k',
        [JSON_ARRAY_END] = ']', [JSON_OBJECT_END] = '}', [JSON_END] = '.',
    };
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
    CLEANUP(json_done) struct json j;
    struct json_token t = {0};
    size_t count = 0;

    json_open(&j, text, limits, &arena);
    do {
        TRY(json_next(&j, &t, err));
        if (count + 1 < room)
            ret_letters[count++] = letters[t.kind];
        ret_letters[count] = '\0';
    } while (t.kind != JSON_END);
    return OK;
}

static enum status
read_all(const char *text, char *ret_letters, size_t room, struct err *err)
{
    struct limits limits = limits_default();

    ret_letters[0] = '\0';
    return tokens_of(slice_of(text), &limits, ret_letters, room, err);
}

static const struct {
    const char *text, *want;
} accepted[] = {
    {"null", "0."},
    {" \t\r\n true ", "t."},
    {"\"\"", "s."},
    {"[]", "[]."},
    {"{}", "{}."},
    {"[[],{},[{}]]", "[[]{}[{}]]."},
    {"{\"a\":{\"a\":1},\"b\":[2,3]}", "{k{kn}k[nn]}."},
    {"{\"b\":1,\"a\":2,\"c\":3}", "{knknkn}."},
    {"{\"x\":{\"b\":1,\"a\":2},\"y\":{\"b\":1,\"a\":2}}", "{k{knkn}k{knkn}}."},
    {"[-0,0.5,1e5,1E+5,1e-5,-12.75e2]", "[nnnnnn]."},
    {"[\"\\u0041\\n\\ud83d\\ude00\"]", "[s]."},
    {"[\"caf\xc3\xa9\"]", "[s]."},
};

START_TEST(json__reads_well_formed_text)
{
    char letters[64];
    struct err err = {0};

    ck_assert_int_eq(read_all(accepted[_i].text, letters, sizeof letters, &err), OK);
    ck_assert_str_eq(letters, accepted[_i].want);
}
END_TEST

static const char *const refused[] = {
    "",
    " ",
    "{",
    "[",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "]",
    "}",
    "{]",
    "[}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{a:1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "[] []",
    "1 2",
    "nul",
    "nullx",
    "True",
    "NaN",
    "Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "1_000",
    "'a'",
    "\"a",
    "\"a\\",
    "\"a\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\u0041\"",
    "\"\\udc00\"",
    "\"\\ud800\\ud800\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"\xff\"",
    "\"\xc3\"",
    "\"\xed\xa0\x80\"",
    "\"\xc0\x80\"",
    "\xef\xbb\xbf{}",
    "{\"a\":1,\"a\":2}",
    "{\"b\":1,\"a\":2,\"b\":3}",
    "{\"a\":1,\"\\u0061\":2}",
    "{\"a\":{\"c\":1,\"b\":1,\"c\":1}}",
    "// comment\n1",
    "/* comment */ 1",
};

START_TEST(json__refuses_what_breaks_the_rules)
{
    char letters[64];
    struct err err = {0};

    ck_assert_int_eq(read_all(refused[_i], letters, sizeof letters, &err), ERR_BAD_JSON);
    ck_assert_uint_le(err.offset, strlen(refused[_i]));
    ck_assert_str_ne(err.text, "");
}
END_TEST

START_TEST(json__refuses_nul_bytes)
{
    char letters[64];
    struct limits limits = limits_default();
    static const struct slice texts[] = {{"\"a\0b\"", 5}, {"1\0", 2}, {"\0", 1}, {"[1,\0]", 5}};

    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        ck_assert_int_eq(tokens_of(texts[i], &limits, letters, sizeof letters, NULL), ERR_BAD_JSON);
}
END_TEST

/* A text cut anywhere is refused, and never read past its end (the sanitizer sees to that). */
START_TEST(json__refuses_a_text_cut_anywhere)
{
    static const char whole[] =
        "{\"a\\n\\u00e9\\ud83d\\ude00\": [1.5e-3, true, false, null, \"caf\xc3\xa9\"], \"b\": {}}";
    char letters[64];
    struct limits limits = limits_default();

    for (size_t length = 0; length + 1 < sizeof whole; length++) {
        CLEANUP(arena_done) struct arena exact = arena_with_cap(4096);
        struct slice text;

        ck_assert_int_eq(arena_copy(&exact, (struct slice){whole, length}, &text, NULL), OK);
        ck_assert_int_eq(tokens_of(text, &limits, letters, sizeof letters, NULL), ERR_BAD_JSON);
    }
    ck_assert_int_eq(read_all(whole, letters, sizeof letters, NULL), OK);
}
END_TEST

static const struct {
    const char *text, *want;
} unescaped[] = {
    {"\"plain\"", "plain"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
    {"\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"},
    {"\"\\uD83D\\uDE00\"", "\xf0\x9f\x98\x80"},
    {"\"a\\nb\\nc\"", "a\nb\nc"},
    {"\"\\n\"", "\n"},
};

START_TEST(json__unescapes_strings)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(4096);
    CLEANUP(json_done) struct json j;
    struct limits limits = limits_default();
    struct slice text;

    json_open(&j, slice_of(unescaped[_i].text), &limits, &arena);
    ck_assert_int_eq(json_string(&j, "it", &text, NULL), OK);
    ck_assert(slice_is(text, unescaped[_i].want));
    ck_assert_int_eq(json_finish(&j, NULL), OK);
}
END_TEST

START_TEST(json__stops_at_its_depth)
{
    char text[40], letters[64];
    struct err err = {0};

    for (int depth = 1; depth < 20; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        ck_assert_int_eq(read_all(text, letters, sizeof letters, &err),
                         depth <= 16 ? OK : ERR_LIMIT);
    }
    ck_assert_ptr_nonnull(strstr(err.text, "16"));
}
END_TEST

START_TEST(json__stops_at_its_number_of_values)
{
    struct limits limits = limits_default();
    char letters[64];

    limits.json_tokens = 6; /* three numbers, two brackets, and the end */
    ck_assert_int_eq(tokens_of(slice_of("[1,2,3]"), &limits, letters, sizeof letters, NULL), OK);
    ck_assert_int_eq(tokens_of(slice_of("[1,2,3,4]"), &limits, letters, sizeof letters, NULL),
                     ERR_LIMIT);
}
END_TEST

/* Megabytes of brackets cost nothing: the depth stops them. */
START_TEST(json__stops_early_in_a_bomb_of_brackets)
{
    CLEANUP(buf_done) struct buf bomb = buf_with_cap(1 << 20);
    struct limits limits = limits_default();
    struct err err = {0};
    char letters[64];

    for (int i = 0; i < 1 << 20; i++)
        buf_char(&bomb, '[');
    ck_assert_int_eq(tokens_of(buf_slice_of(&bomb), &limits, letters, sizeof letters, &err),
                     ERR_LIMIT);
    ck_assert_uint_le(err.offset, 16);
}
END_TEST

START_TEST(json__finds_one_repeated_key_among_many)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(1 << 22);
    struct limits limits = limits_default();
    struct err err = {0};
    char letters[64];

    buf_char(&text, '{');
    for (unsigned i = 0; i < 100000; i++)
        buf_printf(&text, "\"%u\":1,", i * 7919U % 100003U);
    buf_text(&text, "\"last\":1}");
    ck_assert_int_eq(tokens_of(buf_slice_of(&text), &limits, letters, sizeof letters, &err), OK);
    text.length--;
    buf_text(&text, ",\"7919\":1}");
    ck_assert_int_eq(tokens_of(buf_slice_of(&text), &limits, letters, sizeof letters, &err),
                     ERR_BAD_JSON);
    ck_assert_ptr_nonnull(strstr(err.text, "\"7919\""));
}
END_TEST

START_TEST(json__says_where_and_what)
{
    char letters[64];
    struct err err = {0};

    ck_assert_int_eq(read_all("{\"a\": [1, 2, oops]}", letters, sizeof letters, &err),
                     ERR_BAD_JSON);
    ck_assert_uint_eq(err.offset, 13);
    ck_assert_str_eq(err.text, "a value was expected");
}
END_TEST

START_TEST(json__typed_readers_take_their_type)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(4096);
    CLEANUP(json_done) struct json j;
    struct limits limits = limits_default();
    struct slice key, text, raw;
    uint64_t u64 = 0;
    int64_t i64 = 0;
    double fraction = 0;
    bool is_end, yes = false;

    json_open(&j,
              slice_of("{\"u\": 18446744073709551615, \"i\": -5, \"d\": 0.25, \"b\": true,"
                       " \"s\": \"x\", \"skip\": {\"deep\": [1, {}]}, \"l\": [1, 2]}"),
              &limits, &arena);
    ck_assert_int_eq(json_object(&j, "it", NULL), OK);
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert(slice_is(key, "u") && !is_end);
    ck_assert_int_eq(json_u64(&j, "u", &u64, NULL), OK);
    ck_assert_uint_eq(u64, UINT64_MAX);
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert_int_eq(json_i64(&j, "i", &i64, NULL), OK);
    ck_assert_int_eq(i64, -5);
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert_int_eq(json_double(&j, "d", &fraction, NULL), OK);
    ck_assert(fraction == 0.25);
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert_int_eq(json_bool(&j, "b", &yes, NULL), OK);
    ck_assert(yes);
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert_int_eq(json_string(&j, "s", &text, NULL), OK);
    ck_assert(slice_is(text, "x"));
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert_int_eq(json_skip(&j, &raw, NULL), OK);
    ck_assert(slice_is(raw, "{\"deep\": [1, {}]}"));
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert_int_eq(json_array(&j, "l", NULL), OK);
    for (uint64_t want = 1; want <= 2; want++) {
        ck_assert_int_eq(json_element(&j, &is_end, NULL), OK);
        ck_assert(!is_end);
        ck_assert_int_eq(json_u64(&j, "l", &u64, NULL), OK);
        ck_assert_uint_eq(u64, want);
    }
    ck_assert_int_eq(json_element(&j, &is_end, NULL), OK);
    ck_assert(is_end);
    ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
    ck_assert(is_end);
    ck_assert_int_eq(json_finish(&j, NULL), OK);
}
END_TEST

static const struct {
    const char *text, *message;
} mistyped[] = {
    {"\"5\"", "the size must be a number, not a string"},
    {"null", "the size must be a number, not null"},
    {"[5]", "the size must be a number, not a list"},
    {"-1", "the size must be a whole number from 0 to 2^64-1, not -1"},
    {"1.5", "the size must be a whole number from 0 to 2^64-1, not 1.5"},
    {"1e3", "the size must be a whole number from 0 to 2^64-1, not 1e3"},
};

START_TEST(json__typed_readers_say_what_they_found)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(4096);
    CLEANUP(json_done) struct json j;
    struct limits limits = limits_default();
    struct err err = {0};
    uint64_t value;

    json_open(&j, slice_of(mistyped[_i].text), &limits, &arena);
    ck_assert_int_eq(json_u64(&j, "the size", &value, &err), ERR_BAD_JSON);
    ck_assert_str_eq(err.text, mistyped[_i].message);
}
END_TEST

START_TEST(json__peeking_takes_nothing)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(4096);
    CLEANUP(json_done) struct json j;
    struct limits limits = limits_default();
    struct json_token t;
    struct slice raw;

    json_open(&j, slice_of(" [\"a\", [1]] "), &limits, &arena);
    ck_assert_int_eq(json_peek(&j, &t, NULL), OK);
    ck_assert_int_eq(json_peek(&j, &t, NULL), OK);
    ck_assert_int_eq(t.kind, JSON_ARRAY);
    ck_assert_int_eq(json_skip(&j, &raw, NULL), OK);
    ck_assert(slice_is(raw, "[\"a\", [1]]"));
    ck_assert_int_eq(json_finish(&j, NULL), OK);
    ck_assert_int_eq(json_finish(&j, NULL), OK);
}
END_TEST

START_TEST(json__says_when_memory_runs_out)
{
    char letters[64];

    heap_fail_after(0);
    ck_assert_int_eq(read_all("{\"a\":1}", letters, sizeof letters, NULL), ERR_NO_MEMORY);
    ck_assert_int_eq(read_all("\"\\n\"", letters, sizeof letters, NULL), ERR_NO_MEMORY);
    heap_heal();
}
END_TEST

SUITE(json)
{
    return suite_with("json", LOOP(json__reads_well_formed_text, accepted),
                      LOOP(json__refuses_what_breaks_the_rules, refused),
                      TEST(json__refuses_nul_bytes), TEST(json__refuses_a_text_cut_anywhere),
                      LOOP(json__unescapes_strings, unescaped), TEST(json__stops_at_its_depth),
                      TEST(json__stops_at_its_number_of_values),
                      TEST(json__stops_early_in_a_bomb_of_brackets),
                      TEST(json__finds_one_repeated_key_among_many),
                      TEST(json__says_where_and_what), TEST(json__typed_readers_take_their_type),
                      LOOP(json__typed_readers_say_what_they_found, mistyped),
                      TEST(json__peeking_takes_nothing), TEST(json__says_when_memory_runs_out));
}
