#include "common/formats/torch_value.h"

#include <math.h>

#include "common/base/attr.h"
#include "common/base/utf8.h"

static bool
is_numpy_call(struct pickle_value v, const char *name)
{
    return pickle_is_call(v, "numpy.core.multiarray", name) ||
           pickle_is_call(v, "numpy._core.multiarray", name);
}

/* NumPy's short names, as in dtype('f8'), and its long ones. */
static const struct {
    const char *code;
    const char *name;
} numbers[] = {
    {"f8", "numpy.float64"},   {"f4", "numpy.float32"},     {"f2", "numpy.float16"},
    {"i8", "numpy.int64"},     {"i4", "numpy.int32"},       {"i2", "numpy.int16"},
    {"i1", "numpy.int8"},      {"u8", "numpy.uint64"},      {"u4", "numpy.uint32"},
    {"u2", "numpy.uint16"},    {"u1", "numpy.uint8"},       {"b1", "numpy.bool"},
    {"c8", "numpy.complex64"}, {"c16", "numpy.complex128"},
};

/* The row of a numpy.dtype('f8', …) call; SIZE_MAX if it is none. */
static size_t
number_row(struct pickle_value dtype)
{
    struct slice code;

    if (!pickle_is_call(dtype, "numpy", "dtype") || !pickle_text(pickle_argument(dtype, 0), &code))
        return SIZE_MAX;
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
        if (slice_is(code, numbers[i].code))
            return i;
    }
    return SIZE_MAX;
}

/* Calls whose value is of another type than the function's name says. */
static const char *
made_by(struct pickle_value v, enum entry_kind *kind)
{
    size_t row;

    *kind = ENTRY_OBJECT;
    if (is_numpy_call(v, "_reconstruct") ||
        pickle_is_call(v, "numpy.core.numeric", "_frombuffer") ||
        pickle_is_call(v, "numpy._core.numeric", "_frombuffer"))
        return "numpy.ndarray";
    if (is_numpy_call(v, "scalar")) {
        row = number_row(pickle_argument(v, 0));
        return row == SIZE_MAX ? "numpy.generic" : numbers[row].name;
    }
    if (pickle_is_call(v, "_codecs", "encode") || pickle_is_call(v, "builtins", "bytes")) {
        *kind = ENTRY_BYTES;
        return "bytes";
    }
    if (pickle_is_call(v, "builtins", "bytearray")) {
        *kind = ENTRY_BYTES;
        return "bytearray";
    }
    if (pickle_is_call(v, "torch._utils", "_rebuild_tensor_v2"))
        return "torch.Tensor";
    return NULL;
}

/* "module.name" of a class; builtins without their module, as Python prints them. */
static enum status
class_name(struct slice module, struct slice name, struct arena *arena, struct slice *ret_name,
           struct err *err)
{
    if (slice_is(module, "builtins"))
        return arena_copy(arena, name, ret_name, err); /* the pickle's bytes end before */
    return arena_printf(arena, ret_name, err, "%.*s.%.*s", SLICE_PRINT(module), SLICE_PRINT(name));
}

static enum status
call_entry(struct pickle_value v, struct arena *arena, struct entry *e, struct err *err)
{
    struct pickle_value callable = pickle_callable(v);
    struct pickle_items items;
    const char *type = made_by(v, &e->kind);

    if (type != NULL) {
        e->type = slice_of(type);
        return OK;
    }
    if (pickle_is_mapping(v))
        e->kind = ENTRY_DICT;
    else if (pickle_list(v, &items))
        e->kind = ENTRY_LIST;
    /* copyreg._reconstructor(class, base, state) */
    if (pickle_is_global(callable, "copyreg", "_reconstructor"))
        callable = pickle_argument(v, 0);
    if (callable.kind != PICKLE_GLOBAL) {
        e->type = slice_of("object");
        return OK;
    }
    return class_name(callable.is.global->modern_module, callable.is.global->modern_name, arena,
                      &e->type, err);
}

/* A name alone: a dtype, a class or a function, told apart by custom: classes begin with a capital. */
static const char *
global_type(struct pickle_value v)
{
    const struct pickle_global *g = v.is.global;

    if (slice_is(g->module, "torch") && dtype_find(g->name) != DTYPE_UNKNOWN)
        return "torch.dtype";
    if (g->name.length > 0 && g->name.at[0] >= 'a' && g->name.at[0] <= 'z')
        return "function";
    return "type";
}

