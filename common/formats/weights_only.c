#include "common/formats/weights_only.h"

#include "common/base/attr.h"
#include "common/formats/pickle_globals.h"
#include "common/formats/pickle_modern.h"

/* What it reads. */
static const uint8_t opcodes[] = {
    'c', 0x81, 'R',  'b', 'a', 'e', 's', 'u', '(', 't', 0x85, 0x86, 0x87, 'N', 0x88, 0x89, ')',
    ']', '}',  0x8F, 'J', 'K', 'M', 'G', 'X', 'U', 'Q', 'h',  'j',  'q',  'r', 0x8A, 0x80, '.',
};

/* Never allowed, whatever the user lists. */
static const char *const blocked[] = {"sys", "os", "posix", "nt"};

/* What a NumPy dtype's object is an instance of, which weights_only asks to be listed, too. */
static const struct {
    const char *text, *type;
} numpy_types[] = {
    {"b1", "numpy.dtypes.BoolDType"},       {"i1", "numpy.dtypes.Int8DType"},
    {"i2", "numpy.dtypes.Int16DType"},      {"i4", "numpy.dtypes.Int32DType"},
    {"i8", "numpy.dtypes.Int64DType"},      {"u1", "numpy.dtypes.UInt8DType"},
    {"u2", "numpy.dtypes.UInt16DType"},     {"u4", "numpy.dtypes.UInt32DType"},
    {"u8", "numpy.dtypes.UInt64DType"},     {"f2", "numpy.dtypes.Float16DType"},
    {"f4", "numpy.dtypes.Float32DType"},    {"f8", "numpy.dtypes.Float64DType"},
    {"c8", "numpy.dtypes.Complex64DType"},  {"c16", "numpy.dtypes.Complex128DType"},
    {"M8", "numpy.dtypes.DateTime64DType"}, {"m8", "numpy.dtypes.TimeDelta64DType"},
    {"O8", "numpy.dtypes.ObjectDType"},     {"S", "numpy.dtypes.BytesDType"},
    {"U", "numpy.dtypes.StrDType"},         {"V", "numpy.dtypes.VoidDType"},
};

/* Where a storage may have lived (torch/serialization.py, register_package): a device, or a number of
 * one behind it: "cuda:0". */
static const char *const places[] = {"cpu", "meta"};
static const char *const devices[] = {"cuda", "mps", "hpu", "xpu", "mtia", "privateuseone"};

struct judge {
    const struct pickle *pickle;
    struct arena *arena;
    struct vec *needs;
    bool is_legacy;
    uint32_t id_parts;   /* of a persistent id */
    struct slice reason; /* the first */
};

/* Keep the first reason. */
#define REFUSE(j, err, ...) \
    return (j)->reason.length > 0 ? OK : arena_printf((j)->arena, &(j)->reason, (err), __VA_ARGS__)

static enum status
need(struct judge *j, struct slice name, struct err *err)
{
    struct slice *added;

    TRY(vec_add(j->needs, &added, "globals to allow", err));
    *added = name;
    return OK;
}

static enum status
judge_opcodes(struct judge *j, struct err *err)
{
    for (unsigned code = 0; code < 256; code++)
        if (pickle_used(j->pickle, (uint8_t)code) &&
            memchr(opcodes, (int)code, sizeof opcodes) == NULL)
            REFUSE(j, err,
                   "pickle opcode 0x%02x is not read by weights_only, which takes what protocol 2 "
                   "needs; the file has protocol %u",
                   code, j->pickle->protocol);
    return OK;
}

static enum status
judge_global(struct judge *j, const struct pickle_global *g, struct err *err)
{
    struct slice module, name, joined;

    pickle_modern_torch(g->module, g->name, &module, &name);
    for (size_t i = 0; i < ARRAY_LENGTH(blocked); i++)
        if (slice_is(module, blocked[i]))
            REFUSE(j, err, "module %s is blocked by weights_only, whatever is allowed", blocked[i]);
    if (g->torch != NULL)
        return OK;
    TRY(pickle_dotted(module, name, j->arena, &joined, err));
    return need(j, joined, err);
}

static bool
is_pair_list(struct pickle_value v)
{
    struct pickle_items items, two;

    if (!pickle_list(v, &items))
        return false;
    for (size_t i = 0; i < items.count; i++)
        if (!pickle_list(items.at[i], &two) || two.count != 2)
            return false;
    return true;
}

/* obj.__dict__.update(state) */
static bool
is_attributes(struct pickle_value state)
{
    return pickle_is_mapping(state) || is_pair_list(state);
}

/* What Python calls false, as far as a state can be. */
static bool
is_nothing(struct pickle_value state)
{
    struct pickle_items items;

    return state.kind == PICKLE_NONE || (state.kind == PICKLE_DICT && state.is.dict->count == 0) ||
           (pickle_list(state, &items) && items.count == 0);
}

