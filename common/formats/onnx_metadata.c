/*
 * What a model says of itself beside its tensors, as one JSON object:
 *
 *     {"ir_version": 8, "producer_name": "pytorch", …, "opset_import": {"ai.onnx": 17},
 *      "graph": "main_graph", "nodes": 122, "inputs": [{"name": "x", "dtype": "float32",
 *      "shape": ["batch", 3, 224, null]}], "outputs": […], "metadata_props": {…}, "doc_string": "…"}
 *
 * A dimension is a number, a symbol's name, or null. What is too long is cut, what is too many left
 * out: it says less then, but what it says is whole.
 */
#include "common/base/attr.h"
#include "common/base/json_writer.h"
#include "common/base/utf8.h"
#include "common/formats/onnx_work.h"

enum {
    LISTED_MAX = 4096, /* messages of one list that are told */
    TEXT_BYTES = 1024, /* of one text */
    DOC_BYTES = 4096,  /* of the model's doc_string */
    DIMS_MAX = 64,     /* of one input's shape */
};

struct onnx_about
onnx_about_with(void)
{
    return (struct onnx_about){
        .opsets = vec_of(sizeof(struct protobuf_span), LISTED_MAX),
        .properties = vec_of(sizeof(struct protobuf_span), LISTED_MAX),
        .inputs = vec_of(sizeof(struct protobuf_span), LISTED_MAX),
        .outputs = vec_of(sizeof(struct protobuf_span), LISTED_MAX),
    };
}

void
onnx_about_done(struct onnx_about *about)
{
    vec_done(&about->opsets);
    vec_done(&about->properties);
    vec_done(&about->inputs);
    vec_done(&about->outputs);
}

void
onnx_about_add(struct vec *list, struct protobuf_span span)
{
    struct protobuf_span *kept;

    if (list->count < list->cap && vec_add(list, &kept, "messages", NULL) == OK)
        *kept = span;
}

/* ---- types of inputs and outputs ---- */

enum kind {
    KIND_NONE,
    KIND_TENSOR,
    KIND_SEQUENCE,
    KIND_MAP,
    KIND_OPAQUE,
    KIND_SPARSE,
    KIND_OPTIONAL
};

static const char *const kind_names[] = {
    [KIND_NONE] = NULL,           [KIND_TENSOR] = NULL,     [KIND_SEQUENCE] = "sequence",
    [KIND_MAP] = "map",           [KIND_OPAQUE] = "opaque", [KIND_SPARSE] = "sparse",
    [KIND_OPTIONAL] = "optional",
};

struct dimension {
    bool is_number, is_symbol;
    int64_t number;
    struct protobuf_span symbol;
};

/* A ValueInfoProto, parts of it put together. */
struct value_info {
    struct protobuf_span name;
    enum kind kind;
    uint64_t elem_type;
    bool has_shape;
    size_t rank;
    struct dimension dims[DIMS_MAX];
};

static enum kind
kind_of(uint32_t field)
{
    switch (field) {
    case 1:
        return KIND_TENSOR;
    case 4:
        return KIND_SEQUENCE;
    case 5:
        return KIND_MAP;
    case 7:
        return KIND_OPAQUE;
    case 8:
        return KIND_SPARSE;
    default:
        return KIND_OPTIONAL;
    }
}

static enum status
read_dimension(struct onnx *o, struct value_info *v, struct protobuf_span left, struct err *err)
{
    struct dimension d = {0};
    struct protobuf_field f;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_DIMENSION, &left, &f, &is_end, err));
        if (is_end)
            break;
        if (f.number == 1)
            d = (struct dimension){.is_number = true, .number = (int64_t)f.value};
        else if (f.number == 2)
            d = (struct dimension){.is_symbol = true, .symbol = f.bytes};
    }
    if (v->rank < DIMS_MAX)
        v->dims[v->rank++] = d;
    return OK;
}

static enum status
read_shape(struct onnx *o, struct value_info *v, struct protobuf_span left, struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    v->has_shape = true;
    for (;;) {
        TRY(onnx_field(o, ONNX_SHAPE, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_dimension(o, v, f.bytes, err));
    }
}

static enum status
read_tensor_type(struct onnx *o, struct value_info *v, struct protobuf_span left, struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_TENSOR_TYPE, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        if (f.number == 1)
            v->elem_type = f.value;
        else
            TRY(read_shape(o, v, f.bytes, err));
    }
}