enum status
torch_value_entry(struct pickle_value v, struct arena *arena, struct entry *ret_entry,
                  struct err *err)
{
    static const enum entry_kind kinds[PICKLE_KIND_COUNT] = {
        [PICKLE_NONE] = ENTRY_NONE,        [PICKLE_BOOL] = ENTRY_BOOL,
        [PICKLE_INT] = ENTRY_INT,          [PICKLE_BIGINT] = ENTRY_INT,
        [PICKLE_FLOAT] = ENTRY_FLOAT,      [PICKLE_STR] = ENTRY_STR,
        [PICKLE_BYTES] = ENTRY_BYTES,      [PICKLE_BYTEARRAY] = ENTRY_BYTES,
        [PICKLE_TUPLE] = ENTRY_LIST,       [PICKLE_LIST] = ENTRY_LIST,
        [PICKLE_DICT] = ENTRY_DICT,        [PICKLE_SET] = ENTRY_LIST,
        [PICKLE_FROZENSET] = ENTRY_LIST,   [PICKLE_GLOBAL] = ENTRY_OBJECT,
        [PICKLE_CALL] = ENTRY_OBJECT,      [PICKLE_PERSISTENT] = ENTRY_OBJECT,
        [PICKLE_EXTENSION] = ENTRY_OBJECT, [PICKLE_TENSOR] = ENTRY_OBJECT,
    };
    struct entry e = {.kind = kinds[v.kind]};
    struct pickle_items id;

    if (v.kind == PICKLE_CALL)
        TRY(call_entry(v, arena, &e, err));
    else if (v.kind == PICKLE_TENSOR)
        e.type = slice_of("torch.Tensor");
    else if (v.kind == PICKLE_GLOBAL)
        e.type = slice_of(global_type(v));
    else if (v.kind == PICKLE_PERSISTENT && pickle_list(pickle_persistent_id(v), &id) &&
             id.count > 1 && id.at[1].kind == PICKLE_GLOBAL)
        TRY(class_name(id.at[1].is.global->module, id.at[1].is.global->name, arena, &e.type, err));
    else
        e.type = slice_of(v.kind == PICKLE_NONE ? "NoneType"
                                                : pickle_kind_name((enum pickle_kind)v.kind));
    *ret_entry = e;
    return OK;
}

enum status
torch_value_pairs(struct pickle_value v, struct arena *arena, bool *ret_is_mapping,
                  struct pickle_pairs *ret_pairs, struct err *err)
{
    const struct pickle_extra *extra = v.kind == PICKLE_CALL ? v.is.call->extra : NULL;

    TRY(pickle_pairs(v, arena, ret_is_mapping, ret_pairs, err));
    if (!*ret_is_mapping && extra != NULL && extra->items.count > 0) {
        *ret_is_mapping = true;
        *ret_pairs = (struct pickle_pairs){extra->items.pairs, extra->items.count};
    }
    return OK;
}

/* Keys of a state: a dict, or a pair of them. */
static size_t
state_size(struct pickle_value state)
{
    size_t size = 1;

    if (state.kind == PICKLE_DICT)
        return size + state.is.dict->count;
    for (uint32_t i = 0; state.kind == PICKLE_TUPLE && i < state.count && i < 2; i++)
        size += state.is.items[i].kind == PICKLE_DICT ? state.is.items[i].is.dict->count : 0;
    return size;
}

size_t
torch_value_size(struct pickle_value v)
{
    const struct pickle_extra *extra = v.kind == PICKLE_CALL ? v.is.call->extra : NULL;
    size_t size = v.kind == PICKLE_DICT ? v.is.dict->count : 0;
    struct pickle_items pairs;

    /* Python 2's OrderedDict([[key, value], …]) */
    if (v.kind == PICKLE_CALL && pickle_list(pickle_argument(v, 0), &pairs))
        size += pairs.count;
    if (extra == NULL)
        return size;
    size += extra->items.count;
    for (uint32_t i = 0; i < extra->states.count; i++)
        size += state_size(extra->states.items[i]);
    return size;
}

bool
torch_value_module(struct pickle_value v, struct torch_module *ret_module)
{
    const struct pickle_value *parameters, *buffers, *modules, *transient;

    if (v.kind != PICKLE_CALL || v.is.call->extra == NULL)
        return false;
    parameters = pickle_attribute(v, "_parameters");
    buffers = pickle_attribute(v, "_buffers");
    modules = pickle_attribute(v, "_modules");
    transient = pickle_attribute(v, "_non_persistent_buffers_set");
    if (parameters == NULL || modules == NULL)
        return false;
    *ret_module = (struct torch_module){
        .parameters = *parameters,
        .buffers = buffers != NULL ? *buffers : (struct pickle_value){0},
        .modules = *modules,
        .transient = transient != NULL ? *transient : (struct pickle_value){0},
    };
    return true;
}

