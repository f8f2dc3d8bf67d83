#pragma once
/*
 * Attributes that hold texts: those whose names the caller wants are read, of the others only the
 * name.
 */
#include "common/formats/hdf5_header.h"
#include "common/formats/hdf5_heap.h"

struct hdf5_attribute {
    const struct hdf5_attribute *next;
    struct slice name;
    const struct slice *texts; /* one, or the elements of an array */
    size_t count;
};

/* The texts of the attribute with that name, or NULL. */
const struct hdf5_attribute *hdf5_attribute_find(const struct hdf5_attribute *list,
                                                 const char *name);

/* Read an object's wanted attributes, from its header and from dense storage, into the arena. What is
 * wrong with one of them becomes a finding about subject. */
enum status hdf5_attribute_read(struct hdf5_file *f, const struct hdf5_header *h,
                                bool (*wants)(struct slice name), struct slice subject,
                                const struct hdf5_attribute **ret_list, struct err *err) MUST_CHECK;
