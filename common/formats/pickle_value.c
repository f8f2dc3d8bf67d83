/*
 * Reading the machine's values: every question may be asked of every value.
 */
#include "common/base/attr.h"
#include "common/formats/pickle.h"

const char *
pickle_kind_name(enum pickle_kind kind)
{
    static const char *const kinds[PICKLE_KIND_COUNT] = {
        [PICKLE_NONE] = "None",
        [PICKLE_BOOL] = "bool",
        [PICKLE_INT] = "int",
        [PICKLE_BIGINT] = "int",
        [PICKLE_FLOAT] = "float",
        [PICKLE_STR] = "str",
        [PICKLE_BYTES] = "bytes",
        [PICKLE_BYTEARRAY] = "bytearray",
        [PICKLE_TUPLE] = "tuple",
        [PICKLE_LIST] = "list",
        [PICKLE_DICT] = "dict",
        [PICKLE_SET] = "set",
        [PICKLE_FROZENSET] = "frozenset",
        [PICKLE_GLOBAL] = "type",
        [PICKLE_CALL] = "object",
        [PICKLE_PERSISTENT] = "object",
        [PICKLE_EXTENSION] = "object",
        [PICKLE_TENSOR] = "object",
    };

    return kind < PICKLE_KIND_COUNT ? kinds[kind] : "object";
}

enum status
pickle_dotted(struct slice module, struct slice name, struct arena *arena, struct slice *ret_dotted,
              struct err *err)
{
    char *dotted = arena_alloc(arena, module.length + name.length + 2, 1);

    if (dotted == NULL)
        return arena_fail(arena, err);
    memcpy(dotted, module.at, module.length);
    dotted[module.length] = '.';
    memcpy(dotted + module.length + 1, name.at, name.length);
    *ret_dotted = (struct slice){.at = dotted, .length = module.length + 1 + name.length};
    return OK;
}

enum status
pickle_type(struct pickle_value v, struct arena *arena, struct slice *ret_type, struct err *err)
{
    const struct pickle_global *g;

    if (v.kind == PICKLE_CALL)
        v = pickle_callable(v);
    if (v.kind != PICKLE_GLOBAL && v.kind != PICKLE_TENSOR) {
        *ret_type = slice_of(pickle_kind_name(v.kind));
        return OK;
    }
    g = v.kind == PICKLE_TENSOR ? v.is.tensor->kind->function : v.is.global;
    return pickle_dotted(g->modern_module, g->modern_name, arena, ret_type, err);
}

static struct slice
slice_in(struct pickle_value v)
{
    return (struct slice){.at = v.is.bytes, .length = v.count};
}

bool
pickle_text(struct pickle_value v, struct slice *ret_text)
{
    if (v.kind != PICKLE_STR && v.kind != PICKLE_BYTES)
        return false;
    *ret_text = slice_in(v);
    return true;
}

bool
pickle_is_text(struct pickle_value v, const char *text)
{
    struct slice s;

    return pickle_text(v, &s) && slice_is(s, text);
}

bool
pickle_bytes(struct pickle_value v, struct slice *ret_bytes)
{
    if (v.kind != PICKLE_BYTES && v.kind != PICKLE_BYTEARRAY && !(v.kind == PICKLE_STR && v.is_raw))
        return false;
    *ret_bytes = slice_in(v);
    return true;
}

bool
pickle_as_int(struct pickle_value v, int64_t *ret_value)
{
    if (v.kind != PICKLE_INT)
        return false;
    *ret_value = v.is.integer;
    return true;
}

bool
pickle_as_u64(struct pickle_value v, uint64_t *ret_value)
{
    if (v.kind != PICKLE_INT || v.is.integer < 0)
        return false;
    *ret_value = (uint64_t)v.is.integer;
    return true;
}

bool
pickle_as_bool(struct pickle_value v, bool *ret_value)
{
    if (v.kind != PICKLE_BOOL)
        return false;
    *ret_value = v.is.truth;
    return true;
}

bool
pickle_as_float(struct pickle_value v, double *ret_value)
{
    if (v.kind != PICKLE_FLOAT && v.kind != PICKLE_INT)
        return false;
    *ret_value = v.kind == PICKLE_FLOAT ? v.is.real : (double)v.is.integer;
    return true;
}

static bool
is_named(const struct pickle_global *g, const char *module, const char *name)
{
    return slice_is(g->modern_name, name) && slice_is(g->modern_module, module);
}

bool
pickle_is_global(struct pickle_value v, const char *module, const char *name)
{
    return v.kind == PICKLE_GLOBAL && is_named(v.is.global, module, name);
}

