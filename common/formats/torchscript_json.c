/*
 * TorchScript archives of PyTorch 1.0 to 1.2:
 *
 *     <root>/model.json       a ModelDef in protobuf's JSON (caffe2/proto/torch.proto of 1.0)
 *     <root>/tensors/<n>      storages
 *     <root>/attributes.pkl   from 1.1 on: values of plain attributes
 *     <root>/code/….py
 *
 *     {"protoVersion": "2", "producerName": "pytorch", "producerVersion": "1.0",
 *      "mainModule": {"submodules": [{…}], "parameters": [{"isBuffer": true, "tensorId": "1",
 *                     "name": "running_mean"}, …], "name": "…", "torchscriptArena": {"key": "…"}},
 *      "tensors": [{"dims": ["2", "3"], "offset": "0", "strides": ["3", "1"], "requiresGrad": true,
 *                   "dataType": "FLOAT", "data": {"key": "tensors/0"}, "device": "cpu"}, …]}
 *
 * Protobuf writes 64-bit integers in quotes and leaves out what is zero. A module's name stands after
 * its submodules and parameters, so rows are kept and paths made at the end. The
 * reader is torch/csrc/jit/serialization/import_legacy.cpp, which PyTorch's packages of today leave out:
 * torch.jit.load of 2.13 refuses these files.
 */
#include "common/formats/torchscript_read.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/formats/torch_view.h"

enum {
    PRODUCER_BYTES_MAX = 200,
    MODULE_VERSION = 1,
};

/* caffe2's TensorProto.DataType, by name or by number. */
static const struct {
    const char *name;
    int64_t number;
    enum dtype dtype;
} data_types[] = {
    {"FLOAT", 1, DTYPE_FLOAT32},    {"INT32", 2, DTYPE_INT32},     {"BYTE", 3, DTYPE_UINT8},
    {"BOOL", 5, DTYPE_BOOL},        {"UINT8", 6, DTYPE_UINT8},     {"INT8", 7, DTYPE_INT8},
    {"UINT16", 8, DTYPE_UINT16},    {"INT16", 9, DTYPE_INT16},     {"INT64", 10, DTYPE_INT64},
    {"FLOAT16", 12, DTYPE_FLOAT16}, {"DOUBLE", 13, DTYPE_FLOAT64},
};

struct model_tensor {
    struct torch_view view;
    bool has_dtype;
    bool has_strides;
    uint32_t stride_count;
    struct slice key;
};

struct model_parameter {
    uint32_t module;
    uint32_t order; /* in the file */
    bool is_buffer;
    int64_t tensor;
    struct slice name;
};

struct model_module {
    uint32_t parent; /* its own index: the main module */
    struct slice name;
    struct slice path;
};

/* A module that is open: its list of submodules, too, or not. */
struct model_level {
    uint32_t module;
    bool is_in_list;
};

struct model {
    struct torch_archive *a;
    struct json j;
    struct vec tensors;    /* struct model_tensor */
    struct vec parameters; /* struct model_parameter */
    struct vec modules;    /* struct model_module, parents before their children */
    struct vec levels;     /* struct model_level */
    struct slice producer;
    struct slice producer_version;
    struct builder builder;
};

static void
model_done(struct model *m)
{
    json_done(&m->j);
    vec_done(&m->tensors);
    vec_done(&m->parameters);
    vec_done(&m->modules);
    vec_done(&m->levels);
    builder_done(&m->builder);
}

static struct arena *
arena_of(struct model *m)
{
    return &m->a->work->in->arena;
}

/* ---- tensors ---- */

static enum status
read_numbers(struct model *m, const char *what, int64_t *numbers, uint32_t *ret_count,
             struct err *err)
{
    size_t rank = m->a->work->limits->rank;
    bool is_end;

    TRY(json_array(&m->j, what, err));
    for (*ret_count = 0;; (*ret_count)++) {
        TRY(json_element(&m->j, &is_end, err));
        if (is_end)
            return OK;
        FAIL_IF(*ret_count >= rank || *ret_count >= TENSOR_RANK_MAX, err, LIMIT, m->j.at,
                "a tensor has more than %zu dimensions", rank);
        TRY(torch_view_int(&m->j, what, &numbers[*ret_count], err));
    }
}

static enum status
read_dims(struct model *m, struct model_tensor *t, struct err *err)
{
    int64_t numbers[TENSOR_RANK_MAX];
    uint64_t *dims;
    uint32_t rank;

    TRY(read_numbers(m, "dims", numbers, &rank, err));
    dims = arena_alloc(arena_of(m), rank, sizeof *dims);
    if (dims == NULL)
        return arena_fail(arena_of(m), err);
    for (uint32_t i = 0; i < rank; i++) {
        FAIL_IF(numbers[i] < 0, err, BAD_JSON, m->j.at, "a dimension is negative");
        dims[i] = (uint64_t)numbers[i];
    }
    t->view.shape = (struct shape){.rank = rank, .dims = dims};
    return OK;
}