enum status
torch_value_key(struct pickle_value key, struct arena *arena, struct slice *ret_name,
                bool *ret_is_text, struct err *err)
{
    int64_t number;

    *ret_name = (struct slice){0};
    *ret_is_text = pickle_text(key, ret_name);
    if (*ret_is_text) {
        if (ret_name->at == NULL)
            ret_name->at = ""; /* the empty key is a key */
        return OK;
    }
    if (pickle_as_int(key, &number))
        return arena_printf(arena, ret_name, err, "%lld", (long long)number);
    return OK;
}

/* A number's bytes; at most count of them. Python 3 makes text of bytes for protocol 2, each byte
 * the code point of its value: _codecs.encode(text, "latin1"). */
static bool
number_bytes(struct pickle_value v, uint8_t *bytes, size_t cap, size_t *ret_count)
{
    struct slice raw;
    size_t count = 0;

    if (pickle_bytes(v, &raw)) {
        if (raw.length > cap)
            return false;
        memcpy(bytes, raw.at, raw.length);
        *ret_count = raw.length;
        return true;
    }
    if (!pickle_is_call(v, "_codecs", "encode") || !pickle_text(pickle_argument(v, 0), &raw))
        return false;
    while (raw.length > 0) {
        uint32_t code = 0;
        size_t n = utf8_next(raw, &code);

        if (n == 0 || code > 0xff || count == cap)
            return false;
        bytes[count++] = (uint8_t)code;
        raw = slice_from(raw, n);
    }
    *ret_count = count;
    return true;
}

/* IEEE 754 binary16, for a best accuracy kept in it. */
static double
half(uint16_t bits)
{
    unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (fraction == 0 ? (double)INFINITY : (double)NAN)
                                    : ldexp(fraction + 1024, (int)exponent - 25);

    return bits >> 15 != 0 ? -value : value;
}

static uint64_t
raw_number(const uint8_t *bytes, size_t count, bool is_big)
{
    uint64_t value = 0;

    for (size_t i = 0; i < count; i++)
        value = value << 8 | bytes[is_big ? i : count - 1 - i];
    return value;
}

static struct pickle_value
plain_number(char kind, size_t width, uint64_t raw)
{
    struct pickle_value v = {.kind = PICKLE_FLOAT};
    uint32_t raw32 = (uint32_t)raw;
    float narrow;
    unsigned unused_bits = (unsigned)(64 - 8 * width);

    if (kind == 'b')
        return (struct pickle_value){.kind = PICKLE_BOOL, .is.truth = raw != 0};
    if (kind == 'i' || (kind == 'u' && raw <= INT64_MAX)) {
        v.kind = PICKLE_INT;
        /* Extend the sign: the shift of a negative number is arithmetic with our compilers. */
        v.is.integer = kind == 'u' ? (int64_t)raw : (int64_t)(raw << unused_bits) >> unused_bits;
        return v;
    }
    if (kind == 'u')
        v.is.real = (double)raw;
    else if (width == 2)
        v.is.real = half((uint16_t)raw);
    else if (width == 4) {
        memcpy(&narrow, &raw32, sizeof narrow);
        v.is.real = (double)narrow;
    } else
        memcpy(&v.is.real, &raw, sizeof v.is.real);
    return v;
}

/* By the state of a numpy.dtype: (3, byte order, …). */
static bool
is_big_endian(struct pickle_value dtype)
{
    const struct pickle_value *state = pickle_state(dtype);
    struct pickle_items items;

    return state != NULL && pickle_list(*state, &items) && items.count > 1 &&
           pickle_is_text(items.at[1], ">");
}

bool
torch_value_dtype(struct pickle_value v, enum dtype *ret_dtype, bool *ret_is_big_endian)
{
    size_t row = number_row(v);

    if (row == SIZE_MAX)
        return false;
    *ret_dtype = dtype_find(slice_of(numbers[row].name + strlen("numpy.")));
    *ret_is_big_endian = is_big_endian(v);
    return true;
}

bool
torch_value_scalar(struct pickle_value v, struct pickle_value *ret_plain)
{
    uint8_t bytes[sizeof(uint64_t)];
    const char *code;
    size_t row, count;

    if (!is_numpy_call(v, "scalar"))
        return false;
    row = number_row(pickle_argument(v, 0));
    if (row == SIZE_MAX || !number_bytes(pickle_argument(v, 1), bytes, sizeof bytes, &count))
        return false;
    code = numbers[row].code;
    if (code[0] == 'c' || count == 0 || count != (size_t)(code[1] - '0'))
        return false;
    *ret_plain = plain_number(code[0], count,
                              raw_number(bytes, count, is_big_endian(pickle_argument(v, 0))));
    return true;
}
