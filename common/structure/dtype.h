#pragma once
/*
 * Element types, spelled as PyTorch spells them.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

enum dtype {
#define DTYPE(code, name, bits, kind)             DTYPE_##code,
#define DTYPE_BLOCK(code, name, elements, octets) DTYPE_##code,
#include "common/structure/dtype_table.h"
#undef DTYPE
#undef DTYPE_BLOCK
    DTYPE_COUNT
};

/* What a cast keeps: within a kind it only widens or narrows (design.md §5). */
enum dtype_kind {
    DTYPE_KIND_BOOL,
    DTYPE_KIND_INTEGER,
    DTYPE_KIND_FLOAT,
    DTYPE_KIND_COMPLEX,
    DTYPE_KIND_QUANTIZED,
    DTYPE_KIND_OTHER,
};

const char *dtype_name(enum dtype dtype);
unsigned dtype_bits(enum dtype dtype); /* of one element; 0 where it has no size of its own */
enum dtype_kind dtype_kind(enum dtype dtype);

/* Elements that are stored together as one block, and the block's bytes: 1 and 0 for all but ggml's
 * block types, whose dtype_bits are 0. */
unsigned dtype_block(enum dtype dtype);
unsigned dtype_block_bytes(enum dtype dtype);

/* By its name; DTYPE_UNKNOWN where there is no such dtype. A "torch." before it is taken too. */
enum dtype dtype_find(struct slice name);
