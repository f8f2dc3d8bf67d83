#pragma once
/*
 * What a dataset or an attribute is made of: its datatype, its dataspace, and where its data lie.
 */
#include "common/formats/hdf5_header.h"

enum hdf5_text {
    HDF5_NO_TEXT,
    HDF5_FIXED_TEXT,    /* of type.size bytes each, ended by a zero byte or filled with them */
    HDF5_SPACED_TEXT,   /* filled with spaces */
    HDF5_VARIABLE_TEXT, /* in the global heap */
};

struct hdf5_type {
    enum dtype dtype; /* DTYPE_UNKNOWN: only name tells what it is */
    const char *name; /* in words: "a compound" */
    uint32_t size;    /* bytes of one element */
    bool is_big_endian, is_opaque;
    enum hdf5_text text;
};

/* Read an encoded datatype. */
enum status hdf5_type_read(struct cursor *c, struct hdf5_type *ret_type,
                           struct err *err) MUST_CHECK;

struct hdf5_space {
    bool is_null; /* no elements, and no shape either */
    struct shape shape;
    uint64_t elements;
};

/* Read an encoded dataspace. The shape goes to the arena. */
enum status hdf5_type_space(struct hdf5_file *f, struct cursor *c, struct hdf5_space *ret_space,
                            struct err *err) MUST_CHECK;

enum hdf5_storage {
    HDF5_STORED,      /* one run of bytes */
    HDF5_UNALLOCATED, /* nothing was ever written: each element is the fill value */
    HDF5_CHUNKED,
    HDF5_ELSEWHERE, /* in other files, or put together from other datasets */
};

struct hdf5_layout {
    enum hdf5_storage storage;
    uint64_t offset; /* of the bytes, in the source */
    uint64_t bytes;
    bool has_bytes; /* how many there are is told; old writers leave it to the shape */
};

enum status hdf5_type_layout(const struct hdf5_file *f, struct cursor *c,
                             struct hdf5_layout *ret_layout, struct err *err) MUST_CHECK;
