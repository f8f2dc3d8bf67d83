/*
 * One tensor: what its fields say, and whether the elements that are there are those that dtype and
 * shape ask for. Elements stand in one of three ways: as raw_data, little-endian and packed, so that
 * they have a place; as numbers in the field of their dtype, which are only counted; or in another
 * file. Specification: TensorProto and SparseTensorProto in onnx.proto, onnx/checker.cc.
 */
#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/formats/onnx_work.h"

enum {
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    STRING_DATA = 6,
    INT64_DATA = 7,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11,
};

enum { DATA_TYPE_INT64 = 7, VARINT_MAX = 10, KEY_PEEK_BYTES = 16 };

/* By TensorProto.DataType: the field that holds its elements where they are not raw, and how many
 * numbers of it `elements` elements are. */
static const struct {
    enum dtype dtype;
    uint8_t field;
    uint8_t numbers, elements;
} types[] = {
    [1] = {DTYPE_FLOAT32, FLOAT_DATA, 1, 1},
    [2] = {DTYPE_UINT8, INT32_DATA, 1, 1},
    [3] = {DTYPE_INT8, INT32_DATA, 1, 1},
    [4] = {DTYPE_UINT16, INT32_DATA, 1, 1},
    [5] = {DTYPE_INT16, INT32_DATA, 1, 1},
    [6] = {DTYPE_INT32, INT32_DATA, 1, 1},
    [DATA_TYPE_INT64] = {DTYPE_INT64, INT64_DATA, 1, 1},
    [8] = {DTYPE_STRING, STRING_DATA, 1, 1},
    [9] = {DTYPE_BOOL, INT32_DATA, 1, 1},
    [10] = {DTYPE_FLOAT16, INT32_DATA, 1, 1},
    [11] = {DTYPE_FLOAT64, DOUBLE_DATA, 1, 1},
    [12] = {DTYPE_UINT32, UINT64_DATA, 1, 1},
    [13] = {DTYPE_UINT64, UINT64_DATA, 1, 1},
    [14] = {DTYPE_COMPLEX64, FLOAT_DATA, 2, 1},
    [15] = {DTYPE_COMPLEX128, DOUBLE_DATA, 2, 1},
    [16] = {DTYPE_BFLOAT16, INT32_DATA, 1, 1},
    [17] = {DTYPE_FLOAT8_E4M3FN, INT32_DATA, 1, 1},
    [18] = {DTYPE_FLOAT8_E4M3FNUZ, INT32_DATA, 1, 1},
    [19] = {DTYPE_FLOAT8_E5M2, INT32_DATA, 1, 1},
    [20] = {DTYPE_FLOAT8_E5M2FNUZ, INT32_DATA, 1, 1},
    [21] = {DTYPE_UINT4X2, INT32_DATA, 1, 2},
    [22] = {DTYPE_INT4X2, INT32_DATA, 1, 2},
    [23] = {DTYPE_FLOAT4_E2M1X2, INT32_DATA, 1, 2},
    [24] = {DTYPE_FLOAT8_E8M0FNU, INT32_DATA, 1, 1},
    [25] = {DTYPE_UINT2X4, INT32_DATA, 1, 4},
    [26] = {DTYPE_INT2X4, INT32_DATA, 1, 4},
    [27] = {DTYPE_FLOAT6_E2M3FN, INT32_DATA, 1, 1},
    [28] = {DTYPE_FLOAT6_E3M2FN, INT32_DATA, 1, 1},
};

enum dtype
onnx_dtype(uint64_t data_type)
{
    return data_type < ARRAY_LENGTH(types) ? types[data_type].dtype : DTYPE_UNKNOWN;
}

/* ---- fields ---- */

static void
add_dim(struct onnx_dims *d, uint64_t dim)
{
    d->has_negative = d->has_negative || dim > INT64_MAX;
    if (d->rank == TENSOR_RANK_MAX)
        d->has_too_many = true;
    else
        d->dims[d->rank++] = dim;
}

/* One dimension, or several packed. */
static enum status
read_dims(struct onnx *o, struct onnx_dims *d, const struct protobuf_field *f, struct err *err)
{
    struct protobuf_span left = f->bytes;
    uint64_t dim;

    if (f->wire == PROTOBUF_VARINT) {
        add_dim(d, f->value);
        return OK;
    }
    while (left.length > 0) {
        TRY(protobuf_varint(&o->wire, &left, &dim, err));
        add_dim(d, dim);
    }
    return OK;
}

