#include "common/base/cursor.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

static const uint8_t window[] = {0x01, 0x02, 0x83, 0x04, 0x05, 0x06, 0x07, 0xF8, 0x09};

START_TEST(cursor__reads_little_endian)
{
    struct cursor c = cursor_over(window, sizeof window, 100);
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;

    ck_assert_int_eq(cursor_u64(&c, &u64, NULL), OK);
    ck_assert_uint_eq(u64, 0xF807060504830201);
    c = cursor_over(window, sizeof window, 100);
    ck_assert_int_eq(cursor_u8(&c, &u8, NULL), OK);
    ck_assert_uint_eq(u8, 1);
    ck_assert_int_eq(cursor_u16(&c, &u16, NULL), OK);
    ck_assert_uint_eq(u16, 0x8302);
    ck_assert_int_eq(cursor_u32(&c, &u32, NULL), OK);
    ck_assert_uint_eq(u32, 0x07060504);
    ck_assert_uint_eq(cursor_left(&c), 2);
    ck_assert_uint_eq(c.offset, 107);
}
END_TEST

START_TEST(cursor__moves_nothing_when_a_read_is_too_long)
{
    uint64_t u64 = 7;
    uint32_t u32 = 7;
    uint16_t u16 = 7;
    uint8_t u8 = 7;
    const uint8_t *bytes = NULL;

    for (size_t length = 0; length < 8; length++) {
        struct cursor c = cursor_over(window, length, 40);
        struct err err = {0};

        ck_assert_int_eq(cursor_u64(&c, &u64, &err), ERR_TRUNCATED);
        ck_assert_uint_ge(err.offset, 40);
        ck_assert_uint_eq(cursor_left(&c), length);
        ck_assert_int_eq(cursor_bytes(&c, length + 1, &bytes, NULL), ERR_TRUNCATED);
        ck_assert_int_eq(cursor_bytes(&c, SIZE_MAX, &bytes, NULL), ERR_TRUNCATED);
        if (length < 4)
            ck_assert_int_eq(cursor_u32(&c, &u32, NULL), ERR_TRUNCATED);
        if (length < 2)
            ck_assert_int_eq(cursor_u16(&c, &u16, NULL), ERR_TRUNCATED);
        if (length < 1)
            ck_assert_int_eq(cursor_u8(&c, &u8, NULL), ERR_TRUNCATED);
        ck_assert_uint_eq(c.offset, 40);
        ck_assert_uint_eq(cursor_left(&c), length);
    }
    ck_assert(u64 == 7 && u32 == 7 && u16 == 7 && u8 == 7 && bytes == NULL);
}
END_TEST

START_TEST(cursor__lends_bytes_up_to_the_end)
{
    struct cursor c = cursor_over(window, sizeof window, 0);
    const uint8_t *bytes;

    ck_assert_int_eq(cursor_bytes(&c, sizeof window, &bytes, NULL), OK);
    ck_assert_ptr_eq(bytes, window);
    ck_assert_uint_eq(cursor_left(&c), 0);
    ck_assert_int_eq(cursor_bytes(&c, 0, &bytes, NULL), OK);
    ck_assert_int_eq(cursor_bytes(&c, 1, &bytes, NULL), ERR_TRUNCATED);
}
END_TEST

START_TEST(cursor__takes_an_empty_window)
{
    struct cursor c = cursor_over(NULL, 0, 0);
    const uint8_t *bytes;

    ck_assert_uint_eq(cursor_left(&c), 0);
    ck_assert_int_eq(cursor_bytes(&c, 0, &bytes, NULL), OK);
    ck_assert_int_eq(cursor_bytes(&c, 1, &bytes, NULL), ERR_TRUNCATED);
}
END_TEST

SUITE(cursor)
{
    return suite_with("cursor", TEST(cursor__reads_little_endian),
                      TEST(cursor__moves_nothing_when_a_read_is_too_long),
                      TEST(cursor__lends_bytes_up_to_the_end), TEST(cursor__takes_an_empty_window));
}
