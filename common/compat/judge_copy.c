/*
 * What happens when a key is copied into the tensor of its name: torch's shape check, then
 * Tensor.copy_. Both modes of load_state_dict raise where one of them fails.
 */
#include "common/compat/judge_work.h"

static bool
dims_fit(struct shape expected, struct shape found)
{
    if (expected.rank != found.rank)
        return false;
    for (uint32_t i = 0; i < expected.rank; i++)
        if (expected.dims[i] != MANIFEST_ANY_DIM && expected.dims[i] != found.dims[i])
            return false;
    return true;
}

/* A vector of one element goes into a 0-dim tensor: so were scalars saved before PyTorch 0.4. */
static bool
is_old_scalar(const struct expected *e, const struct state_key *k)
{
    return e->has_shape && e->shape.rank == 0 && k->shape.rank == 1 && k->shape.dims[0] == 1;
}

static bool
is_ordinary(enum dtype dtype)
{
    switch (dtype_kind(dtype)) {
    case DTYPE_KIND_BOOL:
    case DTYPE_KIND_COMPLEX:
        return true;
    case DTYPE_KIND_INTEGER:
        /* int1 … uint7 are names without arithmetic. */
        return dtype < DTYPE_UINT1 || dtype > DTYPE_INT7;
    case DTYPE_KIND_FLOAT:
        return dtype != DTYPE_FLOAT4_E2M1FN_X2 && dtype != DTYPE_FLOAT6_E2M3FN &&
               dtype != DTYPE_FLOAT6_E3M2FN;
    case DTYPE_KIND_QUANTIZED:
    case DTYPE_KIND_OTHER:
        break;
    }
    return false;
}

/* Whether Tensor.copy_ casts from one to the other. */
static bool
is_castable(enum dtype from, enum dtype to)
{
    if (from == to || from == DTYPE_UNKNOWN || to == DTYPE_UNKNOWN)
        return true;
    if (to == DTYPE_QINT8 || to == DTYPE_QUINT8 || to == DTYPE_QINT32)
        return from == DTYPE_FLOAT32;
    return is_ordinary(from) && is_ordinary(to);
}

/* Why copy_ raises for a tensor kept that way; NULL where it does not. */
static const char *
layout_problem(const struct expected *e, const struct state_key *k)
{
    switch (k->layout) {
    case LAYOUT_STRIDED:
    case LAYOUT_WRAPPED:
    case LAYOUT_COUNT:
        return NULL;
    case LAYOUT_SPARSE_COO:
        /* Its one element is taken out first, and that is a dense scalar. */
        return is_old_scalar(e, k) ? NULL : "a sparse tensor cannot be copied into a dense one";
    case LAYOUT_SPARSE_CSR:
    case LAYOUT_SPARSE_CSC:
    case LAYOUT_SPARSE_BSR:
    case LAYOUT_SPARSE_BSC:
        return "a sparse tensor cannot be copied into a dense one";
    case LAYOUT_QUANTIZED:
        if (e->dtype != DTYPE_UNKNOWN && dtype_kind(e->dtype) == DTYPE_KIND_QUANTIZED)
            return NULL;
        return "a quantized tensor cannot be copied into one that is not";
    case LAYOUT_NESTED:
        return "a nested tensor has no shape to compare";
    case LAYOUT_META:
        return "a meta tensor has no data to copy";
    }
    return NULL;
}

/* Casts that copy_ does in silence, and what they lose. */
struct casts {
    struct tally narrowed;
    struct tally changed; /* between kinds: float to integer … */
    struct tally real;    /* complex to real */
};

static void
note_cast(struct casts *casts, const struct expected *e, enum dtype from)
{
    enum dtype_kind source = dtype_kind(from), target = dtype_kind(e->dtype);

    if (source == DTYPE_KIND_COMPLEX && target != DTYPE_KIND_COMPLEX)
        tally_add(&casts->real, e->name);
    else if (source != target)
        tally_add(&casts->changed, e->name);
    else if (dtype_bits(from) > dtype_bits(e->dtype))
        tally_add(&casts->narrowed, e->name);
}

