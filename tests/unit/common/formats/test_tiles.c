#include "common/formats/tiles.h"

#include "tests/support/unit.h"

/* Two chunks at most of a tensor of two dimensions. */
static const struct {
    uint64_t shape[2];
    size_t count;
    uint64_t chunks[3][4]; /* offsets, sizes */
    enum tiles_answer want;
} cases[] = {
    {{4, 3}, 1, {{0, 0, 4, 3}}, TILES_COVER},
    {{4, 3}, 2, {{2, 0, 2, 3}, {0, 0, 2, 3}}, TILES_COVER},
    {{4, 4}, 2, {{0, 2, 4, 2}, {0, 0, 4, 2}}, TILES_COVER},
    {{4, 4}, 3, {{0, 0, 4, 2}, {0, 2, 2, 2}, {2, 2, 2, 2}}, TILES_COVER},
    {{4, 3}, 3, {{0, 0, 2, 3}, {2, 0, 2, 3}, {4, 0, 0, 3}}, TILES_COVER},
    {{0, 3}, 0, {{0}}, TILES_COVER},
    {{0, 3}, 1, {{0, 0, 0, 3}}, TILES_COVER},
    {{4, 3}, 0, {{0}}, TILES_GAP},
    {{4, 3}, 1, {{0, 0, 3, 3}}, TILES_GAP},
    {{4, 3}, 2, {{0, 0, 2, 3}, {1, 0, 2, 3}}, TILES_OVERLAP},
    {{4, 3}, 2, {{0, 0, 4, 3}, {0, 0, 4, 3}}, TILES_OVERLAP},
    {{4, 4}, 2, {{0, 0, 4, 2}, {0, 1, 4, 2}}, TILES_OVERLAP},
    {{4, 3}, 1, {{1, 0, 4, 3}}, TILES_OUTSIDE},
    {{4, 3}, 1, {{UINT64_MAX, 0, 4, 3}}, TILES_OUTSIDE},
    {{4, 3}, 1, {{0, 0, UINT64_MAX, 3}}, TILES_OUTSIDE},
    {{UINT64_MAX, 3}, 0, {{0}}, TILES_OUTSIDE},
};

START_TEST(tiles__are_told_from_gaps_and_overlaps)
{
    struct shape shape = {.rank = 2, .dims = cases[_i].shape};
    struct tile tiles[3];
    size_t steps = 100;

    for (size_t i = 0; i < cases[_i].count; i++)
        tiles[i] = (struct tile){&cases[_i].chunks[i][0], &cases[_i].chunks[i][2]};
    ck_assert_int_eq(tiles_check(shape, tiles, cases[_i].count, &steps), cases[_i].want);
    ck_assert_ptr_nonnull(tiles_say(cases[_i].want));
}
END_TEST

START_TEST(tiles__a_scalar_has_one)
{
    struct tile tiles[2] = {{NULL, NULL}, {NULL, NULL}};
    size_t steps = 100;

    ck_assert_int_eq(tiles_check((struct shape){0}, tiles, 1, &steps), TILES_COVER);
    ck_assert_int_eq(tiles_check((struct shape){0}, tiles, 2, &steps), TILES_OVERLAP);
    ck_assert_int_eq(tiles_check((struct shape){0}, tiles, 0, &steps), TILES_GAP);
}
END_TEST

START_TEST(tiles__are_compared_as_long_as_steps_are_left)
{
    const uint64_t dims[] = {1, 100}, offsets[100][2] = {{0, 0}, {0, 1}, {0, 2}}, size[] = {1, 1};
    struct tile tiles[3];
    size_t steps = 2;

    for (size_t i = 0; i < 3; i++)
        tiles[i] = (struct tile){offsets[i], size};
    ck_assert_int_eq(tiles_check((struct shape){.rank = 2, .dims = dims}, tiles, 3, &steps),
                     TILES_TOO_MANY);
}
END_TEST

SUITE(tiles)
{
    return suite_with("tiles", LOOP(tiles__are_told_from_gaps_and_overlaps, cases),
                      TEST(tiles__a_scalar_has_one),
                      TEST(tiles__are_compared_as_long_as_steps_are_left));
}
