/*
 * Any bytes as an archive of torch.export; or, where they do not begin like a zip, as one part of one:
 * the table of weights where they begin with its key, else the program. What is found must be shown as
 * JSON that our own reader takes, and must come through the inspector's record unchanged.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"
#include "tests/support/zip_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 26 };

static struct limits
small_limits(void)
{
    struct limits limits = limits_default();

    limits.arena_bytes = CAP;
    limits.pickle_bytes = 1 << 22;
    limits.pickle_nodes = 200000;
    limits.pickle_memo = 100000;
    limits.tensors = 5000;
    limits.zip_entries = 5000;
    limits.findings = 50;
    return limits;
}

static void
check_json(const struct inspection *in, const struct limits *limits)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(CAP);
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    CLEANUP(json_done) struct json j = {0};
    struct limits deep = *limits;
    struct err err = {0};

    if (inspection_json(&text, in, true, 1, limits, &err) != OK) {
        (void)fprintf(stderr, "not shown: %s\n", err.text);
        abort();
    }
    deep.json_depth = JSON_DEPTH_MAX;
    json_open(&j, buf_slice_of(&text), &deep, &arena);
    /* A member's name may hold a NUL, which JSON can spell and our reader does not take. */
    if ((json_skip(&j, NULL, &err) != OK || json_finish(&j, &err) != OK) &&
        strstr(err.text, "NUL") == NULL) {
        (void)fprintf(stderr, "no JSON at %llu: %s\n", (unsigned long long)err.offset, err.text);
        abort();
    }
}

static void
check_record(const struct inspection *in, const struct limits *limits)
{
    CLEANUP(buf_done) struct buf once = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf twice = buf_with_cap(CAP);
    CLEANUP(inspection_done) struct inspection back = {0};
    struct err err = {0};

    record_add_inspection(&once, in);
    if (buf_check(&once, NULL) != OK)
        abort();
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
    CLEANUP(buf_done) struct buf made = buf_with_cap(CAP);
    struct limits limits = small_limits();
    CLEANUP(inspection_done)
    struct inspection in = {
        .arena = arena_with_cap(limits.arena_bytes),
        .format = slice_of("torch-export"),
        .default_container = SIZE_MAX,
    };
    struct slice bytes = {(const char *)data, size};
    bool is_table = slice_starts(bytes, slice_of("{\"config\""));
    const struct made_member members[] = {
        {.name = "a/archive_format", .bytes = "pt2"},
        {.name = "a/archive_version", .bytes = "0"},
        {.name = "a/.data/version", .bytes = "6\n"},
        {.name = is_table ? "a/data/weights/m_weights_config.json" : "a/models/m.json",
         .bytes = bytes.at,
         .length = size},
        {.name = is_table ? "a/models/m.json" : "a/data/weights/m_weights_config.json",
         .bytes = "{\"config\": {}}"},
        {.name = "a/data/weights/weight_0", .bytes = "0123456789abcdefghijklmn"},
        {.name = "a/data/constants/m_constants_config.json", .bytes = "{}"},
    };
    struct source source;
    struct fileset files;

    if (!slice_starts(bytes, slice_of("PK")) && size > 0) {
        made_zip(&made, members, ARRAY_LENGTH(members), (struct made_end){0});
        bytes = buf_slice_of(&made);
    }
    source = source_of_bytes(&bytes);
    files = fileset_of_source(&source);
    if (format_read_file(&files, &limits, &in, NULL) != OK)
        return 0;
    check_json(&in, &limits);
    check_record(&in, &limits);
    return 0;
}
