#include "common/compat/verdict.h"

static const char *const names[VERDICT_COUNT] = {
    [VERDICT_STRICT] = "strict",
    [VERDICT_STRICT_AFTER_REMAP] = "strict_after_remap",
    [VERDICT_NON_STRICT] = "non_strict",
    [VERDICT_PARTIAL] = "partial",
    [VERDICT_INCOMPATIBLE] = "incompatible",
    [VERDICT_UNKNOWN] = "unknown",
};

const char *
verdict_name(enum verdict verdict)
{
    return verdict < VERDICT_COUNT ? names[verdict] : "unknown";
}

enum verdict
verdict_find(struct slice name)
{
    for (unsigned i = 0; i < VERDICT_COUNT; i++) {
        if (slice_is(name, names[i]))
            return (enum verdict)i;
    }
    return VERDICT_COUNT;
}

bool
verdict_is_level(enum verdict verdict)
{
    return verdict <= VERDICT_PARTIAL;
}

bool
verdict_meets(enum verdict verdict, enum verdict required)
{
    return verdict_is_level(verdict) && verdict_is_level(required) && verdict <= required;
}
