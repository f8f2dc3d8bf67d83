#pragma once
/*
 * An HDF5 file as a space of addresses: the superblock, bounded reads, numbers of the file's own
 * widths, checksums. Every structure of the file is read through hdf5_file_at, which counts what was
 * read against limits->hdf5_bytes: so neither circles nor structures used many times can cost more
 * than that. Not for more than one thread at once.
 */
#include "common/base/cursor.h"
#include "common/formats/source.h"
#include "common/formats/window.h"
#include "common/structure/inspection.h"

#define HDF5_UNDEFINED UINT64_MAX /* an address that leads nowhere, by the specification */

struct hdf5_file {
    struct inspection *in;
    const struct limits *limits;
    const struct source *source;
    struct window window;
    uint64_t base;                       /* of all addresses, in the source */
    uint64_t root;                       /* the root group's object header */
    uint64_t bytes_left;                 /* that may still be read */
    unsigned version;                    /* of the superblock */
    unsigned offset_bytes, length_bytes; /* widths of addresses and of lengths */
};

/* Where the signature stands: at 0, 512, 1024, 2048 and so on; false where it does not. */
bool hdf5_file_find(const struct source *source, uint64_t *ret_offset);

/* Read the superblock. The source must outlive the file. What is wrong with it, but leaves it
 * readable, becomes a finding. */
enum status hdf5_file_open(struct hdf5_file *f, const struct source *source,
                           const struct limits *limits, struct inspection *in,
                           struct err *err) MUST_CHECK;
void hdf5_file_done(struct hdf5_file *f);

/* Lend length bytes at an address; they live until the next call. */
enum status hdf5_file_at(struct hdf5_file *f, uint64_t address, uint64_t length,
                         const uint8_t **ret_bytes, struct err *err) MUST_CHECK;

/* The same as a cursor, whose offsets are the source's. */
enum status hdf5_file_cursor(struct hdf5_file *f, uint64_t address, uint64_t length,
                             struct cursor *ret_cursor, struct err *err) MUST_CHECK;

/* A number of 1 to 8 bytes; an address, of which all ones is HDF5_UNDEFINED; a length. */
enum status hdf5_file_uint(struct cursor *c, unsigned bytes, uint64_t *ret_value,
                           struct err *err) MUST_CHECK;
enum status hdf5_file_address(const struct hdf5_file *f, struct cursor *c, uint64_t *ret_address,
                              struct err *err) MUST_CHECK;
enum status hdf5_file_length(const struct hdf5_file *f, struct cursor *c, uint64_t *ret_length,
                             struct err *err) MUST_CHECK;

/* Skip bytes. */
enum status hdf5_file_skip(struct cursor *c, size_t bytes, struct err *err) MUST_CHECK;

/* A structure's signature of four letters and its version. */
enum status hdf5_file_signature(struct cursor *c, const char *letters, unsigned version,
                                struct err *err) MUST_CHECK;

/* Jenkins' lookup3 over the bytes, as all checksums of the format are; and whether it is as told. */
uint32_t hdf5_file_hash(const uint8_t *bytes, size_t length);
bool hdf5_file_sum_is(const uint8_t *bytes, size_t length, uint64_t told);

/* The last four of the bytes must be the checksum of those before; what names the structure. */
enum status hdf5_file_check(const uint8_t *bytes, size_t length, const char *what, uint64_t offset,
                            struct err *err) MUST_CHECK;

/* Damage to one part of a file (malformed, truncated, unsupported) becomes a finding about subject and
 * makes the file malformed; any other status is returned with its error. */
enum status hdf5_file_forgive(struct hdf5_file *f, enum status status, const struct err *why,
                              struct slice subject, struct err *err) MUST_CHECK;

/* Note something that makes readers disagree or breaks the format's rules. */
enum status hdf5_file_blame(struct hdf5_file *f, enum finding_id id, struct slice subject,
                            struct err *err, const char *message, ...) MUST_CHECK
    __attribute__((format(printf, 5, 6)));
