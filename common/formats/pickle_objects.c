/*
 * Opcodes that would import, call and change things: here they write down what would have happened.
 * A call is recorded when its opcode runs, so that popping its result hides nothing.
 */
#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/formats/pickle_machine.h"
#include "common/formats/pickle_modern.h"
#include "common/formats/pickle_tensor.h"

enum { NAME_SLOTS_FIRST = 64, PROTOCOL_DOTTED = 4 };

/* Classes whose objects cannot be a dict's keys: Python says so when it is tried. */
static const char *const unhashable[][2] = {
    {"builtins", "bytearray"},      {"builtins", "dict"},
    {"builtins", "list"},           {"builtins", "set"},
    {"collections", "OrderedDict"}, {"collections", "Counter"},
    {"collections", "defaultdict"}, {"collections", "deque"},
    {"argparse", "Namespace"},      {"types", "SimpleNamespace"},
};

static size_t
hash_name(struct slice module, struct slice name)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);

    for (size_t i = 0; i < module.length; i++)
        hash = (hash ^ (uint8_t)module.at[i]) * UINT64_C(0x100000001B3);
    hash *= UINT64_C(0x100000001B3);
    for (size_t i = 0; i < name.length; i++)
        hash = (hash ^ (uint8_t)name.at[i]) * UINT64_C(0x100000001B3);
    return (size_t)(hash ^ hash >> 32);
}

/* Where the name stands in the table, or the empty slot where it would. Names are few
 * (limits->pickle_globals), so that even a table of colliding ones is searched in no time. */
static size_t
name_slot(const struct machine *m, struct slice module, struct slice name)
{
    size_t slot = hash_name(module, name) & (m->name_slots - 1);

    for (;;) {
        const struct pickle_global *g = m->names[slot];

        if (g == NULL || (slice_equal(g->name, name) && slice_equal(g->module, module)))
            return slot;
        slot = (slot + 1) & (m->name_slots - 1);
    }
}

static enum status
grow_names(struct machine *m)
{
    struct pickle_global **old = m->names;
    size_t slots = m->name_slots == 0 ? NAME_SLOTS_FIRST : m->name_slots * 2;
    struct pickle_global **names = mem_new(slots, sizeof(struct pickle_global *));

    STOP_IF(names == NULL, m, NO_MEMORY, "out of memory");
    m->names = names;
    m->name_slots = slots;
    for (struct pickle_global *g = m->out->globals; g != NULL; g = g->next)
        names[name_slot(m, g->module, g->name)] = g;
    mem_free(old);
    return OK;
}

static enum status
new_global(struct machine *m, size_t slot, struct slice module, struct slice name)
{
    struct pickle_global *g = NULL;

    STOP_IF(m->out->global_count >= m->budget->limits->pickle_globals, m, LIMIT,
            "more than %zu globals", m->budget->limits->pickle_globals);
    TRY(pickle_new(m, 1, sizeof *g, &g));
    g->module = module;
    g->name = name;
    g->offset = machine_offset(m);
    pickle_modern(module, name, &g->modern_module, &g->modern_name);
    for (size_t i = 0; i < ARRAY_LENGTH(unhashable); i++)
        if (slice_is(g->modern_module, unhashable[i][0]) &&
            slice_is(g->modern_name, unhashable[i][1]))
            g->makes_unhashable = true;
    g->folds = slice_is(name, "_rebuild_tensor_v2") && slice_is(module, "torch._utils");
    m->names[slot] = g;
    *m->global_end = g;
    m->global_end = &g->next;
    m->out->global_count++;
    return OK;
}

/* The record of a name. Dots in it are attributes to follow from protocol 4 on, and part of one
 * attribute's name before. */
static enum status
global_of(struct machine *m, struct slice module, struct slice name, struct pickle_value *ret_value)
{
    struct pickle_global *g;
    size_t slot;

    STOP_IF(module.length == 0 || name.length == 0, m, MALFORMED, "a global without a name");
    STOP_IF(!utf8_is_valid(module) || !utf8_is_valid(name), m, MALFORMED,
            "a global whose name is not UTF-8");
    if (m->out->global_count * 2 >= m->name_slots)
        TRY(grow_names(m));
    slot = name_slot(m, module, name);
    if (m->names[slot] == NULL)
        TRY(new_global(m, slot, module, name));
    g = m->names[slot];
    g->count++;
    if (memchr(name.at, '.', name.length) != NULL) {
        if (m->protocol < PROTOCOL_DOTTED)
            machine_odd(m, PICKLE_ODD_DOTTED);
        else
            g->is_walked = true;
    }
    *ret_value = (struct pickle_value){.kind = PICKLE_GLOBAL, .is.global = g};
    return OK;
}

