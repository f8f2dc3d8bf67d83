#include "server/work/ring.h"

#include <assert.h>
#include <sys/mman.h>

enum status
ring_init(struct ring *r, size_t capacity, struct err *err)
{
    /* Straight from the system and back to it: the heap would keep what a crowd of uploads once
     * needed. Pages cost something only when they are touched. */
    void *bytes = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    *r = (struct ring){0};
    FAIL_IF(bytes == MAP_FAILED, err, NO_MEMORY, 0, "no memory for a ring of %zu bytes", capacity);
    *r = (struct ring){.bytes = bytes, .capacity = capacity};
    return OK;
}

void
ring_done(struct ring *r)
{
    if (r == NULL)
        return;
    if (r->bytes != NULL)
        (void)munmap(r->bytes, r->capacity);
    *r = (struct ring){0};
}

size_t
ring_room(struct ring *r, char **ret_at)
{
    size_t end;

    /* Here and not in ring_read, which runs while the writer still copies to where it was told. */
    if (r->held == 0)
        r->start = 0;
    end = r->start + r->held;

    if (end >= r->capacity) {
        end -= r->capacity;
        *ret_at = r->bytes + end;
        return r->start - end;
    }
    *ret_at = r->bytes + end;
    return r->capacity - end;
}

void
ring_wrote(struct ring *r, size_t length)
{
    assert(length <= r->capacity - r->held);
    r->held += length;
}

struct slice
ring_held(const struct ring *r)
{
    size_t run = r->capacity - r->start;

    if (r->held == 0) /* there may be no bytes at all yet, and nothing may be added to NULL */
        return (struct slice){0};
    return (struct slice){.at = r->bytes + r->start, .length = run < r->held ? run : r->held};
}

void
ring_read(struct ring *r, size_t length)
{
    assert(length <= r->held);
    r->held -= length;
    r->start += length;
    if (r->start == r->capacity)
        r->start = 0;
}
