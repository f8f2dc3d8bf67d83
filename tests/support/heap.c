#include "tests/support/heap.h"

#include <errno.h>
#include <stdbool.h>

static struct {
    bool is_failing;
    size_t successes;
} heap;

void
heap_fail_after(size_t successes)
{
    heap.is_failing = true;
    heap.successes = successes;
}

void
heap_heal(void)
{
    heap.is_failing = false;
}

static bool
fails(void)
{
    if (!heap.is_failing)
        return false;
    if (heap.successes > 0) {
        heap.successes--;
        return false;
    }
    errno = ENOMEM;
    return true;
}

/* The linker leads calls of calloc and realloc here, and __real_* to libc (ld's --wrap). */
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *
__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}
