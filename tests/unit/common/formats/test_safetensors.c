#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"
#include "tests/support/unit.h"

/* A file: the header, its length before it, data_bytes zero bytes after it. */
static struct slice
file_of(const char *header, size_t data_bytes)
{
    size_t length = strlen(header);
    char *file = mem_new(8 + length + data_bytes, 1);

    for (size_t i = 0; i < 8; i++)
        file[i] = (char)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    return (struct slice){file, 8 + length + data_bytes};
}

static enum status
read_file(struct slice file, const struct limits *limits, struct inspection *in, struct err *err)
{
    struct source source = source_of_bytes(&file);
    struct fileset files = fileset_of_source(&source);

    return format_read(&files, limits, in, err);
}

static enum status
read_header(const char *header, size_t data_bytes, struct inspection *in, struct err *err)
{
    struct slice file = file_of(header, data_bytes);
    struct limits limits = limits_default();
    enum status status = read_file(file, &limits, in, err);

    free((void *)(uintptr_t)file.at);
    return status;
}

START_TEST(safetensors__tells_names_dtypes_shapes_and_places)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct err err = {0};
    const struct structure *s;

    ck_assert_msg(read_header("{\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                              "\"__metadata__\":{\"format\":\"pt\"},"
                              "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                              16, &in, &err) == OK,
                  "%s", err.text);
    ck_assert(slice_is(in.format, "safetensors"));
    ck_assert(slice_is(in.metadata, "{\"format\":\"pt\"}"));
    ck_assert_int_eq(in.safety, SAFETY_CLEAN);
    ck_assert(!in.weights_only.applies);
    s = &inspection_default(&in)->structure;
    ck_assert_uint_eq(s->count, 2);
    ck_assert(slice_is(s->tensors[0].name, "a"));
    ck_assert_uint_eq(s->tensors[0].shape.rank, 0);
    ck_assert_uint_eq(s->tensors[0].elements, 1);
    ck_assert_int_eq(s->tensors[1].dtype, DTYPE_BFLOAT16);
    ck_assert_uint_eq(s->tensors[1].bytes, 12);
    /* The file's own order is b, a; b's bytes lie after a's. */
    ck_assert_uint_eq(in.containers[0].facts.order[0], 1);
    ck_assert_uint_eq(in.containers[0].placement.places[1].offset,
                      in.containers[0].placement.places[0].offset + 4);
}
END_TEST

START_TEST(safetensors__counts_packed_pairs_as_pytorch_does)
{
    CLEANUP(inspection_done) struct inspection in = {0};

    ck_assert_int_eq(
        read_header("{\"q\":{\"dtype\":\"F4\",\"shape\":[3,8],\"data_offsets\":[0,12]}}", 12, &in,
                    NULL),
        OK);
    ck_assert_int_eq(in.containers[0].structure.tensors[0].dtype, DTYPE_FLOAT4_E2M1FN_X2);
    ck_assert_uint_eq(in.containers[0].structure.tensors[0].shape.dims[1], 4);
}
END_TEST

/* What the reference takes, too. */
static const struct {
    const char *header;
    size_t data_bytes;
    size_t tensors;
    size_t findings;
} taken[] = {
    {"{}", 0, 0, 0},
    {"{}      ", 0, 0, 0},
    {"  {}", 0, 0, 1},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[0,0]}}", 0, 1, 0},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2],\"more\":{\"x\":[1]}}}", 2, 1,
     1},
    {"{\"__metadata__\":null,\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, 1,
     0},
    {"{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1, 0},
    {"{\"\\u00e9\\ud83d\\ude00\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, 1,
     0},
};

START_TEST(safetensors__takes_what_the_reference_takes)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct err err = {0};

    ck_assert_msg(read_header(taken[_i].header, taken[_i].data_bytes, &in, &err) == OK, "%s: %s",
                  taken[_i].header, err.text);
    ck_assert_uint_eq(in.containers[0].structure.count, taken[_i].tensors);
    ck_assert_uint_eq(in.finding_count, taken[_i].findings);
}
END_TEST