static enum status
global_lines(struct machine *m, struct pickle_value *ret_value)
{
    struct slice module, name;

    TRY(pickle_line(m, &module));
    TRY(pickle_line(m, &name));
    return global_of(m, module, name, ret_value);
}

static enum status
op_global(struct machine *m)
{
    struct pickle_value v = {0};

    TRY(global_lines(m, &v));
    return machine_push(m, v);
}

static enum status
op_stack_global(struct machine *m)
{
    struct pickle_value module = {0}, name = {0}, v = {0};

    TRY(machine_need(m, 2));
    TRY(machine_pop(m, &name));
    TRY(machine_pop(m, &module));
    STOP_IF(module.kind != PICKLE_STR || name.kind != PICKLE_STR, m, MALFORMED,
            "STACK_GLOBAL takes two str, not a %s and a %s", pickle_kind_name(module.kind),
            pickle_kind_name(name.kind));
    TRY(global_of(m, (struct slice){module.is.bytes, module.count},
                  (struct slice){name.is.bytes, name.count}, &v));
    return machine_push(m, v);
}

/* What copyreg registered under a number lives in the loading program, not in the file. */
static enum status
push_extension(struct machine *m, int64_t code)
{
    STOP_IF(code <= 0, m, MALFORMED, "an extension code that is not positive");
    machine_odd(m, PICKLE_ODD_EXTENSION);
    machine_flaw(m, "extension %lld means something in one program only", (long long)code);
    return machine_push(m, (struct pickle_value){.kind = PICKLE_EXTENSION, .is.integer = code});
}

static enum status
op_ext1(struct machine *m)
{
    uint8_t code = 0;

    TRY(machine_u8(m, &code));
    return push_extension(m, code);
}

static enum status
op_ext2(struct machine *m)
{
    const uint8_t *b = NULL;

    TRY(machine_take(m, 2, &b));
    return push_extension(m, b[0] | b[1] << 8);
}

static enum status
op_ext4(struct machine *m)
{
    uint32_t code = 0;

    TRY(machine_u32(m, &code));
    return push_extension(m, (int32_t)code);
}

static enum status
call(struct machine *m, enum pickle_call_kind kind, struct pickle_value callable,
     struct pickle_value args)
{
    struct pickle_call *c = NULL;

    STOP_IF(callable.kind < PICKLE_GLOBAL, m, MALFORMED, "a %s is called",
            pickle_kind_name(callable.kind));
    if (args.kind != PICKLE_TUPLE)
        machine_odd(m, PICKLE_ODD_ARGUMENTS);
    TRY(pickle_new(m, 1, sizeof *c, &c));
    c->offset = machine_offset(m);
    c->kind = kind;
    c->callable = callable;
    c->args = args;
    *m->call_end = c;
    m->call_end = &c->next;
    m->out->call_count++;
    return machine_push(m,
                        (struct pickle_value){.kind = PICKLE_CALL,
                                              .is_unhashable = callable.kind == PICKLE_GLOBAL &&
                                                               callable.is.global->makes_unhashable,
                                              .is.call = c});
}

static enum status
call_popped(struct machine *m, enum pickle_call_kind kind)
{
    struct pickle_value callable = {0}, args = {0};

    TRY(machine_need(m, 2));
    TRY(machine_pop(m, &args));
    TRY(machine_pop(m, &callable));
    return call(m, kind, callable, args);
}

static enum status
op_reduce(struct machine *m)
{
    bool is_folded = false;

    TRY(pickle_tensor_fold(m, &is_folded));
    if (is_folded)
        return OK;
    return call_popped(m, PICKLE_REDUCE);
}

static enum status
op_newobj(struct machine *m)
{
    return call_popped(m, PICKLE_NEWOBJ);
}

enum status
pickle_extra_of(struct machine *m, struct pickle_call *c, struct pickle_extra **ret_extra)
{
    if (c->extra == NULL)
        TRY(pickle_new(m, 1, sizeof *c->extra, &c->extra));
    *ret_extra = c->extra;
    return OK;
}

static enum status
op_newobj_ex(struct machine *m)
{
    struct pickle_value kwargs = {0};
    struct pickle_extra *extra = NULL;

    TRY(machine_need(m, 3));
    TRY(machine_pop(m, &kwargs));
    if (kwargs.kind != PICKLE_DICT)
        machine_odd(m, PICKLE_ODD_ARGUMENTS);
    TRY(call_popped(m, PICKLE_NEWOBJ_EX));
    TRY(pickle_extra_of(m, m->stack[m->top - 1].is.call, &extra));
    extra->kwargs = kwargs;
    return OK;
}

