#include "common/formats/torch_tensor.h"

#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/formats/torch_array.h"
#include "common/formats/torch_value.h"

enum {
    WRAPPINGS_MAX = 16, /* of parameters in subclasses in parameters … */
    FLAGS_MAX = 64,     /* in _rebuild_tensor_v2's metadata */
};

/* A call on its way to becoming a tensor: wrappings are taken off until a row of the table fits. */
struct rebuild {
    struct torch_reader *r;
    struct slice name;                  /* of the tensor, for findings */
    const struct pickle_tensor *folded; /* the whole call; else the next two */
    const struct pickle_global *function;
    struct pickle_items args;
    enum dtype dtype; /* told by a wrapping; UNKNOWN: none */
    struct built_tensor t;
    const char *problem; /* why it is no tensor that PyTorch could build */
};

/* What a global does: rebuild a tensor of the arguments, or wrap the value that is the argument at
 * inner. */
struct rebuilder {
    const char *module;
    const char *name;
    enum status (*read)(struct rebuild *b, struct err *err); /* NULL: a wrapping */
    uint8_t inner;
    enum {
        WRAPS_VALUE,     /* the argument is the tensor */
        WRAPS_CALL,      /* the arguments at inner are (function, type, arguments) */
        WRAPS_ARGUMENTS, /* after inner arguments come those of _rebuild_tensor_v2 */
        WRAPS_QUANTIZED, /* … of _rebuild_qtensor */
        WRAPS_CAST,      /* the argument is the tensor, the next its dtype */
    } wraps;
};

static struct pickle_value
argument(const struct rebuild *b, size_t i)
{
    return i < b->args.count ? b->args.at[i] : (struct pickle_value){0};
}

enum status
torch_tensor_shape(struct torch_reader *r, struct pickle_value v, struct slice name,
                   struct shape *ret_shape, const char **ret_problem, struct err *err)
{
    struct pickle_items items;
    uint64_t *dims, elements;

    if (!pickle_list(v, &items)) {
        *ret_problem = "its size is no tuple";
        return OK;
    }
    FAIL_IF(items.count > TENSOR_RANK_MAX || items.count > r->limits->rank, err, LIMIT, 0,
            "%.*s has rank %zu; the limit is %zu", SLICE_PRINT(name), items.count, r->limits->rank);
    dims = arena_alloc(&r->in->arena, items.count, sizeof *dims);
    if (dims == NULL)
        return arena_fail(&r->in->arena, err);
    for (size_t i = 0; i < items.count; i++) {
        if (!pickle_as_u64(items.at[i], &dims[i])) {
            *ret_problem = "its size holds what is no size";
            return OK;
        }
    }
    *ret_shape = (struct shape){.rank = (uint32_t)items.count, .dims = dims};
    if (!shape_elements(*ret_shape, &elements))
        *ret_problem = "its size overflows";
    return OK;
}

static enum status
read_shape(struct rebuild *b, struct pickle_value v, struct shape *ret_shape, struct err *err)
{
    return torch_tensor_shape(b->r, v, b->name, ret_shape, &b->problem, err);
}

/* The strides that PyTorch gives to a contiguous tensor; false where they would overflow. */
static bool
contiguous_strides(struct shape shape, int64_t *strides)
{
    uint64_t step = 1;

    for (uint32_t i = shape.rank; i-- > 0;) {
        strides[i] = (int64_t)step;
        if (!num_mul(step, shape.dims[i] == 0 ? 1 : shape.dims[i], &step) || step > INT64_MAX)
            return false;
    }
    return true;
}

/* Leave NULL for a contiguous tensor. */
static enum status
read_strides(struct rebuild *b, struct pickle_value v, struct err *err)
{
    struct shape shape = b->t.tensor.shape;
    int64_t *strides, usual[TENSOR_RANK_MAX], told[TENSOR_RANK_MAX];
    struct pickle_items items;
    bool is_usual;

    if (!pickle_list(v, &items) || items.count != shape.rank) {
        b->problem = "it has not one stride for each dimension";
        return OK;
    }
    is_usual = contiguous_strides(shape, usual);
    for (size_t i = 0; i < items.count; i++) {
        if (!pickle_as_int(items.at[i], &told[i]) || told[i] < 0) {
            b->problem = "it has a negative stride, or what is no stride";
            return OK;
        }
        is_usual = is_usual && told[i] == usual[i];
    }
    if (is_usual)
        return OK;
    strides = arena_alloc(&b->r->in->arena, items.count, sizeof *strides);
    if (strides == NULL)
        return arena_fail(&b->r->in->arena, err);
    memcpy(strides, told, items.count * sizeof *strides);
    b->t.place.strides = strides;
    return OK;
}

