/*
 * The names are those that the libraries write: PEFT's and diffusers' lora_A and lora_B, kohya's
 * lora_down and lora_up; GPTQModel, AutoAWQ, bitsandbytes, compressed-tensors, and the FP8 models of
 * vLLM and DeepSeek, whose scales stand beside the weights.
 */
#include "common/formats/kind.h"

#include "common/base/attr.h"

enum { SUFFIX_BYTES_MAX = 64 }; /* that is added to a tensor's name here */

/* A look-up by a name that is put together. */
struct look {
    struct inspection *in;
    const struct limits *limits;
    struct container *container;
    struct buf name;
};

static void
look_done(struct look *l)
{
    buf_done(&l->name);
}

/* The tensor stem + middle + end of a container, or NULL. */
static const struct tensor *
find(struct look *l, const struct container *c, struct slice stem, const char *middle,
     struct slice end)
{
    size_t at;

    buf_clear(&l->name);
    buf_slice(&l->name, stem);
    buf_text(&l->name, middle);
    buf_slice(&l->name, end);
    if (buf_check(&l->name, NULL) != OK)
        return NULL;
    at = structure_find(&c->structure, buf_slice_of(&l->name));
    return at == SIZE_MAX ? NULL : &c->structure.tensors[at];
}

static bool
cut_suffix(struct slice *text, const char *suffix)
{
    struct slice end = slice_of(suffix);

    if (!slice_ends(*text, end))
        return false;
    text->length -= end.length;
    return true;
}

/* Where word stands in text as a segment's beginning: ".lora_A" in "a.lora_A.weight". */
static size_t
find_word(struct slice text, const char *word)
{
    struct slice wanted = slice_of(word);

    for (size_t i = 0; i + wanted.length <= text.length; i++) {
        if (text.at[i] == wanted.at[0] && slice_starts(slice_from(text, i), wanted))
            return i;
    }
    return SIZE_MAX;
}

/* ---- adapters ---- */

static const struct {
    const char *down, *up;
} halves[] = {
    {".lora_A", ".lora_B"},
    {".lora_embedding_A", ".lora_embedding_B"},
    {".lora_down", ".lora_up"},
    {".lora.down", ".lora.up"},
};

struct adapter {
    size_t pairs;    /* of low-rank factors */
    size_t singles;  /* without the other half */
    size_t attached; /* whose base weight is in the set */
    bool has_base;   /* the set has weights that it attaches to, were it to one only */
    uint64_t rank_min, rank_max;
};

/* "base_model.model.a.b" is a.b of the model that PEFT wrapped. */
static struct slice
unwrapped(struct slice module)
{
    static const char *const wrappers[] = {"base_model.model.", "base_model.", "_orig_mod."};

    for (size_t i = 0; i < ARRAY_LENGTH(wrappers); i++) {
        if (slice_starts(module, slice_of(wrappers[i])))
            module = slice_from(module, strlen(wrappers[i]));
    }
    return module;
}

static bool
is_base(const struct look *l, const struct container *c)
{
    return c != l->container && c->structure.count > 0 &&
           (c->kind == CONTAINER_WEIGHTS || c->kind == CONTAINER_QUANTIZED ||
            c->kind == CONTAINER_MODULE);
}

/* Whether one of the set's other containers has the weight that the module's factors change. */
static bool
attaches(struct look *l, struct slice module)
{
    static const char *const weights[] = {".weight", ".qweight", ".weight_packed"};
    const struct slice wrapper = slice_of("model.");

    module = unwrapped(module);
    for (size_t i = 0; i < l->in->container_count; i++) {
        const struct container *c = &l->in->containers[i];

        for (size_t k = 0; k < ARRAY_LENGTH(weights) && is_base(l, c); k++) {
            if (find(l, c, module, weights[k], (struct slice){0}) != NULL)
                return true;
            if (slice_starts(module, wrapper) && find(l, c, slice_from(module, wrapper.length),
                                                      weights[k], (struct slice){0}) != NULL)
                return true;
        }
    }
    return false;
}

static void
add_pair(struct look *l, const struct tensor *down, struct slice module, struct adapter *a)
{
    uint64_t rank = down->shape.rank > 0 ? down->shape.dims[0] : 0;

    if (a->pairs == 0 || rank < a->rank_min)
        a->rank_min = rank;
    if (rank > a->rank_max)
        a->rank_max = rank;
    a->pairs++;
    a->attached += attaches(l, module);
}

