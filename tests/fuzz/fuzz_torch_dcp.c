/*
 * Any bytes as the .metadata of a distributed checkpoint, beside a .distcp file of two torch.save
 * archives: too small to be real, but each offset and length of it can be named.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "common/structure/record.h"
#include "tests/support/zip_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 26 };

struct set {
    struct slice bytes[2];
};

static struct slice
path_of(void *context, size_t i)
{
    (void)context;
    return slice_of(i == 0 ? ".metadata" : "__0_0.distcp");
}

static enum status
open_file(void *context, size_t i, struct source *ret_source, struct err *err)
{
    const struct set *s = context;

    (void)err;
    *ret_source = source_of_bytes(&s->bytes[i]);
    return OK;
}

/* Two archives, one after the other. */
static void
make_parts(struct buf *out)
{
    const struct made_member members[] = {
        {.name = "archive/data.pkl", .bytes = "\x80\2K\1.", .length = 5},
        {.name = "archive/version", .bytes = "3\n"},
    };

    made_zip(out, members, ARRAY_LENGTH(members), (struct made_end){0});
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    CLEANUP(inspection_done) struct inspection back = {0};
    CLEANUP(buf_done) struct buf parts = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf record = buf_with_cap(CAP);
    struct limits limits = limits_default();
    struct set set = {.bytes = {{(const char *)data, size}}};
    struct fileset files = {.count = 2, .path = path_of, .open = open_file, .context = &set};
    struct err err = {0};

    make_parts(&parts);
    set.bytes[1] = buf_slice_of(&parts);
    limits.arena_bytes = CAP;
    limits.pickle_nodes = 200000;
    limits.pickle_memo = 100000;
    limits.tensors = 5000;
    limits.findings = 50;
    limits.dcp_chunks = 50;
    limits.tile_steps = 100000;
    in.arena = arena_with_cap(CAP);
    in.default_container = SIZE_MAX;
    if (format_torch_dcp.read(&files, &limits, &in, NULL) != OK)
        return 0;
    in.format = slice_of("torch-dcp");
    record_add_inspection(&record, &in);
    if (record_read_inspection(buf_slice_of(&record), &limits, &back, &err) != OK) {
        (void)fprintf(stderr, "the record is refused: %s\n", err.text);
        abort();
    }
    return 0;
}