static bool
state_fits(const char *type, struct pickle_value state)
{
    int64_t offset;

    if (strcmp(type, "collections.OrderedDict") == 0)
        return is_attributes(state);
    if (strcmp(type, "torch.Tensor") == 0)
        return state.kind == PICKLE_TUPLE && state.count == 4 &&
               state.is.items[0].kind == PICKLE_PERSISTENT &&
               pickle_as_int(state.is.items[1], &offset);
    if (strcmp(type, "torch.nn.parameter.Parameter") == 0)
        return state.kind == PICKLE_TUPLE && (state.count == 4 || state.count == 5);
    if (strcmp(type, "bytes") == 0 || strcmp(type, "torch.layout") == 0)
        return false; /* types that are not on the list themselves */
    if (strcmp(type, "collections.Counter") == 0)
        return is_nothing(state) || is_attributes(state);
    return is_nothing(state);
}

/* The result of _rebuild_from_type_v2(func, type, args, state) is of that type. */
static const char *
type_of_result(const struct pickle_torch *row, struct pickle_value call)
{
    const struct pickle_torch *type = NULL;
    struct pickle_value second = pickle_argument(call, 1);

    if (row->result == NULL)
        return row->name;
    if (*row->result != '\0')
        return row->result;
    if (second.kind == PICKLE_GLOBAL)
        type = second.is.global->torch;
    return type == NULL ? "" : type->name;
}

static enum status
judge_filling(struct judge *j, const struct pickle_call *c, const char *type, bool is_dict,
              struct err *err)
{
    const struct pickle_extra *extra = c->extra;

    if (extra == NULL)
        return OK;
    if (extra->appended.count > 0)
        REFUSE(j, err, "weights_only appends to lists only, not to a %s", type);
    if (extra->is_set && !is_dict)
        REFUSE(j, err, "weights_only sets items of dict, OrderedDict and Counter only, not of a %s",
               type);
    for (size_t i = 0; i < extra->items.count; i++)
        if (extra->items.pairs[i].key.is_unhashable)
            REFUSE(j, err, "a key of a %s cannot be a key", type);
    return OK;
}

/* numpy.dtype(…) with a state: the dtype's own class is asked for. */
static enum status
need_numpy_type(struct judge *j, struct pickle_value call, struct err *err)
{
    struct slice text;

    if (!pickle_is_call(call, "numpy", "dtype") || pickle_state(call) == NULL ||
        !pickle_text(pickle_argument(call, 0), &text))
        return OK;
    for (size_t i = 0; i < ARRAY_LENGTH(numpy_types); i++) {
        struct slice known = slice_of(numpy_types[i].text);

        if (slice_equal(text, known) || (known.length == 1 && slice_starts(text, known)))
            return need(j, slice_of(numpy_types[i].type), err);
    }
    return OK;
}

/* A global that the user would have to allow: what it does with its arguments is not known here. */
static enum status
judge_foreign_call(struct judge *j, struct pickle_value call, struct err *err)
{
    const struct pickle_global *g = call.is.call->callable.is.global;
    struct slice type;

    TRY(pickle_dotted(g->modern_module, g->modern_name, j->arena, &type, err));
    TRY(judge_filling(j, call.is.call, type.at, false, err));
    return need_numpy_type(j, call, err);
}

static bool
arguments_fit(const struct pickle_torch *row, struct pickle_value call)
{
    struct pickle_value first = pickle_argument(call, 0);
    struct slice text;

    if (!pickle_globals_fit(row->arguments, call))
        return false;
    if (pickle_argument_count(call) == 0)
        return true;
    if (strcmp(row->name, "collections.OrderedDict") == 0)
        return is_attributes(first);
    if (strcmp(row->name, "builtins.bytearray") == 0)
        return first.kind != PICKLE_STR || first.is_raw || pickle_argument_count(call) > 1;
    if (strcmp(row->name, "collections.Counter") == 0 || strcmp(row->name, "builtins.set") == 0) {
        struct pickle_items items;

        return pickle_is_mapping(first) || pickle_list(first, &items) || pickle_text(first, &text);
    }
    return true;
}

