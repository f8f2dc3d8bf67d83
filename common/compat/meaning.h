#pragma once
/*
 * What a key's name and shape tell of its use: buffers that carry nothing a model needs, and keys that
 * give other tensors their meaning.
 */
#include "common/compat/state.h"

enum meaning {
    MEANING_NONE,
    MEANING_QUANTIZED, /* scales, zero points, packed weights */
    MEANING_ADAPTER,   /* lora_A … */
    MEANING_PRUNED,    /* weight_mask */
};

/* What the name gives to another tensor. */
enum meaning meaning_of(struct slice name);

/* Whether the key is one that models recompute or never read, by its name and its shape and dtype: a
 * causal mask [1, 1, 1024, 1024] called attn.bias is, a bias [768] of that name is not. */
bool meaning_is_benign(const struct state_key *key);
