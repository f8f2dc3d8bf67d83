#include "common/compat/meaning.h"

/* Last segments, or segments anywhere, that give a tensor its meaning. */
static const struct {
    const char *segment;
    bool is_prefix;
    enum meaning meaning;
} meanings[] = {
    {"qweight", false, MEANING_QUANTIZED},
    {"qzeros", false, MEANING_QUANTIZED},
    {"g_idx", false, MEANING_QUANTIZED},
    {"scales", false, MEANING_QUANTIZED},
    {"scale", false, MEANING_QUANTIZED},
    {"zero_point", false, MEANING_QUANTIZED},
    {"zeros", false, MEANING_QUANTIZED},
    {"SCB", false, MEANING_QUANTIZED},
    {"absmax", false, MEANING_QUANTIZED},
    {"nested_absmax", false, MEANING_QUANTIZED},
    {"quant_map", false, MEANING_QUANTIZED},
    {"weight_scale", true, MEANING_QUANTIZED},
    {"weight_zero_point", false, MEANING_QUANTIZED},
    {"weight_packed", false, MEANING_QUANTIZED},
    {"input_scale", false, MEANING_QUANTIZED},
    {"quant_state", true, MEANING_QUANTIZED},
    {"_packed_params", true, MEANING_QUANTIZED},
    {"lora_", true, MEANING_ADAPTER},
    {"adapter_", true, MEANING_ADAPTER},
    {"weight_mask", false, MEANING_PRUNED},
    {"bias_mask", false, MEANING_PRUNED},
};

enum meaning
meaning_of(struct slice name)
{
    while (name.at != NULL) {
        struct slice segment = slice_cut(&name, '.');

        for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
            struct slice text = slice_of(meanings[i].segment);

            if (meanings[i].is_prefix ? slice_starts(segment, text) : slice_equal(segment, text))
                return meanings[i].meaning;
        }
    }
    return MEANING_NONE;
}

/* Shapes that such a buffer has. */
enum form {
    FORM_SINGLE,   /* one element, rank 0 or 1 */
    FORM_VECTOR,   /* rank 1 */
    FORM_IDS,      /* rank 1, or [1, n] */
    FORM_SQUARE,   /* the last two dims are equal, and more than one element */
    FORM_MASK4,    /* [1, 1, n, n] */
    FORM_MATRIX,   /* rank 2 */
    FORM_COORDS,   /* [.., 2] */
    FORM_CHANNELS, /* at most four elements */
};

enum element { ELEMENT_ANY, ELEMENT_INTEGER, ELEMENT_FLOAT };

/* knowledge: buffers that older files carry, and that newer classes make themselves or do not have. */
static const struct {
    const char *suffix; /* whole segments */
    enum form form;
    enum element element;
} benign[] = {
    {"num_batches_tracked", FORM_SINGLE, ELEMENT_INTEGER},
    {"position_ids", FORM_IDS, ELEMENT_INTEGER},
    {"inv_freq", FORM_VECTOR, ELEMENT_FLOAT},
    {"rope.freqs", FORM_VECTOR, ELEMENT_FLOAT},
    {"attn.bias", FORM_MASK4, ELEMENT_ANY},
    {"attention.bias", FORM_MASK4, ELEMENT_ANY},
    {"masked_bias", FORM_SINGLE, ELEMENT_ANY},
    {"mask", FORM_SQUARE, ELEMENT_ANY},
    {"tril", FORM_SQUARE, ELEMENT_ANY},
    {"attn_mask", FORM_SQUARE, ELEMENT_ANY},
    {"relative_position_index", FORM_MATRIX, ELEMENT_INTEGER},
    {"relative_coords_table", FORM_COORDS, ELEMENT_FLOAT},
    {"attention_bias_idxs", FORM_MATRIX, ELEMENT_INTEGER},
    {"total_ops", FORM_SINGLE, ELEMENT_ANY},
    {"total_params", FORM_SINGLE, ELEMENT_ANY},
    {"pixel_mean", FORM_CHANNELS, ELEMENT_FLOAT},
    {"pixel_std", FORM_CHANNELS, ELEMENT_FLOAT},
    {"_float_tensor", FORM_SINGLE, ELEMENT_FLOAT},
    {"n_averaged", FORM_SINGLE, ELEMENT_INTEGER},
};

static bool
has_form(const struct state_key *key, enum form form)
{
    const uint64_t *dims = key->shape.dims;
    uint32_t rank = key->shape.rank;

    switch (form) {
    case FORM_SINGLE:
        return rank <= 1 && key->elements <= 1;
    case FORM_VECTOR:
        return rank == 1;
    case FORM_IDS:
        return rank == 1 || (rank == 2 && dims[0] == 1);
    case FORM_SQUARE:
        return rank >= 2 && dims[rank - 1] == dims[rank - 2] && dims[rank - 1] > 1;
    case FORM_MASK4:
        return rank == 4 && dims[0] == 1 && dims[1] == 1 && dims[2] == dims[3] && dims[2] > 1;
    case FORM_MATRIX:
        return rank == 2;
    case FORM_COORDS:
        return rank >= 2 && dims[rank - 1] == 2;
    case FORM_CHANNELS:
        return key->elements <= 4;
    }
    return false;
}

static bool
has_element(const struct state_key *key, enum element element)
{
    enum dtype_kind kind = dtype_kind(key->dtype);

    switch (element) {
    case ELEMENT_ANY:
        return true;
    case ELEMENT_INTEGER:
        return kind == DTYPE_KIND_INTEGER;
    case ELEMENT_FLOAT:
        return kind == DTYPE_KIND_FLOAT;
    }
    return false;
}

static bool
ends_with(struct slice name, const char *suffix)
{
    struct slice tail = slice_of(suffix);

    return slice_ends(name, tail) &&
           (name.length == tail.length || name.at[name.length - tail.length - 1] == '.');
}

bool
meaning_is_benign(const struct state_key *key)
{
    if (!key->is_tensor)
        return false;
    for (size_t i = 0; i < sizeof benign / sizeof benign[0]; i++) {
        if (ends_with(key->name, benign[i].suffix) && has_form(key, benign[i].form) &&
            has_element(key, benign[i].element))
            return true;
    }
    return false;
}
