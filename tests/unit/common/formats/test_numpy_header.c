#include "common/formats/numpy_header.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

enum { FILE_BYTES = 400 };

/* A header of version 1.0 with the literal. */
static enum status
read_literal(const char *literal, struct numpy_header *h, struct err *err)
{
    uint8_t bytes[FILE_BYTES] = "\x93NUMPY\1";
    size_t length = strlen(literal);

    ck_assert_uint_lt(length + 10, sizeof bytes);
    bytes[8] = (uint8_t)length;
    bytes[9] = (uint8_t)(length >> 8);
    memcpy(bytes + 10, literal, length);
    return numpy_header_read(bytes, length + 10, h, err);
}

#define HEADER(descr) "{'descr': " descr ", 'fortran_order': False, 'shape': (2, 3), }"

static const struct {
    const char *literal;
    enum dtype dtype;
    bool has_size;
    bool has_objects;
    bool is_big_endian;
    uint64_t item_bytes;
} types[] = {
    {HEADER("'<f4'"), DTYPE_FLOAT32, true, false, false, 4},
    {HEADER("'>c16'"), DTYPE_COMPLEX128, true, false, true, 16},
    {HEADER("'>u1'"), DTYPE_UINT8, true, false, false, 1},
    {HEADER("'|b1'"), DTYPE_BOOL, true, false, false, 1},
    {HEADER("'?'"), DTYPE_BOOL, true, false, false, 1},
    {HEADER("'<U3'"), DTYPE_STRING, true, false, false, 12},
    {HEADER("'|S5'"), DTYPE_STRING, true, false, false, 5},
    {HEADER("'<U9223372036854775807'"), DTYPE_STRING, false, false, false, 9223372036854775807},
    {HEADER("'<f16'"), DTYPE_UNKNOWN, true, false, false, 16},
    {HEADER("'|V7'"), DTYPE_UNKNOWN, true, false, false, 7},
    {HEADER("'>M8[ns]'"), DTYPE_UNKNOWN, true, false, true, 8},
    {HEADER("'<M9[ns]'"), DTYPE_UNKNOWN, false, false, false, 0},
    {HEADER("'|O'"), DTYPE_UNKNOWN, false, true, false, 0},
    {HEADER("'O8'"), DTYPE_UNKNOWN, false, true, false, 0},
    {HEADER("'<x4'"), DTYPE_UNKNOWN, false, false, false, 4},
    {HEADER("[]"), DTYPE_UNKNOWN, true, false, false, 0},
    {HEADER("[('a', '<f4')]"), DTYPE_UNKNOWN, true, false, false, 4},
    {HEADER("[('a', '<f4', 3), ('b', '<i2', (2, 5)), ]"), DTYPE_UNKNOWN, true, false, false, 32},
    {HEADER("[(('t', 'a'), [('x', '|b1', (2,)), ('y', '<f8')], (3,))]"), DTYPE_UNKNOWN, true, false,
     false, 30},
    {HEADER("[('a', ('<f4', (2, 2)))]"), DTYPE_UNKNOWN, true, false, false, 16},
    {HEADER("[('a', [('b', '|O')])]"), DTYPE_UNKNOWN, false, true, false, 0},
    {HEADER("[('it\\'s', '<f4')]"), DTYPE_UNKNOWN, true, false, false, 4},
};

START_TEST(numpy_header__knows_element_types)
{
    struct numpy_header h;
    struct err err = {0};

    ck_assert_msg(read_literal(types[_i].literal, &h, &err) == OK, "%s: %s", types[_i].literal,
                  err.text);
    ck_assert_int_eq(h.dtype, types[_i].dtype);
    ck_assert_int_eq(h.has_size, types[_i].has_size);
    ck_assert_int_eq(h.has_objects, types[_i].has_objects);
    ck_assert_int_eq(h.is_big_endian, types[_i].is_big_endian);
    ck_assert_uint_eq(h.item_bytes, types[_i].item_bytes);
    ck_assert_uint_eq(h.rank, 2);
    ck_assert_uint_eq(h.dims[1], 3);
    ck_assert_uint_eq(h.data_offset, 10 + strlen(types[_i].literal));
}
END_TEST

#define SHAPE(shape) "{'descr': '<f4', 'fortran_order': True, 'shape': " shape "}"

static const struct {
    const char *literal;
    unsigned rank; /* of the shape; 99: refused */
} shapes[] = {
    {SHAPE("()"), 0},      {SHAPE("(7,)"), 1},   {SHAPE("(7L,)"), 1},      {SHAPE("(7, 8)"), 2},
    {SHAPE("(7, 8,)"), 2}, {SHAPE("(7)"), 99},   {SHAPE("(,)"), 99},       {SHAPE("(7 8)"), 99},
    {SHAPE("(7,,8)"), 99}, {SHAPE("(7, 8"), 99}, {SHAPE("((7,), 8)"), 99}, {SHAPE("(07,)"), 99},
    {SHAPE("(0x7,)"), 99}, {SHAPE("7, 8"), 99},  {SHAPE("(7_0,)"), 99},    {SHAPE("('7',)"), 99},
};

START_TEST(numpy_header__takes_tuples_only)
{
    struct numpy_header h;
    struct err err = {0};
    enum status status = read_literal(shapes[_i].literal, &h, &err);

    ck_assert_int_eq(status, shapes[_i].rank == 99 ? ERR_MALFORMED : OK);
    if (status != OK)
        ck_assert_int_ne(err.text[0], '\0');
    else {
        ck_assert_uint_eq(h.rank, shapes[_i].rank);
        ck_assert(h.is_fortran);
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t length;
    enum status want;
    size_t size;
} starts[] = {
#define BYTES(text) (text), sizeof(text) - 1
    {BYTES("\x93NUMPY\1\0\x76\0"), OK, 128},
    {BYTES("\x93NUMPY\2\0\x74\0\0\0"), OK, 128},
    {BYTES("\x93NUMPY\3\0\0\0\0\0"), OK, 12},
    {BYTES("\x93NUMPY\1\0\x10\x27"), OK, 10010},
    {BYTES("\x93NUMPY\1\0\x11\x27"), ERR_LIMIT, 0},
    {BYTES("\x93NUMPY\2\0\0\0\1\0"), ERR_LIMIT, 0},
    {BYTES("\x93NUMPY\2\0\0\0"), ERR_TRUNCATED, 0},
    {BYTES("\x93NUMPY\1\0\x76"), ERR_TRUNCATED, 0},
    {BYTES("\x93NUMPY\1"), ERR_TRUNCATED, 0},
    {BYTES("\x93NUMPY\1\1\x76\0"), ERR_UNSUPPORTED, 0},
    {BYTES("\x93NUMPY\4\0\x76\0"), ERR_UNSUPPORTED, 0},
    {BYTES("\x93NUMP"), ERR_MALFORMED, 0},
    {BYTES("NUMPY\1\0\x76\0\0\0\0"), ERR_MALFORMED, 0},
#undef BYTES
};

START_TEST(numpy_header__knows_its_size_by_its_start)
{
    size_t size = 0;
    struct err err = {0};

    ck_assert_int_eq(
        numpy_header_size((const uint8_t *)starts[_i].bytes, starts[_i].length, &size, &err),
        starts[_i].want);
    ck_assert_uint_eq(size, starts[_i].size);
}
END_TEST

SUITE(numpy_header)
{
    return suite_with("numpy_header", LOOP(numpy_header__knows_element_types, types),
                      LOOP(numpy_header__takes_tuples_only, shapes),
                      LOOP(numpy_header__knows_its_size_by_its_start, starts));
}
