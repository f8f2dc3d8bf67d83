/*
 * Any bytes as a NumPy array or, where they begin with PK, as an archive; where they begin with a
 * brace, as the header of an array, and of one within an archive. What is found must come through the
 * inspector's record unchanged, and be shown as JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"
#include "tests/support/zip_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24, DATA_BYTES = 64, HEADER_MAX = 65535 };

static struct limits
small_limits(void)
{
    struct limits limits = limits_default();

    limits.arena_bytes = CAP;
    limits.pickle_bytes = 1 << 22;
    limits.pickle_nodes = 200000;
    limits.pickle_memo = 100000;
    limits.zip_entries = 5000;
    limits.findings = 50;
    return limits;
}

static void
inspect(struct slice bytes)
{
    CLEANUP(inspection_done)
    struct inspection in = {.arena = arena_with_cap(CAP), .default_container = SIZE_MAX};
    CLEANUP(inspection_done) struct inspection back = {0};
    CLEANUP(buf_done) struct buf record = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf again = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf shown = buf_with_cap(CAP);
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);
    struct limits limits = small_limits();

    if (format_read_file(&files, &limits, &in, NULL) != OK)
        return;
    record_add_inspection(&record, &in);
    if (buf_check(&record, NULL) != OK ||
        record_read_inspection(buf_slice_of(&record), &limits, &back, NULL) != OK ||
        inspection_json(&shown, &in, true, 0, &limits, NULL) != OK)
        abort();
    record_add_inspection(&again, &back);
    if (!slice_equal(buf_slice_of(&record), buf_slice_of(&again)))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char zeros[DATA_BYTES];
    CLEANUP(buf_done) struct buf array = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf archive = buf_with_cap(CAP);
    struct made_member member = {.name = "a.npy"};

    inspect((struct slice){(const char *)data, size});
    if (size == 0 || data[0] != '{' || size > HEADER_MAX)
        return 0;
    buf_text(&array, "\x93NUMPY\1");
    buf_char(&array, '\0');
    buf_le8(&array, (uint8_t)size);
    buf_le8(&array, (uint8_t)(size >> 8));
    buf_add(&array, data, size);
    buf_add(&array, zeros, sizeof zeros);
    inspect(buf_slice_of(&array));
    member.bytes = array.bytes;
    member.length = array.length;
    made_zip(&archive, &member, 1, (struct made_end){0});
    inspect(buf_slice_of(&archive));
    return 0;
}
