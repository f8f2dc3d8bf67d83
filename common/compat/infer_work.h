#pragma once
/*
 * The inference from inside. One run takes the checkpoint's names, as a pass of segment rules left
 * them, and finds the fewest key rules; infer.c makes several runs and keeps the best.
 *
 *   infer_vote.c   which prefixes become which: votes of equal suffixes with equal shapes
 *   infer_twin.c   subtrees that were only renamed: equal content under another name
 *   infer_rule.c   the fewest rules that say so
 *   infer_drop.c   what may be left out
 */
#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/compat/infer.h"
#include "common/compat/tree.h"

#define INFER_NONE_ID UINT32_MAX

enum {
    INFER_EDITS_MAX = 4096,
    INFER_AMBIGUITIES_MAX = 100,
    INFER_IDENTITY = 0, /* index of the edit that changes nothing */
};

/* "what begins with from begins with to instead": paths, "" for nothing. */
struct edit {
    struct slice from, to;
    uint32_t votes;
    uint32_t gain;      /* tensors it would fill, as last counted */
    uint8_t preference; /* against others that fill as much: smaller is better */
    bool is_picked, is_barred;
};

struct work {
    const struct manifest *m;
    const struct state *s;
    const struct limits *limits;
    struct arena arena; /* of this run: dies with it */
    struct arena *kept; /* of the results */

    const struct slice *names; /* of the state's keys, now */
    size_t count;
    struct tree sources, targets;
    struct map source_paths, target_paths; /* -> nodes */
    struct map target_names;               /* -> manifest tensors */

    struct vec edits; /* struct edit; [0] changes nothing */
    struct map edit_ids;
    uint32_t *assigned; /* edit of each key; INFER_NONE_ID: free */
    uint32_t *taken;    /* key that fills each tensor; INFER_NONE_ID: none */

    struct vec ambiguities; /* struct ambiguity, in kept */
    struct buf scratch;
    uint64_t steps_left; /* keys that may still be looked at in evaluations */
};

enum status work_make(struct work *w, const struct manifest *m, const struct state *s,
                      const struct slice *names, const struct limits *limits, struct arena *kept,
                      struct err *err) MUST_CHECK;
void work_done(struct work *w);

/* Whether a checkpoint's tensor has the shape that is expected. */
bool infer_fits(const struct expected *e, const struct state_key *key);

/* The edit's index, made where it is new; INFER_NONE_ID where there are too many. */
enum status work_edit(struct work *w, struct slice from, struct slice to, uint32_t *ret_edit,
                      struct err *err) MUST_CHECK;

/* What an edit makes of a name that lies under its from; borrowed from scratch. */
struct slice work_edited(struct work *w, const struct edit *e, struct slice name);

/* The name below a prefix: "b.c" of "a.b.c" below "a"; all of it below "". */
struct slice infer_below(struct slice name, struct slice prefix);
bool infer_is_below(struct slice path, struct slice prefix); /* or the same */

/* How many tensors an edit would fill: keys below its from that are free, and whose target is, too.
 * With take they are assigned. 0 where that took more steps than are left. */
uint32_t infer_gain(struct work *w, uint32_t id, bool take);

/* Fill assigned and taken from equal suffixes. */
enum status infer_vote(struct work *w, struct err *err) MUST_CHECK;

/* Fill more of them from subtrees of equal content beside each other. */
enum status infer_twin(struct work *w, struct err *err) MUST_CHECK;

/* The key rules that do what assigned says. *ret_rules live in kept. */
enum status infer_rules(struct work *w, struct remap_rule **ret_rules, size_t *ret_count,
                        struct err *err) MUST_CHECK;

/* Rules that leave out what may be left out, given which keys are of use and what they became. */
enum status infer_drops(struct work *w, const bool *is_used, const struct slice *became,
                        struct remap_rule **ret_rules, size_t *ret_count,
                        struct err *err) MUST_CHECK;

/* A rule of one pattern and one template; an empty to drops or makes nothing of it. The texts are
 * patterns already. */
enum status infer_rule_of(struct work *w, struct slice from, struct slice to, struct slice evidence,
                          struct remap_rule *ret_rule, struct err *err) MUST_CHECK;

/* A path as a pattern for all below it: "a.b.{*}", "{*}" for "". */
enum status infer_all_below(struct work *w, struct slice path, struct slice *ret_pattern,
                            struct err *err) MUST_CHECK;

/* Keep what cannot be told apart: count edits, each of which would fill tensors. */
enum status infer_note(struct work *w, struct slice what, const struct slice *candidates,
                       size_t count, size_t tensors, struct err *err) MUST_CHECK;
