#pragma once
/*
 * The directory of a zip archive, read by ourselves: PyTorch's reader, Python's and libzip disagree
 * about hostile archives, and none of them tells where a member's bytes lie. Only the directory and
 * the members' local headers are read, in small pieces, so the cost depends on the number of members
 * and never on their bytes.
 *
 * What is odd about the archive becomes a finding. What would make two readers see different things
 * (duplicate names, overlapping members, sizes that contradict each other) also lowers the safety to
 * `malformed`. Encryption bits and wrong checksums stop nothing: PyTorch's reader looks at neither.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/slice.h"
#include "common/formats/source.h"
#include "common/structure/inspection.h"

enum {
    ZIP_STORED = 0,
    ZIP_DEFLATED = 8,
    ZIP_HEAD_BYTES = 16, /* of each member's payload, kept to see what it is */
};

struct zip_member {
    struct slice name; /* raw, as the central directory has it */
    uint64_t local_offset;
    uint64_t data_offset;  /* of the payload, in the file */
    uint64_t stored_bytes; /* of the payload as it lies there */
    uint64_t size_bytes;   /* inflated, as the central directory tells */
    uint32_t crc32;
    uint16_t method;
    uint16_t flags;
    bool is_usable;    /* a local header is there, and all of the payload */
    bool is_ambiguous; /* another member has this name, or one that differs in case only */
    uint8_t head_length;
    uint8_t head[ZIP_HEAD_BYTES]; /* of the payload as stored */
};

struct zip_slot {
    uint32_t hash;
    uint32_t member; /* its index and one; 0: free */
};

struct zip_directory {
    const struct source *source;
    struct zip_member *members; /* in the central directory's order */
    size_t count;
    struct zip_slot *slots;            /* open addressing, by the hash of the name in lower case */
    size_t slot_count;                 /* a power of two, or 0 */
    const struct zip_member **by_name; /* NULL, or, where names are not unique, instead of slots:
                                          ascending by the name in lower case, then by the name */
    uint64_t offset;                   /* of the central directory */
};

/* Read it and audit it. The result lives in in->arena, findings go to in; source must outlive it.
 * ERR_TRUNCATED where no directory is at the file's end, ERR_MALFORMED where it cannot be told,
 * ERR_UNSUPPORTED for archives of several disks, ERR_LIMIT past limits->zip_entries. */
enum status zip_directory_read(const struct source *source, const struct limits *limits,
                               struct inspection *in, struct zip_directory *ret_directory,
                               struct err *err) MUST_CHECK;

/* The member of exactly that name, or NULL; the first in the directory where there are several. */
const struct zip_member *zip_directory_find(const struct zip_directory *d, struct slice name);
