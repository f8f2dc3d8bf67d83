/*
 * Any bytes as a gzip stream; or, where they do not begin like one, its deflated part. What is read
 * by jumping about must be what is read from front to back.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/formats/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24, PIECES = 8 };

static void
compare(struct gzip *gzip)
{
    struct source source = gzip_source(gzip);
    size_t length = (size_t)source.size_bytes, piece = length / PIECES;
    CLEANUP(mem_free_at) char *whole = mem_new(length + 1, 1);
    CLEANUP(mem_free_at) char *got = mem_new(length + 1, 1);

    if (whole == NULL || got == NULL || source_read(&source, 0, whole, length, NULL) != OK)
        return;
    for (size_t i = PIECES; i-- > 0;) {
        if (source_read(&source, i * piece, got, piece, NULL) != OK)
            return;
        if (memcmp(got, whole + i * piece, piece) != 0)
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "\x1f\x8b\x08\0\0\0\0\0\0\xff";
    CLEANUP(gzip_close_at) struct gzip *gzip = NULL;
    CLEANUP(buf_done) struct buf made = buf_with_cap(CAP);
    struct limits limits = limits_default();
    struct slice bytes;
    struct source source;

    if (!gzip_is(data, size))
        buf_add(&made, header, sizeof header - 1);
    buf_add(&made, data, size);
    bytes = buf_slice_of(&made);
    source = source_of_bytes(&bytes);
    limits.gzip_bytes = CAP;
    if (gzip_open(&source, &limits, &gzip, NULL) == OK)
        compare(gzip);
    return 0;
}