static enum status
read_strides(struct model *m, struct model_tensor *t, struct err *err)
{
    int64_t numbers[TENSOR_RANK_MAX], *strides;

    TRY(read_numbers(m, "strides", numbers, &t->stride_count, err));
    strides = arena_alloc(arena_of(m), t->stride_count, sizeof *strides);
    if (strides == NULL)
        return arena_fail(arena_of(m), err);
    if (t->stride_count > 0)
        memcpy(strides, numbers, t->stride_count * sizeof *strides);
    t->view.strides = strides;
    t->has_strides = true;
    return OK;
}

static enum status
read_data_type(struct model *m, struct model_tensor *t, struct err *err)
{
    struct json_token token;
    int64_t number = 0;

    TRY(json_peek(&m->j, &token, err));
    if (token.kind == JSON_STRING)
        TRY(json_next(&m->j, &token, err));
    else
        TRY(json_i64(&m->j, "dataType", &number, err));
    for (size_t i = 0; i < ARRAY_LENGTH(data_types); i++) {
        if (token.kind == JSON_STRING ? slice_is(token.text, data_types[i].name)
                                      : number == data_types[i].number) {
            t->view.dtype = data_types[i].dtype;
            t->has_dtype = true;
        }
    }
    return OK;
}

/* {"key": "tensors/0"} */
static enum status
read_record(struct model *m, struct slice *ret_key, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_object(&m->j, "a reference to a record", err));
    for (;;) {
        TRY(json_key(&m->j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(key, "key"))
            TRY(json_string(&m->j, "a record's key", ret_key, err));
        else
            TRY(json_skip(&m->j, NULL, err));
    }
}

static enum status
read_offset(struct model *m, struct model_tensor *t, struct err *err)
{
    int64_t offset;

    TRY(torch_view_int(&m->j, "offset", &offset, err));
    FAIL_IF(offset < 0, err, BAD_JSON, m->j.at, "a tensor's offset is negative");
    t->view.first_element = (uint64_t)offset;
    return OK;
}

static enum status
read_tensor(struct model *m, struct err *err)
{
    struct model_tensor *added, t = {0};
    struct slice key;
    bool is_end;

    TRY(json_object(&m->j, "a tensor", err));
    for (;;) {
        TRY(json_key(&m->j, &key, &is_end, err));
        if (is_end)
            break;
        if (slice_is(key, "dims"))
            TRY(read_dims(m, &t, err));
        else if (slice_is(key, "strides"))
            TRY(read_strides(m, &t, err));
        else if (slice_is(key, "offset"))
            TRY(read_offset(m, &t, err));
        else if (slice_is(key, "dataType"))
            TRY(read_data_type(m, &t, err));
        else if (slice_is(key, "data"))
            TRY(read_record(m, &t.key, err));
        else
            TRY(json_skip(&m->j, NULL, err));
    }
    TRY(vec_add(&m->tensors, &added, "tensors", err));
    *added = t;
    return OK;
}

