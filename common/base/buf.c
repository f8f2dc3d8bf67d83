#include "common/base/buf.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

enum { FIRST_BYTES = 256 };

struct buf
buf_with_cap(size_t cap_bytes)
{
    return (struct buf){.cap_bytes = cap_bytes};
}

void
buf_done(struct buf *b)
{
    if (b == NULL)
        return;
    mem_free(b->bytes);
    *b = (struct buf){.cap_bytes = b->cap_bytes};
}

void
buf_clear(struct buf *b)
{
    b->length = 0;
    b->failed = OK;
    if (b->bytes != NULL)
        b->bytes[0] = '\0';
}

/* Room for length more bytes and the terminator. */
static bool
reserve(struct buf *b, size_t length)
{
    size_t need, capacity;
    char *bytes;

    if (b->failed != OK)
        return false;
    if (length > b->cap_bytes || b->length > b->cap_bytes - length) {
        b->failed = ERR_LIMIT;
        return false;
    }
    need = b->length + length + 1;
    if (need <= b->capacity)
        return true;
    capacity = b->capacity == 0 ? FIRST_BYTES : b->capacity;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    bytes = mem_resize(b->bytes, capacity, 1);
    if (bytes == NULL) {
        b->failed = ERR_NO_MEMORY;
        return false;
    }
    b->bytes = bytes;
    b->capacity = capacity;
    return true;
}

void
buf_add(struct buf *b, const void *bytes, size_t length)
{
    if (!reserve(b, length))
        return;
    if (length > 0)
        memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
    b->bytes[b->length] = '\0';
}

void
buf_text(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void
buf_slice(struct buf *b, struct slice s)
{
    buf_add(b, s.at, s.length);
}

void
buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void
buf_u64(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    buf_add(b, digits + at, sizeof digits - at);
}

void
buf_printf(struct buf *b, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        b->failed = ERR_LIMIT; /* longer than an int can tell */
    if (length < 0 || !reserve(b, (size_t)length))
        return;
    va_start(arguments, format);
    (void)vsnprintf(b->bytes + b->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    b->length += (size_t)length;
}

static void
add_le(struct buf *b, uint64_t value, size_t bytes)
{
    uint8_t le[8];

    for (size_t i = 0; i < bytes; i++)
        le[i] = (uint8_t)(value >> (8 * i));
    buf_add(b, le, bytes);
}

void
buf_le8(struct buf *b, uint8_t value)
{
    add_le(b, value, 1);
}

void
buf_le32(struct buf *b, uint32_t value)
{
    add_le(b, value, 4);
}

void
buf_le64(struct buf *b, uint64_t value)
{
    add_le(b, value, 8);
}

void
buf_counted(struct buf *b, struct slice s)
{
    if (s.length > UINT32_MAX) {
        b->failed = ERR_LIMIT;
        return;
    }
    buf_le32(b, (uint32_t)s.length);
    buf_slice(b, s);
}

struct slice
buf_slice_of(const struct buf *b)
{
    return (struct slice){.at = b->bytes, .length = b->length};
}

enum status
buf_check(const struct buf *b, struct err *err)
{
    FAIL_IF(b->failed == ERR_LIMIT, err, LIMIT, 0, "the output would exceed %zu bytes",
            b->cap_bytes);
    FAIL_IF(b->failed != OK, err, NO_MEMORY, 0, "out of memory");
    return OK;
}

char *
buf_take(struct buf *b)
{
    char *bytes = b->bytes;

    *b = (struct buf){.cap_bytes = b->cap_bytes};
    return bytes;
}
