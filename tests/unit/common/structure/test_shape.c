#include "common/structure/shape.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

static const struct {
    uint32_t rank;
    uint64_t dims[4];
    bool fits;
    uint64_t elements;
} products[] = {
    {0, {0}, true, 1},
    {1, {0}, true, 0},
    {1, {7}, true, 7},
    {4, {64, 3, 7, 7}, true, 9408},
    {2, {3, 0}, true, 0},
    {1, {INT64_MAX}, true, INT64_MAX},
    {1, {(uint64_t)INT64_MAX + 1}, false, 0},
    {2, {(uint64_t)1 << 32, (uint64_t)1 << 31}, false, 0},
    {2, {(uint64_t)1 << 32, ((uint64_t)1 << 31) - 1}, true, 0x7FFFFFFF00000000},
    {3, {(uint64_t)1 << 32, (uint64_t)1 << 32, 0}, false, 0}, /* zero does not hide it */
    {3, {0, (uint64_t)1 << 32, (uint64_t)1 << 32}, false, 0},
    {2, {UINT64_MAX, 0}, false, 0},
};

START_TEST(shape__counts_its_elements)
{
    uint64_t elements = 77;
    struct shape s = {products[_i].rank, products[_i].dims};

    ck_assert_int_eq(shape_elements(s, &elements), products[_i].fits);
    ck_assert_uint_eq(elements, products[_i].fits ? products[_i].elements : 77);
}
END_TEST

static const struct {
    uint64_t elements;
    enum dtype dtype;
    bool fits;
    uint64_t bytes;
} sizes[] = {
    {0, DTYPE_FLOAT32, true, 0},
    {3, DTYPE_FLOAT32, true, 12},
    {3, DTYPE_FLOAT6_E2M3FN, true, 3}, /* 18 bits */
    {5, DTYPE_QUINT4X2, true, 3},
    {5, DTYPE_QUINT2X4, true, 2},
    {9, DTYPE_UNKNOWN, true, 0},
    {UINT64_MAX, DTYPE_UINT8, false, 0},
    {(uint64_t)1 << 58, DTYPE_COMPLEX128, false, 0},
    {3, DTYPE_INT4X2, true, 2},
    {64, DTYPE_GGML_Q4_0, true, 36},
    {65, DTYPE_GGML_Q4_0, true, 54},
    {UINT64_MAX, DTYPE_GGML_Q5_0, true, ((uint64_t)1 << 59) * 22},
    {((uint64_t)1 << 57) - 1, DTYPE_COMPLEX128, true, (((uint64_t)1 << 57) - 1) * 16},
};

START_TEST(shape__counts_its_bytes)
{
    uint64_t bytes = 77;

    ck_assert_int_eq(shape_bytes(sizes[_i].elements, sizes[_i].dtype, &bytes), sizes[_i].fits);
    ck_assert_uint_eq(bytes, sizes[_i].fits ? sizes[_i].bytes : 77);
}
END_TEST

START_TEST(shape__is_equal_dim_by_dim)
{
    static const uint64_t a[] = {2, 3}, b[] = {2, 3}, c[] = {3, 2};

    ck_assert(shape_equal((struct shape){2, a}, (struct shape){2, b}));
    ck_assert(!shape_equal((struct shape){2, a}, (struct shape){2, c}));
    ck_assert(!shape_equal((struct shape){2, a}, (struct shape){1, a}));
    ck_assert(shape_equal((struct shape){0, NULL}, (struct shape){0, a}));
    ck_assert(!shape_equal((struct shape){0, NULL}, (struct shape){1, a}));
}
END_TEST

START_TEST(shape__prints_as_a_list)
{
    static const uint64_t dims[] = {64, 0, UINT64_MAX};
    CLEANUP(buf_done) struct buf b = buf_with_cap(64);

    shape_print(&b, (struct shape){3, dims});
    shape_print(&b, (struct shape){0, NULL});
    shape_print(&b, (struct shape){1, dims});
    ck_assert_str_eq(b.bytes, "[64, 0, 18446744073709551615][][64]");
}
END_TEST

SUITE(shape)
{
    return suite_with("shape", LOOP(shape__counts_its_elements, products),
                      LOOP(shape__counts_its_bytes, sizes), TEST(shape__is_equal_dim_by_dim),
                      TEST(shape__prints_as_a_list));
}