static void
count_adapter(struct look *l, const struct tensor *t, struct adapter *a)
{
    for (size_t i = 0; i < ARRAY_LENGTH(halves); i++) {
        size_t at = find_word(t->name, halves[i].down);
        struct slice module;

        if (at == SIZE_MAX)
            continue;
        module = slice_part(t->name, 0, at);
        if (find(l, l->container, module, halves[i].up,
                 slice_from(t->name, at + strlen(halves[i].down))) != NULL)
            add_pair(l, t, module, a);
        else
            a->singles++;
        return;
    }
}

static enum status
note_adapter(struct look *l, const struct adapter *a, struct err *err)
{
    struct slice rank, base = slice_of("the base model's weights are not among these files");

    TRY(arena_printf(&l->in->arena, &rank, err, "%llu", (unsigned long long)a->rank_max));
    if (a->rank_min < a->rank_max)
        TRY(arena_printf(&l->in->arena, &rank, err, "%llu to %llu", (unsigned long long)a->rank_min,
                         (unsigned long long)a->rank_max));
    if (a->has_base)
        TRY(arena_printf(&l->in->arena, &base, err, "attaches to %zu of %zu base weights",
                         a->attached, a->pairs));
    if (a->singles > 0)
        TRY(inspection_note(l->in, l->limits, FINDING_TENSOR_ODD, l->container->path, err,
                            "%zu low-rank factors lack their other half", a->singles));
    return inspection_note(l->in, l->limits, FINDING_ADAPTER_BASE, l->container->path, err,
                           "a low-rank adapter (LoRA) of rank %.*s for %zu weights: %.*s",
                           SLICE_PRINT(rank), a->pairs, SLICE_PRINT(base));
}

static enum status
settle_adapter(struct look *l, struct err *err)
{
    const struct structure *s = &l->container->structure;
    struct adapter a = {0};

    for (size_t i = 0; i < l->in->container_count; i++)
        a.has_base = a.has_base || is_base(l, &l->in->containers[i]);
    for (size_t i = 0; i < s->count; i++)
        count_adapter(l, &s->tensors[i], &a);
    if (a.pairs == 0)
        return OK;
    if (a.pairs * 4 > s->count) /* else a whole model with adapters in it */
        l->container->kind = CONTAINER_ADAPTER;
    return note_adapter(l, &a, err);
}

/* ---- quantized weights ---- */

struct scheme {
    const char *name;
    const char *marker;    /* what a module's tensor ends with; before it is the module's name */
    const char *beside[3]; /* what else it has */
    bool (*fits)(const struct tensor *marker, const struct tensor *const beside[3]);
    const char *needs;
};

static bool
is_float8(const struct tensor *t)
{
    return dtype_kind(t->dtype) == DTYPE_KIND_FLOAT && dtype_bits(t->dtype) == 8;
}

static bool
scales_float8(const struct tensor *marker, const struct tensor *const beside[3])
{
    (void)marker;
    return is_float8(beside[0]);
}

static bool
scales_int8(const struct tensor *marker, const struct tensor *const beside[3])
{
    (void)marker;
    return beside[0]->dtype == DTYPE_INT8;
}

static bool
is_bytes(const struct tensor *marker, const struct tensor *const beside[3])
{
    (void)beside;
    return marker->dtype == DTYPE_UINT8;
}

/* The first that fits a module counts. */
static const struct scheme schemes[] = {
    {"GPTQ",
     ".qweight",
     {".qzeros", ".scales", ".g_idx"},
     NULL,
     "transformers with gptqmodel, or vLLM"},
    {"AWQ",
     ".qweight",
     {".qzeros", ".scales"},
     NULL,
     "transformers with autoawq or gptqmodel, or vLLM"},
    {"bitsandbytes 4-bit", ".absmax", {"", ".quant_map"}, NULL, "bitsandbytes"},
    {"bitsandbytes 8-bit", ".SCB", {".weight"}, NULL, "bitsandbytes"},
    {"compressed-tensors",
     ".weight_packed",
     {".weight_scale"},
     NULL,
     "transformers with compressed-tensors, or vLLM"},
    {"FP8 with scales",
     ".weight_scale_inv",
     {".weight"},
     scales_float8,
     "a loader that multiplies by the scales (transformers, vLLM, SGLang)"},
    {"FP8 with scales",
     ".weight_scale",
     {".weight"},
     scales_float8,
     "a loader that multiplies by the scales (transformers, vLLM, SGLang)"},
    {"INT8 with scales",
     ".weight_scale",
     {".weight"},
     scales_int8,
     "transformers with compressed-tensors, or vLLM"},
    {"MXFP4", "_blocks", {"_scales"}, is_bytes, "transformers with kernels, or vLLM"},
};