static enum status
tuple_of(struct machine *m, struct pickle_items items, struct pickle_value *ret_tuple)
{
    struct pickle_value *copy = NULL;

    if (items.count > 0) {
        TRY(pickle_new(m, items.count, sizeof *copy, &copy));
        memcpy(copy, items.at, items.count * sizeof *copy);
    }
    *ret_tuple = (struct pickle_value){
        .kind = PICKLE_TUPLE, .count = (uint32_t)items.count, .is.items = copy};
    return OK;
}

static enum status
op_inst(struct machine *m)
{
    struct pickle_value callable = {0}, args = {0};
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    TRY(tuple_of(m, items, &args));
    TRY(global_lines(m, &callable));
    return call(m, PICKLE_INST, callable, args);
}

/* The class lies just above the mark. */
static enum status
op_obj(struct machine *m)
{
    struct pickle_value callable, args = {0};
    struct pickle_items items;

    TRY(pickle_pop_mark(m, &items));
    STOP_IF(items.count == 0, m, MALFORMED, "OBJ finds no class above its mark");
    callable = items.at[0];
    items.at++;
    items.count--;
    TRY(tuple_of(m, items, &args));
    return call(m, PICKLE_OBJ, callable, args);
}

/* A state that asks for nothing, which the loaders take for any object. */
static bool
is_no_state(struct pickle_value state)
{
    if (state.kind == PICKLE_TUPLE && state.count == 2)
        return state.is.items[0].kind == PICKLE_NONE && state.is.items[1].kind == PICKLE_NONE;
    return state.kind == PICKLE_NONE;
}

static enum status
op_build(struct machine *m)
{
    struct pickle_value state = {0}, target;
    struct pickle_extra *extra = NULL;
    struct pickle_global *g;

    TRY(machine_need(m, 2));
    TRY(machine_pop(m, &state));
    TRY(pickle_tensor_unfold_top(m));
    target = m->stack[m->top - 1];
    switch (target.kind) {
    case PICKLE_CALL:
        TRY(pickle_extra_of(m, target.is.call, &extra));
        return pickle_list_add(m, &extra->states, (struct pickle_items){.at = &state, .count = 1});
    case PICKLE_GLOBAL: /* attributes of a class or function: of the program, that is */
        machine_odd(m, PICKLE_ODD_TARGET);
        g = target.is.global;
        if (!g->is_changed)
            g->changed_at = machine_offset(m);
        g->is_changed = true;
        return OK;
    case PICKLE_PERSISTENT:
    case PICKLE_EXTENSION:
        machine_odd(m, PICKLE_ODD_TARGET);
        return OK;
    default:
        STOP_IF(!is_no_state(state), m, MALFORMED, "state is given to a %s",
                pickle_kind_name(target.kind));
        machine_odd(m, PICKLE_ODD_TARGET);
        return OK;
    }
}

static enum status
push_persistent(struct machine *m, struct pickle_value id)
{
    struct pickle_persistent *p = NULL;

    TRY(pickle_new(m, 1, sizeof *p, &p));
    p->id = id;
    p->offset = machine_offset(m);
    *m->persistent_end = p;
    m->persistent_end = &p->next;
    return machine_push(m, (struct pickle_value){.kind = PICKLE_PERSISTENT, .is.persistent = p});
}

static enum status
op_binpersid(struct machine *m)
{
    struct pickle_value id = {0};

    TRY(machine_pop(m, &id));
    return push_persistent(m, id);
}

static enum status
op_persid(struct machine *m)
{
    struct slice line;
    struct pickle_value id = {.kind = PICKLE_STR};

    TRY(pickle_line(m, &line));
    for (size_t i = 0; i < line.length; i++)
        STOP_IF((uint8_t)line.at[i] >= 0x80, m, MALFORMED, "a persistent id that is not ASCII");
    id.count = (uint32_t)line.length;
    id.is.bytes = line.at;
    machine_odd(m, PICKLE_ODD_PERSID);
    return push_persistent(m, id);
}

/* Buffers that travel beside the pickle: a file has no beside. */
static enum status
op_buffer(struct machine *m)
{
    STOP_AT(m, MALFORMED, "it wants a buffer from outside of the pickle");
}

const struct machine_op pickle_objects[] = {
    {'c', op_global},     {0x93, op_stack_global}, {'R', op_reduce},  {0x81, op_newobj},
    {0x92, op_newobj_ex}, {'i', op_inst},          {'o', op_obj},     {'b', op_build},
    {0x82, op_ext1},      {0x83, op_ext2},         {0x84, op_ext4},   {'P', op_persid},
    {'Q', op_binpersid},  {0x97, op_buffer},       {0x98, op_buffer}, {0, NULL},
};
