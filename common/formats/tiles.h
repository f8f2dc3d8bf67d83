#pragma once
/*
 * Whether the chunks that ranks wrote of one tensor cover it: each inside, none over another, nothing
 * left open.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/structure/shape.h"

struct tile {
    const uint64_t *offsets; /* rank of them, as of sizes */
    const uint64_t *sizes;
};

enum tiles_answer {
    TILES_COVER,
    TILES_OUTSIDE, /* one reaches beyond the tensor, or its numbers overflow */
    TILES_OVERLAP,
    TILES_GAP,
    TILES_TOO_MANY, /* to be compared: the steps ran out */
};

/* The tiles are sorted by it. *steps_left is what may be compared; it is taken off. */
enum tiles_answer tiles_check(struct shape shape, struct tile *tiles, size_t count,
                              size_t *steps_left);

/* The answer as the end of a sentence: "overlap". */
const char *tiles_say(enum tiles_answer answer);
