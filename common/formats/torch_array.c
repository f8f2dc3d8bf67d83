/*
 * An array is one of two calls:
 *
 *     numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b"b"), which is then given the state
 *         (1, shape, dtype, is in Fortran's order, bytes)
 *     numpy.core.numeric._frombuffer(bytes, dtype, shape, "C" or "F")     since protocol 5
 *
 * and dtype is numpy.dtype("f4", …) with the state (3, byte order, …). NumPy 2 says numpy._core. The
 * bytes have a place in the file only where they stand there as they are: protocol 2 of Python 3 writes
 * them as a text.
 */
#include "common/formats/torch_array.h"

#include "common/base/num.h"
#include "common/formats/pickle_stream.h"
#include "common/formats/torch_tensor.h"
#include "common/formats/torch_value.h"

struct array {
    struct pickle_value shape;
    struct pickle_value dtype;
    struct pickle_value data;
    bool is_fortran;
};

static bool
is_call_in(struct pickle_value v, const char *old, const char *new, const char *name)
{
    return pickle_is_call(v, old, name) || pickle_is_call(v, new, name);
}

/* Take v apart; false where it is no array. */
static bool
open_array(struct pickle_value v, struct array *a)
{
    const struct pickle_value *state;
    struct pickle_items items;

    *a = (struct array){0};
    if (is_call_in(v, "numpy.core.numeric", "numpy._core.numeric", "_frombuffer")) {
        a->data = pickle_argument(v, 0);
        a->dtype = pickle_argument(v, 1);
        a->shape = pickle_argument(v, 2);
        a->is_fortran = pickle_is_text(pickle_argument(v, 3), "F");
        return true;
    }
    state = pickle_state(v);
    if (state == NULL ||
        !is_call_in(v, "numpy.core.multiarray", "numpy._core.multiarray", "_reconstruct") ||
        !pickle_list(*state, &items) || items.count != 5)
        return false;
    a->shape = items.at[1];
    a->dtype = items.at[2];
    if (!pickle_as_bool(items.at[3], &a->is_fortran)) {
        int64_t number = 0;

        (void)pickle_as_int(items.at[3], &number); /* Python 2 */
        a->is_fortran = number != 0;
    }
    a->data = items.at[4];
    return true;
}

bool
torch_array_is(struct pickle_value v)
{
    struct array a;
    enum dtype dtype;
    bool is_big;

    return v.kind == PICKLE_CALL && open_array(v, &a) &&
           torch_value_dtype(a.dtype, &dtype, &is_big);
}

/* The first index goes fastest. */
static enum status
fortran_strides(struct torch_reader *r, struct built_tensor *t, struct err *err)
{
    struct shape shape = t->tensor.shape;
    int64_t *strides = arena_alloc(&r->in->arena, shape.rank, sizeof *strides);
    uint64_t step = 1;

    if (strides == NULL)
        return arena_fail(&r->in->arena, err);
    for (uint32_t i = 0; i < shape.rank; i++) {
        strides[i] = (int64_t)step;
        step *= shape.dims[i] == 0 ? 1 : shape.dims[i]; /* at most the elements, which fit */
    }
    t->place.strides = strides;
    return OK;
}

/* Where its bytes lie; *ret_fits: they are as many as they have to be, as far as that can be seen. */
static void
place_array(const struct torch_reader *r, struct pickle_value data, uint64_t bytes, bool is_big,
            struct place *place, bool *ret_fits)
{
    struct pickle_range range;
    struct slice raw;
    bool is_hole = false;

    *ret_fits = true;
    if (!pickle_bytes(data, &raw)) {
        *ret_fits = pickle_is_call(data, "_codecs", "encode") ||
                    pickle_is_call(data, "builtins", "bytes") ||
                    pickle_is_call(data, "builtins", "bytearray");
        return;
    }
    if (!pickle_stream_find(r->pickle->stream, raw, &range, &is_hole)) {
        *ret_fits = raw.length == bytes;
        return;
    }
    *ret_fits = range.length == bytes;
    *place = (struct place){
        .has_bytes = true,
        .is_big_endian = is_big,
        .offset = range.offset,
        .stored_bytes = range.length,
        .storage_bytes = range.length,
    };
}

enum status
torch_array_read(struct torch_reader *r, struct pickle_value v, struct slice name,
                 struct built_tensor *ret_tensor, const char **ret_problem, struct err *err)
{
    struct built_tensor t = {0};
    uint64_t elements, bytes;
    bool is_big = false, fits = true;
    struct array a;

    (void)open_array(v, &a);
    (void)torch_value_dtype(a.dtype, &t.tensor.dtype, &is_big);
    TRY(torch_tensor_shape(r, a.shape, name, &t.tensor.shape, ret_problem, err));
    if (*ret_problem != NULL)
        return OK;
    if (!shape_elements(t.tensor.shape, &elements) ||
        !num_mul(elements, dtype_bits(t.tensor.dtype) / 8, &bytes) || bytes > INT64_MAX) {
        *ret_problem = "its size overflows";
        return OK;
    }
    place_array(r, a.data, bytes, is_big && dtype_bits(t.tensor.dtype) > 8, &t.place, &fits);
    if (!fits) {
        *ret_problem = "its bytes are not as many as its shape needs";
        return OK;
    }
    if (a.is_fortran && t.tensor.shape.rank > 1)
        TRY(fortran_strides(r, &t, err));
    *ret_tensor = t;
    return OK;
}
