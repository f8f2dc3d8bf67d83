#pragma once
/*
 * The header of a .npy array: magic, version, length, and a Python dict literal of the three keys
 * descr, fortran_order and shape (numpy/lib/_format_impl.py). NumPy evaluates the literal; this reads
 * the few forms that it can have, and refuses all others.
 */
#include "common/structure/structure.h"

enum {
    NUMPY_START_BYTES = 12,    /* magic, version, length: what numpy_header_size looks at */
    NUMPY_LITERAL_MAX = 10000, /* bytes of the literal: NumPy's own limit */
};

struct numpy_header {
    uint64_t data_offset; /* of the elements, from the magic on */
    enum dtype dtype;     /* UNKNOWN: one that PyTorch has not; STRING */
    struct slice descr;   /* as it is spelled, borrowed */
    bool has_size;        /* false: nobody knows how many bytes an element has */
    bool has_objects;     /* no elements follow, but a pickle */
    bool is_strange;      /* a type is spelled as NumPy never writes it: objects may be in it */
    bool is_big_endian;
    bool is_fortran; /* the first index varies fastest */
    uint64_t item_bytes;
    uint32_t rank;
    uint64_t dims[TENSOR_RANK_MAX];
};

/* Whether an array begins here. */
bool numpy_header_begins(const uint8_t *bytes, size_t length);

/* Bytes of the whole header, told by its first NUMPY_START_BYTES (fewer where the file is shorter).
 * ERR_LIMIT where NumPy refuses its length. */
enum status numpy_header_size(const uint8_t *bytes, size_t length, size_t *ret_bytes,
                              struct err *err) MUST_CHECK;

/* Read the whole header, of as many bytes as numpy_header_size said. */
enum status numpy_header_read(const uint8_t *bytes, size_t length, struct numpy_header *ret,
                              struct err *err) MUST_CHECK;
