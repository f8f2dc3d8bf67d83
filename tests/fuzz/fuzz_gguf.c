/*
 * Any bytes as a GGUF file. What is found must come through the inspector's record unchanged, and be
 * shown as JSON.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(inspection_done)
    struct inspection in = {
        .arena = arena_with_cap(CAP),
        .format = slice_of("gguf"),
        .default_container = SIZE_MAX,
    };
    CLEANUP(inspection_done) struct inspection back = {0};
    CLEANUP(buf_done) struct buf record = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf again = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf shown = buf_with_cap(CAP);
    struct slice bytes = {(const char *)data, size};
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);
    struct limits limits = limits_default();

    limits.arena_bytes = CAP;
    limits.findings = 50;
    if (format_gguf.read(&files, &limits, &in, NULL) != OK)
        return 0;
    record_add_inspection(&record, &in);
    if (buf_check(&record, NULL) != OK ||
        record_read_inspection(buf_slice_of(&record), &limits, &back, NULL) != OK ||
        inspection_json(&shown, &in, true, 0, &limits, NULL) != OK)
        abort();
    record_add_inspection(&again, &back);
    if (!slice_equal(buf_slice_of(&record), buf_slice_of(&again)))
        abort();
    return 0;
}
