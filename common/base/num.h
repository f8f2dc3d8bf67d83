#pragma once
/*
 * Checked numbers: sizes that come from a file or a client are added, multiplied and parsed with
 * these and nothing else.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

/* False, and *ret unwritten, on overflow. */
static inline bool
num_add(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline bool
num_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

/* The whole text as a decimal number: digits only, no sign, no leading zero but "0" itself. */
bool num_parse_u64(struct slice text, uint64_t *ret_value);

/* As num_parse_u64, with an optional leading '-'. */
bool num_parse_i64(struct slice text, int64_t *ret_value);

/* The whole text as a decimal fraction or with an exponent, as JSON spells numbers; ".5", "5." and "+5",
 * as people type them, are taken too. */
bool num_parse_double(struct slice text, double *ret_value);
