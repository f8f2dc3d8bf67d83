#include "common/base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_BYTES = 128 << 10 }; /* glibc's own first guess */

void *
mem_new(size_t count, size_t size)
{
    return calloc(count == 0 ? 1 : count, size);
}

char *
mem_copy(const void *bytes, size_t length)
{
    char *copy = mem_new(length + 1, 1);

    if (copy != NULL && length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

void *
mem_resize(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return realloc(block, bytes == 0 ? 1 : bytes);
}

void
mem_free(void *block)
{
    free(block);
}

void
mem_free_at(void *pointer_address)
{
    void *block;

    memcpy(&block, pointer_address, sizeof block);
    free(block);
}

void
mem_keep_little(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES); /* NOLINT(concurrency-mt-unsafe): one thread */
}

void
mem_trim(void)
{
    (void)malloc_trim(0);
}
