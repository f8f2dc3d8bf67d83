#include "common/structure/dtype.h"

static const struct {
    const char *name;
    unsigned bits;
    enum dtype_kind kind;
} table[DTYPE_COUNT] = {
#define DTYPE(code, name, bits, kind) [DTYPE_##code] = {name, bits, DTYPE_KIND_##kind},
#include "common/structure/dtype_table.h"
#undef DTYPE
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