enum { SCHEMES = ARRAY_LENGTH(schemes) };

struct quantized {
    size_t modules[SCHEMES];
    unsigned bits[SCHEMES]; /* of a weight; 0: not told */
    size_t own;             /* PyTorch's quantized tensors */
};

/* GPTQ and AWQ pack the zero points of a group into 32-bit words, one for each scale. */
static unsigned
packed_bits(const struct tensor *const beside[3])
{
    struct shape zeros, scales;
    uint64_t bits;

    if (beside[0] == NULL || beside[1] == NULL)
        return 0;
    zeros = beside[0]->shape;
    scales = beside[1]->shape;
    if (zeros.rank != 2 || scales.rank != 2 || scales.dims[1] == 0 ||
        zeros.dims[1] > UINT64_MAX / 32)
        return 0;
    bits = zeros.dims[1] * 32 / scales.dims[1];
    return bits <= 8 ? (unsigned)bits : 0;
}

static bool
fits(struct look *l, const struct scheme *s, const struct tensor *t, const struct tensor *beside[3])
{
    struct slice module = t->name;

    if (!cut_suffix(&module, s->marker))
        return false;
    for (size_t i = 0; i < 3 && s->beside[i] != NULL; i++) {
        beside[i] = find(l, l->container, module, s->beside[i], (struct slice){0});
        if (beside[i] == NULL)
            return false;
    }
    return s->fits == NULL || s->fits(t, beside);
}

static void
count_quantized(struct look *l, const struct tensor *t, struct quantized *q)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        const struct tensor *beside[3] = {NULL, NULL, NULL};

        if (!fits(l, &schemes[i], t, beside))
            continue;
        if (q->modules[i]++ == 0 && strcmp(schemes[i].marker, ".qweight") == 0)
            q->bits[i] = packed_bits(beside);
        return;
    }
}

static enum status
note_scheme(struct look *l, const struct quantized *q, size_t i, struct err *err)
{
    struct slice bits = {0};

    if (q->bits[i] > 0)
        TRY(arena_printf(&l->in->arena, &bits, err, ", %u bits", q->bits[i]));
    return inspection_note(
        l->in, l->limits, FINDING_QUANTIZED, l->container->path, err,
        "quantized: %s%.*s, in %zu modules. To load it takes %s; as plain weights "
        "it fits no model",
        schemes[i].name, SLICE_PRINT(bits), q->modules[i], schemes[i].needs);
}

static enum status
settle_quantized(struct look *l, struct err *err)
{
    const struct structure *s = &l->container->structure;
    const uint8_t *layouts = l->container->facts.layouts;
    struct quantized q = {0};
    bool any = false;

    for (size_t i = 0; i < s->count; i++) {
        count_quantized(l, &s->tensors[i], &q);
        q.own += layouts != NULL && layouts[i] == LAYOUT_QUANTIZED;
    }
    for (size_t i = 0; i < SCHEMES; i++) {
        if (q.modules[i] == 0)
            continue;
        any = true;
        TRY(note_scheme(l, &q, i, err));
    }
    if (q.own > 0)
        TRY(inspection_note(l->in, l->limits, FINDING_QUANTIZED, l->container->path, err,
                            "quantized: %zu of PyTorch's own quantized tensors. To load it takes a "
                            "model converted by torch.ao.quantization in the same way",
                            q.own));
    if ((any || q.own > 0) && l->container->kind == CONTAINER_WEIGHTS)
        l->container->kind = CONTAINER_QUANTIZED;
    return OK;
}

/* ---- the whole ---- */

static bool
is_settled(enum container_kind kind)
{
    return kind != CONTAINER_WEIGHTS && kind != CONTAINER_ADAPTER && kind != CONTAINER_QUANTIZED &&
           kind != CONTAINER_FRAGMENT && kind != CONTAINER_MODULE;
}

enum status
kind_settle(struct inspection *in, const struct limits *limits, struct err *err)
{
    CLEANUP(look_done) struct look l = {.in = in, .limits = limits};

    l.name = buf_with_cap(limits->name_bytes + SUFFIX_BYTES_MAX);
    for (size_t i = 0; i < in->container_count; i++) {
        l.container = &in->containers[i];
        if (!is_settled(l.container->kind))
            TRY(settle_quantized(&l, err));
    }
    for (size_t i = 0; i < in->container_count; i++) { /* now that the bases' kinds are known */
        l.container = &in->containers[i];
        if (!is_settled(l.container->kind))
            TRY(settle_adapter(&l, err));
    }
    return OK;
}