struct pickle_value
pickle_callable(struct pickle_value call)
{
    struct pickle_value v = call.kind == PICKLE_CALL ? call.is.call->callable
                                                     : (struct pickle_value){.kind = PICKLE_NONE};
    const struct pickle_value *id = v.kind == PICKLE_PERSISTENT ? &v.is.persistent->id : NULL;

    if (id == NULL || id->kind != PICKLE_TUPLE || id->count < 3)
        return v;
    if (id->is.items[0].kind == PICKLE_GLOBAL)
        return id->is.items[0];
    if (pickle_is_text(id->is.items[0], "module") && id->is.items[1].kind == PICKLE_GLOBAL)
        return id->is.items[1];
    return v;
}

bool
pickle_is_call(struct pickle_value v, const char *module, const char *name)
{
    if (v.kind == PICKLE_TENSOR)
        return is_named(v.is.tensor->kind->function, module, name);
    return v.kind == PICKLE_CALL && pickle_is_global(v.is.call->callable, module, name);
}

static struct pickle_items
items_of_tuple(struct pickle_value v)
{
    if (v.kind != PICKLE_TUPLE)
        return (struct pickle_items){0};
    return (struct pickle_items){.at = v.is.items, .count = v.count};
}

size_t
pickle_argument_count(struct pickle_value call)
{
    return call.kind == PICKLE_CALL ? items_of_tuple(call.is.call->args).count : 0;
}

struct pickle_value
pickle_argument(struct pickle_value call, size_t i)
{
    if (i >= pickle_argument_count(call))
        return (struct pickle_value){.kind = PICKLE_NONE};
    return call.is.call->args.is.items[i];
}

/* What plain containers hold; objects of their classes are looked at by those who call this. */
static bool
plain_list(struct pickle_value v, struct pickle_items *ret_items)
{
    switch (v.kind) {
    case PICKLE_TUPLE:
        *ret_items = items_of_tuple(v);
        return true;
    case PICKLE_LIST:
    case PICKLE_SET:
    case PICKLE_FROZENSET:
        *ret_items = (struct pickle_items){.at = v.is.list->items, .count = v.is.list->count};
        return true;
    default:
        return false;
    }
}

static bool
is_call_of(struct pickle_value v, const char *const (*names)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pickle_is_call(v, names[i][0], names[i][1]))
            return true;
    return false;
}

static const char *const sequences[][2] = {
    {"builtins", "list"},      {"builtins", "tuple"},    {"builtins", "set"},
    {"builtins", "frozenset"}, {"collections", "deque"}, {"torch", "Size"},
};

bool
pickle_list(struct pickle_value v, struct pickle_items *ret_items)
{
    struct pickle_items given = {0};
    const struct pickle_extra *extra;

    if (plain_list(v, ret_items))
        return true;
    if (!is_call_of(v, sequences, ARRAY_LENGTH(sequences)))
        return false;
    if (pickle_argument_count(v) > 0 && !plain_list(pickle_argument(v, 0), &given))
        return false;
    extra = v.is.call->extra;
    if (extra == NULL || extra->appended.count == 0)
        *ret_items = given;
    else if (given.count == 0)
        *ret_items = (struct pickle_items){extra->appended.items, extra->appended.count};
    else
        return false; /* no pickler does both */
    return true;
}

static const char *const mappings[][2] = {
    {"collections", "OrderedDict"},
    {"collections", "defaultdict"},
    {"builtins", "dict"},
    {"collections", "Counter"},
};

bool
pickle_is_mapping(struct pickle_value v)
{
    if (v.kind == PICKLE_DICT)
        return true;
    return v.kind == PICKLE_CALL &&
           ((v.is.call->extra != NULL && v.is.call->extra->items.count > 0) ||
            is_call_of(v, mappings, ARRAY_LENGTH(mappings)));
}

/* What a mapping's class was called with, to begin with. */
static struct pickle_value
first_content(struct pickle_value v)
{
    if (!is_call_of(v, mappings, ARRAY_LENGTH(mappings)))
        return (struct pickle_value){.kind = PICKLE_NONE};
    return pickle_argument(v, pickle_is_call(v, "collections", "defaultdict") ? 1 : 0);
}

static struct pickle_pairs
pairs_of(const struct pickle_dict *d)
{
    return (struct pickle_pairs){.at = d->pairs, .count = d->count};
}

/* The pairs that a dict, or an object's SETITEMS, hold; none for others. */
static struct pickle_pairs
set_pairs(struct pickle_value v)
{
    if (v.kind == PICKLE_DICT)
        return pairs_of(v.is.dict);
    if (v.kind == PICKLE_CALL && v.is.call->extra != NULL)
        return pairs_of(&v.is.call->extra->items);
    return (struct pickle_pairs){0};
}

