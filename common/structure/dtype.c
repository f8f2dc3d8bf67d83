#include "common/structure/dtype.h"

static const struct {
    const char *name;
    unsigned bits;
    enum dtype_kind kind;
    unsigned block;
    unsigned block_bytes;
} table[DTYPE_COUNT] = {
#define DTYPE(code, name, bits, kind) [DTYPE_##code] = {name, bits, DTYPE_KIND_##kind, 1, 0},
#define DTYPE_BLOCK(code, name, elements, octets) \
    [DTYPE_##code] = {name, 0, DTYPE_KIND_QUANTIZED, elements, octets},
#include "common/structure/dtype_table.h"
#undef DTYPE
#undef DTYPE_BLOCK
};

const char *
dtype_name(enum dtype dtype)
{
    return table[dtype].name;
}

unsigned
dtype_bits(enum dtype dtype)
{
    return table[dtype].bits;
}

unsigned
dtype_block(enum dtype dtype)
{
    return table[dtype].block;
}

unsigned
dtype_block_bytes(enum dtype dtype)
{
    return table[dtype].block_bytes;
}

enum dtype_kind
dtype_kind(enum dtype dtype)
{
    return table[dtype].kind;
}

enum dtype
dtype_find(struct slice name)
{
    if (slice_starts(name, slice_of("torch.")))
        name = slice_from(name, strlen("torch."));
    for (enum dtype d = DTYPE_UNKNOWN + 1; d < DTYPE_COUNT; d++)
        if (slice_is(name, table[d].name))
            return d;
    return DTYPE_UNKNOWN;
}
