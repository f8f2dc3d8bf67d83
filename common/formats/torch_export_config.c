/*
 * The table of weights or of constants in a torch.export archive since PyTorch 2.8:
 *
 *     {"config": {"fc.weight": {"path_name": "weight_0", "is_param": true, "use_pickle": false,
 *         "tensor_meta": {"dtype": 7, "sizes": [{"as_int": 4}, {"as_int": 3}], "strides": [{"as_int": 3},
 *             {"as_int": 1}], "storage_offset": {"as_int": 0}, "layout": 7, "requires_grad": true,
 *             "device": {"type": "cpu", "index": null}}}, …}}
 *
 * A payload is a storage's bytes; tensors of one path_name share it, and all of them have the dtype of
 * the first (torch/export/pt2_archive/_package.py, _build_file_map). With use_pickle it is an archive of
 * torch.save with one tensor in it, or an object that is no tensor.
 */
#include "common/formats/torch_export_read.h"

#include "common/base/attr.h"
#include "common/formats/torch_tensor.h"
#include "common/formats/torch_view.h"

enum { LAYOUT_STRIDED_CODE = 7 };

/* torch/_export/serde/schema.py, ScalarType: by number, and before PyTorch 2.2 by name. */
static const struct {
    uint8_t code;
    const char *name;
    enum dtype dtype;
} scalar_types[] = {
    {1, "BYTE", DTYPE_UINT8},
    {2, "CHAR", DTYPE_INT8},
    {3, "SHORT", DTYPE_INT16},
    {4, "INT", DTYPE_INT32},
    {5, "LONG", DTYPE_INT64},
    {6, "HALF", DTYPE_FLOAT16},
    {7, "FLOAT", DTYPE_FLOAT32},
    {8, "DOUBLE", DTYPE_FLOAT64},
    {9, "COMPLEXHALF", DTYPE_COMPLEX32},
    {10, "COMPLEXFLOAT", DTYPE_COMPLEX64},
    {11, "COMPLEXDOUBLE", DTYPE_COMPLEX128},
    {12, "BOOL", DTYPE_BOOL},
    {13, "BFLOAT16", DTYPE_BFLOAT16},
    {28, "UINT16", DTYPE_UINT16},
    {29, "FLOAT8E4M3FN", DTYPE_FLOAT8_E4M3FN},
    {30, "FLOAT8E5M2", DTYPE_FLOAT8_E5M2},
    {31, "FLOAT8E4M3FNUZ", DTYPE_FLOAT8_E4M3FNUZ},
    {32, "FLOAT8E5M2FNUZ", DTYPE_FLOAT8_E5M2FNUZ},
    {33, "FLOAT8E8M0FNU", DTYPE_FLOAT8_E8M0FNU},
    {34, "UINT32", DTYPE_UINT32},
    {35, "UINT64", DTYPE_UINT64},
};

/* A row of the table as it is read. */
struct config_row {
    struct slice name;
    struct slice path;
    bool uses_pickle;
    bool has_meta;
    struct torch_view view;
    uint32_t stride_count;
    int64_t layout;
    bool is_symbolic;    /* a size is an expression that was true of the example inputs */
    const char *problem; /* why it is no tensor */
};

struct config {
    struct torch_archive *a;
    const char *folder;
    struct torch_reader *r;
    struct builder *builder;
    struct json j;
    uint8_t *dtypes; /* of each member: the first tensor's that it is the storage of */
};

static void
config_done(struct config *c)
{
    json_done(&c->j);
}

/* ---- tensor_meta ---- */

static enum status
read_dtype(struct config *c, struct config_row *row, struct err *err)
{
    struct json_token t;
    int64_t code = 0;

    TRY(json_peek(&c->j, &t, err));
    if (t.kind == JSON_STRING)
        TRY(json_next(&c->j, &t, err));
    else
        TRY(json_i64(&c->j, "dtype", &code, err));
    for (size_t i = 0; i < ARRAY_LENGTH(scalar_types); i++) {
        if (t.kind == JSON_STRING ? slice_is(t.text, scalar_types[i].name)
                                  : code == scalar_types[i].code)
            row->view.dtype = scalar_types[i].dtype;
    }
    if (row->view.dtype == DTYPE_UNKNOWN)
        row->problem = "its dtype is not one of PyTorch's";
    return OK;
}

