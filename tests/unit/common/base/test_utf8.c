#include "common/base/utf8.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

static const struct {
    const char *bytes;
    uint32_t code;
} characters[] = {
    {"A", 'A'},
    {"\xc2\x80", 0x80},
    {"\xdf\xbf", 0x7FF},
    {"\xe0\xa0\x80", 0x800},
    {"\xed\x9f\xbf", 0xD7FF},
    {"\xee\x80\x80", 0xE000},
    {"\xef\xbf\xbf", 0xFFFF},
    {"\xf0\x90\x80\x80", 0x10000},
    {"\xf4\x8f\xbf\xbf", 0x10FFFF},
};

START_TEST(utf8__reads_and_writes_each_length)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(16);
    struct slice s = slice_of(characters[_i].bytes);
    uint32_t code;

    ck_assert_uint_eq(utf8_next(s, &code), s.length);
    ck_assert_uint_eq(code, characters[_i].code);
    ck_assert(utf8_is_valid(s));
    utf8_add(&b, code);
    ck_assert_str_eq(b.bytes, characters[_i].bytes);
    if (s.length > 1)
        ck_assert_uint_eq(utf8_next(slice_part(s, 0, s.length - 1), &code), 0);
}
END_TEST

static const char *const malformed[] = {
    "\x80",             /* a continuation alone */
    "\xc0\x80",         /* overlong NUL */
    "\xc1\xbf",         /* overlong */
    "\xe0\x9f\xbf",     /* overlong */
    "\xf0\x8f\xbf\xbf", /* overlong */
    "\xed\xa0\x80",     /* a surrogate */
    "\xed\xbf\xbf",     /* a surrogate */
    "\xf4\x90\x80\x80", /* beyond U+10FFFF */
    "\xf5\x80\x80\x80", /* beyond */
    "\xff",
    "\xc3(",
    "\xe2\x82",
    "\xe2(\xa1",
    "\xf0\x90\x80(",
};

START_TEST(utf8__refuses_malformed_sequences)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(64);
    uint32_t code;

    ck_assert_uint_eq(utf8_next(slice_of(malformed[_i]), &code), 0);
    buf_text(&b, "before ");
    buf_text(&b, malformed[_i]);
    ck_assert(!utf8_is_valid(buf_slice_of(&b)));
}
END_TEST

static const uint32_t not_characters[] = {0xD800, 0xDFFF, 0x110000, UINT32_MAX};

START_TEST(utf8__writes_a_replacement_for_what_is_no_character)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(16);

    utf8_add(&b, not_characters[_i]);
    ck_assert_str_eq(b.bytes, "\xef\xbf\xbd");
}
END_TEST

static const struct {
    const char *text, *want;
} cleaned[] = {
    {"conv1.weight", "conv1.weight"},
    {"caf\xc3\xa9", "caf\xc3\xa9"},
    {"a\nb\tc", "a\\u{a}b\\u{9}c"},
    {"\x1b[31m", "\\u{1b}[31m"},
    {"\x7f", "\\u{7f}"},
    {"\xc2\x9b", "\\u{9b}"},
    {"\xe2\x80\xae", "\\u{202e}"},
    {"\xd8\x9c", "\\u{61c}"},
    {"\xe2\x81\xa6", "\\u{2066}"},
    {"\xe2\x80\x8b", "\\u{200b}"},
    {"\xf3\xa0\x81\x81", "\\u{e0041}"},
    {"a\xff\xc3", "a\\xff\\xc3"},
};

START_TEST(utf8__shows_people_no_hidden_characters)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(64);

    utf8_clean(&b, slice_of(cleaned[_i].text));
    ck_assert_str_eq(b.bytes, cleaned[_i].want);
}
END_TEST

/* Whatever the bytes: what is shown is UTF-8, and clean already. */
START_TEST(utf8__cleans_any_pair_of_bytes)
{
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        CLEANUP(buf_done) struct buf once = buf_with_cap(64);
        CLEANUP(buf_done) struct buf twice = buf_with_cap(64);
        char bytes[2] = {(char)(pair >> 8), (char)pair};

        utf8_clean(&once, (struct slice){bytes, sizeof bytes});
        ck_assert(utf8_is_valid(buf_slice_of(&once)));
        utf8_clean(&twice, buf_slice_of(&once));
        ck_assert_str_eq(once.bytes, twice.bytes);
    }
}
END_TEST

SUITE(utf8)
{
    return suite_with("utf8", LOOP(utf8__reads_and_writes_each_length, characters),
                      LOOP(utf8__refuses_malformed_sequences, malformed),
                      LOOP(utf8__writes_a_replacement_for_what_is_no_character, not_characters),
                      LOOP(utf8__shows_people_no_hidden_characters, cleaned),
                      TEST(utf8__cleans_any_pair_of_bytes));
}
