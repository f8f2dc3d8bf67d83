#pragma once
/*
 * The two simple heaps: a local heap holds the names of an old group's links, global heap collections
 * hold texts of variable length.
 */
#include "common/formats/hdf5_file.h"

struct hdf5_names {
    char *bytes; /* owned */
    size_t length;
};

/* Load a local heap's data. */
enum status hdf5_heap_names(struct hdf5_file *f, uint64_t address, struct hdf5_names *ret_names,
                            struct err *err) MUST_CHECK;
void hdf5_heap_names_done(struct hdf5_names *names);

/* The name at an offset of the heap, which ends with a zero byte; borrowed. */
enum status hdf5_heap_name(const struct hdf5_names *names, uint64_t offset, struct slice *ret_name,
                           struct err *err) MUST_CHECK;

/* Looks objects of global heaps up. Objects of one collection that are asked for in its order cost one
 * walk of it together. All-zero is ready for use. */
struct hdf5_finder {
    uint64_t collection; /* 0: none yet */
    uint64_t end, at;    /* where the walk stands */
    uint64_t index;      /* of the object before that */
};

/* Lend the bytes of an object, length of them as its user says. */
enum status hdf5_heap_object(struct hdf5_file *f, struct hdf5_finder *finder, uint64_t collection,
                             uint64_t index, uint64_t length, const uint8_t **ret_bytes,
                             struct err *err) MUST_CHECK;
