#pragma once
/*
 * The members of a tar archive: v7, ustar, and the long names and large sizes of GNU's and pax's. Only
 * headers are read. What Python's tarfile would not walk over ends the list, and is told.
 */
#include "common/base/arena.h"
#include "common/base/limits.h"
#include "common/formats/source.h"

enum { TAR_BLOCK_BYTES = 512 };

struct tar_member {
    struct slice name; /* as it stands there, any bytes */
    uint64_t offset;   /* of its content */
    uint64_t size_bytes;
    bool is_file; /* neither a folder nor a link nor a device */
};

struct tar {
    struct tar_member *members;
    size_t count;
    uint64_t end;        /* after the blocks of zeros that end it, or where the list broke off */
    const char *problem; /* why the list broke off; NULL: it did not */
};

/* Whether the block is a member's header: by its checksum. */
bool tar_is_header(const uint8_t block[TAR_BLOCK_BYTES]);

/* Members and names live in the arena. The source must begin with a header. */
enum status tar_read(const struct source *source, const struct limits *limits, struct arena *arena,
                     struct tar *ret, struct err *err) MUST_CHECK;
