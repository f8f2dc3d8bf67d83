#include "common/formats/window.h"

#include "common/base/mem.h"

struct window
window_over(const struct source *source, size_t ahead)
{
    return (struct window){.source = source, .ahead = ahead};
}

void
window_done(struct window *w)
{
    mem_free(w->bytes);
    *w = (struct window){0};
}

static enum status
make_room(struct window *w, size_t length, struct err *err)
{
    uint8_t *bytes;

    if (length <= w->capacity)
        return OK;
    bytes = mem_resize(w->bytes, length, 1);
    FAIL_IF(bytes == NULL, err, NO_MEMORY, 0, "out of memory");
    w->bytes = bytes;
    w->capacity = length;
    return OK;
}

enum status
window_at(struct window *w, uint64_t offset, size_t length, const uint8_t **ret_bytes,
          struct err *err)
{
    uint64_t size = w->source->size_bytes;
    size_t want;

    FAIL_IF(offset > size || length > size - offset, err, TRUNCATED, size,
            "%zu bytes expected at offset %llu, but the file ends at %llu", length,
            (unsigned long long)offset, (unsigned long long)size);
    if (w->bytes == NULL || offset < w->start || offset - w->start > w->length ||
        length > w->length - (offset - w->start)) {
        want = length > w->ahead ? length : w->ahead;
        if (want > size - offset)
            want = (size_t)(size - offset);
        TRY(make_room(w, want == 0 ? 1 : want, err));
        w->length = 0; /* a failed read leaves nothing to lend */
        TRY(source_read(w->source, offset, w->bytes, want, err));
        w->start = offset;
        w->length = want;
    }
    *ret_bytes = w->bytes + (offset - w->start);
    return OK;
}
