#pragma once
/*
 * The judge: what a loader's load_state_dict would say to a state, rule by rule as PyTorch has them
 * (knowledge: nn/modules/module.py _load_from_state_dict and the overrides of torch.nn). It says
 * nothing of remaps, levels or coverage limits: that is the report's.
 */
#include "common/compat/manifest.h"
#include "common/compat/state.h"

enum loader { LOADER_TORCH, LOADER_SAFETENSORS, LOADER_LIGHTNING, LOADER_COUNT };

/* LOADER_COUNT where there is no such loader. */
enum loader loader_find(struct slice name);
const char *loader_name(enum loader loader);

/* The path of the container that the loader opens: "" for torch, "state_dict" for lightning. */
struct slice loader_container(enum loader loader);

struct mismatch {
    uint32_t expected; /* index in the manifest's tensors */
    uint32_t found;    /* index in the state's keys */
};

/* No key fills it: it is missing, or does not fit. Or: the module fills it itself, and PyTorch does not
 * miss it (num_batches_tracked of a file without versions). */
#define FILLED_BY_NONE   UINT32_MAX
#define FILLED_BY_ITSELF (UINT32_MAX - 1)

struct judgement {
    bool strict;     /* load_state_dict(strict=True) returns */
    bool non_strict; /* load_state_dict(strict=False) returns */
    bool is_unknown; /* a custom load hook decides: neither can be told */

    /* Which of the manifest's tensors is filled by which key: its index in the state's keys, or one of
     * the FILLED_ values. One for each of the manifest's tensors. */
    const uint32_t *filled_by;
    size_t matched; /* filled by a key */

    /* Keys as PyTorch would list them, ascending in natural order. Missing and unexpected also hold
     * keys of extra state, which no tensor stands for. */
    const struct slice *missing;
    size_t missing_count;
    const struct slice *unexpected;
    size_t unexpected_count;
    const struct mismatch *shape_mismatch;
    size_t shape_mismatch_count;
    const struct mismatch *dtype_mismatch; /* casts that PyTorch does silently */
    size_t dtype_mismatch_count;
    const struct mismatch *not_a_tensor; /* an expected tensor's key holds something else */
    size_t not_a_tensor_count;
    const struct slice *errors; /* further messages that make both modes raise */
    size_t error_count;
    const struct slice *warnings; /* guesses that were made, values that a cast loses … */
    size_t warning_count;

    uint64_t filled_elements;   /* of the manifest's */
    uint64_t expected_elements; /* where a shape is not known, the file's counts */
};

/* Judge. All results live in the arena. Errors are only ERR_LIMIT and ERR_NO_MEMORY: every state has
 * an answer. O(n log n). */
enum status judge(const struct manifest *m, const struct state *s, enum loader loader,
                  struct arena *arena, struct judgement *ret_judgement, struct err *err) MUST_CHECK;
