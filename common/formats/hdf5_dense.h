#pragma once
/*
 * Dense storage: where an object has many links or attributes, they lie in a fractal heap, and a
 * B-tree of version 2 holds their heap ids. Filtered heaps are not read; no writer is known to make
 * them.
 */
#include "common/base/vec.h"
#include "common/formats/hdf5_file.h"

enum hdf5_record_type {
    HDF5_RECORD_HUGE = 1,      /* address, length, number */
    HDF5_RECORD_LINK = 5,      /* hash of the name, heap id */
    HDF5_RECORD_ATTRIBUTE = 8, /* heap id, flags, creation order, hash of the name */
};

/* A B-tree's record, as it lies there. */
struct hdf5_record {
    uint8_t bytes[24];
    uint64_t rank; /* what sorts them: hdf5_dense_sort's, or a large object's number */
};

/* Append all records of the tree whose header is at address; *records must be a vec of struct
 * hdf5_record. The order is the tree's own only within a node. */
enum status hdf5_dense_records(struct hdf5_file *f, uint64_t address, enum hdf5_record_type type,
                               struct vec *records, struct err *err) MUST_CHECK;

struct hdf5_heap {
    struct hdf5_file *f;
    uint64_t address; /* of its header */
    unsigned id_bytes, flags;
    uint64_t huge_tree;
    uint64_t width, start_bytes, direct_max; /* of the doubling table */
    unsigned bits;                           /* of an offset in the heap */
    uint64_t root;
    unsigned root_rows; /* 0: the root is a direct block */
    unsigned offset_width, length_width;
    struct {
        uint8_t *bytes;
        uint64_t start, length; /* in the heap's own space */
        uint64_t offset;        /* in the source */
    } block;                    /* the direct block looked into last */
    struct vec huge;            /* struct hdf5_record, by their numbers */
    bool has_huge;
};

enum status hdf5_dense_open(struct hdf5_file *f, uint64_t address, struct hdf5_heap *ret_heap,
                            struct err *err) MUST_CHECK;
void hdf5_dense_done(struct hdf5_heap *h);

/* Put records in the order of the objects that they name, so that each block is read once. Their heap
 * ids stand at the byte id_at. */
void hdf5_dense_sort(const struct hdf5_heap *h, struct vec *records, size_t id_at);

/* Lend an object by its id, of heap.id_bytes bytes; it lives until the next call on heap or file. */
enum status hdf5_dense_object(struct hdf5_heap *h, const uint8_t *id, struct cursor *ret_object,
                              struct err *err) MUST_CHECK;
