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

SUITE(ring)
{
    return suite_with("ring", TEST(ring__gives_back_what_was_written_in_its_order),
                      TEST(ring__begins_anew_at_its_first_byte_when_it_is_empty),
                      TEST(ring__does_not_move_a_place_that_is_being_written_to));
}
