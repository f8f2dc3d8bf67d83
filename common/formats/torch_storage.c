#include "common/formats/torch_storage.h"

#include "common/base/attr.h"
#include "common/base/num.h"

enum { DEVICES_MAX = 64 };

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
        .devices = vec_of(sizeof(struct slice), DEVICES_MAX),
    };
}

void
torch_reader_done(struct torch_reader *r)
{
    vec_done(&r->devices);
}

/* PyTorch itself takes any global with "Storage" in its name; writers give these modules only. */
static enum dtype
class_dtype(const struct pickle_global *g)
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

/* Bytes of a storage. Of the packed types PyTorch counts bytes here, not elements. */
static bool
storage_bytes(uint64_t elements, enum dtype dtype, uint64_t *ret_bytes)
{
    unsigned bits = dtype_bits(dtype);

    return num_mul(elements, bits < 8 ? 1 : bits / 8, ret_bytes);
}

static enum status
remember_device(struct torch_reader *r, struct slice location, struct err *err)
{
    struct slice *device;

    for (size_t i = 0; i < r->devices.count; i++) {
        if (slice_equal(VEC_AT(&r->devices, struct slice, i), location))
            return OK;
    }
    if (r->devices.count == DEVICES_MAX)
        return OK;
    TRY(vec_add(&r->devices, &device, "devices", err));
    *device = location;
    return OK;
}

static enum status
note_malformed(struct torch_reader *r, struct slice subject, struct err *err)
{
    return inspection_note(r->in, r->limits, FINDING_TENSOR_MALFORMED, subject, err,
                           "its storage has a class, a key or a size that PyTorch never writes");
}

/* The rest of a storage whose id is read. */
static enum status
find_storage(struct torch_reader *r, struct torch_storage *s, struct slice subject,
             struct torch_storage *ret_storage, bool *ret_is_storage, struct err *err)
{
    if (s->dtype == DTYPE_UNKNOWN || !storage_bytes(s->elements, s->dtype, &s->bytes))
        return note_malformed(r, subject, err);
    TRY(remember_device(r, s->location, err));
    TRY(r->locate(r->context, s, err));
    *ret_storage = *s;
    *ret_is_storage = true;
    return OK;
}

enum status
torch_storage_read(struct torch_reader *r, struct pickle_value v, struct slice subject,
                   struct torch_storage *ret_storage, bool *ret_is_storage, struct err *err)
{
    struct torch_storage s = {0};
    struct pickle_items id;
    struct slice word;

    *ret_is_storage = false;
    if (!pickle_list(pickle_persistent_id(v), &id) || id.count < 5 ||
        !pickle_text(id.at[0], &word) || !slice_is(word, "storage"))
        return OK;
    s.dtype = class_dtype(id.at[1].kind == PICKLE_GLOBAL ? id.at[1].is.global : NULL);
    if (!pickle_text(id.at[2], &s.key) || !pickle_text(id.at[3], &s.location) ||
        !pickle_as_u64(id.at[4], &s.elements))
        return note_malformed(r, subject, err);
    return find_storage(r, &s, subject, ret_storage, ret_is_storage, err);
}

enum status
torch_storage_of_tensor(struct torch_reader *r, const struct pickle_tensor *t, struct slice subject,
                        struct torch_storage *ret_storage, bool *ret_is_storage, struct err *err)
{
    struct torch_storage s = {
        .key = {t->key, t->key_length},
        .location = t->kind->location,
        .dtype = class_dtype(t->kind->storage_class),
        .elements = (uint64_t)t->elements,
    };

    *ret_is_storage = false;
    return find_storage(r, &s, subject, ret_storage, ret_is_storage, err);
}

enum dtype
torch_storage_dtype(struct pickle_value v)
{
    const struct pickle_global *g = v.kind == PICKLE_GLOBAL ? v.is.global : NULL;

    if (g == NULL || !slice_is(g->module, "torch"))
        return DTYPE_UNKNOWN;
    return dtype_find(g->name);
}
