#include "common/formats/pickle_live.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

/* A pickle, and the indexes that it fetches. */
static const struct {
    const char *bytes;
    size_t length;
    uint32_t fetched[3];
    size_t count;
} pickles[] = {
#define BYTES(text) (text), sizeof(text) - 1
    {BYTES("\x80\2}q\0h\0."), {0}, 1},
    {BYTES("\x80\2]q\5j\0\1\0\0h\7."), {256, 7}, 2},
    {BYTES("(lp0\ng12\n."), {12}, 1},
    {BYTES("X\2\0\0\0h\3h\4."), {4}, 1}, /* the first is in a text */
    {BYTES("cos\nh\n."), {0}, 0},        /* in a name */
    {BYTES("\x8a\2h\3h\6."), {6}, 1},    /* in a number */
    {BYTES("\x8d\2\0\0\0\0\0\0\0h\1h\2."), {2}, 1},
    {BYTES("h\1.h\2"), {1}, 1},    /* after STOP nothing runs */
    {BYTES("h\1\xffh\2"), {1}, 1}, /* nor after what is no opcode */
    {BYTES("X\xff\0\0\0h\1"), {0}, 0},
    {BYTES("h"), {0}, 0},
    {BYTES("gx\nh\1."), {0}, 0},
#undef BYTES
};

START_TEST(pickle_live__knows_what_is_fetched)
{
    CLEANUP(pickle_live_done) struct pickle_live live = {0};

    ck_assert_int_eq(
        pickle_live_scan((struct slice){pickles[_i].bytes, pickles[_i].length}, &live, NULL), OK);
    for (uint32_t index = 0; index < 1000; index++) {
        bool is_fetched = false;

        for (size_t k = 0; k < pickles[_i].count; k++)
            is_fetched = is_fetched || pickles[_i].fetched[k] == index;
        ck_assert_int_eq(pickle_live_has(&live, index), is_fetched);
    }
}
END_TEST

START_TEST(pickle_live__takes_far_indexes_for_fetched)
{
    CLEANUP(pickle_live_done) struct pickle_live live = {0};
    struct slice bytes = {"j\xff\xff\xff\x7f.", 6};

    ck_assert_int_eq(pickle_live_scan(bytes, &live, NULL), OK);
    ck_assert(pickle_live_has(&live, 0x7fffffff));
    ck_assert(pickle_live_has(&live, 1 << 24));
    ck_assert(!pickle_live_has(&live, (1 << 24) - 1));
    ck_assert_uint_eq(live.count, 0);
}
END_TEST

SUITE(pickle_live)
{
    return suite_with("pickle_live", LOOP(pickle_live__knows_what_is_fetched, pickles),
                      TEST(pickle_live__takes_far_indexes_for_fetched));
}
