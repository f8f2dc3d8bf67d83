#include "common/formats/pickle_stream.h"

#include <string.h>

#include "common/base/attr.h"
#include "tests/support/unit.h"

enum { BIG = 100000 };

/* A pickle {w: bytes of BIG}, and what follows it. */
static struct slice
big_pickle(char *bytes, const char *head, size_t head_length, const char *tail)
{
    memcpy(bytes, head, head_length);
    memset(bytes + head_length, 'x', BIG);
    memcpy(bytes + head_length + BIG, tail, strlen(tail));
    return (struct slice){bytes, head_length + BIG + strlen(tail)};
}

static char room[BIG + 200];

/* BIG is 0x000186a0. */
#define HEAD "\x80\x03}X\x01\0\0\0wB\xa0\x86\x01\0"

static enum status
read_stream(struct pickle_stream *s, struct source *source, size_t cap, struct err *err)
{
    struct limits limits = limits_default();

    return pickle_stream_read(s, source, 0, source->size_bytes, cap, &limits, err);
}

START_TEST(pickle_stream__passes_over_a_long_run_and_knows_where_it_lies)
{
    CLEANUP(pickle_stream_done) struct pickle_stream s = {0};
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
    struct slice bytes = big_pickle(room, HEAD, sizeof HEAD - 1, "s.rest"), raw;
    struct source source = source_of_bytes(&bytes);
    struct limits limits = limits_default();
    struct pickle_budget budget = pickle_budget(&limits);
    const struct pickle_value *w;
    struct pickle_range range;
    bool is_hole = false;
    struct pickle p;

    ck_assert_int_eq(read_stream(&s, &source, 1 << 20, NULL), OK);
    ck_assert_uint_lt(s.length, 100);
    ck_assert_uint_eq(s.end, bytes.length - 4);
    ck_assert_int_eq(pickle_stream_run(&s, &budget, &arena, &p, NULL), OK);
    ck_assert(p.is_complete);
    w = pickle_get(p.root, "w");
    ck_assert_ptr_nonnull(w);
    ck_assert(pickle_bytes(*w, &raw));
    ck_assert(pickle_stream_find(&s, raw, &range, &is_hole));
    ck_assert(is_hole);
    ck_assert_uint_eq(range.offset, sizeof HEAD - 1);
    ck_assert_uint_eq(range.length, BIG);
    /* STOP's place, behind the hole. */
    ck_assert_uint_eq(pickle_stream_offset(&s, s.length - 1), bytes.length - 5);
    ck_assert_uint_eq(pickle_stream_offset(&s, 3), 3);
}
END_TEST

START_TEST(pickle_stream__makes_the_frame_around_a_hole_shorter)
{
    CLEANUP(pickle_stream_done) struct pickle_stream s = {0};
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
    /* The frame holds BINBYTES, its count, BIG bytes and STOP. */
    struct slice bytes =
        big_pickle(room, "\x80\x04\x95\xa6\x86\x01\0\0\0\0\0B\xa0\x86\x01\0", 16, ".");
    struct source source = source_of_bytes(&bytes);
    struct limits limits = limits_default();
    struct pickle_budget budget = pickle_budget(&limits);
    struct pickle p;

    ck_assert_int_eq(read_stream(&s, &source, 1 << 20, NULL), OK);
    ck_assert_uint_lt(s.length, 100);
    ck_assert_int_eq(pickle_stream_run(&s, &budget, &arena, &p, NULL), OK);
    ck_assert(p.is_complete);
    ck_assert_uint_eq(p.odd, 0);
}
END_TEST

/* A text of BIG bytes: one letter, then letters of two bytes, which chunks of any even size cut in two;
 * and last what is given. */
static void
run_text(const char last[3], struct pickle_stream *s, struct arena *arena, struct pickle *ret)
{
    struct slice bytes = big_pickle(room, "X\xa0\x86\x01\0", 5, ".");
    struct source source = source_of_bytes(&bytes);
    struct limits limits = limits_default();
    struct pickle_budget budget = pickle_budget(&limits);

    for (size_t i = 1; i + 3 < BIG; i += 2)
        memcpy(room + 5 + i, "\xc3\xa9", 2);
    memcpy(room + 5 + BIG - 3, last, 3);
    ck_assert_int_eq(read_stream(s, &source, 1 << 20, NULL), OK);
    ck_assert_int_eq(pickle_stream_run(s, &budget, arena, ret, NULL), OK);
}

