#pragma once
/*
 * A cursor walks a window of bytes that somebody else owns, from its start to its end, and cannot
 * leave it. Integers are little-endian on the wire; every format that we read is, or says so. A
 * failed read moves nothing.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t offset; /* of at, in the whole input: for messages */
};

struct cursor cursor_over(const void *bytes, size_t length, uint64_t offset);

static inline size_t
cursor_left(const struct cursor *c)
{
    return c->at == c->end ? 0 : (size_t)(c->end - c->at);
}

/* Lend the next length bytes; they live as long as the window. */
static inline enum status MUST_CHECK
cursor_bytes(struct cursor *c, size_t length, const uint8_t **ret_bytes, struct err *err)
{
    FAIL_IF(length > cursor_left(c), err, TRUNCATED, c->offset, "%zu bytes expected, %zu left",
            length, cursor_left(c));
    *ret_bytes = c->at;
    if (length > 0)
        c->at += length;
    c->offset += length;
    return OK;
}

static inline enum status MUST_CHECK
cursor_u8(struct cursor *c, uint8_t *ret_value, struct err *err)
{
    const uint8_t *b;

    TRY(cursor_bytes(c, 1, &b, err));
    *ret_value = b[0];
    return OK;
}

static inline enum status MUST_CHECK
cursor_u16(struct cursor *c, uint16_t *ret_value, struct err *err)
{
    const uint8_t *b;

    TRY(cursor_bytes(c, 2, &b, err));
    *ret_value = (uint16_t)(b[0] | b[1] << 8);
    return OK;
}

static inline enum status MUST_CHECK
cursor_u32(struct cursor *c, uint32_t *ret_value, struct err *err)
{
    const uint8_t *b;

    TRY(cursor_bytes(c, 4, &b, err));
    *ret_value = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return OK;
}

enum status cursor_u64(struct cursor *c, uint64_t *ret_value, struct err *err) MUST_CHECK;