/* {"as_int": 4}, or {"as_expr": {"expr_str": "s0", "hint": {"as_int": 4}}}, whose hint it is then. */
static enum status
read_size(struct config *c, struct config_row *row, int64_t *ret_size, struct err *err)
{
    bool has_int = false;
    struct json_token t;
    size_t depth = 0;
    bool is_int = false;

    do {
        TRY(json_next(&c->j, &t, err));
        if (t.kind == JSON_OBJECT || t.kind == JSON_ARRAY)
            depth++;
        else if (t.kind == JSON_OBJECT_END || t.kind == JSON_ARRAY_END)
            depth--;
        is_int = t.kind == JSON_KEY && slice_is(t.text, "as_int");
        row->is_symbolic = row->is_symbolic || (t.kind == JSON_KEY && slice_is(t.text, "as_expr"));
        if (is_int) {
            TRY(json_i64(&c->j, "as_int", ret_size, err));
            has_int = true;
        }
    } while (depth > 0);
    if (!has_int)
        row->problem = "a size of it is an expression without a value";
    return OK;
}

static enum status
read_sizes(struct config *c, struct config_row *row, int64_t *sizes, uint32_t *ret_count,
           struct err *err)
{
    size_t rank = c->a->work->limits->rank;
    bool is_end;

    TRY(json_array(&c->j, "sizes", err));
    for (*ret_count = 0;; (*ret_count)++) {
        TRY(json_element(&c->j, &is_end, err));
        if (is_end)
            return OK;
        FAIL_IF(*ret_count >= rank || *ret_count >= TENSOR_RANK_MAX, err, LIMIT, c->j.at,
                "%.*s has more than %zu dimensions", SLICE_PRINT(row->name), rank);
        TRY(read_size(c, row, &sizes[*ret_count], err));
    }
}

static enum status
read_shape(struct config *c, struct config_row *row, struct err *err)
{
    int64_t sizes[TENSOR_RANK_MAX] = {0};
    struct arena *arena = &c->a->work->in->arena;
    uint64_t *dims;
    uint32_t rank;

    TRY(read_sizes(c, row, sizes, &rank, err));
    dims = arena_alloc(arena, rank, sizeof *dims);
    if (dims == NULL)
        return arena_fail(arena, err);
    for (uint32_t i = 0; i < rank; i++) {
        if (sizes[i] < 0)
            row->problem = "a size of it is negative";
        dims[i] = (uint64_t)sizes[i];
    }
    row->view.shape = (struct shape){.rank = rank, .dims = dims};
    return OK;
}

static enum status
read_strides(struct config *c, struct config_row *row, struct err *err)
{
    int64_t sizes[TENSOR_RANK_MAX] = {0}, *strides;
    struct arena *arena = &c->a->work->in->arena;

    TRY(read_sizes(c, row, sizes, &row->stride_count, err));
    strides = arena_alloc(arena, row->stride_count, sizeof *strides);
    if (strides == NULL)
        return arena_fail(arena, err);
    if (row->stride_count > 0)
        memcpy(strides, sizes, row->stride_count * sizeof *strides);
    row->view.strides = strides;
    return OK;
}

static enum status
read_offset(struct config *c, struct config_row *row, struct err *err)
{
    int64_t offset = 0;

    TRY(read_size(c, row, &offset, err));
    if (offset < 0)
        row->problem = "its offset is negative";
    row->view.first_element = (uint64_t)offset;
    return OK;
}

static enum status
read_layout(struct config *c, struct config_row *row, struct err *err)
{
    struct json_token t;

    TRY(json_peek(&c->j, &t, err));
    if (t.kind != JSON_STRING)
        return json_i64(&c->j, "layout", &row->layout, err);
    TRY(json_next(&c->j, &t, err));
    row->layout = slice_is(t.text, "Strided") ? LAYOUT_STRIDED_CODE : 0;
    return OK;
}

