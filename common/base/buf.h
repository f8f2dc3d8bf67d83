#pragma once
/*
 * A buffer grows up to a cap that is given at its birth. Adding to it cannot fail visibly: a buffer
 * that ran out of room or memory stays as it is, remembers, and says so in buf_check, once, at the
 * end. So writers read straight down.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct buf {
    char *bytes; /* NUL-terminated whenever it is not NULL */
    size_t length;
    size_t capacity;
    size_t cap_bytes;
    enum status failed; /* OK, ERR_LIMIT or ERR_NO_MEMORY */
};

struct buf buf_with_cap(size_t cap_bytes);
void buf_done(struct buf *b);

/* Empty it and forget a failure; the memory stays. */
void buf_clear(struct buf *b);

void buf_add(struct buf *b, const void *bytes, size_t length);
void buf_text(struct buf *b, const char *text);
void buf_slice(struct buf *b, struct slice s);
void buf_char(struct buf *b, char c);
void buf_u64(struct buf *b, uint64_t value);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Little-endian integers and length-prefixed bytes, for our own binary records. */
void buf_le8(struct buf *b, uint8_t value);
void buf_le32(struct buf *b, uint32_t value);
void buf_le64(struct buf *b, uint64_t value);
void buf_counted(struct buf *b, struct slice s); /* u32 length, then the bytes */

/* What was written, borrowed. */
struct slice buf_slice_of(const struct buf *b);

/* OK if all that was added is there. */
enum status buf_check(const struct buf *b, struct err *err) MUST_CHECK;

/* The bytes, NUL-terminated, now the caller's to mem_free; NULL if nothing was ever added. */
char *buf_take(struct buf *b);