/* The storage's element after the last that the tensor shows; false on overflow. A tensor without
 * elements shows none, wherever it begins. */
static bool
last_element(const struct built_tensor *t, uint64_t *ret_end)
{
    struct shape shape = t->tensor.shape;
    int64_t usual[TENSOR_RANK_MAX];
    const int64_t *strides = t->place.strides;
    uint64_t end = t->place.first_element, step;

    if (strides == NULL) {
        (void)contiguous_strides(shape, usual);
        strides = usual;
    }
    for (uint32_t i = 0; i < shape.rank; i++) {
        if (shape.dims[i] == 0) {
            *ret_end = 0;
            return true;
        }
        if (!num_mul(shape.dims[i] - 1, (uint64_t)strides[i], &step) || !num_add(end, step, &end))
            return false;
    }
    return num_add(end, 1, ret_end);
}

/* Bits of a storage, counted so that it cannot overflow. */
static uint64_t
elements_in(uint64_t bytes, enum dtype dtype)
{
    unsigned bits = dtype_bits(dtype);

    if (bits == 0)
        return 0;
    if (bits >= 8)
        return bytes / (bits / 8);
    return bytes > UINT64_MAX / 8 ? UINT64_MAX : bytes * 8 / bits;
}

static enum status
check_extent(struct rebuild *b, const struct torch_storage *s, struct err *err)
{
    enum dtype dtype = b->t.tensor.dtype;
    uint64_t end, held = elements_in(s->place.storage_bytes, dtype);

    if (!last_element(&b->t, &end) || end > elements_in(s->end, dtype)) {
        b->t.place.has_bytes = false;
        return inspection_note(b->r->in, b->r->limits, FINDING_TENSOR_OUTSIDE, b->name, err,
                               "its elements would lie outside its storage of %llu bytes",
                               (unsigned long long)(s->end - s->begin));
    }
    /* The storage itself may be cut off; that has its finding. */
    if (b->t.place.has_bytes && end > held)
        b->t.place.has_bytes = false;
    return OK;
}

/* Flags of _rebuild_tensor_v2's metadata: the stored values are not the tensor's. */
static enum status
check_flags(struct rebuild *b, struct pickle_value flags, struct err *err)
{
    static const char *const names[] = {"conj", "neg"};

    if (torch_value_size(flags) > FLAGS_MAX) {
        b->problem = "its flags are more than PyTorch has";
        return OK;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const struct pickle_value *flag = pickle_get(flags, names[i]);
        bool is_set = false;

        if (flag == NULL || !pickle_as_bool(*flag, &is_set) || !is_set)
            continue;
        b->t.place.has_bytes = false;
        TRY(inspection_note(b->r->in, b->r->limits, FINDING_TENSOR_ODD, b->name, err,
                            "a view with the %s bit set: its stored values are not its values",
                            names[i]));
    }
    return OK;
}

static void
set_storage(struct rebuild *b, const struct torch_storage *s, enum dtype dtype)
{
    b->t.tensor.dtype = dtype != DTYPE_UNKNOWN ? dtype : s->dtype;
    /* torch.save gives one key to all storages without bytes, which have no address to differ in. */
    if (s->bytes > 0)
        b->t.storage = s->number;
    b->t.place = s->place;
    b->t.place.has_bytes = s->has_bytes;
}

static enum status
check_view(struct rebuild *b, const struct torch_storage *s, struct err *err)
{
    TRY(check_extent(b, s, err));
    if (dtype_bits(b->t.tensor.dtype) <= 8)
        b->t.place.is_big_endian = false;
    return OK;
}

/* (storage, offset, size, stride, …): what all functions with a storage begin with. dtype overrides
 * the storage class's own where it is known; the offset counts elements of it. */
static enum status
read_view(struct rebuild *b, enum dtype dtype, struct pickle_value flags, struct err *err)
{
    struct torch_storage s;
    bool is_storage;

    TRY(torch_storage_read(b->r, argument(b, 0), b->name, &s, &is_storage, err));
    if (!is_storage) {
        b->problem = "it has no storage";
        return OK;
    }
    set_storage(b, &s, dtype);
    if (!pickle_as_u64(argument(b, 1), &b->t.place.first_element) ||
        !num_add(b->t.place.first_element, elements_in(s.begin, b->t.tensor.dtype),
                 &b->t.place.first_element)) {
        b->problem = "its offset is no offset";
        return OK;
    }
    TRY(read_shape(b, argument(b, 2), &b->t.tensor.shape, err));
    if (b->problem == NULL)
        TRY(read_strides(b, argument(b, 3), err));
    if (b->problem != NULL)
        return OK;
    TRY(check_view(b, &s, err));
    return check_flags(b, flags, err);
}