static enum status
judge_call(struct judge *j, struct pickle_value call, struct err *err)
{
    const struct pickle_call *c = call.is.call;
    const struct pickle_torch *row;
    const char *type;
    bool is_dict;

    if (c->callable.kind != PICKLE_GLOBAL)
        REFUSE(j, err, "it calls what another call returned");
    row = c->callable.is.global->torch;
    if (row == NULL)
        return judge_foreign_call(j, call, err);
    if (row->kind == PICKLE_TORCH_DTYPE || row->kind == PICKLE_TORCH_STORAGE ||
        (c->kind != PICKLE_REDUCE && row->kind == PICKLE_TORCH_FUNCTION))
        REFUSE(j, err, "it calls %s, which cannot be called so", row->name);
    if (!arguments_fit(row, call))
        REFUSE(j, err, "it calls %s with arguments that it does not take", row->name);
    type = type_of_result(row, call);
    is_dict =
        strcmp(type, "collections.OrderedDict") == 0 || strcmp(type, "collections.Counter") == 0;
    TRY(judge_filling(j, c, type, is_dict, err));
    for (size_t i = 0; c->extra != NULL && i < c->extra->states.count; i++)
        if (!state_fits(type, c->extra->states.items[i]))
            REFUSE(j, err, "it gives a %s a state that it does not take", type);
    return OK;
}

/* The loader asks the class for its dtype and nothing else, so that a tensor will do. */
static bool
is_storage_class(struct pickle_value v)
{
    const struct pickle_torch *row;

    if (v.kind == PICKLE_CALL && v.is.call->callable.kind == PICKLE_GLOBAL) {
        row = v.is.call->callable.is.global->torch;
        return row != NULL && (strcmp(type_of_result(row, v), "torch.Tensor") == 0 ||
                               strcmp(type_of_result(row, v), "torch.nn.parameter.Parameter") == 0);
    }
    if (v.kind != PICKLE_GLOBAL)
        return v.kind == PICKLE_PERSISTENT || v.kind == PICKLE_TENSOR;
    row = v.is.global->torch;
    return row != NULL && (row->kind == PICKLE_TORCH_STORAGE ||
                           strcmp(row->name, "torch.storage.UntypedStorage") == 0);
}

static bool
is_location(struct slice location)
{
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++)
        if (slice_is(location, places[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LENGTH(devices); i++) {
        struct slice device = slice_of(devices[i]);

        if (slice_starts(location, device) &&
            (location.length == device.length || location.at[device.length] == ':' ||
             (location.at[device.length] >= '0' && location.at[device.length] <= '9')))
            return true;
    }
    return false;
}

/* ('storage', class, key, location, elements), and a view as the sixth in the old format. */
static enum status
judge_persistent(struct judge *j, const struct pickle_persistent *p, struct err *err)
{
    const struct pickle_value *part = p->id.is.items;
    struct slice location;
    uint64_t elements;

    if (p->id.kind != PICKLE_TUPLE || p->id.count != j->id_parts ||
        !pickle_is_text(part[0], "storage"))
        REFUSE(j, err, "a persistent id is no storage's");
    if (!is_storage_class(part[1]))
        REFUSE(j, err, "a storage is of no storage class");
    /* (PyTorch 2.13 writes such files and fails on the way back: the class has no dtype.) */
    if (j->is_legacy && (pickle_is_global(part[1], "torch", "UntypedStorage") ||
                         pickle_is_global(part[1], "torch.storage", "UntypedStorage")))
        REFUSE(j, err, "a storage is untyped, as torch.load cannot read them in this format");
    if (!pickle_text(part[3], &location) || !pickle_as_u64(part[4], &elements))
        REFUSE(j, err, "a storage's location or size is malformed");
    if (!is_location(location))
        REFUSE(j, err, "a storage's location is none that PyTorch knows of itself");
    return OK;
}

static enum status
judge_rest(struct judge *j, struct err *err)
{
    const struct pickle *p = j->pickle;

    if (!p->has_stop)
        REFUSE(j, err, "the pickle cannot be read to its end: %s", p->problem.text);
    if ((p->odd & PICKLE_ODD_TARGET) != 0)
        REFUSE(j, err, "it fills or changes what is no container");
    if ((p->odd & PICKLE_ODD_RAW) != 0)
        REFUSE(j, err, "a str of Python 2 in it is not UTF-8");
    return OK;
}

enum status
weights_only_judge(const struct pickle *p, bool is_legacy, struct arena *arena, struct vec *needs,
                   struct slice *ret_reason, struct err *err)
{
    struct judge j = {.pickle = p,
                      .arena = arena,
                      .needs = needs,
                      .is_legacy = is_legacy,
                      .id_parts = is_legacy ? 6 : 5};

    *ret_reason = (struct slice){0};
    TRY(judge_opcodes(&j, err));
    for (const struct pickle_global *g = p->globals; g != NULL; g = g->next)
        TRY(judge_global(&j, g, err));
    for (const struct pickle_persistent *s = p->persistents; s != NULL; s = s->next)
        TRY(judge_persistent(&j, s, err));
    for (struct pickle_call *c = p->calls; c != NULL; c = c->next)
        TRY(judge_call(&j, (struct pickle_value){.kind = PICKLE_CALL, .is.call = c}, err));
    TRY(judge_rest(&j, err));
    *ret_reason = j.reason;
    return OK;
}
