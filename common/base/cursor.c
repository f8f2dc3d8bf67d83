#include "common/base/cursor.h"

struct cursor
cursor_over(const void *bytes, size_t length, uint64_t offset)
{
    const uint8_t *start = bytes;

    return (struct cursor){
        .at = start, .end = length == 0 ? start : start + length, .offset = offset};
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