static enum status
read_tensors(struct model *m, struct err *err)
{
    bool is_end;

    TRY(json_array(&m->j, "tensors", err));
    for (;;) {
        TRY(json_element(&m->j, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_tensor(m, err));
    }
}

/* ---- modules ---- */

static enum status
read_parameter(struct model *m, uint32_t module, struct err *err)
{
    struct model_parameter *added, p = {.module = module};
    struct slice key;
    bool is_end;

    TRY(json_object(&m->j, "a parameter", err));
    for (;;) {
        TRY(json_key(&m->j, &key, &is_end, err));
        if (is_end)
            break;
        if (slice_is(key, "isBuffer"))
            TRY(json_bool(&m->j, "isBuffer", &p.is_buffer, err));
        else if (slice_is(key, "tensorId"))
            TRY(torch_view_int(&m->j, "tensorId", &p.tensor, err));
        else if (slice_is(key, "name"))
            TRY(json_string(&m->j, "a parameter's name", &p.name, err));
        else
            TRY(json_skip(&m->j, NULL, err));
    }
    TRY(vec_add(&m->parameters, &added, "parameters", err));
    *added = p;
    return OK;
}

static enum status
read_parameters(struct model *m, uint32_t module, struct err *err)
{
    bool is_end;

    TRY(json_array(&m->j, "parameters", err));
    for (;;) {
        TRY(json_element(&m->j, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_parameter(m, module, err));
    }
}

static enum status
open_module(struct model *m, bool is_main, struct err *err)
{
    struct model_module *module;
    struct model_level *level;
    uint32_t parent =
        is_main ? 0 : VEC_AT(&m->levels, struct model_level, m->levels.count - 1).module;

    TRY(json_object(&m->j, "a module", err));
    TRY(vec_add(&m->modules, &module, "modules", err));
    module->parent = parent;
    TRY(vec_add(&m->levels, &level, "modules within modules", err));
    level->module = (uint32_t)m->modules.count - 1;
    return OK;
}

static enum status
read_module_key(struct model *m, struct model_level *level, struct slice key, struct err *err)
{
    if (slice_is(key, "submodules")) {
        level->is_in_list = true;
        return json_array(&m->j, "submodules", err);
    }
    if (slice_is(key, "parameters"))
        return read_parameters(m, level->module, err);
    if (slice_is(key, "name"))
        return json_string(&m->j, "a module's name",
                           &VEC_AT(&m->modules, struct model_module, level->module).name, err);
    return json_skip(&m->j, NULL, err);
}

/* Modules within modules, on a stack of our own. */
static enum status
read_main_module(struct model *m, struct err *err)
{
    TRY(open_module(m, true, err));
    while (m->levels.count > 0) {
        struct model_level *level = &VEC_AT(&m->levels, struct model_level, m->levels.count - 1);
        struct slice key;
        bool is_end;

        if (level->is_in_list) {
            TRY(json_element(&m->j, &is_end, err));
            if (!is_end)
                TRY(open_module(m, false, err));
            else
                level->is_in_list = false;
            continue;
        }
        TRY(json_key(&m->j, &key, &is_end, err));
        if (is_end)
            m->levels.count--;
        else
            TRY(read_module_key(m, level, key, err));
    }
    return OK;
}

static enum status
read_model(struct model *m, struct err *err)
{
    struct slice key;
    bool is_end;

    TRY(json_object(&m->j, "the model", err));
    for (;;) {
        TRY(json_key(&m->j, &key, &is_end, err));
        if (is_end)
            return json_finish(&m->j, err);
        if (slice_is(key, "mainModule"))
            TRY(read_main_module(m, err));
        else if (slice_is(key, "tensors"))
            TRY(read_tensors(m, err));
        else if (slice_is(key, "producerName"))
            TRY(json_string(&m->j, "producerName", &m->producer, err));
        else if (slice_is(key, "producerVersion"))
            TRY(json_string(&m->j, "producerVersion", &m->producer_version, err));
        else
            TRY(json_skip(&m->j, NULL, err));
    }
}

/* ---- the state dict ---- */

static enum status
name_modules(struct model *m, struct err *err)
{
    for (uint32_t i = 0; i < m->modules.count; i++) {
        struct model_module *module = &VEC_AT(&m->modules, struct model_module, i);
        struct slice parent = VEC_AT(&m->modules, struct model_module, module->parent).path;
        struct module_version v = {.has_version = true, .version = MODULE_VERSION};

        FAIL_IF(parent.length + module->name.length >= m->a->work->limits->name_bytes, err, LIMIT,
                0, "a module's name of %zu bytes; the limit is %zu",
                parent.length + module->name.length, m->a->work->limits->name_bytes);
        if (module->parent == i)
            module->path = slice_of("");
        else if (parent.length == 0)
            TRY(arena_copy(arena_of(m), module->name, &module->path, err));
        else
            TRY(arena_printf(arena_of(m), &module->path, err, "%.*s.%.*s", SLICE_PRINT(parent),
                             SLICE_PRINT(module->name)));
        v.module = module->path;
        TRY(builder_version(&m->builder, &v, err));
    }
    m->builder.has_metadata = true;
    return OK;
}

static enum status
note_malformed(struct model *m, struct slice name, const char *why, struct err *err)
{
    struct torch_work *w = m->a->work;

    return inspection_note(w->in, w->limits, FINDING_TENSOR_MALFORMED, name, err,
                           "a tensor that cannot be built: %s", why);
}

static enum status
add_parameter(struct model *m, const struct model_parameter *p, struct err *err)
{
    struct slice path = VEC_AT(&m->modules, struct model_module, p->module).path;
    const struct model_tensor *t;
    struct built_tensor built;
    struct torch_view view;
    struct slice name;
    bool is_tensor;

    TRY(arena_printf(arena_of(m), &name, err, "%.*s%s%.*s", SLICE_PRINT(path),
                     path.length > 0 ? "." : "", SLICE_PRINT(p->name)));
    if (p->tensor < 0 || (uint64_t)p->tensor >= m->tensors.count)
        return note_malformed(m, name, "model.json has no tensor of that number", err);
    t = &VEC_AT(&m->tensors, struct model_tensor, p->tensor);
    if (!t->has_dtype)
        return note_malformed(m, name, "its dataType is not one that PyTorch wrote", err);
    if (t->has_strides && t->stride_count != t->view.shape.rank)
        return note_malformed(m, name, "it has not one stride for each dimension", err);
    view = t->view;
    view.name = name;
    TRY(torch_view_build(m->a, &view, torch_archive_find(m->a, "", t->key), t->key, &built,
                         &is_tensor, err));
    return is_tensor ? builder_tensor(&m->builder, &built, err) : OK;
}

static int
compare_parameters(const void *a, const void *b)
{
    const struct model_parameter *x = a, *y = b;

    if (x->module != y->module)
        return x->module < y->module ? -1 : 1;
    if (x->is_buffer != y->is_buffer)
        return x->is_buffer ? 1 : -1;
    return (x->order > y->order) - (x->order < y->order);
}

/* In the order of state_dict(): of each module first its parameters, then its buffers, then its
 * submodules. */
static enum status
add_parameters(struct model *m, struct err *err)
{
    struct model_parameter *parameters = m->parameters.items;

    for (size_t i = 0; i < m->parameters.count; i++)
        parameters[i].order = (uint32_t)i;
    if (m->parameters.count > 1)
        qsort(parameters, m->parameters.count, sizeof *parameters, compare_parameters);
    for (size_t i = 0; i < m->parameters.count; i++)
        TRY(add_parameter(m, &parameters[i], err));
    return OK;
}

static enum status
finish(struct model *m, struct slice *ret_producer, struct err *err)
{
    struct inspection *in = m->a->work->in;

    TRY(name_modules(m, err));
    TRY(add_parameters(m, err));
    if (m->producer.length + m->producer_version.length <= PRODUCER_BYTES_MAX)
        TRY(arena_printf(arena_of(m), ret_producer, err, "%.*s%s%.*s", SLICE_PRINT(m->producer),
                         m->producer_version.length > 0 ? " " : "",
                         SLICE_PRINT(m->producer_version)));
    if (m->builder.tensors.count == 0) {
        TRY(inspection_note(in, m->a->work->limits, FINDING_EMPTY, (struct slice){0}, err,
                            "its state_dict() is empty"));
        return builder_finish(&m->builder, slice_of(""), CONTAINER_OUTER, err);
    }
    TRY(builder_finish(&m->builder, slice_of(""), CONTAINER_WEIGHTS, err));
    in->default_container = in->container_count - 1;
    return OK;
}

/* What cannot be read is a finding: the code and the pickles beside it are judged all the same. */
static enum status
note_unreadable(struct torch_archive *a, const struct zip_member *model, const struct err *problem,
                struct err *err)
{
    struct torch_work *w = a->work;

    if (problem->code == ERR_NO_MEMORY || problem->code == ERR_IO) {
        err_copy(err, problem);
        return problem->code;
    }
    safety_at_least(&w->judge, SAFETY_MALFORMED);
    return inspection_note(w->in, w->limits, FINDING_HEADER_MALFORMED, model->name, err,
                           "it is not what it should be, at byte %llu: %s",
                           (unsigned long long)problem->offset, problem->text);
}

enum status
torchscript_json_read(struct torch_archive *a, const struct zip_member *model,
                      struct slice *ret_producer, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    CLEANUP(model_done) struct model m = {.a = a};
    struct limits limits = *a->work->limits;
    struct err problem = {0};
    enum status status;

    limits.json_depth = JSON_DEPTH_MAX; /* two for each module within a module */
    status =
        zip_payload_read(a->directory, model, limits.header_bytes, &limits, &payload, &problem);
    if (status != OK)
        return note_unreadable(a, model, &problem, err);
    m.tensors = vec_of(sizeof(struct model_tensor), limits.tensors);
    m.parameters = vec_of(sizeof(struct model_parameter), limits.tensors);
    m.modules = vec_of(sizeof(struct model_module), limits.tensors);
    m.levels = vec_of(sizeof(struct model_level), JSON_DEPTH_MAX);
    builder_begin(&m.builder, a->work->in, &limits);
    json_open(&m.j, (struct slice){payload.bytes, payload.length}, &limits, arena_of(&m));
    status = read_model(&m, &problem);
    if (status == OK)
        status = finish(&m, ret_producer, &problem);
    return status == OK ? OK : note_unreadable(a, model, &problem, err);
}