#define ONE(dtype, shape, offsets) \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
    const char *header;
    size_t data_bytes;
    enum status want;
    const char *says;
} refused[] = {
    {ONE("F32", "[2]", "[0,8]"), 7, ERR_TRUNCATED, "cut off"},
    {ONE("F32", "[2]", "[0,8]"), 9, ERR_MALFORMED, "follow the last tensor"},
    {ONE("F32", "[2]", "[0,7]"), 7, ERR_MALFORMED, "need 8"},
    {ONE("F32", "[2]", "[8,0]"), 0, ERR_MALFORMED, "ends before it begins"},
    {ONE("F32", "[2]", "[4,12]"), 12, ERR_MALFORMED, "hole"},
    {ONE("F32", "[2]", "[0,8,9]"), 8, ERR_MALFORMED, "not two numbers"},
    {ONE("F32", "[2]", "[0]"), 8, ERR_MALFORMED, "data_offsets"},
    {ONE("F32", "[-2]", "[0,8]"), 8, ERR_MALFORMED, "-2"},
    {ONE("F32", "[2.0]", "[0,8]"), 8, ERR_MALFORMED, "2.0"},
    {ONE("F32", "[18446744073709551614]", "[0,8]"), 8, ERR_MALFORMED, "overflows"},
    {ONE("F32", "[4294967296,4294967296]", "[0,8]"), 8, ERR_MALFORMED, "overflows"},
    {ONE("F4", "[3]", "[0,2]"), 2, ERR_MALFORMED, "whole bytes"},
    {ONE("F4", "[2,3]", "[0,3]"), 3, ERR_MALFORMED, "odd number"},
    {ONE("F99", "[2]", "[0,8]"), 8, ERR_UNSUPPORTED, "F99"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, ERR_MALFORMED, "lacks"},
    {"{\"a\":7}", 0, ERR_MALFORMED, "must be an object"},
    {"{\"__metadata__\":{\"epoch\":3}}", 0, ERR_MALFORMED, "must be a string"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
     3, ERR_MALFORMED, "overlap"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
     2, ERR_MALFORMED, "occurs twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2,
     ERR_MALFORMED, "occurs twice"},
    {"{\"a\":", 0, ERR_MALFORMED, "ends early"},
    {"{} x", 0, ERR_MALFORMED, "more text"},
    {"{\"a\\ud800\":{}}", 0, ERR_MALFORMED, "surrogate"},
};

START_TEST(safetensors__refuses_what_breaks_the_format)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct err err = {0};

    ck_assert_int_eq(read_header(refused[_i].header, refused[_i].data_bytes, &in, &err),
                     refused[_i].want);
    ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s: %s", refused[_i].header,
                  err.text);
}
END_TEST

START_TEST(safetensors__a_file_cut_anywhere_is_an_error)
{
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[8,10]}}";
    struct slice file = file_of(header, 10);
    struct limits limits = limits_default();

    for (size_t length = 0; length < file.length; length++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};

        ck_assert_int_ne(read_file(slice_part(file, 0, length), &limits, &in, &err), OK);
        ck_assert_int_ne(err.text[0], '\0');
    }
    free((void *)(uintptr_t)file.at);
}
END_TEST

START_TEST(safetensors__keeps_every_limit)
{
    static const char header[] =
        "{\"long.name\":{\"dtype\":\"U8\",\"shape\":[1,1,1],\"data_offsets\":[0,1]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}";
    struct slice file = file_of(header, 2);
    struct limits limits[5];

    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++)
        limits[i] = limits_default();
    limits[0].tensors = 1;
    limits[1].name_bytes = 5;
    limits[2].rank = 2;
    limits[3].header_bytes = 20;
    limits[4].arena_bytes = 64;
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};

        ck_assert_int_eq(read_file(file, &limits[i], &in, &err), ERR_LIMIT);
        ck_assert_int_ne(err.text[0], '\0');
    }
    free((void *)(uintptr_t)file.at);
}
END_TEST

START_TEST(safetensors__a_header_longer_than_the_file_costs_nothing)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    char bytes[] = "\xff\xff\xff\x7f\0\0\0\0{}";
    struct slice file = {bytes, 10};
    struct limits limits = limits_default();
    struct err err = {0};

    ck_assert_int_eq(read_file(file, &limits, &in, &err), ERR_UNRECOGNIZED);
}
END_TEST

SUITE(safetensors)
{
    return suite_with("safetensors", TEST(safetensors__tells_names_dtypes_shapes_and_places),
                      TEST(safetensors__counts_packed_pairs_as_pytorch_does),
                      LOOP(safetensors__takes_what_the_reference_takes, taken),
                      LOOP(safetensors__refuses_what_breaks_the_format, refused),
                      TEST(safetensors__a_file_cut_anywhere_is_an_error),
                      TEST(safetensors__keeps_every_limit),
                      TEST(safetensors__a_header_longer_than_the_file_costs_nothing));
}
