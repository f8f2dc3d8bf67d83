#include "common/formats/torch_storage.h"

#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/formats/torch_bytes.h"

enum { DEVICES_MAX = 64, CLASSES_MAX = 256 };

/* torch.save's own names for typed storages (torch/storage.py, _dtype_to_storage_type_map). No more
 * will come: later dtypes use UntypedStorage. */
static const struct {
    const char *name;
    enum dtype dtype;
} classes[] = {
    {"DoubleStorage", DTYPE_FLOAT64},
    {"FloatStorage", DTYPE_FLOAT32},
    {"HalfStorage", DTYPE_FLOAT16},
    {"BFloat16Storage", DTYPE_BFLOAT16},
    {"LongStorage", DTYPE_INT64},
    {"IntStorage", DTYPE_INT32},
    {"ShortStorage", DTYPE_INT16},
    {"CharStorage", DTYPE_INT8},
    {"ByteStorage", DTYPE_UINT8},
    {"BoolStorage", DTYPE_BOOL},
    {"ComplexDoubleStorage", DTYPE_COMPLEX128},
    {"ComplexFloatStorage", DTYPE_COMPLEX64},
    {"QInt8Storage", DTYPE_QINT8},
    {"QUInt8Storage", DTYPE_QUINT8},
    {"QInt32Storage", DTYPE_QINT32},
    {"QUInt4x2Storage", DTYPE_QUINT4X2},
    {"QUInt2x4Storage", DTYPE_QUINT2X4},
    {"UntypedStorage", DTYPE_UINT8},
    {"_UntypedStorage", DTYPE_UINT8}, /* 1.11 and 1.12 */
};

struct torch_reader
torch_reader_of(struct inspection *in, const struct limits *limits, struct arena *scratch)
{
    return (struct torch_reader){
        .in = in,
        .limits = limits,
        .scratch = scratch,
        .steps_left = limits->pickle_nodes,
        .tensors_left = limits->tensors,
        .nested_bytes_left = limits->pickle_bytes,
        .devices = vec_of(sizeof(struct slice), DEVICES_MAX),
        .classes = vec_of(sizeof(struct slice), CLASSES_MAX),
    };
}

void
torch_reader_done(struct torch_reader *r)
{
    vec_done(&r->devices);
    vec_done(&r->classes);
}

/* PyTorch itself takes any global with "Storage" in its name; writers give these modules only. */
enum dtype
torch_storage_class(const struct pickle_global *g)
{
    if (g == NULL || !(slice_is(g->module, "torch") || slice_is(g->module, "torch.cuda") ||
                       slice_is(g->module, "torch.storage")))
        return DTYPE_UNKNOWN;
    for (size_t i = 0; i < ARRAY_LENGTH(classes); i++) {
        if (slice_is(g->name, classes[i].name))
            return classes[i].dtype;
    }
    return DTYPE_UNKNOWN;
}

/* Of the packed types PyTorch counts bytes here, not elements. */
bool
torch_storage_bytes(uint64_t elements, enum dtype dtype, uint64_t *ret_bytes)
{
    unsigned bits = dtype_bits(dtype);

    return num_mul(elements, bits < 8 ? 1 : bits / 8, ret_bytes);
}

enum status
torch_reader_name(struct torch_reader *r, struct vec *names, struct slice name, struct err *err)
{
    struct slice *added;

    for (size_t i = 0; i < names->count; i++) {
        if (slice_equal(VEC_AT(names, struct slice, i), name))
            return OK;
    }
    if (names->count == names->cap || name.length > r->limits->name_bytes)
        return OK;
    TRY(vec_add(names, &added, "names", err));
    return arena_copy(&r->in->arena, name, added, err);
}

/* (view_key, offset, elements): a part of the storage, as PyTorch's first formats share bytes. Beyond
 * its end there is nothing, as of a Python slice. */
