#pragma once
/*
 * Reads what an HDF5 file (HDF5 File Format Specification 3.0, superblocks 0 to 3) tells about its
 * groups and datasets, with a parser of our own: the library's record with hostile files is long, and
 * a small part of the format is all that is needed. Nothing is ever followed out of the file:
 * external links, external storage and virtual datasets are findings. No data are read, no chunk
 * index is walked, so the cost depends on the number of objects alone, and is bounded by
 * limits->hdf5_bytes.
 */
#include "common/base/vec.h"
#include "common/formats/hdf5_attribute.h"
#include "common/formats/hdf5_type.h"

struct hdf5_object {
    struct slice path; /* as h5py's name, without the slash before it; the root's is empty */
    bool is_group;
    uint64_t address; /* equal of datasets that are one, under several names */
    const struct hdf5_attribute *attributes;

    /* Of a dataset. */
    enum dtype dtype;
    bool is_big_endian;
    bool is_null;   /* it has no shape and no elements: h5py.Empty */
    bool has_bytes; /* they lie in one run, uncompressed */
    struct shape shape;
    uint64_t offset; /* of the bytes, in the source */
    uint64_t stored_bytes;
};

struct hdf5 {
    struct vec objects;       /* struct hdf5_object, depth first; the root is the first */
    unsigned version;         /* of the superblock */
    uint64_t userblock_bytes; /* before the signature */
};

/* Read all objects; wants says whose texts of attributes to keep. Findings go to in, names and texts
 * to its arena. An error means that not even the root could be read, or that a limit was met. */
enum status hdf5_read(const struct source *source, const struct limits *limits,
                      struct inspection *in, bool (*wants)(struct slice name),
                      struct hdf5 *ret_hdf5, struct err *err) MUST_CHECK;
void hdf5_done(struct hdf5 *h);