START_TEST(pickle_stream__leaves_a_long_text_longer_than_any_name)
{
    CLEANUP(pickle_stream_done) struct pickle_stream s = {0};
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
    struct pickle_range range;
    bool is_hole = false;
    struct slice text;
    struct pickle p;

    run_text("xyz", &s, &arena, &p);
    ck_assert(p.is_complete);
    ck_assert(pickle_text(p.root, &text));
    ck_assert_uint_gt(text.length, limits_default().name_bytes);
    ck_assert_uint_lt(text.length, 2000);
    ck_assert(slice_starts(text, slice_of("x\xc3\xa9\xc3\xa9")));
    ck_assert(pickle_stream_find(&s, text, &range, &is_hole));
    ck_assert(is_hole);
    ck_assert_uint_eq(range.offset, 5);
    ck_assert_uint_eq(range.length, BIG);
}
END_TEST

/* Loaders refuse it. */
START_TEST(pickle_stream__hides_no_text_that_is_not_utf8)
{
    static const char *const last[] = {"yz\xff", "yz\xc3", "\xed\xa0\xc3", "\xa9yz"};

    for (size_t i = 0; i < ARRAY_LENGTH(last); i++) {
        CLEANUP(pickle_stream_done) struct pickle_stream s = {0};
        CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
        struct pickle p;

        run_text(last[i], &s, &arena, &p);
        ck_assert(!p.has_stop);
        ck_assert_int_eq(p.problem.code, ERR_MALFORMED);
    }
}
END_TEST

START_TEST(pickle_stream__says_when_a_pickle_is_longer_than_it_may_be)
{
    CLEANUP(pickle_stream_done) struct pickle_stream s = {0};
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
    char ops[2000];
    struct slice bytes = {ops, sizeof ops};
    struct source source = source_of_bytes(&bytes);
    struct limits limits = limits_default();
    struct pickle_budget budget = pickle_budget(&limits);
    struct pickle p;

    memset(ops, 'N', sizeof ops);
    ck_assert_int_eq(read_stream(&s, &source, 1000, NULL), OK);
    ck_assert(s.is_over_limit);
    ck_assert_uint_eq(s.length, 1000);
    ck_assert_int_eq(pickle_stream_run(&s, &budget, &arena, &p, NULL), OK);
    ck_assert_int_eq(p.problem.code, ERR_LIMIT);
}
END_TEST

START_TEST(pickle_stream__gives_what_there_is_of_what_has_no_end)
{
    static const char *const cut[] = {"",         "N",    "X\xff\xff", "X\x05\0\0\0ab",
                                      "cos\nsys", "\xff", "J\1\2"};

    for (size_t i = 0; i < ARRAY_LENGTH(cut); i++) {
        CLEANUP(pickle_stream_done) struct pickle_stream s = {0};
        CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
        struct slice bytes = slice_of(cut[i]);
        struct source source = source_of_bytes(&bytes);
        struct limits limits = limits_default();
        struct pickle_budget budget = pickle_budget(&limits);
        struct pickle p;

        ck_assert_int_eq(read_stream(&s, &source, 1000, NULL), OK);
        ck_assert_int_eq(pickle_stream_run(&s, &budget, &arena, &p, NULL), OK);
        ck_assert(!p.has_stop);
        ck_assert_int_ne(p.problem.code, OK);
    }
}
END_TEST

START_TEST(pickle_stream__knows_nothing_of_bytes_that_are_not_its_own)
{
    CLEANUP(pickle_stream_done) struct pickle_stream s = {0};
    struct slice bytes = slice_of("C\1x."), inner;
    struct source source = source_of_bytes(&bytes);
    struct pickle_range range;
    bool is_hole;

    ck_assert_int_eq(read_stream(&s, &source, 1000, NULL), OK);
    ck_assert(!pickle_stream_find(&s, slice_of("x"), &range, &is_hole));
    ck_assert(!pickle_stream_find(NULL, slice_of("x"), &range, &is_hole));
    inner = (struct slice){s.bytes + 2, 1};
    ck_assert(pickle_stream_find(&s, inner, &range, &is_hole));
    ck_assert(!is_hole);
    ck_assert_uint_eq(range.offset, 2);
    inner.length = 100;
    ck_assert(!pickle_stream_find(&s, inner, &range, &is_hole));
}
END_TEST

SUITE(pickle_stream)
{
    return suite_with("pickle_stream",
                      TEST(pickle_stream__passes_over_a_long_run_and_knows_where_it_lies),
                      TEST(pickle_stream__makes_the_frame_around_a_hole_shorter),
                      TEST(pickle_stream__leaves_a_long_text_longer_than_any_name),
                      TEST(pickle_stream__hides_no_text_that_is_not_utf8),
                      TEST(pickle_stream__says_when_a_pickle_is_longer_than_it_may_be),
                      TEST(pickle_stream__gives_what_there_is_of_what_has_no_end),
                      TEST(pickle_stream__knows_nothing_of_bytes_that_are_not_its_own));
}
