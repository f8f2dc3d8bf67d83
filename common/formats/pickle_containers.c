/*
 * Opcodes that make and fill tuples, lists, dicts and sets. What fills a container may also be aimed
 * at an object (a defaultdict, a deque): then the object's record keeps it. The loaders ask nothing
 * of dict and list by name, so a list may take items and a global may take both.
 */
#include "common/formats/pickle_machine.h"
#include "common/formats/pickle_tensor.h"

enum status
pickle_list_reserve(struct machine *m, struct pickle_list *l, size_t more)
{
    size_t need = l->count + more, capacity = (size_t)l->capacity * 2;
    struct pickle_value *items = NULL;

    if (need <= l->capacity)
        return OK;
    if (capacity < need)
        capacity = need;
    STOP_IF(need > UINT32_MAX / 2, m, LIMIT, "a list of more than 2^31 items");
    TRY(pickle_new(m, capacity, sizeof *items, &items));
    if (l->count > 0)
        memcpy(items, l->items, l->count * sizeof *items);
    arena_drop(m->arena, l->items, (size_t)l->capacity * sizeof *items);
    l->items = items;
    l->capacity = (uint32_t)capacity;
    return OK;
}

enum status
pickle_list_add(struct machine *m, struct pickle_list *l, struct pickle_items items)
{
    if (items.count == 0)
        return OK;
    TRY(pickle_list_reserve(m, l, items.count));
    memcpy(l->items + l->count, items.at, items.count * sizeof *items.at);
    l->count += (uint32_t)items.count;
    return OK;
}

static enum status
dict_reserve(struct machine *m, struct pickle_dict *d, size_t more)
{
    size_t need = d->count + more, capacity = (size_t)d->capacity * 2;
    struct pickle_pair *pairs = NULL;

    if (need <= d->capacity)
        return OK;
    if (capacity < need)
        capacity = need;
    STOP_IF(need > UINT32_MAX / 2, m, LIMIT, "a dict of more than 2^31 entries");
    TRY(pickle_new(m, capacity, sizeof *pairs, &pairs));
    if (d->count > 0)
        memcpy(pairs, d->pairs, d->count * sizeof *pairs);
    arena_drop(m->arena, d->pairs, (size_t)d->capacity * sizeof *pairs);
    d->pairs = pairs;
    d->capacity = (uint32_t)capacity;
    return OK;
}

/* Keys and values alternate. */
static enum status
dict_add(struct machine *m, struct pickle_dict *d, struct pickle_items items)
{
    if (items.count == 0)
        return OK;
    TRY(dict_reserve(m, d, items.count / 2));
    if (d->count == 0) {
        d->next = m->dicts;
        m->dicts = d;
    }
    for (size_t i = 0; i < items.count; i += 2)
        d->pairs[d->count++] = (struct pickle_pair){.key = items.at[i], .value = items.at[i + 1]};
    return OK;
}

static enum status
check_hashable(struct machine *m, struct pickle_items items, size_t step)
{
    for (size_t i = 0; i < items.count; i += step)
        STOP_IF(items.at[i].is_unhashable, m, MALFORMED,
                "%s: not hashable, so neither a key nor in a set",
                pickle_kind_name(items.at[i].kind));
    return OK;
}

static enum status
push_tuple(struct machine *m, struct pickle_items items)
{
    struct pickle_value v = {.kind = PICKLE_TUPLE, .count = (uint32_t)items.count};
    struct pickle_value *copy = NULL;

    if (items.count > 0) {
        TRY(pickle_new(m, items.count, sizeof *copy, &copy));
        memcpy(copy, items.at, items.count * sizeof *copy);
    }
    for (size_t i = 0; i < items.count; i++)
        v.is_unhashable = v.is_unhashable || items.at[i].is_unhashable;
    v.is.items = copy;
    return machine_push(m, v);
}

static enum status
op_empty_tuple(struct machine *m)
{
    return push_tuple(m, (struct pickle_items){0});
}

static enum status
op_tuple(struct machine *m)
{
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    pickle_tensor_begin(m, items);
    return push_tuple(m, items);
}