/* The sizes and strides of a folded call are numbers already, and none is negative. */
static enum status
copy_dims(struct rebuild *b, const struct pickle_tensor *t, struct err *err)
{
    int64_t *strides, usual[TENSOR_RANK_MAX];
    uint64_t *dims, elements;
    struct shape shape = {.rank = t->rank};

    FAIL_IF(t->rank > TENSOR_RANK_MAX || t->rank > b->r->limits->rank, err, LIMIT, 0,
            "%.*s has rank %u; the limit is %zu", SLICE_PRINT(b->name), t->rank,
            b->r->limits->rank);
    dims = arena_alloc(&b->r->in->arena, t->rank, sizeof *dims);
    if (dims == NULL)
        return arena_fail(&b->r->in->arena, err);
    for (uint32_t i = 0; i < t->rank; i++)
        dims[i] = (uint64_t)t->dims[i];
    shape.dims = dims;
    b->t.tensor.shape = shape;
    if (!shape_elements(shape, &elements)) {
        b->problem = "its size overflows";
        return OK;
    }
    if (contiguous_strides(shape, usual) &&
        memcmp(usual, t->dims + t->rank, t->rank * sizeof usual[0]) == 0)
        return OK;
    strides = arena_alloc(&b->r->in->arena, t->rank, sizeof *strides);
    if (strides == NULL)
        return arena_fail(&b->r->in->arena, err);
    memcpy(strides, t->dims + t->rank, t->rank * sizeof *strides);
    b->t.place.strides = strides;
    return OK;
}

static enum status
read_folded(struct rebuild *b, struct err *err)
{
    const struct pickle_tensor *t = b->folded;
    struct torch_storage s;
    bool is_storage;

    TRY(torch_storage_of_tensor(b->r, t, b->name, &s, &is_storage, err));
    if (!is_storage) {
        b->problem = "it has no storage";
        return OK;
    }
    set_storage(b, &s, DTYPE_UNKNOWN);
    b->t.place.first_element = (uint64_t)t->first;
    TRY(copy_dims(b, t, err));
    return b->problem == NULL ? check_view(b, &s, err) : OK;
}

/* (storage, offset, size, stride[, requires_grad, hooks[, metadata]]) */
static enum status
read_v2(struct rebuild *b, struct err *err)
{
    return read_view(b, DTYPE_UNKNOWN, argument(b, 6), err);
}

/* (storage, offset, size, stride, requires_grad, hooks, dtype[, metadata]) */
static enum status
read_v3(struct rebuild *b, struct err *err)
{
    enum dtype dtype = torch_storage_dtype(argument(b, 6));

    if (dtype == DTYPE_UNKNOWN) {
        b->problem = "its dtype is not one of PyTorch's";
        return OK;
    }
    return read_view(b, dtype, argument(b, 7), err);
}

/* (storage, offset, size, stride, quantizer, …). With scales of its own for each channel the bytes
 * alone say nothing. */
static enum status
read_quantized(struct rebuild *b, struct err *err)
{
    struct pickle_items quantizer;

    TRY(read_view(b, DTYPE_UNKNOWN, (struct pickle_value){0}, err));
    b->t.layout = LAYOUT_QUANTIZED;
    if (b->problem == NULL && (!pickle_list(argument(b, 4), &quantizer) || quantizer.count < 3))
        b->problem = "its quantizer is not one of PyTorch's";
    else if (b->problem == NULL && !pickle_is_global(quantizer.at[0], "torch", "per_tensor_affine"))
        b->t.place.has_bytes = false;
    return OK;
}

