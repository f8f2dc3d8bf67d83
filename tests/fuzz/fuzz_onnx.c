/*
 * Any bytes as an ONNX model, with a file beside it that external data may lie in. What is found must be
 * shown as JSON that our own reader takes, must come through the inspector's record unchanged, and
 * places must be within their files.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 26, SIBLING_BYTES = 64 };

static const char zeros[SIBLING_BYTES];
static const struct slice sibling = {zeros, sizeof zeros};

static struct slice
path_of(void *context, size_t i)
{
    (void)context;
    return slice_of(i == 0 ? "folder/model.onnx" : "folder/w.bin");
}

static enum status
open_file(void *context, size_t i, struct source *ret_source, struct err *err)
{
    (void)err;
    *ret_source = source_of_bytes(i == 0 ? context : &sibling);
    return OK;
}

static struct limits
small_limits(void)
{
    struct limits limits = limits_default();

    limits.arena_bytes = CAP;
    limits.tensors = 5000;
    limits.protobuf_fields = 200000;
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
    /* A tensor's name may hold a NUL, which JSON can spell and our reader does not take. */
    if ((json_skip(&j, NULL, &err) != OK || json_finish(&j, &err) != OK) &&
        strstr(err.text, "NUL") == NULL) {
        (void)fprintf(stderr, "no JSON at %llu: %s\n", (unsigned long long)err.offset, err.text);
        abort();
    }
}

static void
check_record(const struct inspection *in, const struct limits *limits)
{
    CLEANUP(buf_done) struct buf record = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf again = buf_with_cap(CAP);
    CLEANUP(inspection_done) struct inspection back = {0};
    struct err err = {0};

    record_add_inspection(&record, in);
    if (buf_check(&record, NULL) != OK ||
        record_read_inspection(buf_slice_of(&record), limits, &back, &err) != OK) {
        (void)fprintf(stderr, "record: %s\n", err.text);
        abort();
    }
    record_add_inspection(&again, &back);
    if (!slice_equal(buf_slice_of(&record), buf_slice_of(&again)))
        abort();
}

static void
check_places(const struct inspection *in, uint64_t size)
{
    for (size_t i = 0; i < in->container_count; i++) {
        const struct container *c = &in->containers[i];

        for (size_t k = 0; c->placement.places != NULL && k < c->structure.count; k++) {
            const struct place *p = &c->placement.places[k];
            uint64_t whole = p->file == 0 ? size : SIBLING_BYTES;

            if (p->has_bytes && (p->offset > whole || p->stored_bytes > whole - p->offset))
                abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = {(const char *)data, size};
    CLEANUP(inspection_done)
    struct inspection in = {.arena = arena_with_cap(CAP), .default_container = SIZE_MAX};
    struct fileset files = {.count = 2, .path = path_of, .open = open_file, .context = &bytes};
    struct source source = source_of_bytes(&bytes);
    struct limits limits = small_limits();
    struct err err = {0};

    if (format_onnx.probe(data, size, &source) > 31)
        abort(); /* never surer than a format with a magic */
    if (format_onnx.read(&files, &limits, &in, &err) != OK) {
        if (err.text[0] == '\0')
            abort();
        return 0;
    }
    in.format = slice_of(format_onnx.name);
    check_json(&in, &limits);
    check_record(&in, &limits);
    check_places(&in, size);
    return 0;
}
