#pragma once
/*
 * For the readers' fuzz targets: limits that a search can reach, and what must hold of whatever was
 * found: it is shown as JSON that our own reader takes, and comes through the inspector's record
 * unchanged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"

enum { FUZZ_CAP = 1 << 26 };

static inline struct limits
fuzz_limits(void)
{
    struct limits limits = limits_default();

    limits.arena_bytes = FUZZ_CAP;
    limits.pickle_bytes = 1 << 22;
    limits.pickle_nodes = 200000;
    limits.pickle_memo = 100000;
    limits.tensors = 5000;
    limits.zip_entries = 5000;
    limits.findings = 50;
    return limits;
}

static inline void
fuzz_check_json(const struct inspection *in, const struct limits *limits)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(FUZZ_CAP);
    CLEANUP(arena_done) struct arena arena = arena_with_cap(FUZZ_CAP);
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

static inline void
fuzz_check_record(const struct inspection *in, const struct limits *limits)
{
    CLEANUP(buf_done) struct buf once = buf_with_cap(FUZZ_CAP);
    CLEANUP(buf_done) struct buf twice = buf_with_cap(FUZZ_CAP);
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

/* Read the bytes by whichever format takes them, and check. */
static inline void
fuzz_inspect(struct slice bytes)
{
    struct limits limits = fuzz_limits();
    CLEANUP(inspection_done)
    struct inspection in = {
        .arena = arena_with_cap(limits.arena_bytes),
        .default_container = SIZE_MAX,
    };
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);

    if (format_read_file(&files, &limits, &in, NULL) != OK)
        return;
    fuzz_check_json(&in, &limits);
    fuzz_check_record(&in, &limits);
}