/* A tensor within a tensor: its dtype and shape, and no more. */
static enum status
read_part(struct rebuild *b, struct pickle_value v, struct built_tensor *ret_part, struct err *err)
{
    struct rebuild part = {.r = b->r, .name = b->name};
    struct pickle_value callable;

    *ret_part = (struct built_tensor){0};
    if (v.kind == PICKLE_TENSOR) {
        part.folded = v.is.tensor;
        TRY(read_folded(&part, err));
        b->problem = part.problem;
        *ret_part = part.t;
        return OK;
    }
    if (v.kind != PICKLE_CALL) {
        b->problem = "a part of it is no tensor";
        return OK;
    }
    callable = v.is.call->callable;
    if (!pickle_list(v.is.call->args, &part.args)) {
        b->problem = "a part of it is no tensor";
        return OK;
    }
    /* Parts are plain tensors: a part with parts of its own is not followed. */
    if (pickle_is_global(callable, "torch._utils", "_rebuild_tensor_v2"))
        TRY(read_v2(&part, err));
    else if (pickle_is_global(callable, "torch._utils", "_rebuild_tensor_v3"))
        TRY(read_v3(&part, err));
    else
        part.problem = "a part of it is no plain tensor";
    b->problem = part.problem;
    *ret_part = part.t;
    return OK;
}

static const struct {
    const char *name;
    enum layout layout;
    uint8_t values, size; /* which of the data is which */
} sparse[] = {
    {"torch.sparse_coo", LAYOUT_SPARSE_COO, 1, 2}, {"torch.sparse_csr", LAYOUT_SPARSE_CSR, 2, 3},
    {"torch.sparse_csc", LAYOUT_SPARSE_CSC, 2, 3}, {"torch.sparse_bsr", LAYOUT_SPARSE_BSR, 2, 3},
    {"torch.sparse_bsc", LAYOUT_SPARSE_BSC, 2, 3},
};

/* (layout, (indices, values, size[, is_coalesced])), or with two index tensors. */
static enum status
read_sparse(struct rebuild *b, struct err *err)
{
    struct pickle_value layout = argument(b, 0);
    struct built_tensor values;
    struct pickle_items data;
    struct slice name = {0};

    if (pickle_is_call(layout, "torch.serialization", "_get_layout"))
        (void)pickle_text(pickle_argument(layout, 0), &name);
    for (size_t i = 0; i < ARRAY_LENGTH(sparse); i++) {
        if (!slice_is(name, sparse[i].name))
            continue;
        b->t.layout = sparse[i].layout;
        if (!pickle_list(argument(b, 1), &data) || data.count <= sparse[i].size) {
            b->problem = "its data is no sparse tensor's";
            return OK;
        }
        TRY(read_part(b, data.at[sparse[i].values], &values, err));
        b->t.tensor.dtype = values.tensor.dtype;
        if (b->problem == NULL)
            TRY(read_shape(b, data.at[sparse[i].size], &b->t.tensor.shape, err));
        return OK;
    }
    b->problem = "its layout is not one of PyTorch's";
    return OK;
}

/* (buffer, sizes, strides, offsets). Its rows differ in size, and the sizes are data: the row has the
 * buffer's shape. */
static enum status
read_nested(struct rebuild *b, struct err *err)
{
    struct built_tensor buffer;

    TRY(read_part(b, argument(b, 0), &buffer, err));
    b->t.layout = LAYOUT_NESTED;
    b->t.tensor.dtype = buffer.tensor.dtype;
    b->t.tensor.shape = buffer.tensor.shape;
    return OK;
}

/* A dtype and a size, and no storage. */
static enum status
read_outline(struct rebuild *b, size_t first, enum layout layout, struct err *err)
{
    b->t.layout = layout;
    b->t.tensor.dtype = torch_storage_dtype(argument(b, first));
    if (b->t.tensor.dtype == DTYPE_UNKNOWN) {
        b->problem = "its dtype is not one of PyTorch's";
        return OK;
    }
    return read_shape(b, argument(b, first + 1), &b->t.tensor.shape, err);
}

/* (dtype, size, stride, requires_grad) */
static enum status
read_meta(struct rebuild *b, struct err *err)
{
    return read_outline(b, 0, LAYOUT_META, err);
}

/* (class, dtype, size, stride, offset, layout, device, requires_grad) */
static enum status
read_subclass(struct rebuild *b, struct err *err)
{
    return read_outline(b, 1, LAYOUT_WRAPPED, err);
}

/* (array, dtype, device, requires_grad): XLA and the like, their data in a NumPy array. Its shape is
 * the second of what BUILD gave it. */
static enum status
read_from_numpy(struct rebuild *b, struct err *err)
{
    const struct pickle_value *state = pickle_state(argument(b, 0));
    struct pickle_items items;

    b->t.tensor.dtype = torch_storage_dtype(argument(b, 1));
    if (state == NULL || !pickle_list(*state, &items) || items.count < 2 ||
        b->t.tensor.dtype == DTYPE_UNKNOWN) {
        b->problem = "its array is not one of NumPy's";
        return OK;
    }
    return read_shape(b, items.at[1], &b->t.tensor.shape, err);
}

