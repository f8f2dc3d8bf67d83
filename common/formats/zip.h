#pragma once
/*
 * The bytes of one zip member. A stored one is read straight from the source; a deflated one is
 * inflated by libzip, which is shown an archive made of nothing but that member's compressed bytes:
 * whatever else a hostile archive holds never reaches it.
 */
#include "common/base/limits.h"
#include "common/formats/zip_directory.h"

struct zip_payload {
    char *bytes; /* owned */
    size_t length;
    uint64_t
        cost_bytes;    /* what reading it took, for budgets: more than length where it breaks off */
    bool is_whole;     /* as long as the directory says, and no longer */
    bool is_crc_right; /* the checksum is the directory's */
};

void zip_payload_done(struct zip_payload *p);

/* Read up to cap_bytes of a member. Of a damaged deflate stream, what came before the damage is kept
 * and is_whole is false. ERR_LIMIT where it says, or turns out, to be longer than cap_bytes or past
 * limits->zip_ratio; ERR_UNSUPPORTED for other compressions; ERR_MALFORMED where it is not usable, or has
 * more compressed bytes than its size can need. */
enum status zip_payload_read(const struct zip_directory *d, const struct zip_member *m,
                             size_t cap_bytes, const struct limits *limits,
                             struct zip_payload *ret_payload, struct err *err) MUST_CHECK;

/* The first bytes of a member, inflated where they must be; *ret_length of them, none where it cannot
 * be read. head has room for ZIP_HEAD_BYTES. */
enum status zip_payload_head(const struct zip_directory *d, const struct zip_member *m,
                             uint8_t *head, size_t *ret_length, struct err *err) MUST_CHECK;

/* The first bytes of a member, up to room of them, inflated where they must be: of a large member only
 * its start is read. *ret_length of them, fewer where it ends, breaks off, or cannot be read. */
enum status zip_payload_start(const struct zip_directory *d, const struct zip_member *m,
                              uint8_t *bytes, size_t room, size_t *ret_length,
                              struct err *err) MUST_CHECK;
