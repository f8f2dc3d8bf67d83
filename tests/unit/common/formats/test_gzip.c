#include "common/formats/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(gzip__reads_every_case)
{
    format_cases_check("gzip", 14);
}
END_TEST

START_TEST(gzip__a_cut_stream_never_reads_as_clean)
{
    format_cases_cut("gzip", "safetensors", NULL);
}
END_TEST

START_TEST(gzip__a_spoilt_stream_is_an_error_or_an_inspection)
{
    format_cases_spoil("gzip", "safetensors");
}
END_TEST

/* Bytes that neither deflate well nor badly, the same in each run. */
static void
fill(char *bytes, size_t length)
{
    uint32_t state = 1;

    for (size_t i = 0; i < length; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (char)(state >> 28);
    }
}

/* A gzip stream of one member. */
static struct slice
packed_of(const char *bytes, size_t length)
{
    z_stream z = {0};
    size_t room = length + length / 8 + 1024;
    char *out = mem_new(room, 1);

    ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)length;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    room = z.total_out;
    ck_assert_int_eq(deflateEnd(&z), Z_OK);
    return (struct slice){out, room};
}

START_TEST(gzip__gives_any_bytes_in_any_order)
{
    enum { LENGTH = 9 << 20, READS = 60 };
    CLEANUP(mem_free_at) char *bytes = mem_new(LENGTH, 1);
    CLEANUP(gzip_close_at) struct gzip *gzip = NULL;
    struct limits limits = limits_default();
    struct slice packed;
    struct source file, source;
    char got[3000];

    fill(bytes, LENGTH);
    packed = packed_of(bytes, LENGTH);
    file = source_of_bytes(&packed);
    ck_assert_int_eq(gzip_open(&file, &limits, &gzip, NULL), OK);
    source = gzip_source(gzip);
    ck_assert_uint_eq(source.size_bytes, LENGTH);
    for (size_t i = 0; i < READS; i++) {
        size_t at = i % 3 == 0 ? i * 1000 : (i * 2654435761U) % (LENGTH - sizeof got);

        ck_assert_int_eq(source_read(&source, at, got, sizeof got, NULL), OK);
        ck_assert_mem_eq(got, bytes + at, sizeof got);
    }
    ck_assert_int_eq(source_read(&source, LENGTH - 5, got, 5, NULL), OK);
    ck_assert_mem_eq(got, bytes + LENGTH - 5, 5);
    mem_free((char *)(uintptr_t)packed.at);
}
END_TEST

START_TEST(gzip__a_bomb_and_a_large_one_are_refused)
{
    enum { LENGTH = 40 << 20 };
    CLEANUP(mem_free_at) char *bytes = mem_new(LENGTH, 1);
    CLEANUP(gzip_close_at) struct gzip *gzip = NULL;
    struct limits limits = limits_default();
    struct slice packed = packed_of(bytes, LENGTH);
    struct source file = source_of_bytes(&packed);
    struct err err = {0};

    limits.zip_ratio = 100;
    ck_assert_int_eq(gzip_open(&file, &limits, &gzip, &err), ERR_LIMIT);
    ck_assert_msg(strstr(err.text, "100 times") != NULL, "%s", err.text);
    limits.zip_ratio = 5000;
    limits.gzip_bytes = LENGTH - 1;
    ck_assert_int_eq(gzip_open(&file, &limits, &gzip, NULL), ERR_LIMIT);
    limits.gzip_bytes = LENGTH + 100;
    ck_assert_int_eq(gzip_open(&file, &limits, &gzip, NULL), OK);
    mem_free((char *)(uintptr_t)packed.at);
}
END_TEST

START_TEST(gzip__jumping_about_has_an_end)
{
    enum { LENGTH = 3 << 20 };
    CLEANUP(mem_free_at) char *bytes = mem_new(LENGTH, 1);
    CLEANUP(gzip_close_at) struct gzip *gzip = NULL;
    struct limits limits = limits_default();
    enum status status = OK;
    struct slice packed;
    struct source file, source;
    size_t reads = 0;
    char got;

    fill(bytes, LENGTH);
    packed = packed_of(bytes, LENGTH);
    file = source_of_bytes(&packed);
    limits.gzip_bytes = 4 << 20;
    ck_assert_int_eq(gzip_open(&file, &limits, &gzip, NULL), OK);
    source = gzip_source(gzip);
    for (; status == OK && reads < 100; reads++)
        status = source_read(&source, reads % 2 == 0 ? (1 << 20) - 2 : 0, &got, 1, NULL);
    ck_assert_int_eq(status, ERR_LIMIT);
    ck_assert_uint_gt(reads, 3);
    mem_free((char *)(uintptr_t)packed.at);
}
END_TEST

SUITE(gzip)
{
    return suite_with(
        "gzip", TEST(gzip__reads_every_case), TEST(gzip__a_cut_stream_never_reads_as_clean),
        TEST(gzip__a_spoilt_stream_is_an_error_or_an_inspection),
        TEST(gzip__gives_any_bytes_in_any_order), TEST(gzip__a_bomb_and_a_large_one_are_refused),
        TEST(gzip__jumping_about_has_an_end));
}
