#include "common/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

enum {
    FIRST_BLOCK_BYTES = 4096,
    BLOCK_BYTES_MAX = 1 << 20, /* blocks double up to this; a larger object gets its own */
    ALIGNMENT = 8,             /* of what is handed out: there are no long doubles here */
};

/* In builds with a sanitizer each object gets a block of just its size, so that a step past its end
 * shows (CMakeLists.txt). */
#ifndef ARENA_BLOCK_EACH
#define ARENA_BLOCK_EACH 0
#endif

struct arena_block {
    struct arena_block *previous;
    size_t bytes;
    alignas(ALIGNMENT) char data[];
};

struct arena
arena_with_cap(size_t cap_bytes)
{
    return (struct arena){.cap_bytes = cap_bytes};
}

void
arena_done(struct arena *a)
{
    struct arena_block *block = a == NULL ? NULL : a->last;

    while (block != NULL) {
        struct arena_block *previous = block->previous;

        mem_free(block);
        block = previous;
    }
    if (a != NULL)
        *a = (struct arena){.cap_bytes = a->cap_bytes};
}

static bool
add_block(struct arena *a, size_t need)
{
    size_t bytes = a->last == NULL ? FIRST_BLOCK_BYTES : a->last->bytes * 2;
    struct arena_block *block;

    if (bytes > BLOCK_BYTES_MAX)
        bytes = BLOCK_BYTES_MAX;
    if (bytes < need || ARENA_BLOCK_EACH)
        bytes = need;
    block = mem_new(1, sizeof *block + bytes);
    if (block == NULL)
        return false;
    block->previous = a->last;
    block->bytes = bytes;
    a->last = block;
    a->at = block->data;
    a->left = bytes;
    return true;
}

void *
arena_alloc(struct arena *a, size_t count, size_t size)
{
    size_t asked, bytes, taken;
    void *object;

    a->is_capped = true;
    if (__builtin_mul_overflow(count, size, &asked) || asked > SIZE_MAX / 2)
        return NULL;
    bytes = (asked + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (bytes == 0)
        bytes = ALIGNMENT;
    if (bytes > a->cap_bytes || a->used_bytes > a->cap_bytes - bytes)
        return NULL;
    a->is_capped = false;
    taken = ARENA_BLOCK_EACH ? asked : bytes;
    if ((ARENA_BLOCK_EACH || taken > a->left) && !add_block(a, taken))
        return NULL;
    object = a->at;
    a->at += taken;
    a->left -= taken;
    a->used_bytes += bytes;
    return object;
}

void
arena_drop(struct arena *a, const void *object, size_t bytes)
{
    struct arena_block **at = &a->last, *block;

    if (bytes <= BLOCK_BYTES_MAX)
        return;
    while (*at != NULL && (*at)->data != object)
        at = &(*at)->previous;
    block = *at;
    if (block == NULL || block == a->last) /* the last block is being filled still */
        return;
    *at = block->previous;
    a->used_bytes -= block->bytes;
    mem_free(block);
}

struct arena_mark
arena_mark(const struct arena *a)
{
    return (struct arena_mark){
        .last = a->last, .at = a->at, .left = a->left, .used_bytes = a->used_bytes};
}

void
arena_rewind(struct arena *a, struct arena_mark mark)
{
    size_t handed_out = a->last == mark.last ? mark.left - a->left : mark.left;

    while (a->last != mark.last) {
        struct arena_block *previous = a->last->previous;

        mem_free(a->last);
        a->last = previous;
    }
    if (handed_out > 0)
        memset(mark.at, 0, handed_out); /* what is handed out next must be zeroed again */
    a->at = mark.at;
    a->left = mark.left;
    a->used_bytes = mark.used_bytes;
}

enum status
arena_copy(struct arena *a, struct slice bytes, struct slice *ret_copy, struct err *err)
{
    char *copy = arena_alloc(a, bytes.length + 1, 1);

    if (copy == NULL)
        return arena_fail(a, err);
    if (bytes.length > 0)
        memcpy(copy, bytes.at, bytes.length);
    *ret_copy = (struct slice){.at = copy, .length = bytes.length};
    return OK;
}

enum status
arena_printf(struct arena *a, struct slice *ret_text, struct err *err, const char *format, ...)
{
    va_list arguments;
    int length;
    char *text;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    FAIL_IF(length < 0, err, INTERNAL, 0, "a text that cannot be formatted");
    text = arena_alloc(a, (size_t)length + 1, 1);
    if (text == NULL)
        return arena_fail(a, err);
    va_start(arguments, format);
    (void)vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    *ret_text = (struct slice){.at = text, .length = (size_t)length};
    return OK;
}