/* The kinds exclude one another: a part of another kind takes the place of what was there before. */
static enum status
read_type(struct onnx *o, struct value_info *v, struct protobuf_span left, struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_TYPE, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        if (f.number == 6)
            continue;
        if (v->kind != kind_of(f.number))
            *v = (struct value_info){.name = v->name, .kind = kind_of(f.number)};
        if (v->kind == KIND_TENSOR || v->kind == KIND_SPARSE)
            TRY(read_tensor_type(o, v, f.bytes, err));
    }
}

static enum status
read_value_info(struct onnx *o, struct value_info *v, struct protobuf_span left, struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_VALUE_INFO, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        if (f.number == 1)
            v->name = f.bytes;
        else if (f.number == 2)
            TRY(read_type(o, v, f.bytes, err));
    }
}

/* ---- writing ---- */

/* JSON of ours has no NUL: a text ends there, as it does for most who print it. */
static struct slice
before_nul(struct slice text)
{
    const char *nul = text.length == 0 ? NULL : memchr(text.at, '\0', text.length);

    return nul == NULL ? text : slice_part(text, 0, (size_t)(nul - text.at));
}

static enum status
write_text(struct onnx *o, struct json_writer *w, const char *key, struct protobuf_span span,
           size_t cap, struct err *err)
{
    struct slice text;

    if (span.length == 0)
        return OK;
    TRY(protobuf_peek(&o->wire, span, cap, &text, err));
    /* A cut character is left out whole. */
    for (size_t i = 0; span.length > cap && i < 3 && !utf8_is_valid(text); i++)
        text.length--;
    jw_pair_slice(w, key, before_nul(text));
    return OK;
}

static enum status
write_dims(struct onnx *o, struct json_writer *w, const struct value_info *v, struct err *err)
{
    struct slice symbol;

    jw_key(w, "shape");
    jw_flat_array(w);
    for (size_t i = 0; i < v->rank; i++) {
        if (v->dims[i].is_symbol) {
            TRY(protobuf_peek(&o->wire, v->dims[i].symbol, TEXT_BYTES, &symbol, err));
            jw_slice(w, before_nul(symbol));
        } else if (v->dims[i].is_number)
            jw_i64(w, v->dims[i].number);
        else
            jw_null(w);
    }
    jw_array_end(w);
    return OK;
}

/* Models of before 2019 list their initializers among the inputs. */
static enum status
is_initializer(struct onnx *o, const struct value_info *v, bool *ret_is_one, struct err *err)
{
    struct slice name;

    TRY(protobuf_peek(&o->wire, v->name, o->limits->name_bytes + 1, &name, err));
    *ret_is_one = structure_find(&o->in->containers[0].structure, name) != SIZE_MAX;
    return OK;
}

static bool
is_full(const struct onnx *o, const struct json_writer *w)
{
    return w->out->length > o->limits->metadata_bytes / 2;
}

static enum status
write_values(struct onnx *o, struct json_writer *w, const char *key, const struct vec *list,
             struct err *err)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < list->count && !is_full(o, w); i++) {
        struct value_info v = {0};
        bool is_one;

        TRY(read_value_info(o, &v, VEC_AT(list, struct protobuf_span, i), err));
        TRY(is_initializer(o, &v, &is_one, err));
        if (is_one)
            continue;
        jw_object(w);
        TRY(write_text(o, w, "name", v.name, TEXT_BYTES, err));
        if (kind_names[v.kind] != NULL)
            jw_pair_text(w, "kind", kind_names[v.kind]);
        if (v.elem_type != 0)
            jw_pair_text(w, "dtype", dtype_name(onnx_dtype(v.elem_type)));
        if (v.has_shape)
            TRY(write_dims(o, w, &v, err));
        jw_object_end(w);
    }
    jw_array_end(w);
    return OK;
}

/* A key that the object does not have yet, and that JSON can have; else *ret_is_new is false. */
static enum status
take_key(struct onnx *o, struct protobuf_span span, struct map *keys, const char *empty,
         struct slice *ret_key, bool *ret_is_new, struct err *err)
{
    uint32_t present;

    TRY(onnx_text(o, span, TEXT_BYTES, ret_key, err));
    if (ret_key->length == 0)
        *ret_key = slice_of(empty);
    TRY(map_add(keys, *ret_key, 0, &present, err));
    *ret_is_new = present == MAP_NONE && utf8_is_valid(*ret_key) &&
                  before_nul(*ret_key).length == ret_key->length;
    return OK;
}