static enum status
op_tuple_n(struct machine *m)
{
    size_t count = (size_t)(*m->op - 0x85) + 1; /* TUPLE1, TUPLE2, TUPLE3 */

    TRY(machine_need(m, count));
    m->top -= count;
    return push_tuple(m, (struct pickle_items){.at = m->stack + m->top, .count = count});
}

static enum status
push_list(struct machine *m, enum pickle_kind kind, struct pickle_items items)
{
    struct pickle_value v = {.kind = (uint8_t)kind, .is_unhashable = kind != PICKLE_FROZENSET};

    TRY(pickle_new(m, 1, sizeof *v.is.list, &v.is.list));
    TRY(pickle_list_add(m, v.is.list, items));
    return machine_push(m, v);
}

static enum status
op_empty_list(struct machine *m)
{
    return push_list(m, PICKLE_LIST, (struct pickle_items){0});
}

static enum status
op_empty_set(struct machine *m)
{
    return push_list(m, PICKLE_SET, (struct pickle_items){0});
}

static enum status
op_list(struct machine *m)
{
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    return push_list(m, PICKLE_LIST, items);
}

static enum status
op_frozenset(struct machine *m)
{
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    TRY(check_hashable(m, items, 1));
    return push_list(m, PICKLE_FROZENSET, items);
}

static enum status
push_dict(struct machine *m, struct pickle_items items)
{
    struct pickle_value v = {.kind = PICKLE_DICT, .is_unhashable = true};

    STOP_IF(items.count % 2 != 0, m, MALFORMED, "a key without a value");
    TRY(check_hashable(m, items, 2));
    TRY(pickle_new(m, 1, sizeof *v.is.dict, &v.is.dict));
    TRY(dict_add(m, v.is.dict, items));
    return machine_push(m, v);
}

static enum status
op_empty_dict(struct machine *m)
{
    return push_dict(m, (struct pickle_items){0});
}

static enum status
op_dict(struct machine *m)
{
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    return push_dict(m, items);
}

/* A global is the program's own object: to fill it is to change the program. */
static enum status
change_global(struct machine *m, struct pickle_global *g)
{
    if (!g->is_changed) {
        g->is_changed = true;
        g->changed_at = machine_offset(m);
    }
    machine_odd(m, PICKLE_ODD_TARGET);
    return OK;
}

/* A loader may be given the bytes later, which are not what they were: no pickler does that. */
static enum status
change_bytes(struct machine *m)
{
    machine_odd(m, PICKLE_ODD_TARGET);
    machine_flaw(m, "a bytearray is changed after it was made");
    return OK;
}

/* list[index] = value, which the loaders do where SETITEM meets a list. */
static enum status
set_list_items(struct machine *m, struct pickle_list *l, struct pickle_items items)
{
    machine_odd(m, PICKLE_ODD_TARGET);
    for (size_t i = 0; i < items.count; i += 2) {
        int64_t index = 0;

        STOP_IF(!pickle_as_int(items.at[i], &index), m, MALFORMED, "a list's index is no int");
        if (index < 0)
            index += l->count;
        STOP_IF(index < 0 || index >= l->count, m, MALFORMED, "an index outside of its list");
        l->items[index] = items.at[i + 1];
    }
    return OK;
}

static enum status
set_items(struct machine *m, struct pickle_items items)
{
    struct pickle_value target;
    struct pickle_extra *extra = NULL;

    TRY(machine_need(m, 1));
    TRY(pickle_tensor_unfold_top(m));
    target = m->stack[m->top - 1];
    STOP_IF(items.count % 2 != 0, m, MALFORMED, "a key without a value");
    if (items.count == 0 && target.kind != PICKLE_CALL) {
        if (target.kind != PICKLE_DICT)
            machine_odd(m, PICKLE_ODD_TARGET);
        return OK;
    }
    switch (target.kind) {
    case PICKLE_DICT:
        TRY(check_hashable(m, items, 2));
        return dict_add(m, target.is.dict, items);
    case PICKLE_CALL:
        TRY(pickle_extra_of(m, target.is.call, &extra));
        extra->is_set = true;
        return dict_add(m, &extra->items, items);
    case PICKLE_LIST:
        return set_list_items(m, target.is.list, items);
    case PICKLE_GLOBAL:
        return change_global(m, target.is.global);
    case PICKLE_BYTEARRAY:
        return change_bytes(m);
    case PICKLE_PERSISTENT:
    case PICKLE_EXTENSION:
        machine_odd(m, PICKLE_ODD_TARGET);
        return OK;
    default:
        STOP_AT(m, MALFORMED, "items are set on a %s", pickle_kind_name(target.kind));
    }
}

