#include "server/work/ring.h"

#include <assert.h>

#include "common/base/mem.h"

enum status
ring_init(struct ring *r, size_t capacity, struct err *err)
{
    *r = (struct ring){.bytes = mem_resize(NULL, capacity, 1), .capacity = capacity};
    FAIL_IF(r->bytes == NULL, err, NO_MEMORY, 0, "no memory for a ring of %zu bytes", capacity);
    return OK;
}

void
ring_done(struct ring *r)
{
    if (r == NULL)
        return;
    mem_free(r->bytes);
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
