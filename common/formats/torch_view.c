#include "common/formats/torch_view.h"

#include "common/base/num.h"

enum status
torch_view_int(struct json *j, const char *what, int64_t *ret_value, struct err *err)
{
    struct json_token t;

    TRY(json_peek(j, &t, err));
    if (t.kind != JSON_STRING)
        return json_i64(j, what, ret_value, err);
    TRY(json_next(j, &t, err));
    FAIL_IF(!num_parse_i64(t.text, ret_value), err, BAD_JSON, t.offset, "%s is no integer", what);
    return OK;
}

/* The strides as given, or NULL for those of a contiguous tensor. False where they are none. */
static bool
read_strides(const struct torch_view *v, const int64_t **ret_strides)
{
    bool is_usual = true;
    uint64_t step = 1;

    *ret_strides = NULL;
    for (uint32_t i = v->shape.rank; i-- > 0;) {
        if (v->strides != NULL && v->strides[i] < 0)
            return false;
        is_usual = is_usual && (v->strides == NULL || (uint64_t)v->strides[i] == step);
        if (!num_mul(step, v->shape.dims[i] == 0 ? 1 : v->shape.dims[i], &step))
            return false;
    }
    *ret_strides = is_usual ? NULL : v->strides;
    return true;
}

/* The storage's element after the last that the view shows; false on overflow. */
static bool
last_element(const struct torch_view *v, const int64_t *strides, uint64_t *ret_end)
{
    uint64_t end = v->first_element, usual = 1, step;

    for (uint32_t i = v->shape.rank; i-- > 0;) {
        uint64_t stride = strides != NULL ? (uint64_t)strides[i] : usual;

        if (v->shape.dims[i] == 0) {
            *ret_end = 0;
            return true;
        }
        if (!num_mul(v->shape.dims[i] - 1, stride, &step) || !num_add(end, step, &end) ||
            !num_mul(usual, v->shape.dims[i], &usual))
            return false;
    }
    return num_add(end, 1, ret_end);
}

static enum status
place(struct torch_archive *a, const struct torch_view *v, const struct zip_member *m,
      struct slice record, struct built_tensor *t, struct err *err)
{
    struct torch_work *w = a->work;
    const int64_t *strides = t->place.strides;
    uint64_t end, needed = 0;
    bool has_bytes;

    if (m == NULL)
        return inspection_note(w->in, w->limits, FINDING_STORAGE_MISSING, v->name, err,
                               "the archive has no record %.*s", SLICE_PRINT(record));
    a->told[m - a->directory->members] = m->size_bytes;
    if (m->size_bytes > 0)
        t->storage = a->first_number + (uint64_t)(m - a->directory->members);
    TRY(torch_archive_place(a, m, &t->place, &has_bytes, err));
    t->place.has_bytes = has_bytes;
    t->place.strides = strides;
    t->place.first_element = v->first_element;
    if (dtype_bits(v->dtype) <= 8)
        t->place.is_big_endian = false;
    if (last_element(v, strides, &end) && num_mul(end, dtype_bits(v->dtype) / 8, &needed) &&
        needed <= m->size_bytes)
        return OK;
    t->place.has_bytes = false;
    return inspection_note(w->in, w->limits, FINDING_TENSOR_OUTSIDE, v->name, err,
                           "its elements would lie outside its storage of %llu bytes",
                           (unsigned long long)m->size_bytes);
}

enum status
torch_view_build(struct torch_archive *a, const struct torch_view *v, const struct zip_member *m,
                 struct slice record, struct built_tensor *ret_tensor, bool *ret_is_tensor,
                 struct err *err)
{
    struct torch_work *w = a->work;
    struct built_tensor t = {
        .tensor = {.name = v->name, .dtype = v->dtype, .shape = v->shape},
    };
    uint64_t elements;

    *ret_is_tensor = read_strides(v, &t.place.strides) && shape_elements(v->shape, &elements);
    if (!*ret_is_tensor)
        return inspection_note(w->in, w->limits, FINDING_TENSOR_MALFORMED, v->name, err,
                               "a tensor that cannot be built: a stride is negative, or its size "
                               "overflows");
    TRY(place(a, v, m, record, &t, err));
    *ret_tensor = t;
    return OK;
}