/* Count elements without reading them; no file has so many bytes that a sum could overflow. */
static void
count_elements(struct onnx_tensor *t, const struct protobuf_field *f)
{
    uint64_t length = f->bytes.length, least = 1, most = 1;

    if (f->wire == PROTOBUF_BYTES && f->number == FLOAT_DATA)
        least = most = length / 4;
    else if (f->wire == PROTOBUF_BYTES && f->number == DOUBLE_DATA)
        least = most = length / 8;
    else if (f->wire == PROTOBUF_BYTES && f->number != STRING_DATA) {
        least = length / VARINT_MAX + (length % VARINT_MAX != 0);
        most = length;
    }
    t->least[f->number] += least;
    t->most[f->number] += most;
}

static void
keep_value(struct onnx_tensor *t, struct protobuf_span value, struct protobuf_span *kept,
           bool *has_it)
{
    t->has_key_twice = t->has_key_twice || *has_it;
    *has_it = true;
    *kept = value;
}

/* A key of external_data and its value. */
static enum status
read_external(struct onnx *o, struct onnx_tensor *t, struct protobuf_span left, struct err *err)
{
    struct protobuf_span key = {0}, value = {0};
    struct protobuf_field f;
    struct slice text;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_STRING_ENTRY, &left, &f, &is_end, err));
        if (is_end)
            break;
        *(f.number == 1 ? &key : &value) = f.bytes;
    }
    TRY(protobuf_peek(&o->wire, key, KEY_PEEK_BYTES, &text, err));
    if (slice_is(text, "location"))
        keep_value(t, value, &t->location, &t->has_location);
    else if (slice_is(text, "offset"))
        keep_value(t, value, &t->offset, &t->has_offset);
    else if (slice_is(text, "length"))
        keep_value(t, value, &t->length, &t->has_length);
    return OK;
}

static enum status
read_tensor_field(struct onnx *o, struct onnx_tensor *t, const struct protobuf_field *f,
                  size_t depth, struct err *err)
{
    switch (f->number) {
    case 1:
        return read_dims(o, &t->dims, f, err);
    case 2:
        t->data_type = (int32_t)(uint32_t)f->value; /* as parsers cut it */
        return OK;
    case 3:
        t->has_segment = true;
        break;
    case FLOAT_DATA:
    case INT32_DATA:
    case STRING_DATA:
    case INT64_DATA:
    case DOUBLE_DATA:
    case UINT64_DATA:
        count_elements(t, f);
        break;
    case 8:
        t->name = f->bytes;
        return OK;
    case 9:
        t->raw = f->bytes;
        t->has_raw = true;
        return OK;
    case 13:
        return read_external(o, t, f->bytes, err);
    case 14:
        if (f->value <= 1) /* another number is none of the enum's: parsers put it aside */
            t->is_external = f->value == 1;
        return OK;
    default:
        break;
    }
    return onnx_check_field(o, ONNX_TENSOR, f, depth, err);
}

static enum status
check_depth(const struct onnx *o, struct protobuf_span span, size_t depth, struct err *err)
{
    FAIL_IF(depth > o->limits->protobuf_depth, err, MALFORMED, span.offset,
            "messages lie more than %zu deep in one another", o->limits->protobuf_depth);
    return OK;
}

enum status
onnx_tensor_read(struct onnx *o, struct onnx_tensor *t, struct protobuf_span span, size_t depth,
                 struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    TRY(check_depth(o, span, depth, err));
    if (!t->is_there) /* those that are left out for what is wrong with them count, too */
        FAIL_IF(++o->tensors > o->limits->tensors * 2, err, LIMIT, span.offset,
                "more than %zu tensors and parts of tensors", o->limits->tensors * 2);
    t->is_there = true;
    for (;;) {
        TRY(onnx_field(o, ONNX_TENSOR, &span, &f, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_tensor_field(o, t, &f, depth, err));
    }
}

enum status
onnx_sparse_read(struct onnx *o, struct onnx_sparse *s, struct protobuf_span span, size_t depth,
                 struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    TRY(check_depth(o, span, depth, err));
    s->is_there = true;
    for (;;) {
        TRY(onnx_field(o, ONNX_SPARSE, &span, &f, &is_end, err));
        if (is_end)
            return OK;
        if (f.number == 1)
            TRY(onnx_tensor_read(o, &s->values, f.bytes, depth + 1, err));
        else if (f.number == 2)
            TRY(onnx_tensor_read(o, &s->indices, f.bytes, depth + 1, err));
        else
            TRY(read_dims(o, &s->dims, &f, err));
    }
}

/* ---- elements ---- */

/* A tensor whose dtype and shape can be, and what its elements must fill. */
struct sized {
    struct slice name;
    const struct onnx_tensor *t;
    enum dtype dtype;
    uint64_t elements, bytes;
};

static enum status
check_raw(struct onnx *o, const struct sized *s, struct place *place, struct err *err)
{
    const struct protobuf_span *raw = &s->t->raw;

    if (s->dtype == DTYPE_STRING)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "it has texts as raw_data, which has no form for them");
    if (s->dtype != DTYPE_UNKNOWN && raw->length != s->bytes)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "its raw_data has %llu bytes, but its shape and dtype need %llu",
                              (unsigned long long)raw->length, (unsigned long long)s->bytes);
    *place = (struct place){.has_bytes = true,
                            .offset = raw->offset,
                            .stored_bytes = raw->length,
                            .storage_bytes = raw->length};
    return OK;
}

