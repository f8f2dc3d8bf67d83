#include "common/base/buf.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

START_TEST(buf__collects_what_is_added)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(4096);

    buf_text(&b, "a");
    buf_char(&b, 'b');
    buf_slice(&b, slice_of("cd"));
    buf_add(&b, "e\0f", 3);
    buf_printf(&b, "%s%d", "g", 7);
    ck_assert_int_eq(buf_check(&b, NULL), OK);
    ck_assert_uint_eq(b.length, 9);
    ck_assert_mem_eq(b.bytes, "abcde\0fg7", 10);
}
END_TEST

START_TEST(buf__grows_a_byte_at_a_time)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(100000);

    for (int i = 0; i < 100000; i++)
        buf_char(&b, (char)('a' + i % 26));
    ck_assert_int_eq(buf_check(&b, NULL), OK);
    for (int i = 0; i < 100000; i++)
        ck_assert_int_eq(b.bytes[i], 'a' + i % 26);
    ck_assert_int_eq(b.bytes[b.length], '\0');
}
END_TEST

static const struct {
    uint64_t value;
    const char *want;
} numbers[] = {
    {0, "0"},
    {9, "9"},
    {10, "10"},
    {4294967296, "4294967296"},
    {UINT64_MAX, "18446744073709551615"},
};

START_TEST(buf__writes_numbers)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(64);

    buf_u64(&b, numbers[_i].value);
    ck_assert_str_eq(b.bytes, numbers[_i].want);
}
END_TEST

START_TEST(buf__takes_exactly_its_cap)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(4);
    struct err err = {0};

    buf_text(&b, "abcd");
    ck_assert_int_eq(buf_check(&b, &err), OK);
    buf_text(&b, "");
    ck_assert_int_eq(buf_check(&b, &err), OK);
    buf_char(&b, 'e');
    ck_assert_int_eq(buf_check(&b, &err), ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "4 bytes"));
    ck_assert_str_eq(b.bytes, "abcd");
}
END_TEST

START_TEST(buf__stays_failed_so_that_no_output_has_a_hole)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(4);

    buf_text(&b, "ab");
    buf_text(&b, "cde");
    buf_text(&b, "f");
    ck_assert_str_eq(b.bytes, "ab");
    ck_assert_int_eq(buf_check(&b, NULL), ERR_LIMIT);
    buf_printf(&b, "%d", 1);
    ck_assert_str_eq(b.bytes, "ab");
    buf_clear(&b);
    buf_text(&b, "g");
    ck_assert_int_eq(buf_check(&b, NULL), OK);
    ck_assert_str_eq(b.bytes, "g");
}
END_TEST

START_TEST(buf__remembers_that_memory_ran_out)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(4096);

    heap_fail_after(0);
    buf_text(&b, "a");
    heap_heal();
    buf_text(&b, "b");
    ck_assert_int_eq(buf_check(&b, NULL), ERR_NO_MEMORY);
    ck_assert_uint_eq(buf_slice_of(&b).length, 0);
}
END_TEST

START_TEST(buf__writes_little_endian_records)
{
    CLEANUP(buf_done) struct buf b = buf_with_cap(64);

    buf_le8(&b, 0xFE);
    buf_le32(&b, 0x01020304);
    buf_le64(&b, 0x1112131415161718);
    buf_counted(&b, slice_of("xy"));
    buf_counted(&b, (struct slice){0});
    ck_assert_uint_eq(b.length, 1 + 4 + 8 + 6 + 4);
    ck_assert_mem_eq(b.bytes,
                     "\xfe\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11\2\0\0\0xy\0\0\0\0",
                     b.length);
}
END_TEST

START_TEST(buf__gives_its_bytes_away)
{
    struct buf b = buf_with_cap(16);
    char *bytes;

    ck_assert_ptr_null(buf_take(&b));
    buf_text(&b, "mine");
    bytes = buf_take(&b);
    ck_assert_str_eq(bytes, "mine");
    ck_assert_uint_eq(b.length, 0);
    buf_text(&b, "next");
    ck_assert_str_eq(b.bytes, "next");
    mem_free(bytes);
    buf_done(&b);
    buf_done(&b);
    buf_done(NULL);
}
END_TEST

SUITE(buf)
{
    return suite_with("buf", TEST(buf__collects_what_is_added), TEST(buf__grows_a_byte_at_a_time),
                      LOOP(buf__writes_numbers, numbers), TEST(buf__takes_exactly_its_cap),
                      TEST(buf__stays_failed_so_that_no_output_has_a_hole),
                      TEST(buf__remembers_that_memory_ran_out),
                      TEST(buf__writes_little_endian_records), TEST(buf__gives_its_bytes_away));
}
