#pragma once
/*
 * The three things that a state dict is taken apart into (design.md §4), each of which two files can
 * share without the next:
 *
 *   structure   names, dtypes, shapes of its tensors, sorted bytewise by name
 *   facts       what else decides loading: module versions, tied groups, entries that are no tensors
 *   placement   where each tensor's bytes lie
 *
 * All of it lives in an arena of the holder's and is read-only once made, so any number of threads
 * may read it. Rows of facts and placement name tensors by their index in the structure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/slice.h"
#include "common/structure/dtype.h"
#include "common/structure/shape.h"

struct tensor {
    struct slice name; /* raw bytes of the file: show it through utf8_clean or a JSON writer only */
    enum dtype dtype;
    struct shape shape;
    uint64_t elements;
    uint64_t bytes; /* of the elements, packed */
};

struct structure {
    const struct tensor *tensors; /* ascending by name, no name twice */
    size_t count;
};

/* How a tensor's elements are kept; the structure holds the outer shape and dtype of each. */
enum layout {
    LAYOUT_STRIDED,
    LAYOUT_SPARSE_COO,
    LAYOUT_SPARSE_CSR,
    LAYOUT_SPARSE_CSC,
    LAYOUT_SPARSE_BSR,
    LAYOUT_SPARSE_BSC,
    LAYOUT_QUANTIZED, /* with scale and zero point of its own */
    LAYOUT_NESTED,
    LAYOUT_WRAPPED, /* a tensor subclass: its inner tensors hold the data */
    LAYOUT_META,    /* a shape without data */
    LAYOUT_COUNT
};

/* A module's row of _metadata: {"bn1": {"version": 2}}. A version that a hook of the module keeps in
 * that row, {"conv1": {"spectral_norm": {"weight.version": 1}}}, is a row of its own, whose module
 * reads "conv1:spectral_norm.weight". */
struct module_version {
    struct slice module; /* "" is the root */
    bool has_version;    /* false: the row is there, its version is None or absent */
    int64_t version;
};

/* What the value of an entry that is no tensor is. */
enum entry_kind {
    ENTRY_NONE,
    ENTRY_BOOL,
    ENTRY_INT,
    ENTRY_FLOAT,
    ENTRY_STR,
    ENTRY_BYTES,
    ENTRY_LIST, /* or tuple, or set */
    ENTRY_DICT,
    ENTRY_OBJECT, /* of a class, a class itself, or anything else */
    ENTRY_KIND_COUNT
};

struct entry {
    struct slice name;
    enum entry_kind kind;
    struct slice type; /* Python's name for it: "int", "collections.OrderedDict" */
};

/* Tensors that share one storage. Tied: all members are the same view of it. */
struct alias_group {
    bool is_tied;
    const uint32_t *members; /* indexes of tensors, ascending, two or more */
    size_t count;
};

struct facts {
    bool has_metadata; /* the dict carries _metadata: without it versions are None everywhere */
    const struct module_version *versions; /* ascending by module */
    size_t version_count;
    const struct entry *entries; /* ascending by name */
    size_t entry_count;
    const struct alias_group *aliases; /* ascending by first member */
    size_t alias_count;
    const uint8_t *layouts; /* enum layout of each tensor; NULL: all strided */
    const uint32_t *order;  /* the tensors in the file's order; NULL: not known */
};

enum compression { COMPRESSION_NONE, COMPRESSION_DEFLATE, COMPRESSION_COUNT };

/* Where one tensor's elements lie. A tensor without bytes of its own (meta, sparse, quantized by
 * channel …) has has_bytes false. */
struct place {
    bool has_bytes;
    bool is_big_endian;
    enum compression compression;
    uint32_t file;          /* of the file set */
    uint64_t offset;        /* of the storage's first (compressed) byte, in the file */
    uint64_t stored_bytes;  /* of the storage as it lies there */
    uint64_t storage_bytes; /* of the storage, inflated */
    uint64_t first_element; /* of the tensor, in the storage, in elements */
    const int64_t *strides; /* rank of them, in elements; NULL: contiguous, row-major */
};

struct placement {
    const struct place *places; /* one a tensor; NULL: not known */
};

/* The index of the tensor with that name; SIZE_MAX if there is none. O(log n). */
size_t structure_find(const struct structure *s, struct slice name);

/* Sums over the tensors; both saturate at UINT64_MAX. */
uint64_t structure_elements(const struct structure *s);
uint64_t structure_bytes(const struct structure *s);

/* The entry with that name, or NULL. The row of a module's versions, or NULL. */
const struct entry *facts_entry(const struct facts *f, struct slice name);
const struct module_version *facts_version(const struct facts *f, struct slice module);

const char *layout_name(enum layout layout);
const char *entry_kind_name(enum entry_kind kind);
