#include <stdio.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "common/formats/protobuf.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

/* A model of one initializer "w" of two floats, with whatever comes after it. */
#define HEAD  "\x08\x08"
#define W     "\x08\x02\x10\x01\x42\x01w\x4a\x08\0\0\0\0\0\0\0\0"
#define GRAPH "\x3a\x13\x2a\x11" W
#define OPSET "\x42\x02\x10\x11"

#define BYTES(text) (text), sizeof(text) - 1

START_TEST(onnx__reads_every_case)
{
    format_cases_check("onnx", 110);
}
END_TEST

/* Where the case's file may end and still be a model: after its graph, and after its opsets. */
static bool
is_whole_example(size_t length)
{
    return length == 2 + 21 || length == 2 + 21 + 4;
}

START_TEST(onnx__a_file_cut_anywhere_is_never_clean)
{
    static const char model[] = HEAD GRAPH OPSET "\x32\x04text";

    for (size_t length = 0; length < sizeof model - 1; length++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};

        if (format_cases_read(model, length, &in, &err) != OK)
            ck_assert_int_ne(err.text[0], '\0');
        else if (!is_whole_example(length))
            ck_assert_msg(in.safety == SAFETY_MALFORMED, "cut at %zu", length);
    }
}
END_TEST

static const char *const cut[] = {"sparse",   "nested-if", "listed",       "function",
                                  "training", "metadata",  "dtypes-typed", "dtypes-raw"};

/* Where a file may end and be a whole one: behind its graph, after each field of the model. */
static size_t whole_lengths[32];
static size_t whole_count;

static void
find_whole_lengths(struct slice file)
{
    CLEANUP(protobuf_done) struct protobuf p;
    struct source source = source_of_bytes(&file);
    struct limits limits = limits_default();
    struct protobuf_span left = {0, file.length};
    struct protobuf_field f = {0};
    bool is_end, has_graph = false;

    p = protobuf_over(&source, &limits);
    whole_count = 0;
    while (protobuf_next(&p, &left, &f, &is_end, NULL) == OK && !is_end) {
        has_graph = has_graph || f.number == 7;
        if (has_graph)
            whole_lengths[whole_count++] = (size_t)left.offset;
        ck_assert_uint_lt(whole_count, ARRAY_LENGTH(whole_lengths));
    }
}

static bool
may_be_whole(size_t length)
{
    for (size_t i = 0; i < whole_count; i++)
        if (whole_lengths[i] == length)
            return true;
    return false;
}

START_TEST(onnx__a_real_model_cut_anywhere_is_never_clean)
{
    CLEANUP(buf_done) struct buf file = format_cases_input("onnx", cut[_i]);

    find_whole_lengths(buf_slice_of(&file));
    ck_assert_uint_ge(whole_count, 2);
    format_cases_cut("onnx", cut[_i], may_be_whole);
}
END_TEST

START_TEST(onnx__a_byte_made_wrong_is_survived)
{
    format_cases_spoil("onnx", cut[_i]);
}
END_TEST

START_TEST(onnx__tells_where_raw_bytes_lie)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    const struct place *place;
    struct err err = {0};

    ck_assert_msg(format_cases_read(BYTES(HEAD GRAPH OPSET), &in, &err) == OK, "%s", err.text);
    ck_assert(slice_is(in.format, "onnx"));
    ck_assert_int_eq(in.safety, SAFETY_CLEAN);
    ck_assert(!in.weights_only.applies);
    ck_assert_uint_eq(in.default_container, 0);
    place = &in.containers[0].placement.places[0];
    ck_assert(place->has_bytes);
    ck_assert_uint_eq(place->offset, 2 + 2 + 2 + 9);
    ck_assert_uint_eq(place->stored_bytes, 8);
}
END_TEST

/* A source that counts what is read of it: zeros behind a head. */
struct counted {
    const char *head;
    size_t head_length;
    uint64_t read_bytes;
};

static enum status
read_counted(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    struct counted *c = context;
    size_t from_head = offset >= c->head_length ? 0 : c->head_length - (size_t)offset;

    (void)err;
    if (from_head > n)
        from_head = n;
    memset(buffer, 0, n);
    if (from_head > 0)
        memcpy(buffer, c->head + offset, from_head);
    c->read_bytes += n;
    return OK;
}

