#pragma once
/*
 * Verdicts (design.md §5), best first, and the level that a caller may require.
 */
#include <stdbool.h>

#include "common/base/slice.h"

enum verdict {
    VERDICT_STRICT,
    VERDICT_STRICT_AFTER_REMAP,
    VERDICT_NON_STRICT,
    VERDICT_PARTIAL,
    VERDICT_INCOMPATIBLE,
    VERDICT_UNKNOWN,
    VERDICT_COUNT
};

/* "strict_after_remap" and so on. */
const char *verdict_name(enum verdict verdict);

/* VERDICT_COUNT where there is none of that name. */
enum verdict verdict_find(struct slice name);

/* Whether it may be required: strict, strict_after_remap, non_strict, partial. */
bool verdict_is_level(enum verdict verdict);

/* Whether a verdict is at least as good as what is required. `unknown` and `incompatible` meet
 * nothing. */
bool verdict_meets(enum verdict verdict, enum verdict required);
