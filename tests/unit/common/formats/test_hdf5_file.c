#include "common/formats/hdf5_file.h"

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

/* From the comments of Bob Jenkins' lookup3.c, and around the twelve bytes that it takes at a time. */
static const struct {
    const char *text;
    uint32_t hash;
} hashed[] = {
    {"", 0xdeadbeef},
    {"Four score and seven years ago", 0x17770551},
};

START_TEST(hdf5_file__hashes_as_jenkins_does)
{
    ck_assert_uint_eq(hdf5_file_hash((const uint8_t *)hashed[_i].text, strlen(hashed[_i].text)),
                      hashed[_i].hash);
}
END_TEST

START_TEST(hdf5_file__finds_the_signature_at_powers_of_two_alone)
{
    static const size_t right[] = {0, 512, 1024, 4096}, wrong[] = {1, 256, 768, 1536};
    char bytes[5000];
    struct slice file = {bytes, sizeof bytes};
    struct source source = source_of_bytes(&file);
    uint64_t at = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(right); i++) {
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes + right[i], "\x89HDF\r\n\x1a\n", 8);
        ck_assert(hdf5_file_find(&source, &at));
        ck_assert_uint_eq(at, right[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes + wrong[i], "\x89HDF\r\n\x1a\n", 8);
        ck_assert(!hdf5_file_find(&source, &at));
    }
}
END_TEST

/* Read a case with one limit changed. */
static enum status
read_limited(const char *name, const struct limits *limits, struct err *err)
{
    CLEANUP(buf_done) struct buf bytes = format_cases_input("keras-hdf5", name);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct slice file = buf_slice_of(&bytes);
    struct source source = source_of_bytes(&file);
    struct fileset files = fileset_of_source(&source);

    return format_read(&files, limits, &in, err);
}

START_TEST(hdf5_file__stops_at_each_limit)
{
    struct limits usual = limits_default(), limits;
    struct err err = {0};

    ck_assert_int_eq(read_limited("dense-creation-order", &usual, &err), OK);
    limits = usual;
    limits.hdf5_bytes = 1000;
    ck_assert_int_eq(read_limited("dense-creation-order", &limits, &err), ERR_LIMIT);
    limits = usual;
    limits.tensors = 10;
    ck_assert_int_eq(read_limited("dense-creation-order", &limits, NULL), ERR_LIMIT);
    limits = usual;
    limits.name_bytes = 5;
    ck_assert_int_eq(read_limited("small-earliest", &limits, NULL), ERR_LIMIT);
    limits = usual;
    limits.rank = 1;
    ck_assert_int_eq(read_limited("small-earliest", &limits, NULL), ERR_LIMIT);
    limits = usual;
    limits.header_bytes = 40;
    ck_assert_int_eq(read_limited("small-earliest", &limits, NULL), ERR_LIMIT);
    limits = usual;
    limits.arena_bytes = 2000;
    ck_assert_int_eq(read_limited("dense-creation-order", &limits, NULL), ERR_LIMIT);
}
END_TEST

SUITE(hdf5_file)
{
    return suite_with("hdf5_file", LOOP(hdf5_file__hashes_as_jenkins_does, hashed),
                      TEST(hdf5_file__finds_the_signature_at_powers_of_two_alone),
                      TEST(hdf5_file__stops_at_each_limit));
}