static const struct rebuilder rebuilders[] = {
    {.module = "torch._utils", .name = "_rebuild_tensor_v2", .read = read_v2},
    {.module = "torch._utils", .name = "_rebuild_parameter", .wraps = WRAPS_VALUE},
    {.module = "torch._utils", .name = "_rebuild_tensor_v3", .read = read_v3},
    {.module = "torch._utils", .name = "_rebuild_tensor", .read = read_v2},
    {.module = "torch._utils", .name = "_rebuild_parameter_with_state", .wraps = WRAPS_VALUE},
    {.module = "torch._utils", .name = "_rebuild_parameter_v2", .wraps = WRAPS_VALUE},
    {.module = "torch._utils", .name = "_rebuild_qtensor", .read = read_quantized},
    {.module = "torch._utils", .name = "_rebuild_sparse_tensor", .read = read_sparse},
    {.module = "torch._utils", .name = "_rebuild_sparse_csr_tensor", .read = read_sparse},
    {.module = "torch._utils", .name = "_rebuild_nested_tensor", .read = read_nested},
    {.module = "torch._utils", .name = "_rebuild_meta_tensor_no_storage", .read = read_meta},
    {.module = "torch._utils", .name = "_rebuild_wrapper_subclass", .read = read_subclass},
    {.module = "torch._utils",
     .name = "_rebuild_device_tensor_from_numpy",
     .read = read_from_numpy},
    {.module = "torch._utils", .name = "_rebuild_xla_tensor", .read = read_from_numpy},
    {.module = "torch._utils",
     .name = "_rebuild_device_tensor_from_cpu_tensor",
     .wraps = WRAPS_CAST},
    {.module = "torch._tensor", .name = "_rebuild_from_type_v2", .wraps = WRAPS_CALL},
    {.module = "torch._tensor", .name = "_rebuild_from_type", .wraps = WRAPS_CALL},
    {.module = "torch.tensor", .name = "_rebuild_from_type", .wraps = WRAPS_CALL},
    {.module = "torch.nn.parameter", .name = "Parameter", .wraps = WRAPS_VALUE},
    {.module = "fastai.torch_core",
     .name = "_fa_rebuild_tensor",
     .inner = 1,
     .wraps = WRAPS_ARGUMENTS},
    {.module = "fastai.torch_core",
     .name = "_fa_rebuild_qtensor",
     .inner = 1,
     .wraps = WRAPS_QUANTIZED},
};

static const struct rebuilder *
find_rebuilder(const struct pickle_global *g)
{
    for (size_t i = 0; i < ARRAY_LENGTH(rebuilders); i++) {
        const struct rebuilder *row = &rebuilders[i];

        if (g->name.length > 0 && g->name.at[0] == row->name[0] && slice_is(g->name, row->name) &&
            slice_is(g->module, row->module))
            return row;
    }
    return NULL;
}

/* Before PyTorch 0.2 a tensor was an object of its class with the state (storage, offset, size,
 * stride): `torch FloatTensor`. */
static bool
is_old_class(const struct pickle_global *g)
{
    return (slice_is(g->module, "torch") || slice_is(g->module, "torch.cuda")) &&
           slice_ends(g->name, slice_of("Tensor"));
}

static const struct pickle_global *
called_global(struct pickle_value v)
{
    if (v.kind != PICKLE_CALL || v.is.call->callable.kind != PICKLE_GLOBAL)
        return NULL;
    return v.is.call->callable.is.global;
}

bool
torch_tensor_is(const struct torch_reader *r, struct pickle_value v)
{
    const struct pickle_global *g = called_global(v);
    struct pickle_items arguments;

    if (v.kind == PICKLE_PERSISTENT && r->find_tensor != NULL)
        return r->find_tensor(r->context, pickle_persistent_id(v), &arguments);
    if (v.kind == PICKLE_TENSOR || (r->takes_arrays && torch_array_is(v)))
        return true;
    return g != NULL && (find_rebuilder(g) != NULL || (is_old_class(g) && pickle_state(v) != NULL));
}

