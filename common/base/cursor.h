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
size_t cursor_left(const struct cursor *c);

enum status cursor_u8(struct cursor *c, uint8_t *ret_value, struct err *err) MUST_CHECK;
enum status cursor_u16(struct cursor *c, uint16_t *ret_value, struct err *err) MUST_CHECK;
enum status cursor_u32(struct cursor *c, uint32_t *ret_value, struct err *err) MUST_CHECK;
enum status cursor_u64(struct cursor *c, uint64_t *ret_value, struct err *err) MUST_CHECK;

/* Lend the next length bytes; they live as long as the window. */
enum status cursor_bytes(struct cursor *c, size_t length, const uint8_t **ret_bytes,
                         struct err *err) MUST_CHECK;
