#include "common/structure/shape.h"

#include "common/base/num.h"

bool
shape_equal(struct shape a, struct shape b)
{
    return a.rank == b.rank &&
           (a.rank == 0 || memcmp(a.dims, b.dims, a.rank * sizeof a.dims[0]) == 0);
}

bool
shape_elements(struct shape s, uint64_t *ret_elements)
{
    uint64_t elements = 1;
    bool is_empty = false;

    /* A zero dimension makes the product zero, but never hides the overflow of the others. */
    for (uint32_t i = 0; i < s.rank; i++) {
        if (s.dims[i] > INT64_MAX)
            return false;
        if (s.dims[i] == 0)
            is_empty = true;
        else if (!num_mul(elements, s.dims[i], &elements) || elements > INT64_MAX)
            return false;
    }
    *ret_elements = is_empty ? 0 : elements;
    return true;
}

bool
shape_bytes(uint64_t elements, enum dtype dtype, uint64_t *ret_bytes)
{
    uint64_t bits, block = dtype_block(dtype);

    if (block > 1)
        return num_mul(elements / block + (elements % block != 0), dtype_block_bytes(dtype),
                       ret_bytes);
    if (!num_mul(elements, dtype_bits(dtype), &bits) || !num_add(bits, 7, &bits))
        return false;
    *ret_bytes = bits / 8;
    return true;
}

void
shape_print(struct buf *out, struct shape s)
{
    buf_char(out, '[');
    for (uint32_t i = 0; i < s.rank; i++) {
        if (i > 0)
            buf_text(out, ", ");
        buf_u64(out, s.dims[i]);
    }
    buf_char(out, ']');
}