/* [[k, v], …] or ((k, v), …) */
static bool
pair_at(struct pickle_items list, size_t i, struct pickle_pair *ret_pair)
{
    struct pickle_items two;

    if (!plain_list(list.at[i], &two) || two.count != 2)
        return false;
    *ret_pair = (struct pickle_pair){.key = two.at[0], .value = two.at[1]};
    return true;
}

static enum status
join_pairs(struct pickle_items listed, struct pickle_pairs first, struct pickle_pairs then,
           struct arena *arena, struct pickle_pairs *ret_pairs, struct err *err)
{
    size_t count = listed.count + first.count + then.count, at = 0;
    struct pickle_pair *pairs = arena_alloc(arena, count, sizeof *pairs);

    if (pairs == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < listed.count; i++)
        if (pair_at(listed, i, &pairs[at]))
            at++;
    for (size_t i = 0; i < first.count; i++)
        pairs[at++] = first.at[i];
    for (size_t i = 0; i < then.count; i++)
        pairs[at++] = then.at[i];
    *ret_pairs = (struct pickle_pairs){.at = pairs, .count = at};
    return OK;
}

enum status
pickle_pairs(struct pickle_value v, struct arena *arena, bool *ret_is_mapping,
             struct pickle_pairs *ret_pairs, struct err *err)
{
    struct pickle_items listed = {0};
    struct pickle_pairs first, then = set_pairs(v);
    struct pickle_value content;

    *ret_is_mapping = pickle_is_mapping(v);
    *ret_pairs = (struct pickle_pairs){0};
    if (!*ret_is_mapping)
        return OK;
    content = first_content(v);
    first = set_pairs(content);
    (void)plain_list(content, &listed);
    if (listed.count == 0 && first.count == 0)
        *ret_pairs = then;
    else if (listed.count == 0 && then.count == 0)
        *ret_pairs = first;
    else
        TRY(join_pairs(listed, first, then, arena, ret_pairs, err));
    return OK;
}

static bool
is_key(struct pickle_value v, struct slice key)
{
    return v.kind == PICKLE_STR && v.count == key.length && slice_equal(slice_in(v), key);
}

static const struct pickle_value *
find_pair(struct pickle_pairs pairs, struct slice key)
{
    for (size_t i = pairs.count; i > 0; i--)
        if (is_key(pairs.at[i - 1].key, key))
            return &pairs.at[i - 1].value;
    return NULL;
}

const struct pickle_value *
pickle_get_slice(struct pickle_value mapping, struct slice key)
{
    const struct pickle_value *found = find_pair(set_pairs(mapping), key);
    struct pickle_value content;
    struct pickle_items listed;

    if (found != NULL || mapping.kind != PICKLE_CALL)
        return found;
    content = first_content(mapping);
    found = find_pair(set_pairs(content), key);
    if (found != NULL || !plain_list(content, &listed))
        return found;
    for (size_t i = listed.count; i > 0; i--) {
        struct pickle_items two;

        if (plain_list(listed.at[i - 1], &two) && two.count == 2 && is_key(two.at[0], key))
            return &two.at[1];
    }
    return NULL;
}

const struct pickle_value *
pickle_get(struct pickle_value mapping, const char *key)
{
    return pickle_get_slice(mapping, slice_of(key));
}

const struct pickle_value *
pickle_state(struct pickle_value call)
{
    const struct pickle_extra *extra = call.kind == PICKLE_CALL ? call.is.call->extra : NULL;

    if (extra == NULL || extra->states.count == 0)
        return NULL;
    return &extra->states.items[extra->states.count - 1];
}

const struct pickle_value *
pickle_attribute(struct pickle_value call, const char *name)
{
    const struct pickle_extra *extra = call.kind == PICKLE_CALL ? call.is.call->extra : NULL;
    const struct pickle_value *found = NULL;

    for (size_t i = extra == NULL ? 0 : extra->states.count; i > 0 && found == NULL; i--) {
        struct pickle_value state = extra->states.items[i - 1];

        if (state.kind == PICKLE_TUPLE && state.count == 2) {
            found = pickle_get(state.is.items[1], name);
            if (found == NULL)
                found = pickle_get(state.is.items[0], name);
        } else
            found = pickle_get(state, name);
    }
    return found;
}

struct pickle_value
pickle_persistent_id(struct pickle_value v)
{
    if (v.kind != PICKLE_PERSISTENT)
        return (struct pickle_value){.kind = PICKLE_NONE};
    return v.is.persistent->id;
}
