#include <string.h>

#include "common/base/attr.h"
#include "common/formats/protobuf.h"
#include "tests/support/unit.h"

#define BYTES(text) (text), sizeof(text) - 1

/* Read a message to its end; what the last field was stays in *f. */
static enum status
read_all(const char *bytes, size_t length, struct protobuf_field *f, size_t *ret_count,
         struct err *err)
{
    CLEANUP(protobuf_done) struct protobuf p;
    struct slice message = {bytes, length};
    struct source source = source_of_bytes(&message);
    struct limits limits = limits_default();
    struct protobuf_span left = {0, length};
    bool is_end;

    p = protobuf_over(&source, &limits);
    for (*ret_count = 0;; ++*ret_count) {
        TRY(protobuf_next(&p, &left, f, &is_end, err));
        if (is_end)
            return OK;
    }
}

static const struct {
    const char *bytes;
    size_t length, count;
    uint32_t number;
    enum protobuf_wire wire;
    uint64_t value, offset, span;
} taken[] = {
    {BYTES("\x08\x96\x01"), 1, 1, PROTOBUF_VARINT, 150, 0, 0},
    {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), 1, 1, PROTOBUF_VARINT, 0, 0, 0},
    {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 1, 1, PROTOBUF_VARINT, UINT64_MAX, 0,
     0},
    {BYTES("\x12\x03"
           "abc"),
     1, 2, PROTOBUF_BYTES, 3, 2, 3},
    {BYTES("\x12\x00"), 1, 2, PROTOBUF_BYTES, 0, 2, 0},
    {BYTES("\x92\x80\x80\x80\x00\x83\x80\x80\x80\x00"
           "abc"),
     1, 2, PROTOBUF_BYTES, 3, 10, 3},
    {BYTES("\x1d\x01\x02\x03\x04"), 1, 3, PROTOBUF_I32, 0x04030201, 0, 0},
    {BYTES("\x21\x01\0\0\0\0\0\0\x80"), 1, 4, PROTOBUF_I64, 0x8000000000000001, 0, 0},
    {BYTES("\xf8\xff\xff\xff\x0f\x07"), 1, 0x1fffffff, PROTOBUF_VARINT, 7, 0, 0},
    {BYTES("\x08\x01\x0b\x08\x05\x13\x14\x12\x01x\x0c"), 2, 1, PROTOBUF_GROUP, 0, 3, 8},
    {BYTES("\x0b\x0c\x08\x02"), 2, 1, PROTOBUF_VARINT, 2, 0, 0},
};

START_TEST(protobuf__reads_a_field_of_each_kind)
{
    struct protobuf_field f = {0};
    struct err err = {0};
    size_t count;

    ck_assert_msg(read_all(taken[_i].bytes, taken[_i].length, &f, &count, &err) == OK, "%s",
                  err.text);
    ck_assert_uint_eq(count, taken[_i].count);
    ck_assert_uint_eq(f.number, taken[_i].number);
    ck_assert_int_eq(f.wire, taken[_i].wire);
    ck_assert_uint_eq(f.value, taken[_i].value);
    ck_assert_uint_eq(f.bytes.offset, taken[_i].offset);
    ck_assert_uint_eq(f.bytes.length, taken[_i].span);
}
END_TEST

static const struct {
    const char *bytes;
    size_t length;
    enum status want;
    const char *says;
} refused[] = {
    {BYTES("\x00\x00"), ERR_MALFORMED, "no field number"},
    {BYTES("\xf8\xff\xff\xff\x1f\x07"), ERR_MALFORMED, "no field number"},
    {BYTES("\x88\x80\x80\x80\x80\x00\x07"), ERR_MALFORMED, "longer than"},
    {BYTES("\x0e"), ERR_MALFORMED, "wire type 6"},
    {BYTES("\x0f"), ERR_MALFORMED, "wire type 7"},
    {BYTES("\x08"), ERR_TRUNCATED, "within a number"},
    {BYTES("\x80"), ERR_TRUNCATED, "within a number"},
    {BYTES("\x08\x80"), ERR_TRUNCATED, "within a number"},
    {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), ERR_MALFORMED, "longer than"},
    {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), ERR_MALFORMED, "longer than"},
    {BYTES("\x12\x04"
           "abc"),
     ERR_TRUNCATED, "4 bytes"},
    {BYTES("\x12\x81\x80\x80\x80\x80\x00"
           "a"),
     ERR_MALFORMED, "longer than"},
    {BYTES("\x12\xff\xff\xff\xff\x7f"
           "a"),
     ERR_TRUNCATED, "ends after 1"},
    {BYTES("\x1d\x01\x02\x03"), ERR_TRUNCATED, "within field 3"},
    {BYTES("\x21\x01\x02\x03\x04\x05\x06\x07"), ERR_TRUNCATED, "within field 4"},
    {BYTES("\x0c"), ERR_MALFORMED, "without a beginning"},
    {BYTES("\x0b"), ERR_TRUNCATED, "within the group 1"},
    {BYTES("\x0b\x14"), ERR_MALFORMED, "is ended as 2"},
};

START_TEST(protobuf__refuses_what_parsers_refuse)
{
    struct protobuf_field f = {0};
    struct err err = {0};
    size_t count;

    ck_assert_int_eq(read_all(refused[_i].bytes, refused[_i].length, &f, &count, &err),
                     refused[_i].want);
    ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(protobuf__groups_have_a_depth)
{
    struct protobuf_field f = {0};
    char bytes[202];
    size_t count;

    memset(bytes, 0x0b, 100);
    memset(bytes + 100, 0x0c, 100);
    ck_assert_int_eq(read_all(bytes, 200, &f, &count, NULL), OK);
    memset(bytes, 0x0b, 101);
    memset(bytes + 101, 0x0c, 101);
    ck_assert_int_eq(read_all(bytes, 202, &f, &count, NULL), ERR_MALFORMED);
}
END_TEST

START_TEST(protobuf__lends_texts_and_packed_numbers)
{
    CLEANUP(protobuf_done) struct protobuf p;
    struct slice message = {BYTES("text\x05\x96\x01")}, text;
    struct source source = source_of_bytes(&message);
    struct limits limits = limits_default();
    struct protobuf_span left = {4, 3};
    uint64_t value;

    p = protobuf_over(&source, &limits);
    ck_assert_int_eq(protobuf_peek(&p, (struct protobuf_span){0, 4}, 2, &text, NULL), OK);
    ck_assert(slice_is(text, "te"));
    ck_assert_int_eq(protobuf_varint(&p, &left, &value, NULL), OK);
    ck_assert_uint_eq(value, 5);
    ck_assert_int_eq(protobuf_varint(&p, &left, &value, NULL), OK);
    ck_assert_uint_eq(value, 150);
    ck_assert_uint_eq(left.length, 0);
    left = (struct protobuf_span){4, 2};
    ck_assert_int_eq(protobuf_varint(&p, &left, &value, NULL), OK);
    ck_assert_int_eq(protobuf_varint(&p, &left, &value, NULL), ERR_TRUNCATED);
}
END_TEST

SUITE(protobuf)
{
    return suite_with("protobuf", LOOP(protobuf__reads_a_field_of_each_kind, taken),
                      LOOP(protobuf__refuses_what_parsers_refuse, refused),
                      TEST(protobuf__groups_have_a_depth),
                      TEST(protobuf__lends_texts_and_packed_numbers));
}
