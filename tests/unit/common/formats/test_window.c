#include "common/base/attr.h"
#include "common/formats/window.h"
#include "tests/support/unit.h"

struct counted {
    const char *bytes;
    unsigned reads;
};

static enum status
read_counted(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    struct counted *c = context;

    (void)err;
    c->reads++;
    memcpy(buffer, c->bytes + offset, n);
    return OK;
}

START_TEST(window__reads_ahead_and_lends_what_it_has)
{
    struct counted counted = {.bytes = "0123456789abcdefghij"};
    struct source source = {20, read_counted, &counted};
    CLEANUP(window_done) struct window w = window_over(&source, 8);
    const uint8_t *bytes = NULL;

    ck_assert_int_eq(window_at(&w, 0, 0, &bytes, NULL), OK); /* nothing, before anything is there */
    ck_assert_ptr_nonnull(bytes);
    counted.reads = 0;
    ck_assert_int_eq(window_at(&w, 12, 3, &bytes, NULL), OK);
    counted.reads = 0;
    ck_assert_int_eq(window_at(&w, 2, 3, &bytes, NULL), OK);
    ck_assert_int_eq(memcmp(bytes, "234", 3), 0);
    ck_assert_int_eq(window_at(&w, 5, 5, &bytes, NULL), OK);
    ck_assert_int_eq(memcmp(bytes, "56789", 5), 0);
    ck_assert_uint_eq(counted.reads, 1);
    ck_assert_int_eq(window_at(&w, 0, 16, &bytes, NULL), OK); /* longer than it reads ahead */
    ck_assert_int_eq(memcmp(bytes, "0123456789abcdef", 16), 0);
    ck_assert_int_eq(window_at(&w, 18, 2, &bytes, NULL), OK); /* to the very end */
    ck_assert_int_eq(memcmp(bytes, "ij", 2), 0);
    ck_assert_uint_eq(counted.reads, 3);
    ck_assert_int_eq(window_at(&w, 20, 0, &bytes, NULL), OK);
}
END_TEST

static const struct {
    uint64_t offset;
    size_t length;
} outside[] = {{0, 21}, {20, 1}, {21, 0}, {UINT64_MAX, 2}, {1, SIZE_MAX}};

START_TEST(window__does_not_look_past_the_end)
{
    struct counted counted = {.bytes = "0123456789abcdefghij"};
    struct source source = {20, read_counted, &counted};
    CLEANUP(window_done) struct window w = window_over(&source, 8);
    const uint8_t *bytes;

    ck_assert_int_eq(window_at(&w, outside[_i].offset, outside[_i].length, &bytes, NULL),
                     ERR_TRUNCATED);
    ck_assert_uint_eq(counted.reads, 0);
}
END_TEST

SUITE(window)
{
    return suite_with("window", TEST(window__reads_ahead_and_lends_what_it_has),
                      LOOP(window__does_not_look_past_the_end, outside));
}
