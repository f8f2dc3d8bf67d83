#include "server/work/ring.h"

#include <string.h>

#include "tests/support/unit.h"

START_TEST(ring__gives_back_what_was_written_in_its_order)
{
    struct ring r = {0};
    char *at;

    ck_assert_int_eq(ring_init(&r, 8, NULL), OK);
    ck_assert_uint_eq(ring_room(&r, &at), 8);
    memcpy(at, "abcdef", 6);
    ring_wrote(&r, 6);
    ring_read(&r, 4);
    ck_assert_uint_eq(ring_room(&r, &at), 2);
    memcpy(at, "gh", 2);
    ring_wrote(&r, 2);
    ck_assert_uint_eq(ring_room(&r, &at), 4);
    memcpy(at, "ijkl", 4);
    ring_wrote(&r, 4);
    ck_assert_uint_eq(ring_room(&r, &at), 0);
    ck_assert(slice_is(ring_held(&r), "efgh"));
    ring_read(&r, 4);
    ck_assert(slice_is(ring_held(&r), "ijkl"));
    ring_done(&r);
}
END_TEST

START_TEST(ring__begins_anew_at_its_first_byte_when_it_is_empty)
{
    struct ring r = {0};
    char *first, *at;

    ck_assert_int_eq(ring_init(&r, 8, NULL), OK);
    (void)ring_room(&r, &first);
    ring_wrote(&r, 3);
    ring_read(&r, 3);
    ck_assert_uint_eq(ring_room(&r, &at), 8);
    ck_assert_ptr_eq(at, first);
    ring_done(&r);
}
END_TEST

/* The writer was told where to write; the reader takes all that is held; then the writer is done. */
START_TEST(ring__does_not_move_a_place_that_is_being_written_to)
{
    struct ring r = {0};
    char *at;

    ck_assert_int_eq(ring_init(&r, 8, NULL), OK);
    (void)ring_room(&r, &at);
    memcpy(at, "abc", 3);
    ring_wrote(&r, 3);
    ck_assert_uint_eq(ring_room(&r, &at), 5);
    ring_read(&r, 3);
    memcpy(at, "de", 2);
    ring_wrote(&r, 2);
    ck_assert(slice_is(ring_held(&r), "de"));
    ring_done(&r);
}
END_TEST

static size_t
put(struct ring *r, const char *bytes, size_t length)
{
    size_t done = 0;

    while (done < length) {
        char *at;
        size_t room = ring_room(r, &at);

        if (room == 0)
            break;
        if (room > length - done)
            room = length - done;
        memcpy(at, bytes + done, room);
        ring_wrote(r, room);
        done += room;
    }
    return done;
}

START_TEST(ring__holds_any_sequence_of_writes_and_reads)
{
    struct ring ring;
    unsigned char next_in = 0, next_out = 0;
    unsigned seed = 1;

    ck_assert_int_eq(ring_init(&ring, 37, NULL), OK);
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        size_t want, done;

        seed = seed * 1103515245 + 12345;
        want = (seed >> 16) % 50;
        for (size_t i = 0; i < want; i++)
            bytes[i] = (char)(next_in + i);
        done = put(&ring, bytes, want);
        ck_assert(done == want || ring.held == 37);
        next_in = (unsigned char)(next_in + done);
        seed = seed * 1103515245 + 12345;
        for (want = (seed >> 16) % 50; want > 0 && ring.held > 0;) {
            struct slice run = ring_held(&ring);

            ck_assert_uint_gt(run.length, 0);
            if (run.length > want)
                run.length = want;
            for (size_t i = 0; i < run.length; i++)
                ck_assert_uint_eq((unsigned char)run.at[i], next_out++);
            ring_read(&ring, run.length);
            want -= run.length;
        }
        ck_assert_uint_eq((unsigned char)(next_in - next_out), ring.held);
    }
    ring_done(&ring);
}
END_TEST

SUITE(ring)
{
    return suite_with("ring", TEST(ring__gives_back_what_was_written_in_its_order),
                      TEST(ring__begins_anew_at_its_first_byte_when_it_is_empty),
                      TEST(ring__does_not_move_a_place_that_is_being_written_to),
                      TEST(ring__holds_any_sequence_of_writes_and_reads));
}