/* An entry of a list whose fields are 1, its key, and 2, its value. */
static enum status
read_pair(struct onnx *o, enum onnx_message message, struct protobuf_span left,
          struct protobuf_span *ret_key, struct protobuf_field *ret_value, struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    *ret_key = (struct protobuf_span){0};
    *ret_value = (struct protobuf_field){0};
    for (;;) {
        TRY(onnx_field(o, message, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        if (f.number == 1)
            *ret_key = f.bytes;
        else
            *ret_value = f;
    }
}

/* The last of one domain counts, so they are read from the last on. */
static enum status
write_opsets(struct onnx *o, struct json_writer *w, struct map *keys, struct err *err)
{
    const struct vec *list = &o->about.opsets;
    struct protobuf_field version;
    struct protobuf_span domain;
    struct slice key;
    bool is_new;

    jw_key(w, "opset_import");
    jw_object(w);
    for (size_t i = list->count; i > 0 && !is_full(o, w); i--) {
        TRY(read_pair(o, ONNX_OPSET, VEC_AT(list, struct protobuf_span, i - 1), &domain, &version,
                      err));
        TRY(take_key(o, domain, keys, "ai.onnx", &key, &is_new, err));
        if (!is_new)
            continue;
        jw_key_slice(w, key);
        jw_i64(w, (int64_t)version.value);
    }
    jw_object_end(w);
    return OK;
}

static enum status
write_properties(struct onnx *o, struct json_writer *w, struct map *keys, struct err *err)
{
    const struct vec *list = &o->about.properties;
    struct protobuf_field value;
    struct protobuf_span span;
    struct slice key, text;
    bool is_new;

    if (list->count == 0)
        return OK;
    jw_key(w, "metadata_props");
    jw_object(w);
    for (size_t i = 0; i < list->count && !is_full(o, w); i++) {
        TRY(read_pair(o, ONNX_STRING_ENTRY, VEC_AT(list, struct protobuf_span, i), &span, &value,
                      err));
        TRY(take_key(o, span, keys, "", &key, &is_new, err));
        if (!is_new || value.bytes.length > DOC_BYTES)
            continue;
        TRY(protobuf_peek(&o->wire, value.bytes, DOC_BYTES, &text, err));
        jw_key_slice(w, key);
        jw_slice(w, before_nul(text));
    }
    jw_object_end(w);
    return OK;
}

static enum status
write_all(struct onnx *o, struct json_writer *w, struct map *domains, struct map *properties,
          struct err *err)
{
    const struct onnx_about *about = &o->about;

    jw_object(w);
    if (about->has_ir_version) {
        jw_key(w, "ir_version");
        jw_i64(w, (int64_t)about->ir_version);
    }
    TRY(write_text(o, w, "producer_name", about->producer_name, TEXT_BYTES, err));
    TRY(write_text(o, w, "producer_version", about->producer_version, TEXT_BYTES, err));
    TRY(write_text(o, w, "domain", about->domain, TEXT_BYTES, err));
    if (about->has_model_version) {
        jw_key(w, "model_version");
        jw_i64(w, (int64_t)about->model_version);
    }
    TRY(write_opsets(o, w, domains, err));
    TRY(write_text(o, w, "graph", about->graph_name, TEXT_BYTES, err));
    jw_pair_u64(w, "nodes", about->nodes);
    if (about->functions > 0)
        jw_pair_u64(w, "functions", about->functions);
    TRY(write_values(o, w, "inputs", &about->inputs, err));
    TRY(write_values(o, w, "outputs", &about->outputs, err));
    TRY(write_properties(o, w, properties, err));
    TRY(write_text(o, w, "doc_string", about->doc_string, DOC_BYTES, err));
    jw_object_end(w);
    return OK;
}

enum status
onnx_metadata(struct onnx *o, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(o->limits->metadata_bytes);
    CLEANUP(map_done) struct map domains = {0};
    CLEANUP(map_done) struct map properties = {0};
    struct json_writer w = json_writer_to(&text, 0);

    TRY(write_all(o, &w, &domains, &properties, err));
    if (buf_check(&text, NULL) != OK)
        return OK; /* more than may be kept: then none */
    return arena_copy(&o->in->arena, buf_slice_of(&text), &o->in->metadata, err);
}
