#pragma once
/*
 * The links of a group, however they are kept: an old group's symbol table, link messages in its
 * header, or dense storage.
 */
#include "common/base/vec.h"
#include "common/formats/hdf5_header.h"

enum hdf5_link_kind { HDF5_HARD, HDF5_SOFT, HDF5_FOREIGN };

struct hdf5_link {
    enum hdf5_link_kind kind;
    struct slice name;   /* in the arena */
    uint64_t address;    /* of a hard link: the object's header */
    uint64_t order;      /* of creation, where the group tracks it */
    struct slice target; /* of the others: where they lead, in the arena */
};

/* Whether the header is a group's. */
bool hdf5_group_is(const struct hdf5_header *h);

/* Put the group's links into *links, an empty vec of struct hdf5_link: in the order of their creation where
 * it is tracked, by name otherwise, runs of digits as numbers. Damage becomes a finding about subject.
 * A name that no path can hold (empty, ".", with a slash or a zero byte), or that occurs twice, makes
 * the file malformed. */
enum status hdf5_group_links(struct hdf5_file *f, const struct hdf5_header *h, struct slice subject,
                             struct vec *links, struct err *err) MUST_CHECK;