START_TEST(onnx__never_reads_weights)
{
    /* 1 GiB of raw_data: the lengths of graph, initializer and raw_data are varints of five bytes. */
    static const char head[] = HEAD "\x3a\x97\x80\x80\x80\x04" /* the graph */
                                    "\x2a\x91\x80\x80\x80\x04" /* the initializer */
                                    "\x08\x80\x80\x80\x80\x01\x10\x01\x42\x01w"
                                    "\x4a\x80\x80\x80\x80\x04";
    struct counted counted = {head, sizeof head - 1, 0};
    struct source source = {
        .size_bytes = 2 + 6 + 6 + 17 + (1U << 30), .read_at = read_counted, .context = &counted};
    struct fileset files = fileset_of_source(&source);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct err err = {0};

    ck_assert_msg(format_read(&files, &limits, &in, &err) == OK, "%s", err.text);
    ck_assert_uint_eq(in.containers[0].structure.count, 1);
    ck_assert_uint_eq(in.containers[0].structure.tensors[0].bytes, 1U << 30);
    ck_assert_uint_lt(counted.read_bytes, 64 << 10);
}
END_TEST

/* What a node lacks is looked for nowhere: each part of the file is read once or twice. */
START_TEST(onnx__reads_many_small_messages_in_one_go)
{
    enum { NODES = 20000 };
    static char file[2 + 5 + 2 * NODES] = HEAD "\x3a\xc0\xb8\x02";
    struct counted counted = {file, sizeof file - 1, 0};
    struct source source = {
        .size_bytes = 2 + 4 + 2 * NODES, .read_at = read_counted, .context = &counted};
    struct fileset files = fileset_of_source(&source);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct err err = {0};

    for (size_t i = 0; i < NODES; i++)
        memcpy(file + 6 + 2 * i, "\x0a\0", 2);
    ck_assert_msg(format_read(&files, &limits, &in, &err) == OK, "%s", err.text);
    ck_assert_uint_lt(counted.read_bytes, 4 * sizeof file);
}
END_TEST

START_TEST(onnx__keeps_every_limit)
{
    struct slice file = {BYTES(HEAD "\x3a\x26\x2a\x11" W "\x2a\x11" W OPSET)};
    struct source source = source_of_bytes(&file);
    struct fileset files = fileset_of_source(&source);
    struct limits limits[3];

    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++)
        limits[i] = limits_default();
    limits[0].tensors = 1;
    limits[1].protobuf_fields = 5;
    limits[2].arena_bytes = 64;
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};

        ck_assert_int_eq(format_read(&files, &limits[i], &in, &err), ERR_LIMIT);
        ck_assert_int_ne(err.text[0], '\0');
    }
}
END_TEST

START_TEST(onnx__a_tensor_past_the_limits_is_left_out)
{
    struct slice file = {BYTES(HEAD GRAPH OPSET)};
    struct source source = source_of_bytes(&file);
    struct fileset files = fileset_of_source(&source);
    struct limits limits[2] = {limits_default(), limits_default()};

    limits[0].rank = 0;
    limits[1].name_bytes = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        CLEANUP(inspection_done) struct inspection in = {0};

        ck_assert_int_eq(format_read(&files, &limits[i], &in, NULL), OK);
        ck_assert_uint_eq(in.containers[0].structure.count, 0);
        ck_assert_uint_gt(in.finding_count, 0);
    }
}
END_TEST

/* What a probe must leave alone: texts, runs of one byte, messages of other kinds. */
static const struct {
    const char *bytes;
    size_t length;
} strangers[] = {
    {BYTES("\x08\x08")},
    {BYTES("\x08\x08\x12\x07pytorch")},
    {BYTES("\x3a\0")},
    {BYTES("\x08\0\x3a\0")},
    {BYTES("\x08\x80\x02\x3a\0")},
    {BYTES("\x0a\x03"
           "abc\x3a\0")},
    {BYTES("# A text that somebody saved under the wrong name\n")},
    {BYTES("\x08\x08\x08\x08\x08\x08\x08\x08")},
    {BYTES("\0\0\0\0\0\0\0\0")},
};

START_TEST(onnx__leaves_other_files_alone)
{
    CLEANUP(inspection_done) struct inspection in = {0};

    ck_assert_int_eq(format_cases_read(strangers[_i].bytes, strangers[_i].length, &in, NULL),
                     ERR_UNRECOGNIZED);
}
END_TEST

SUITE(onnx)
{
    return suite_with(
        "onnx", TEST(onnx__reads_every_case), TEST(onnx__a_file_cut_anywhere_is_never_clean),
        LOOP(onnx__a_real_model_cut_anywhere_is_never_clean, cut),
        LOOP(onnx__a_byte_made_wrong_is_survived, cut), TEST(onnx__tells_where_raw_bytes_lie),
        TEST(onnx__never_reads_weights), TEST(onnx__reads_many_small_messages_in_one_go),
        TEST(onnx__keeps_every_limit), TEST(onnx__a_tensor_past_the_limits_is_left_out),
        LOOP(onnx__leaves_other_files_alone, strangers));
}