/* The one field that holds elements; 0: none does; a number that is no field's: several do. */
static unsigned
filled_field(const struct onnx_tensor *t)
{
    unsigned filled = 0;

    for (unsigned i = 0; i < ONNX_TENSOR_FIELDS; i++)
        if (t->most[i] > 0)
            filled = filled == 0 ? i : ONNX_TENSOR_FIELDS;
    return filled;
}

static enum status
check_typed(struct onnx *o, const struct sized *s, unsigned filled, struct err *err)
{
    unsigned data_type = (unsigned)s->t->data_type; /* a known one */
    uint64_t per = types[data_type].elements, numbers;

    if (filled != types[data_type].field)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "its elements stand in field %u, where elements of %s never are",
                              filled, dtype_name(s->dtype));
    numbers = (s->elements / per + (s->elements % per != 0)) * types[data_type].numbers;
    if (numbers < s->t->least[filled] || numbers > s->t->most[filled])
        return onnx_malformed(
            o, FINDING_TENSOR_MALFORMED, s->name, err,
            "its field %u holds %llu numbers %s, but its shape and dtype need %llu", filled,
            (unsigned long long)(numbers < s->t->least[filled] ? s->t->least[filled]
                                                               : s->t->most[filled]),
            numbers < s->t->least[filled] ? "or more" : "or fewer", (unsigned long long)numbers);
    return OK;
}

/* Note what is wrong with a tensor's elements, and tell where they lie. */
static enum status
check_elements(struct onnx *o, const struct sized *s, struct place *place, struct err *err)
{
    unsigned filled = filled_field(s->t);

    *place = (struct place){0};
    if (s->t->has_segment)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "it is a segment of a larger tensor, which no reader joins");
    if ((s->t->is_external && (s->t->has_raw || filled != 0)) || (s->t->has_raw && filled != 0) ||
        filled == ONNX_TENSOR_FIELDS)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "its elements are there in more than one way, and readers differ in "
                              "which they take");
    if (s->t->is_external && s->dtype == DTYPE_STRING)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "its texts are said to lie in another file, which has no form for "
                              "them");
    if (s->t->is_external)
        return onnx_external_place(o, s->t, s->name, s->bytes, place, err);
    if (s->t->has_raw)
        return check_raw(o, s, place, err);
    if (s->dtype == DTYPE_UNKNOWN || (filled == 0 && s->elements == 0))
        return OK;
    if (filled == 0)
        return onnx_malformed(o, FINDING_STORAGE_MISSING, s->name, err,
                              "the file has none of its %llu elements",
                              (unsigned long long)s->elements);
    return check_typed(o, s, filled, err);
}

/* The dtype, and what is wrong with it; *ret_is_odd where the tensor must be left out. */
static enum status
check_type(struct onnx *o, struct slice name, int32_t data_type, enum dtype *ret_dtype,
           bool *ret_is_odd, struct err *err)
{
    *ret_dtype = onnx_dtype((uint32_t)data_type);
    *ret_is_odd = data_type <= 0;
    if (*ret_is_odd)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, name, err, "it has no data type (%d)",
                              data_type);
    if (*ret_dtype == DTYPE_UNKNOWN)
        return inspection_note(o->in, o->limits, FINDING_TENSOR_DTYPE, name, err,
                               "its data type %d is not one that is known here", data_type);
    return OK;
}

