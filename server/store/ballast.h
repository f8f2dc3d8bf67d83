#pragma once
/*
 * The ballast: a file of some megabytes that is given up when the disk is full. A full disk refuses
 * even deletions and the log's checkpoint, for both write first.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct ballast {
    char *path; /* NULL: none is kept */
    uint64_t bytes;
    bool is_there;
};

/* Make it where there is room for it and as much again; no room is no error. */
enum status ballast_open(const char *directory, uint64_t bytes, struct ballast *ret_ballast,
                         struct err *err) MUST_CHECK;
void ballast_done(struct ballast *b);

/* Give it up: true if that made room. */
bool ballast_drop(struct ballast *b);

/* Make it again when there is room once more. */
void ballast_restore(struct ballast *b);