/* Take v apart into function and arguments; false where it is no call of a global. */
static bool
enter_call(struct rebuild *b, struct pickle_value v)
{
    const struct pickle_value *state = pickle_state(v);

    b->folded = v.kind == PICKLE_TENSOR ? v.is.tensor : NULL;
    if (b->folded != NULL)
        return true;
    b->function = called_global(v);
    if (b->function == NULL)
        return false;
    if (is_old_class(b->function))
        return state != NULL && pickle_list(*state, &b->args);
    return pickle_list(v.is.call->args, &b->args);
}

static void
skip_arguments(struct rebuild *b, size_t count)
{
    count = count < b->args.count ? count : b->args.count;
    b->args.at += count;
    b->args.count -= count;
}

/* Take one wrapping off. */
static bool
unwrap(struct rebuild *b, const struct rebuilder *row)
{
    struct pickle_value function = argument(b, 0);

    switch (row->wraps) {
    case WRAPS_VALUE:
        return enter_call(b, argument(b, row->inner));
    case WRAPS_CAST:
        b->dtype = torch_storage_dtype(argument(b, 1));
        return enter_call(b, argument(b, row->inner));
    case WRAPS_CALL:
        if (function.kind != PICKLE_GLOBAL)
            return false;
        b->function = function.is.global;
        return pickle_list(argument(b, 2), &b->args);
    case WRAPS_ARGUMENTS:
    case WRAPS_QUANTIZED:
        skip_arguments(b, row->inner);
        return true;
    }
    return false;
}

/* Parameter(None) is a tensor without elements. */
static enum status
read_empty(struct rebuild *b)
{
    static const uint64_t none[] = {0};

    b->t.tensor.dtype = DTYPE_FLOAT32;
    b->t.tensor.shape = (struct shape){.rank = 1, .dims = none};
    return OK;
}

static enum status
rebuild(struct rebuild *b, struct err *err)
{
    for (int i = 0; i < WRAPPINGS_MAX; i++) {
        const struct rebuilder *row;

        if (b->folded != NULL)
            return read_folded(b, err);
        row = find_rebuilder(b->function);
        if (row == NULL && is_old_class(b->function))
            return read_v2(b, err);
        if (row == NULL) {
            b->problem = "what would build it is unknown";
            return OK;
        }
        if (row->read != NULL)
            return row->read(b, err);
        if (row->wraps == WRAPS_VALUE && argument(b, row->inner).kind == PICKLE_NONE)
            return read_empty(b);
        if (!unwrap(b, row)) {
            b->problem = "what it wraps is no tensor";
            return OK;
        }
        if (row->wraps == WRAPS_ARGUMENTS)
            return read_v2(b, err);
        if (row->wraps == WRAPS_QUANTIZED)
            return read_quantized(b, err);
    }
    b->problem = "it is wrapped too many times";
    return OK;
}

static uint64_t
offset_of(struct pickle_value v)
{
    return v.kind == PICKLE_TENSOR ? v.is.tensor->offset
           : v.kind == PICKLE_CALL ? v.is.call->offset
                                   : v.is.persistent->offset;
}

enum status
torch_tensor_read(struct torch_reader *r, struct pickle_value v, struct slice name,
                  struct built_tensor *ret_tensor, enum torch_answer *ret_answer, struct err *err)
{
    struct rebuild b = {.r = r, .name = name};

    *ret_answer = TORCH_NO_TENSOR;
    if (!torch_tensor_is(r, v))
        return OK;
    if (v.kind == PICKLE_PERSISTENT) {
        (void)r->find_tensor(r->context, pickle_persistent_id(v), &b.args);
        TRY(read_v2(&b, err));
    } else if (torch_array_is(v))
        TRY(torch_array_read(r, v, name, &b.t, &b.problem, err));
    else if (!enter_call(&b, v))
        b.problem = "its arguments are no tuple";
    else
        TRY(rebuild(&b, err));
    if (b.problem != NULL) {
        *ret_answer = TORCH_BROKEN;
        return inspection_note(r->in, r->limits, FINDING_TENSOR_MALFORMED, name, err,
                               "a tensor that cannot be built: %s", b.problem);
    }
    if (b.dtype != DTYPE_UNKNOWN && b.dtype != b.t.tensor.dtype) {
        b.t.tensor.dtype = b.dtype;
        b.t.place.has_bytes = false; /* it is cast when it is loaded */
    }
    /* Without a storage that can be shared, the same object is the same tensor. */
    if (b.t.storage == 0)
        b.t.storage = (offset_of(v) + 1) | UINT64_C(1) << 62;
    *ret_tensor = b.t;
    *ret_answer = TORCH_TENSOR;
    return OK;
}