/* The shape, kept in the arena; *ret_is_odd where the tensor must be left out. */
static enum status
check_shape(struct onnx *o, const struct onnx_dims *d, struct sized *s, struct shape *ret_shape,
            bool *ret_is_odd, struct err *err)
{
    uint64_t *kept = arena_alloc(&o->in->arena, d->rank, sizeof *kept);

    if (kept == NULL)
        return arena_fail(&o->in->arena, err);
    if (d->rank > 0)
        memcpy(kept, d->dims, d->rank * sizeof *kept);
    *ret_shape = (struct shape){d->rank, kept};
    *ret_is_odd = true;
    if (d->has_negative)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "one of its dimensions is negative");
    if (d->has_too_many || d->rank > o->limits->rank)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "it has more than %zu dimensions", o->limits->rank);
    if (!shape_elements(*ret_shape, &s->elements) ||
        !shape_bytes(s->elements, s->dtype, &s->bytes) || s->bytes > INT64_MAX)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, s->name, err,
                              "the product of its dimensions overflows");
    *ret_is_odd = false;
    return OK;
}

static enum status
check_name(struct onnx *o, struct slice name, bool *ret_is_odd, struct err *err)
{
    *ret_is_odd = name.length > o->limits->name_bytes;
    if (*ret_is_odd)
        return inspection_note(o->in, o->limits, FINDING_KEY_ODD, name, err,
                               "its name has %zu bytes; the limit is %zu: it is left out",
                               name.length, o->limits->name_bytes);
    return OK;
}

/* Name, dtype and shape of a tensor on its way to a builder. */
static enum status
begin(struct onnx *o, const struct onnx_tensor *t, const struct onnx_dims *dims, struct sized *s,
      struct built_tensor *built, bool *ret_is_odd, struct err *err)
{
    TRY(check_name(o, s->name, ret_is_odd, err));
    if (!*ret_is_odd)
        TRY(check_type(o, s->name, t->data_type, &s->dtype, ret_is_odd, err));
    if (!*ret_is_odd)
        TRY(check_shape(o, dims, s, &built->tensor.shape, ret_is_odd, err));
    built->tensor.name = s->name;
    built->tensor.dtype = s->dtype;
    return OK;
}

enum status
onnx_tensor_add(struct onnx *o, struct builder *b, struct slice name, const struct onnx_tensor *t,
                struct err *err)
{
    struct built_tensor built = {0};
    struct sized sized = {.name = name, .t = t};
    bool is_odd;

    TRY(begin(o, t, &t->dims, &sized, &built, &is_odd, err));
    if (is_odd)
        return OK;
    TRY(check_elements(o, &sized, &built.place, err));
    return builder_tensor(b, &built, err);
}

/* The values' and the indices' own shapes: [n], and [n] or [n, rank]. */
static bool
is_coordinates(const struct onnx_sparse *s)
{
    const struct onnx_dims *values = &s->values.dims, *indices = &s->indices.dims;

    return values->rank == 1 && (indices->rank == 1 || indices->rank == 2) &&
           indices->dims[0] == values->dims[0] &&
           (indices->rank == 1 || indices->dims[1] == s->dims.rank) &&
           s->indices.data_type == DATA_TYPE_INT64;
}

/* The elements of one of a sparse tensor's two parts. */
static enum status
check_part(struct onnx *o, struct slice name, const struct onnx_tensor *t, enum dtype dtype,
           struct err *err)
{
    struct sized part = {.name = name, .t = t, .dtype = dtype};
    struct place place; /* a sparse tensor has none */
    struct shape shape;
    bool is_odd;

    TRY(check_shape(o, &t->dims, &part, &shape, &is_odd, err));
    return is_odd ? OK : check_elements(o, &part, &place, err);
}

enum status
onnx_sparse_add(struct onnx *o, struct builder *b, struct slice name, const struct onnx_sparse *s,
                struct err *err)
{
    struct built_tensor built = {.layout = LAYOUT_SPARSE_COO};
    struct sized sized = {.name = name};
    bool is_odd;

    TRY(begin(o, &s->values, &s->dims, &sized, &built, &is_odd, err));
    if (is_odd)
        return OK;
    if (!is_coordinates(s) || s->values.dims.dims[0] > sized.elements)
        TRY(onnx_malformed(o, FINDING_TENSOR_MALFORMED, name, err,
                           "the shapes of its values and indices do not fit one another"));
    TRY(check_part(o, name, &s->values, sized.dtype, err));
    if (s->indices.data_type == DATA_TYPE_INT64)
        TRY(check_part(o, name, &s->indices, DTYPE_INT64, err));
    return builder_tensor(b, &built, err);
}