static enum status
read_meta(struct config *c, struct config_row *row, struct err *err)
{
    struct json_token t;
    struct slice key;
    bool is_end;

    TRY(json_peek(&c->j, &t, err));
    if (t.kind == JSON_NULL)
        return json_next(&c->j, &t, err);
    TRY(json_object(&c->j, "tensor_meta", err));
    row->has_meta = true;
    for (;;) {
        TRY(json_key(&c->j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(key, "dtype"))
            TRY(read_dtype(c, row, err));
        else if (slice_is(key, "sizes"))
            TRY(read_shape(c, row, err));
        else if (slice_is(key, "strides"))
            TRY(read_strides(c, row, err));
        else if (slice_is(key, "storage_offset"))
            TRY(read_offset(c, row, err));
        else if (slice_is(key, "layout"))
            TRY(read_layout(c, row, err));
        else
            TRY(json_skip(&c->j, NULL, err));
    }
}

/* ---- rows ---- */

static enum status
note_malformed(struct config *c, const struct config_row *row, const char *why, struct err *err)
{
    return inspection_note(c->a->work->in, c->a->work->limits, FINDING_TENSOR_MALFORMED, row->name,
                           err, "a tensor that cannot be built: %s", why);
}

static enum status
add_built(struct config *c, struct built_tensor *t, struct err *err)
{
    FAIL_IF(c->r->tensors_left == 0, err, LIMIT, 0, "more than %zu tensors", c->r->limits->tensors);
    c->r->tensors_left--;
    return builder_tensor(c->builder, t, err);
}

/* A payload that is an archive of one tensor, or else an object. */
static enum status
add_pickled(struct config *c, const struct config_row *row, const struct zip_member *m,
            struct err *err)
{
    CLEANUP(torch_nested_done) struct torch_nested n = {0};
    struct entry e = {.name = row->name, .kind = ENTRY_OBJECT, .type = slice_of("object")};
    enum torch_answer answer = TORCH_NO_TENSOR;
    struct built_tensor t;
    bool is_open = false;

    if (m == NULL)
        return inspection_note(c->a->work->in, c->a->work->limits, FINDING_STORAGE_MISSING,
                               row->name, err, "the archive has no record %s%.*s", c->folder,
                               SLICE_PRINT(row->path));
    /* custom_obj_0, opaque_obj_0: no tensors, judged with all members */
    if (!row->has_meta) {
        c->a->noted[m - c->a->directory->members] |= TORCH_NOTED_LOADED;
        return builder_entry(c->builder, &e, err);
    }
    TRY(torch_nested_open(c->a, m, SAFETY_EXTRA, &n, &is_open, err));
    c->a->told[m - c->a->directory->members] = m->size_bytes; /* judged just now */
    if (!is_open)
        return note_malformed(c, row, "its payload is no archive of torch.save", err);
    c->r->context = &n.archive;
    c->r->devices.count = 0; /* their names end with the pickle */
    TRY(torch_tensor_read(c->r, n.pickle.root, row->name, &t, &answer, err));
    if (answer == TORCH_NO_TENSOR)
        return note_malformed(c, row, "its payload holds no tensor", err);
    if (answer == TORCH_BROKEN)
        return OK;
    t.tensor.name = row->name;
    /* A number by the pickle's bytes says nothing of another pickle's. */
    if ((t.storage & UINT64_C(1) << 62) != 0)
        t.storage = n.archive.first_number | UINT64_C(1) << 62;
    return add_built(c, &t, err);
}

/* A payload without bytes is a tensor of zeros to the loader: what was saved had a shape only. */
static enum status
add_outline(struct config *c, const struct config_row *row, struct err *err)
{
    struct built_tensor t = {
        .tensor = {.name = row->name, .dtype = row->view.dtype, .shape = row->view.shape},
        .layout = LAYOUT_META,
    };

    TRY(inspection_note(c->a->work->in, c->a->work->limits, FINDING_TENSOR_ODD, row->name, err,
                        "it was saved without values: torch.export.load makes zeros of it"));
    return add_built(c, &t, err);
}

/* All tensors of one payload have the dtype of the first. */
static enum status
settle_dtype(struct config *c, struct config_row *row, const struct zip_member *m, struct err *err)
{
    uint8_t *first = &c->dtypes[m - c->a->directory->members];

    if (*first == DTYPE_UNKNOWN)
        *first = (uint8_t)row->view.dtype;
    if (*first == row->view.dtype)
        return OK;
    row->view.dtype = (enum dtype) * first;
    return inspection_note(c->a->work->in, c->a->work->limits, FINDING_TENSOR_ODD, row->name, err,
                           "it shares its bytes with a tensor of another dtype, which "
                           "torch.export.load gives to both");
}

static enum status
add_raw(struct config *c, struct config_row *row, const struct zip_member *m, struct err *err)
{
    uint64_t elements = 0;
    struct built_tensor t;
    bool is_tensor;

    if (!row->has_meta || row->view.dtype == DTYPE_UNKNOWN ||
        (row->view.strides != NULL && row->stride_count != row->view.shape.rank))
        return note_malformed(
            c, row, row->problem != NULL ? row->problem : "its tensor_meta is not complete", err);
    if (row->problem != NULL)
        return note_malformed(c, row, row->problem, err);
    if (row->is_symbolic)
        TRY(inspection_note(
            c->a->work->in, c->a->work->limits, FINDING_TENSOR_ODD, row->name, err,
            "a size of it is an expression; it has the value of the example inputs"));
    if (row->layout != LAYOUT_STRIDED_CODE)
        TRY(inspection_note(c->a->work->in, c->a->work->limits, FINDING_TENSOR_ODD, row->name, err,
                            "it is not strided, yet its payload is plain bytes"));
    if (m != NULL)
        TRY(settle_dtype(c, row, m, err));
    row->view.name = row->name;
    if (m != NULL && m->size_bytes == 0 && shape_elements(row->view.shape, &elements) &&
        elements > 0)
        return add_outline(c, row, err);
    TRY(torch_view_build(c->a, &row->view, m, row->path, &t, &is_tensor, err));
    return is_tensor ? add_built(c, &t, err) : OK;
}

static enum status
read_row(struct config *c, struct slice name, struct err *err)
{
    struct config_row row = {.layout = LAYOUT_STRIDED_CODE};
    const struct zip_member *m;
    struct slice key;
    bool is_end;

    FAIL_IF(name.length > c->a->work->limits->name_bytes, err, LIMIT, c->j.at,
            "a name of %zu bytes; the limit is %zu", name.length, c->a->work->limits->name_bytes);
    TRY(arena_copy(&c->a->work->in->arena, name, &row.name, err));
    TRY(json_object(&c->j, "a payload", err));
    for (;;) {
        TRY(json_key(&c->j, &key, &is_end, err));
        if (is_end)
            break;
        if (slice_is(key, "path_name"))
            TRY(json_string(&c->j, "path_name", &row.path, err));
        else if (slice_is(key, "use_pickle"))
            TRY(json_bool(&c->j, "use_pickle", &row.uses_pickle, err));
        else if (slice_is(key, "tensor_meta"))
            TRY(read_meta(c, &row, err));
        else
            TRY(json_skip(&c->j, NULL, err));
    }
    m = torch_archive_find(c->a, c->folder, row.path);
    return row.uses_pickle ? add_pickled(c, &row, m, err) : add_raw(c, &row, m, err);
}

static enum status
read_config(struct config *c, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_object(&c->j, "the table", err));
    for (;;) {
        TRY(json_key(&c->j, &key, &is_end, err));
        if (is_end)
            return json_finish(&c->j, err);
        if (!slice_is(key, "config")) {
            TRY(json_skip(&c->j, NULL, err));
            continue;
        }
        TRY(json_object(&c->j, "config", err));
        for (;;) {
            TRY(json_key(&c->j, &key, &is_end, err));
            if (is_end)
                break;
            TRY(read_row(c, key, err));
        }
    }
}

enum status
export_config_read(struct torch_archive *a, const struct zip_member *m, const char *folder,
                   struct torch_reader *r, struct builder *b, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    CLEANUP(config_done) struct config c = {.a = a, .folder = folder, .r = r, .builder = b};
    struct err problem = {0};

    c.dtypes = arena_alloc(&a->work->scratch, a->directory->count, sizeof *c.dtypes);
    if (c.dtypes == NULL)
        return arena_fail(&a->work->scratch, err);
    if (export_header_read(a, m, &payload, &problem) != OK)
        return export_note_problem(a, m, &problem, err);
    json_open(&c.j, (struct slice){payload.bytes, payload.length}, a->work->limits,
              &a->work->in->arena);
    if (read_config(&c, &problem) != OK)
        return export_note_problem(a, m, &problem, err);
    return OK;
}
