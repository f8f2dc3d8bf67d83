#pragma once
/*
 * Which memo entries of a pickle are ever fetched. Picklers memoize every text and tuple, and fetch few
 * of them: what is never fetched need not be kept, and may be folded (pickle_tensor.h). One pass over
 * the opcodes, by their lengths alone, before the machine runs them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct pickle_live {
    uint64_t *words; /* bit i: entry i is fetched somewhere */
    size_t count;    /* of words */
};

/* The scan sees every opcode that the machine can reach, and maybe more: it ends at STOP, at what is no
 * opcode, and at the pickle's end, as the machine does. ERR_NO_MEMORY. */
enum status pickle_live_scan(struct slice bytes, struct pickle_live *ret_live,
                             struct err *err) MUST_CHECK;
void pickle_live_done(struct pickle_live *live);

/* False only where no GET of the pickle names the index. */
bool pickle_live_has(const struct pickle_live *live, uint32_t index);