static enum status
add_mismatch(struct vec *list, uint32_t expected, uint32_t found, struct err *err)
{
    struct mismatch *mismatch;

    TRY(vec_add(list, &mismatch, "mismatches", err));
    *mismatch = (struct mismatch){.expected = expected, .found = found};
    return OK;
}

/* An entry under a tensor's name. An uninitialized parameter fits one that is so itself. */
static enum status
copy_entry(struct hearing *h, uint32_t tensor, uint32_t key, bool *ret_fits, struct err *err)
{
    const struct expected *e = &h->m->tensors[tensor];
    const struct state_key *k = &h->s->keys[key];

    *ret_fits = false;
    if (!slice_ends(k->type, slice_of("nn.parameter.UninitializedParameter")) &&
        !slice_ends(k->type, slice_of("nn.parameter.UninitializedBuffer")))
        return add_mismatch(&h->not_a_tensor, tensor, key, err);
    *ret_fits = !e->has_shape;
    if (*ret_fits)
        return OK;
    return hearing_say(
        h, &h->errors, err,
        "\"%.*s\" was saved uninitialized: it has no shape to compare, and both modes "
        "raise",
        SLICE_PRINT(e->name));
}

static enum status
copy_tensor(struct hearing *h, uint32_t tensor, uint32_t key, struct casts *casts, bool *ret_fits,
            struct err *err)
{
    const struct expected *e = &h->m->tensors[tensor];
    const struct state_key *k = &h->s->keys[key];
    const char *problem = layout_problem(e, k);

    *ret_fits = false;
    if (k->layout != LAYOUT_NESTED && e->has_shape && !is_old_scalar(e, k) &&
        !dims_fit(e->shape, k->shape))
        return add_mismatch(&h->shape, tensor, key, err);
    if (problem != NULL)
        return hearing_say(h, &h->errors, err, "While copying the parameter named \"%.*s\": %s",
                           SLICE_PRINT(e->name), problem);
    if (k->elements > 0 && !is_castable(k->dtype, e->dtype))
        return hearing_say(h, &h->errors, err,
                           "While copying the parameter named \"%.*s\": %s cannot be cast to %s",
                           SLICE_PRINT(e->name), dtype_name(k->dtype), dtype_name(e->dtype));
    *ret_fits = true;
    if (e->dtype == DTYPE_UNKNOWN || k->dtype == DTYPE_UNKNOWN || e->dtype == k->dtype)
        return OK;
    note_cast(casts, e, k->dtype);
    return add_mismatch(&h->dtype, tensor, key, err);
}

static enum status
warn_of_casts(struct hearing *h, const struct casts *casts, struct err *err)
{
    const struct {
        const struct tally *tally;
        const char *loss;
    } rows[] = {
        {&casts->narrowed, "a wider to a narrower dtype: precision or range is lost"},
        {&casts->changed, "one kind of dtype to another: values may change"},
        {&casts->real, "complex to real: the imaginary part is lost"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].tally->count > 0)
            TRY(hearing_say(h, &h->warnings, err,
                            "%zu tensor%s (\"%.*s\"%s) would be cast in silence from %s.",
                            rows[i].tally->count, rows[i].tally->count == 1 ? "" : "s",
                            SLICE_PRINT(rows[i].tally->first),
                            rows[i].tally->count == 1 ? "" : ", …", rows[i].loss));
    return OK;
}

enum status
judge_copies(struct hearing *h, struct err *err)
{
    struct casts casts = {0};

    for (uint32_t t = 0; t < h->m->count; t++) {
        uint32_t key = h->filled_by[t];
        bool fits = false;

        if (key >= FILLED_BY_ITSELF)
            continue;
        if (key != FILLED_WRONGLY)
            TRY(h->s->keys[key].is_tensor ? copy_tensor(h, t, key, &casts, &fits, err)
                                          : copy_entry(h, t, key, &fits, err));
        if (!fits)
            h->filled_by[t] = FILLED_BY_NONE;
    }
    return warn_of_casts(h, &casts, err);
}
