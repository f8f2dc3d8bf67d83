#pragma once
/*
 * What files' names tell of a set. Names are hints: they give a part's number, and which files belong
 * together; what a file is, its bytes say.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

/* "a/b/c.pt": its folder is "a/b/", its base "c.pt". */
struct slice set_name_folder(struct slice path);
struct slice set_name_base(struct slice path);

/* A part's name, "model-00002-of-00005.safetensors". Equal for the parts of one save: before, after,
 * total, and whether they are numbered ranks ("shard-00003-model-00002-of-00005.safetensors", as
 * torch.distributed.checkpoint names them, whose before ends with "shard-"). */
struct set_number {
    struct slice before; /* "model-" */
    struct slice after;  /* ".safetensors" */
    uint32_t number;
    uint32_t total;
    uint32_t rank; /* 0: none */
};

bool set_name_number(struct slice path, struct set_number *ret_number);

/* The decimal number that follows word in the name: "mp_rank_" of "mp_rank_03_model_states.pt". */
bool set_name_after(struct slice name, const char *word, uint32_t *ret_number);

/* Whether a training program keeps its own state in a file of that name, not weights: "optimizer.pt",
 * "rng_state_0.pth", "scheduler.pt", "training_args.bin". */
bool set_name_is_state(struct slice path);

/* Whether a path of an index or of metadata may be looked up among the set's: relative, and without
 * "..", "." or empty segments, backslashes or control characters. */
bool set_name_is_plain(struct slice path);
