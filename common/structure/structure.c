#include "common/structure/structure.h"

#include "common/base/num.h"

size_t
structure_find(const struct structure *s, struct slice name)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(s->tensors[middle].name, name);

        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

uint64_t
structure_elements(const struct structure *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->count; i++)
        if (!num_add(sum, s->tensors[i].elements, &sum))
            return UINT64_MAX;
    return sum;
}

uint64_t
structure_bytes(const struct structure *s)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < s->count; i++)
        if (!num_add(sum, s->tensors[i].bytes, &sum))
            return UINT64_MAX;
    return sum;
}

const struct entry *
facts_entry(const struct facts *f, struct slice name)
{
    size_t low = 0, high = f->entry_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(f->entries[middle].name, name);

        if (order == 0)
            return &f->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct module_version *
facts_version(const struct facts *f, struct slice module)
{
    size_t low = 0, high = f->version_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(f->versions[middle].module, module);

        if (order == 0)
            return &f->versions[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *
layout_name(enum layout layout)
{
    static const char *const names[LAYOUT_COUNT] = {
        [LAYOUT_STRIDED] = "strided",       [LAYOUT_SPARSE_COO] = "sparse_coo",
        [LAYOUT_SPARSE_CSR] = "sparse_csr", [LAYOUT_SPARSE_CSC] = "sparse_csc",
        [LAYOUT_SPARSE_BSR] = "sparse_bsr", [LAYOUT_SPARSE_BSC] = "sparse_bsc",
        [LAYOUT_QUANTIZED] = "quantized",   [LAYOUT_NESTED] = "nested",
        [LAYOUT_WRAPPED] = "wrapped",       [LAYOUT_META] = "meta",
    };

    return names[layout];
}

const char *
entry_kind_name(enum entry_kind kind)
{
    static const char *const names[ENTRY_KIND_COUNT] = {
        [ENTRY_NONE] = "none",   [ENTRY_BOOL] = "bool", [ENTRY_INT] = "int",
        [ENTRY_FLOAT] = "float", [ENTRY_STR] = "str",   [ENTRY_BYTES] = "bytes",
        [ENTRY_LIST] = "list",   [ENTRY_DICT] = "dict", [ENTRY_OBJECT] = "object",
    };

    return names[kind];
}
