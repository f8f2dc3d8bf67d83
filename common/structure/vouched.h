#pragma once
/*
 * A site's own classes: globals that it vouches for, so that files which name no others read as clean.
 *
 * The list is folded in when an inspection is read, not when it is made: what an inspector found is
 * kept once for each set of files, and the list may change any day. So what is stored is always the
 * judgement without it. Dangerous and malformed stay what they are, and weights_only stays PyTorch's own
 * answer, which knows nothing of this list.
 *
 * "unlisted" becomes "clean" only where every reason for it is seen and excused: no finding was dropped;
 * each global that is not known to be inert is on the list; and there is no other finding that may
 * stand for code that nobody saw (bytes within bytes, a member of its own, a kind of finding that is
 * newer than this file). A known global called in a way it is never saved with is never on a list
 * (common/formats/vouched_read.h), and so never excused.
 */
#include "common/structure/inspection.h"

/* Ascending modern dotted names; {0} is the empty list. */
struct vouched {
    const struct slice *names;
    size_t count;
};

bool vouched_has(const struct vouched *vouched, struct slice name);

/* Set safety and the findings' is_vouched anew. */
void vouched_apply(const struct vouched *vouched, struct inspection *in);
