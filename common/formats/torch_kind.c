#include "common/formats/torch_kind.h"

#include "common/base/attr.h"

/*
 * Keys under which programs keep the weights, in the order in which a loader that knows them all
 * would look (timm, Lightning, fairseq, DeepSpeed, BasicSR, DINO, StyleGAN, Megatron-LM …). Averages
 * come after every plain one.
 */
static const char *const wrappers[] = {
    "state_dict",   "model",      "model_state_dict", "model_state", "net",        "network",
    "param_shapes", "module",     "weights",          "params",      "params_g",   "student",
    "generator",    "netG",       "encoder",          "backbone",    "checkpoint", "model0",
    "teacher",      "params_ema", "model_ema",
};

static const char *const optimizers[] = {
    "optimizer",   "optimizers",       "optimizer_states", "optimizer_state_dict",
    "optim",       "optim_state_dict", "opt_state",        "opt_state_dict",
    "optimizer_G", "optimizer_state",  "optimizer_D",      "last_optimizer_state",
    "optim_g",     "optim_d",
};

/* Call the path's segments one after the other: while (rest.at != NULL) segment = slice_cut(…). */
bool
torch_kind_is_ema(struct slice path)
{
    while (path.at != NULL) {
        struct slice words = slice_cut(&path, '.');

        while (words.at != NULL) {
            struct slice word = slice_cut(&words, '_');

            if (slice_is(word, "ema") || slice_is(word, "EMA"))
                return true;
        }
    }
    return false;
}

bool
torch_kind_is_optimizer(struct slice path)
{
    while (path.at != NULL) {
        struct slice segment = slice_cut(&path, '.');

        for (size_t i = 0; i < ARRAY_LENGTH(optimizers); i++) {
            if (slice_is(segment, optimizers[i]))
                return true;
        }
    }
    return false;
}

static bool
contains(struct slice text, const char *word)
{
    struct slice wanted = slice_of(word);

    while (text.length >= wanted.length) {
        const char *found = memchr(text.at, wanted.at[0], text.length - wanted.length + 1);

        if (found == NULL)
            return false;
        text = slice_from(text, (size_t)(found - text.at));
        if (slice_starts(text, wanted))
            return true;
        text = slice_from(text, 1);
    }
    return false;
}

/* FSDP keeps a rank's share of a module's parameters in one flat tensor of that name. */
static bool
is_flat(struct slice name)
{
    return slice_ends(name, slice_of("flat_param")) || contains(name, "flat_param_");
}

enum container_kind
torch_kind_of(const struct builder *b, struct slice path)
{
    size_t low_rank = 0, quantized = 0, flat = 0;

    for (size_t i = 0; i < b->tensors.count; i++) {
        const struct built_tensor *t = &VEC_AT(&b->tensors, struct built_tensor, i);

        low_rank += contains(t->tensor.name, "lora_");
        quantized += t->layout == LAYOUT_QUANTIZED;
        flat += is_flat(t->tensor.name);
    }
    for (size_t i = 0; i < b->entries.count; i++)
        flat += contains(VEC_AT(&b->entries, struct entry, i).type, "ShardedTensor");
    if (b->tensors.count == 0 && flat == 0)
        return CONTAINER_OUTER;
    if (torch_kind_is_ema(path))
        return CONTAINER_EMA;
    if (flat > 0)
        return CONTAINER_FRAGMENT;
    if (low_rank * 2 > b->tensors.count) /* else a full model with adapters in it */
        return CONTAINER_ADAPTER;
    if (quantized > 0)
        return CONTAINER_QUANTIZED;
    return CONTAINER_WEIGHTS;
}

static bool
is_weights(const struct container *c)
{
    return c->structure.count > 0 && c->kind != CONTAINER_OPTIMIZER && c->kind != CONTAINER_OUTER;
}

static size_t
wrapper_rank(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LENGTH(wrappers); i++) {
        if (slice_is(path, wrappers[i]))
            return i;
    }
    return SIZE_MAX;
}

enum {
    /* The top's own tensors are a random state or a loss beside the weights, where a dict of a known
     * name holds this many times as many. */
    INCIDENTAL = 8,
    RANK_NAMED = 100,
    RANK_OTHER = 1000,
    RANK_DEEPER = 2000,
    RANK_PARTIAL = 10000,
    RANK_AVERAGED = 20000,
};

/* Lower is better. */
static size_t
rank_of(const struct inspection *in, const struct container *c)
{
    size_t named = wrapper_rank(c->path);
    size_t rank = c->kind == CONTAINER_EMA        ? RANK_AVERAGED
                  : c->kind == CONTAINER_FRAGMENT ? RANK_PARTIAL
                                                  : 0;

    if (c->path.length == 0) {
        for (size_t i = 0; i < in->container_count; i++) {
            const struct container *other = &in->containers[i];

            if (is_weights(other) && wrapper_rank(other->path) != SIZE_MAX &&
                other->structure.count / INCIDENTAL >= c->structure.count)
                return rank + RANK_DEEPER;
        }
        return rank;
    }
    if (named != SIZE_MAX)
        return rank + RANK_NAMED + named;
    return rank + (contains(c->path, ".") ? RANK_DEEPER : RANK_OTHER);
}

size_t
torch_kind_default(const struct inspection *in)
{
    size_t best = SIZE_MAX, best_rank = SIZE_MAX;

    for (size_t i = 0; i < in->container_count; i++) {
        const struct container *c = &in->containers[i];
        size_t rank;

        if (!is_weights(c))
            continue;
        rank = rank_of(in, c);
        if (rank < best_rank ||
            (rank == best_rank && c->structure.count > in->containers[best].structure.count)) {
            best = i;
            best_rank = rank;
        }
    }
    return best;
}
