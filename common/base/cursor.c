#include "common/base/cursor.h"

struct cursor
cursor_over(const void *bytes, size_t length, uint64_t offset)
{
    const uint8_t *start = bytes;

    return (struct cursor){
        .at = start, .end = length == 0 ? start : start + length, .offset = offset};
}

size_t
cursor_left(const struct cursor *c)
{
    return c->at == c->end ? 0 : (size_t)(c->end - c->at);
}

enum status
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

enum status
cursor_u8(struct cursor *c, uint8_t *ret_value, struct err *err)
{
    const uint8_t *b;

    TRY(cursor_bytes(c, 1, &b, err));
    *ret_value = b[0];
    return OK;
}

enum status
cursor_u16(struct cursor *c, uint16_t *ret_value, struct err *err)
{
    const uint8_t *b;

    TRY(cursor_bytes(c, 2, &b, err));
    *ret_value = (uint16_t)(b[0] | b[1] << 8);
    return OK;
}

enum status
cursor_u32(struct cursor *c, uint32_t *ret_value, struct err *err)
{
    const uint8_t *b;

    TRY(cursor_bytes(c, 4, &b, err));
    *ret_value = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return OK;
}

enum status
cursor_u64(struct cursor *c, uint64_t *ret_value, struct err *err)
{
    struct cursor ahead = *c;
    uint32_t low, high;

    TRY(cursor_u32(&ahead, &low, err));
    TRY(cursor_u32(&ahead, &high, err));
    *ret_value = (uint64_t)low | (uint64_t)high << 32;
    *c = ahead;
    return OK;
}
