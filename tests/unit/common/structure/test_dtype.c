#include "common/structure/dtype.h"

#include "tests/support/unit.h"

START_TEST(dtype__finds_each_by_its_name)
{
    for (enum dtype d = DTYPE_UNKNOWN; d < DTYPE_COUNT; d++)
        ck_assert_int_eq(dtype_find(slice_of(dtype_name(d))), d);
}
END_TEST

/* What PyTorch 2.13 says: torch.<name>.itemsize * 8, and what kind of thing it is. */
static const struct {
    const char *name;
    unsigned bits;
    enum dtype_kind kind;
} known[] = {
    {"float32", 32, DTYPE_KIND_FLOAT},       {"bfloat16", 16, DTYPE_KIND_FLOAT},
    {"float8_e4m3fn", 8, DTYPE_KIND_FLOAT},  {"int64", 64, DTYPE_KIND_INTEGER},
    {"uint16", 16, DTYPE_KIND_INTEGER},      {"bool", 8, DTYPE_KIND_BOOL},
    {"complex64", 64, DTYPE_KIND_COMPLEX},   {"qint8", 8, DTYPE_KIND_QUANTIZED},
    {"quint4x2", 4, DTYPE_KIND_QUANTIZED},   {"bits1x8", 8, DTYPE_KIND_OTHER},
    {"torch.float16", 16, DTYPE_KIND_FLOAT}, {"float4_e2m1fn_x2", 8, DTYPE_KIND_FLOAT},
};

START_TEST(dtype__knows_size_and_kind)
{
    enum dtype d = dtype_find(slice_of(known[_i].name));

    ck_assert_int_ne(d, DTYPE_UNKNOWN);
    ck_assert_uint_eq(dtype_bits(d), known[_i].bits);
    ck_assert_int_eq(dtype_kind(d), known[_i].kind);
}
END_TEST

static const char *const strange[] = {
    "", "float", "Float32", "float32 ", "torch.", "torch.torch.int8", "F32"};

START_TEST(dtype__does_not_guess)
{
    ck_assert_int_eq(dtype_find(slice_of(strange[_i])), DTYPE_UNKNOWN);
}
END_TEST

/* Codes are stored: these may never change. */
START_TEST(dtype__codes_stay)
{
    ck_assert_int_eq(DTYPE_UNKNOWN, 0);
    ck_assert_int_eq(DTYPE_BOOL, 1);
    ck_assert_int_eq(DTYPE_FLOAT32, 12);
    ck_assert_int_eq(DTYPE_QINT8, 25);
    ck_assert_int_eq(DTYPE_INT7, 48);
    ck_assert_int_eq(DTYPE_STRING, 54);
    ck_assert_int_eq(DTYPE_GGML_Q4_0, 55);
}
END_TEST

START_TEST(dtype__a_block_type_has_no_bits_of_its_own)
{
    enum dtype d = dtype_find(slice_of("ggml_q6_k"));

    ck_assert_uint_eq(dtype_bits(d), 0);
    ck_assert_uint_eq(dtype_block(d), 256);
    ck_assert_uint_eq(dtype_block_bytes(d), 210);
    ck_assert_uint_eq(dtype_block(DTYPE_FLOAT32), 1);
}
END_TEST

SUITE(dtype)
{
    return suite_with("dtype", TEST(dtype__finds_each_by_its_name),
                      LOOP(dtype__knows_size_and_kind, known), LOOP(dtype__does_not_guess, strange),
                      TEST(dtype__codes_stay), TEST(dtype__a_block_type_has_no_bits_of_its_own));
}
