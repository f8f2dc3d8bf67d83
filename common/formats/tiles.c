#include "common/formats/tiles.h"

#include <stdlib.h>

#include "common/base/num.h"

static bool
is_inside(struct shape shape, const struct tile *t, uint64_t *ret_volume)
{
    uint64_t end;

    *ret_volume = 1;
    for (uint32_t i = 0; i < shape.rank; i++) {
        if (!num_add(t->offsets[i], t->sizes[i], &end) || end > shape.dims[i] ||
            !num_mul(*ret_volume, t->sizes[i], ret_volume))
            return false;
    }
    return true;
}

static bool
overlap(uint32_t rank, const struct tile *a, const struct tile *b)
{
    for (uint32_t i = 0; i < rank; i++) {
        if (a->offsets[i] + a->sizes[i] <= b->offsets[i] ||
            b->offsets[i] + b->sizes[i] <= a->offsets[i])
            return false;
    }
    return true;
}

/* Only those can overlap that begin before the first one ends in dimension 0, by which they are
 * sorted: of a tensor that is cut along it, each is compared with its neighbour alone. */
static enum tiles_answer
find_overlap(uint32_t rank, const struct tile *tiles, size_t count, size_t *steps_left)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++) {
            if (*steps_left == 0)
                return TILES_TOO_MANY;
            --*steps_left;
            if (rank > 0 && tiles[k].offsets[0] >= tiles[i].offsets[0] + tiles[i].sizes[0])
                break;
            if (overlap(rank, &tiles[i], &tiles[k]))
                return TILES_OVERLAP;
        }
    }
    return TILES_COVER;
}

static int
compare_starts(const void *a, const void *b)
{
    const struct tile *const x = a;
    const struct tile *const y = b;

    return (x->offsets[0] > y->offsets[0]) - (x->offsets[0] < y->offsets[0]);
}

enum tiles_answer
tiles_check(struct shape shape, struct tile *tiles, size_t count, size_t *steps_left)
{
    enum tiles_answer answer;
    uint64_t whole, sum = 0, volume;
    size_t kept = 0;

    if (!shape_elements(shape, &whole))
        return TILES_OUTSIDE;
    for (size_t i = 0; i < count; i++) {
        if (!is_inside(shape, &tiles[i], &volume) || !num_add(sum, volume, &sum))
            return TILES_OUTSIDE;
        if (volume > 0) /* an empty one covers nothing, and lies over nothing */
            tiles[kept++] = tiles[i];
    }
    if (shape.rank > 0 && kept > 1)
        qsort(tiles, kept, sizeof *tiles, compare_starts);
    answer = find_overlap(shape.rank, tiles, kept, steps_left);
    if (answer != TILES_COVER)
        return answer;
    return sum == whole ? TILES_COVER : TILES_GAP;
}

const char *
tiles_say(enum tiles_answer answer)
{
    switch (answer) {
    case TILES_COVER:
        return "cover it";
    case TILES_OUTSIDE:
        return "reach beyond it";
    case TILES_OVERLAP:
        return "overlap";
    case TILES_GAP:
        return "leave a part of it out";
    case TILES_TOO_MANY:
        break;
    }
    return "are too many to be compared";
}
