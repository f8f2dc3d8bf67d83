#include "common/base/attr.h"
#include "common/formats/zip.h"
#include "tests/support/unit.h"
#include "tests/support/zip_maker.h"

/* "abc" forty times, and ten thousand zeros, deflated. */
#define ABC   "\x4b\x4c\x4a\x4e\x1c\x08\x04"
#define ZEROS "\xed\xc1\x01\x0d\0\0\0\xc2\xa0\xf7\x4f\x6d\x0e\x37\xa0\0\0\0\0\0\0\0\0\0\xe0\xdf"

/* More than a member of few bytes can need. */
static const char long_stream[4096 + 3];

static const struct {
    const char *bytes;
    size_t stored;
    uint16_t method, flags;
    int told;
    uint32_t crc32;
    size_t cap;
    enum status want;
    size_t length;
    bool is_whole, is_crc_right;
} members[] = {
    {"stored bytes", 12, 0, 0, 0, 0x0fa67778, 100, OK, 12, true, true},
    {"stored bytes", 12, 0, 0, 0, 1, 100, OK, 12, true, false},
    {"stored bytes", 12, 0, 0x61, 0, 1, 100, OK, 12, true, false},
    {"", 0, 0, 0, 0, 0, 0, OK, 0, true, true},
    {"stored bytes", 12, 0, 0, 0, 0, 11, ERR_LIMIT, 0, false, false},
    {ABC, 8, 8, 0, 120, 0x9caef002, 120, OK, 120, true, true},
    {ABC, 8, 8, 0, 120, 0x9caef003, 120, OK, 120, true, false},
    {ABC, 8, 8, 1, 120, 0x9caef002, 120, OK, 120, true, true},
    /* It inflates to more than told, to less, breaks off, is no deflate stream at all. */
    {ABC, 8, 8, 0, 60, 0, 120, OK, 60, false, false},
    {ABC, 8, 8, 0, 130, 0, 130, OK, 120, false, false},
    {ABC, 2, 8, 0, 120, 1, 120, OK, 1, false, false},
    {"\xff\xff\xff\xff", 4, 8, 0, 120, 1, 120, OK, 0, false, false},
    /* Past the cap, past the ratio, which is 200; another method. */
    {ABC, 8, 8, 0, 120, 0, 119, ERR_LIMIT, 0, false, false},
    {ZEROS, 27, 8, 0, 10000, 0, 20000, ERR_LIMIT, 0, false, false},
    {"xxxx", 4, 12, 0, 10, 0, 100, ERR_UNSUPPORTED, 0, false, false},
    {long_stream, 4096 + 3, 8, 0, 1, 0, 100, ERR_MALFORMED, 0, false, false},
    {long_stream, 4096 + 1, 8, 0, 1, 1, 100, OK, 0, false, false},
};

START_TEST(zip__gives_the_bytes_of_a_member)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct limits limits = limits_default();
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(limits.arena_bytes)};
    struct slice bytes;
    struct source source;
    const struct made_member m = {.name = "m/a",
                                  .bytes = members[_i].bytes,
                                  .length = members[_i].stored,
                                  .method = members[_i].method,
                                  .flags = members[_i].flags,
                                  .told_size = members[_i].told,
                                  .crc32 = members[_i].crc32};
    struct zip_directory d;
    struct err err = {0};

    made_zip(&file, &m, 1, (struct made_end){0});
    bytes = buf_slice_of(&file);
    source = source_of_bytes(&bytes);
    ck_assert_msg(zip_directory_read(&source, &limits, &in, &d, &err) == OK, "%s", err.text);
    ck_assert_int_eq(zip_payload_read(&d, &d.members[0], members[_i].cap, &limits, &payload, &err),
                     members[_i].want);
    ck_assert_int_eq(err.code, members[_i].want);
    ck_assert_uint_eq(payload.length, members[_i].length);
    ck_assert_int_eq(payload.is_whole, members[_i].is_whole);
    ck_assert_int_eq(payload.is_crc_right, members[_i].is_crc_right);
    if (payload.length == 120)
        ck_assert_int_eq(memcmp(payload.bytes, "abcabc", 6), 0);
}
END_TEST

START_TEST(zip__keeps_what_came_before_the_damage)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct limits limits = limits_default();
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(limits.arena_bytes)};
    struct slice bytes;
    struct source source;
    struct zip_directory d;
    /* A stored deflate block of 600 bytes, then an impossible block. */
    char stream[607] = "\x00\x58\x02\xa7\xfd";
    const struct made_member m = {
        .name = "m/a", .bytes = stream, .length = sizeof stream, .method = 8, .told_size = 1000};

    memset(stream + 5, 'x', 600);
    memset(stream + 605, 0xff, 2);
    made_zip(&file, &m, 1, (struct made_end){0});
    bytes = buf_slice_of(&file);
    source = source_of_bytes(&bytes);
    ck_assert_int_eq(zip_directory_read(&source, &limits, &in, &d, NULL), OK);
    ck_assert_int_eq(zip_payload_read(&d, &d.members[0], 1000, &limits, &payload, NULL), OK);
    ck_assert(!payload.is_whole);
    ck_assert_uint_ge(payload.length, 512);
    ck_assert_uint_le(payload.length, 600);
    ck_assert_mem_eq(payload.bytes, stream + 5, payload.length);
}
END_TEST

/* The first rows of the table, by their starts: of broken streams what can be had, of others nothing. */
static const struct {
    const char *bytes;
    size_t stored;
    uint16_t method;
    int told;
    size_t room, length;
} starts[] = {
    {"stored bytes", 12, 0, 0, 6, 6},
    {"stored bytes", 12, 0, 0, 60, 12},
    {ABC, 8, 8, 120, 50, 50},
    {ABC, 8, 8, 120, 200, 120},
    {ABC, 8, 8, 60, 200, 60},
    {ABC, 2, 8, 120, 200, 1},
    {"\xff\xff\xff\xff", 4, 8, 120, 9, 0},
    {"xxxx", 4, 12, 10, 9, 0},
};

START_TEST(zip__gives_the_start_of_a_member)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(1 << 20);
    struct limits limits = limits_default();
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(limits.arena_bytes)};
    struct slice bytes;
    struct source source;
    const struct made_member m = {.name = "m/a",
                                  .bytes = starts[_i].bytes,
                                  .length = starts[_i].stored,
                                  .method = starts[_i].method,
                                  .told_size = starts[_i].told};
    struct zip_directory d;
    uint8_t start[200];
    size_t length = 0;

    made_zip(&file, &m, 1, (struct made_end){0});
    bytes = buf_slice_of(&file);
    source = source_of_bytes(&bytes);
    ck_assert_int_eq(zip_directory_read(&source, &limits, &in, &d, NULL), OK);
    ck_assert_int_eq(zip_payload_start(&d, &d.members[0], start, starts[_i].room, &length, NULL),
                     OK);
    ck_assert_uint_eq(length, starts[_i].length);
    if (length >= 50)
        ck_assert_int_eq(memcmp(start, "abcabc", 6), 0);
}
END_TEST

SUITE(zip)
{
    return suite_with("zip", LOOP(zip__gives_the_bytes_of_a_member, members),
                      LOOP(zip__gives_the_start_of_a_member, starts),
                      TEST(zip__keeps_what_came_before_the_damage));
}
