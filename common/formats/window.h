#pragma once
/*
 * A window onto a source: reads that lie close together cost one read of the source. It holds a
 * bounded run of bytes and moves where it is asked to look.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/formats/source.h"

struct window {
    const struct source *source;
    size_t ahead; /* bytes to read at once where the source has them */
    uint8_t *bytes;
    size_t capacity;
    uint64_t start; /* of bytes, in the source */
    size_t length;
};

/* Over a source, which must outlive it. */
struct window window_over(const struct source *source, size_t ahead);
void window_done(struct window *w);

/* Lend length bytes at offset; they live until the next call. ERR_TRUNCATED past the source's end. */
enum status window_at(struct window *w, uint64_t offset, size_t length, const uint8_t **ret_bytes,
                      struct err *err) MUST_CHECK;
