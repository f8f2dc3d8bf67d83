#pragma once
/*
 * Object headers: the messages that say what a group or a dataset is, of both versions, from all of
 * the header's chunks. A header may be read again and again into one struct, whose memory is kept.
 */
#include "common/base/vec.h"
#include "common/formats/hdf5_file.h"

enum hdf5_message_type {
    HDF5_DATASPACE = 0x01,
    HDF5_LINK_INFO = 0x02,
    HDF5_DATATYPE = 0x03,
    HDF5_LINK = 0x06,
    HDF5_EXTERNAL_FILES = 0x07,
    HDF5_LAYOUT = 0x08,
    HDF5_FILTERS = 0x0b,
    HDF5_ATTRIBUTE = 0x0c,
    HDF5_CONTINUATION = 0x10,
    HDF5_SYMBOL_TABLE = 0x11,
    HDF5_ATTRIBUTE_INFO = 0x15,
};

enum { HDF5_MESSAGE_SHARED = 2 }; /* flag: the body says where the message is instead */

struct hdf5_message {
    unsigned type; /* enum hdf5_message_type, or one that is not looked at */
    unsigned flags;
    size_t at, length; /* of the body, in the header's bytes */
    uint64_t offset;   /* of the body, in the source */
};

struct hdf5_header {
    struct vec messages; /* struct hdf5_message */
    uint8_t *bytes;      /* of all chunks */
    size_t length, capacity;
    struct vec chunks; /* where they are */
};

void hdf5_header_done(struct hdf5_header *h);

/* Read the header at an address, in place of what h held. */
enum status hdf5_header_read(struct hdf5_file *f, uint64_t address, struct hdf5_header *h,
                             struct err *err) MUST_CHECK;

/* The first message of that type, or NULL. */
const struct hdf5_message *hdf5_header_find(const struct hdf5_header *h,
                                            enum hdf5_message_type type);

/* Over a message's body. */
struct cursor hdf5_header_body(const struct hdf5_header *h, const struct hdf5_message *m);

/* Where the message is that a shared message's body stands for: another object's header. */
enum status hdf5_header_shared(const struct hdf5_file *f, struct cursor *body,
                               uint64_t *ret_address, struct err *err) MUST_CHECK;