static bool
read_part(struct pickle_value v, struct torch_storage *s)
{
    struct pickle_items view;
    uint64_t offset, elements;

    s->begin = 0;
    s->end = s->bytes;
    if (v.kind == PICKLE_NONE)
        return true;
    if (!pickle_list(v, &view) || view.count != 3 || !pickle_text(view.at[0], &s->view_key) ||
        !pickle_as_u64(view.at[1], &offset) || !pickle_as_u64(view.at[2], &elements) ||
        !torch_storage_bytes(offset, s->dtype, &s->begin) ||
        !torch_storage_bytes(elements, s->dtype, &elements) ||
        !num_add(s->begin, elements, &s->end))
        return false;
    s->begin = s->begin < s->bytes ? s->begin : s->bytes;
    s->end = s->end < s->bytes ? s->end : s->bytes;
    return true;
}

/* The rest of a storage whose id is read. */
static enum status
take_storage(struct torch_reader *r, const struct torch_storage *s, bool is_right,
             struct slice subject, struct torch_storage *ret_storage, bool *ret_is_storage,
             struct err *err)
{
    if (!is_right)
        return inspection_note(
            r->in, r->limits, FINDING_TENSOR_MALFORMED, subject, err,
            "its storage has a class, a key or a size that PyTorch never writes");
    TRY(torch_reader_name(r, &r->devices, s->location, err));
    *ret_storage = *s;
    *ret_is_storage = true;
    return OK;
}

enum status
torch_storage_of_id(struct torch_reader *r, struct pickle_value v, struct slice subject,
                    struct torch_storage *ret_storage, bool *ret_is_storage, struct err *err)
{
    struct torch_storage s = {0};
    struct pickle_items id;
    struct slice word;
    bool is_right;

    *ret_is_storage = false;
    if (!pickle_list(pickle_persistent_id(v), &id) || id.count < 5 ||
        !pickle_text(id.at[0], &word) || !slice_is(word, "storage"))
        return OK;
    if (id.at[1].kind == PICKLE_GLOBAL)
        s.dtype = torch_storage_class(id.at[1].is.global);
    is_right = s.dtype != DTYPE_UNKNOWN && pickle_text(id.at[2], &s.key) &&
               pickle_text(id.at[3], &s.location) && pickle_as_u64(id.at[4], &s.elements) &&
               torch_storage_bytes(s.elements, s.dtype, &s.bytes) &&
               read_part(id.count > 5 ? id.at[5] : (struct pickle_value){0}, &s);
    return take_storage(r, &s, is_right, subject, ret_storage, ret_is_storage, err);
}

enum status
torch_storage_of_tensor(struct torch_reader *r, const struct pickle_tensor *t, struct slice subject,
                        struct torch_storage *ret_storage, bool *ret_is_storage, struct err *err)
{
    struct torch_storage s = {
        .key = {t->key, t->key_length},
        .location = t->kind->location,
        .dtype = torch_storage_class(t->kind->storage_class),
        .elements = (uint64_t)t->elements,
    };
    bool is_right = s.dtype != DTYPE_UNKNOWN && torch_storage_bytes(s.elements, s.dtype, &s.bytes);

    *ret_is_storage = false;
    s.end = s.bytes;
    TRY(take_storage(r, &s, is_right, subject, ret_storage, ret_is_storage, err));
    return *ret_is_storage && r->locate != NULL ? r->locate(r->context, ret_storage, err) : OK;
}

enum status
torch_storage_read(struct torch_reader *r, struct pickle_value v, struct slice subject,
                   struct torch_storage *ret_storage, bool *ret_is_storage, struct err *err)
{
    if (v.kind == PICKLE_CALL)
        return torch_bytes_storage(r, v, subject, ret_storage, ret_is_storage, err);
    TRY(torch_storage_of_id(r, v, subject, ret_storage, ret_is_storage, err));
    return *ret_is_storage && r->locate != NULL ? r->locate(r->context, ret_storage, err) : OK;
}

enum dtype
torch_storage_dtype(struct pickle_value v)
{
    const struct pickle_global *g = v.kind == PICKLE_GLOBAL ? v.is.global : NULL;

    if (g == NULL || !slice_is(g->module, "torch"))
        return DTYPE_UNKNOWN;
    return dtype_find(g->name);
}
