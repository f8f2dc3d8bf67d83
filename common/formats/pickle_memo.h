#pragma once
/*
 * The pickle machine's memo: values under 32-bit indexes of the input's choice. Indexes near the
 * number of entries, which all picklers write, lie in an array; the few far ones of a hostile pickle
 * in a sorted list with a cap of its own. So an index costs nothing by being large, and no choice of
 * them makes a search slow.
 *
 * Of entries that nobody fetches (pickle_live.h) only the number is kept, as long as they come in their
 * order.
 */
#include "common/base/vec.h"
#include "common/formats/pickle.h"

struct pickle_memo {
    struct pickle_value *near;
    size_t near_slots;
    struct vec far; /* struct pickle_far, ascending by index */
    size_t count;   /* entries, which is MEMOIZE's next index */
    size_t dense;   /* all indexes below this were put */
};

void pickle_memo_done(struct pickle_memo *m);

/* Put; *ret_odd is true for a far index or one that was taken. is_live: it may be fetched. ERR_LIMIT,
 * ERR_NO_MEMORY. */
enum status pickle_memo_put(struct pickle_memo *m, struct pickle_budget *budget, uint32_t index,
                            struct pickle_value value, bool is_live, bool *ret_odd,
                            struct err *err) MUST_CHECK;

/* NULL if there is none. Until the next put. */
const struct pickle_value *pickle_memo_get(const struct pickle_memo *m, uint32_t index);
