/*
 * Any bytes as a set of files: a line of their names and lengths first,
 *
 *     a.index.json=12 m-1-of-2.bin=100 …\n
 *
 * then their bytes, one after the other. What is found must be shown as JSON and must come through
 * the inspector's record unchanged.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 26, FILES_MAX = 16 };

struct set {
    struct slice paths[FILES_MAX];
    struct slice bytes[FILES_MAX];
    size_t count;
};

static struct slice
path_of(void *context, size_t i)
{
    const struct set *s = context;

    return s->paths[i];
}

static enum status
open_file(void *context, size_t i, struct source *ret_source, struct err *err)
{
    const struct set *s = context;

    (void)err;
    *ret_source = source_of_bytes(&s->bytes[i]);
    return OK;
}

static bool
has_path(const struct set *s, struct slice path)
{
    for (size_t i = 0; i < s->count; i++)
        if (slice_equal(s->paths[i], path))
            return true;
    return false;
}

static void
cut_set(struct set *s, struct slice rest)
{
    struct slice line = slice_cut(&rest, '\n');

    while (line.at != NULL && s->count < FILES_MAX) {
        struct slice length = slice_cut(&line, ' '), path = slice_cut(&length, '=');
        uint64_t n;

        if (!num_parse_u64(length, &n) || n > rest.length)
            n = rest.length;
        if (path.length == 0 || has_path(s, path))
            continue;
        s->paths[s->count] = path;
        s->bytes[s->count++] = slice_part(rest, 0, (size_t)n);
        rest = slice_from(rest, (size_t)n);
    }
}

static void
check(const struct inspection *in, const struct limits *limits)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf once = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf twice = buf_with_cap(CAP);
    CLEANUP(inspection_done) struct inspection back = {0};
    struct err err = {0};

    if (inspection_json(&text, in, true, 0, limits, &err) != OK)
        abort();
    record_add_inspection(&once, in);
    if (record_read_inspection(buf_slice_of(&once), limits, &back, &err) != OK) {
        (void)fprintf(stderr, "the record is refused: %s\n", err.text);
        abort();
    }
    record_add_inspection(&twice, &back);
    if (!slice_equal(buf_slice_of(&once), buf_slice_of(&twice)))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct set set = {.count = 0};
    struct fileset files = {.path = path_of, .open = open_file, .context = &set};

    limits.arena_bytes = CAP;
    limits.pickle_bytes = 1 << 22;
    limits.pickle_nodes = 200000;
    limits.pickle_memo = 100000;
    limits.tensors = 5000;
    limits.zip_entries = 5000;
    limits.findings = 50;
    limits.gzip_bytes = 1 << 24;
    limits.dcp_chunks = 20;
    cut_set(&set, (struct slice){(const char *)data, size});
    files.count = set.count;
    if (format_read(&files, &limits, &in, NULL) == OK)
        check(&in, &limits);
    return 0;
}