/* The items lie just above what they go to. */
static enum status
op_setitem(struct machine *m)
{
    TRY(machine_need(m, 3));
    m->top -= 2;
    return set_items(m, (struct pickle_items){.at = m->stack + m->top, .count = 2});
}

static enum status
op_setitems(struct machine *m)
{
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    return set_items(m, items);
}

static enum status
append(struct machine *m, struct pickle_items items)
{
    struct pickle_value target;
    struct pickle_extra *extra = NULL;

    TRY(machine_need(m, 1));
    TRY(pickle_tensor_unfold_top(m));
    target = m->stack[m->top - 1];
    if (items.count == 0) {
        if (target.kind != PICKLE_LIST)
            machine_odd(m, PICKLE_ODD_TARGET);
        return OK;
    }
    switch (target.kind) {
    case PICKLE_LIST:
        return pickle_list_add(m, target.is.list, items);
    case PICKLE_CALL:
        TRY(pickle_extra_of(m, target.is.call, &extra));
        return pickle_list_add(m, &extra->appended, items);
    case PICKLE_GLOBAL:
        return change_global(m, target.is.global);
    case PICKLE_BYTEARRAY:
        return change_bytes(m);
    case PICKLE_PERSISTENT:
    case PICKLE_EXTENSION:
        machine_odd(m, PICKLE_ODD_TARGET);
        return OK;
    default:
        STOP_AT(m, MALFORMED, "an element is appended to a %s", pickle_kind_name(target.kind));
    }
}

static enum status
op_append(struct machine *m)
{
    TRY(machine_need(m, 2));
    m->top--;
    return append(m, (struct pickle_items){.at = m->stack + m->top, .count = 1});
}

static enum status
op_appends(struct machine *m)
{
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    return append(m, items);
}

static enum status
op_additems(struct machine *m)
{
    struct pickle_items items;
    struct pickle_value target;
    struct pickle_extra *extra = NULL;

    TRY(pickle_pop_mark(m, &items));
    TRY(machine_need(m, 1));
    TRY(pickle_tensor_unfold_top(m));
    target = m->stack[m->top - 1];
    if (items.count == 0)
        return OK;
    switch (target.kind) {
    case PICKLE_SET:
        TRY(check_hashable(m, items, 1));
        return pickle_list_add(m, target.is.list, items);
    case PICKLE_CALL:
        TRY(pickle_extra_of(m, target.is.call, &extra));
        return pickle_list_add(m, &extra->appended, items);
    case PICKLE_GLOBAL:
        return change_global(m, target.is.global);
    case PICKLE_PERSISTENT:
    case PICKLE_EXTENSION:
        machine_odd(m, PICKLE_ODD_TARGET);
        return OK;
    default:
        STOP_AT(m, MALFORMED, "an element is added to a %s", pickle_kind_name(target.kind));
    }
}

const struct machine_op pickle_containers[] = {
    {')', op_empty_tuple},
    {'t', op_tuple},
    {0x85, op_tuple_n},
    {0x86, op_tuple_n},
    {0x87, op_tuple_n},
    {']', op_empty_list},
    {'l', op_list},
    {'a', op_append},
    {'e', op_appends},
    {'}', op_empty_dict},
    {'d', op_dict},
    {'s', op_setitem},
    {'u', op_setitems},
    {0x8F, op_empty_set},
    {0x90, op_additems},
    {0x91, op_frozenset},
    {0, NULL},
};
