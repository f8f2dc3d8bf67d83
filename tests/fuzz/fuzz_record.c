/*
 * Any bytes as an inspector's answer. What the daemon takes of it must be sound: it can be written
 * again, comes back alike, and has fingerprints.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/structure/fingerprint.h"
#include "common/structure/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24 };

static void
must(bool holds)
{
    if (!holds)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    CLEANUP(inspection_done) struct inspection back = {0};
    CLEANUP(buf_done) struct buf once = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf twice = buf_with_cap(CAP);
    struct limits limits = limits_default();

    limits.arena_bytes = CAP;
    if (record_read_inspection((struct slice){(const char *)data, size}, &limits, &in, NULL) != OK)
        return 0;
    record_add_inspection(&once, &in);
    must(buf_check(&once, NULL) == OK);
    must(record_read_inspection(buf_slice_of(&once), &limits, &back, NULL) == OK);
    record_add_inspection(&twice, &back);
    must(slice_equal(buf_slice_of(&once), buf_slice_of(&twice)));
    for (size_t i = 0; i < in.container_count; i++) {
        struct fingerprints f;

        must(fingerprint_structure(&in.containers[i].structure, &limits, &f, NULL) == OK);
    }
    return 0;
}
