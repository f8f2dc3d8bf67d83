#pragma once
/*
 * Shapes: the sizes of a tensor's dimensions, in PyTorch's order. Rank 0 is a scalar of one element.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/structure/dtype.h"

enum { TENSOR_RANK_MAX = 64 };

struct shape {
    uint32_t rank;
    const uint64_t *dims; /* rank of them; whose they are, the holder says */
};

bool shape_equal(struct shape a, struct shape b);

/* Product of the dims, 1 for a scalar; false on overflow past 2^63-1, PyTorch's own bound. */
bool shape_elements(struct shape s, uint64_t *ret_elements);

/* Bytes of that many packed elements, rounded up to whole bytes or blocks; false on overflow. */
bool shape_bytes(uint64_t elements, enum dtype dtype, uint64_t *ret_bytes);

/* Append "[64, 3, 7, 7]". */
void shape_print(struct buf *out, struct shape s);
