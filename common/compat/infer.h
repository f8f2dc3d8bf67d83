#pragma once
/*
 * The seam of the matcher: a manifest and a state in, candidate remaps out, each with what speaks
 * for it. What stands behind it today finds wrappers in any stacking, prefixes added, stripped and
 * changed, and renamed subtrees; a fuller matcher gives further candidates through the same door.
 *
 * A candidate has been run over all keys and shapes: two keys never meet, and what it fills is
 * counted. Candidates are the same for any order of the input, best first. They say nothing of
 * containers: the caller tries each.
 */
#include "common/compat/manifest.h"
#include "common/compat/remap.h"

/* Bumped when the same input may give another remap: cached verdicts are kept per revision. */
enum { INFER_REVISION = 1 };

/* Several ways that nothing in names and shapes can tell apart. */
struct ambiguity {
    struct slice what;              /* a sentence for a person */
    const struct slice *candidates; /* rules in line form, or subtrees */
    size_t candidate_count;
    size_t tensors; /* how many of the manifest's it leaves open */
};

struct candidate {
    struct remap remap;
    size_t matched;    /* manifest tensors that get a tensor of their shape */
    size_t named;      /* manifest tensors that get a tensor of any shape */
    bool completes;    /* all of them are named, and no other key is left */
    size_t rule_count; /* of all passes */
};

struct inference {
    const struct candidate *candidates;
    size_t candidate_count;
    const struct ambiguity *ambiguities;
    size_t ambiguity_count;
};

/* O(n · depth). All results live in the arena; m and s must outlive them. Errors are only ERR_LIMIT
 * and ERR_NO_MEMORY: to find nothing is an answer. */
enum status infer(const struct manifest *m, const struct state *s, const struct limits *limits,
                  struct arena *arena, struct inference *ret_inference, struct err *err) MUST_CHECK;
