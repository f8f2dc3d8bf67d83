/*
 * Any bytes as a safetensors file; where they begin with a brace, as the header of one. What is found
 * must come through the inspector's record unchanged.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "common/structure/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24, DATA_BYTES = 64 };

static void
inspect(struct slice bytes)
{
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(CAP)};
    CLEANUP(inspection_done) struct inspection back = {0};
    CLEANUP(buf_done) struct buf record = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf again = buf_with_cap(CAP);
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);
    struct limits limits = limits_default();

    limits.arena_bytes = CAP;
    if (format_safetensors.read(&files, &limits, &in, NULL) != OK)
        return;
    record_add_inspection(&record, &in);
    if (buf_check(&record, NULL) != OK ||
        record_read_inspection(buf_slice_of(&record), &limits, &back, NULL) != OK)
        abort();
    record_add_inspection(&again, &back);
    if (!slice_equal(buf_slice_of(&record), buf_slice_of(&again)))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char zeros[DATA_BYTES];
    CLEANUP(buf_done) struct buf file = buf_with_cap(CAP);

    if (size > 0 && data[0] == '{') {
        buf_le64(&file, size);
        buf_add(&file, data, size);
        buf_add(&file, zeros, sizeof zeros);
        inspect(buf_slice_of(&file));
    }
    inspect((struct slice){(const char *)data, size});
    return 0;
}
