/*
 * Any bytes as a TorchScript archive; or, where they do not begin like a zip, as one part of one: the
 * model.json of PyTorch 1.0 where they begin like JSON, the code where they begin with "class", else
 * data.pkl. What is found must be shown as JSON that our own reader takes, and must come through the
 * inspector's record unchanged.
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

/* A module with a parameter, a buffer, a list and a child, for code that is searched; and the code of a
 * class M, for modules that are. */
static const char sample_module[] =
    "\x80\2c__torch__\nM\n)\x81}(X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
    "ctorch\nFloatStorage\nX\1\0\0\0"
    "0X\3\0\0\0cpuK\6tQK\0(K\2K\3t(K\3K\1t\x89"
    "ccollections\nOrderedDict\n)RtRq\1X\1\0\0\0bh\1X\1\0\0\0l](h\1h\1eX\1\0\0\0mc__torch__.a\nN\n)"
    "\x81}(X\1\0\0\0wh\1ubub.";
static const char sample_code[] = "class M(Module):\n  __parameters__ = [\"w\", ]\n"
                                  "  __buffers__ = [\"b\", ]\n  w : Tensor\n  b : Tensor\n";

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
        .format = slice_of("torchscript"),
        .default_container = SIZE_MAX,
    };
    struct slice bytes = {(const char *)data, size};
    bool is_json = slice_starts(bytes, slice_of("{"));
    bool is_code = slice_starts(bytes, slice_of("class "));
    const struct made_member members[] = {
        {.name = is_json   ? "a/model.json"
                 : is_code ? "a/code/__torch__.py"
                           : "a/data.pkl",
         .bytes = bytes.at,
         .length = size},
        {.name = "a/data/0", .bytes = "0123456789abcdefghijklmn"},
        {.name = "a/tensors/0", .bytes = "0123456789abcdefghijklmn"},
        {.name = is_code ? "a/data.pkl" : "a/code/__torch__.py",
         .bytes = is_code ? sample_module : sample_code,
         .length = is_code ? sizeof sample_module - 1 : sizeof sample_code - 1},
        {.name = "a/constants.pkl", .bytes = "\x80\2)."},
        {.name = "a/version", .bytes = "3\n"},
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
