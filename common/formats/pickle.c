/*
 * The machine itself: its loop, stack, marks and memo. The opcodes are in pickle_numbers.c,
 * pickle_texts.c, pickle_containers.c and pickle_objects.c, those of the stack here.
 *
 * Language: CPython's Lib/pickletools.py and Modules/_pickle.c, whose behaviour is meant where a
 * comment says "the loaders".
 */
#include "common/formats/pickle.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/pickle_globals.h"
#include "common/formats/pickle_machine.h"
#include "common/formats/pickle_tensor.h"

enum {
    OPCODES = 256,
    PROTOCOL_MAX = 5,
    STACK_FIRST = 256,
    OPCODE_PROTO = 0x80,
    OPCODE_STOP = '.',
};

struct pickle_budget
pickle_budget(const struct limits *limits)
{
    return (struct pickle_budget){
        .limits = limits, .nodes_left = limits->pickle_nodes, .memo_left = limits->pickle_memo};
}

bool
pickle_used(const struct pickle *p, uint8_t opcode)
{
    return (p->opcode_set[opcode >> 6] >> (opcode & 63U) & 1U) != 0;
}

static void
machine_done(struct machine *m)
{
    mem_free(m->stack);
    mem_free(m->marks);
    mem_free(m->names);
    pickle_memo_done(&m->memo);
    pickle_live_done(&m->live);
}

void
pickle_frame_crossed(struct machine *m)
{
    machine_odd(m, PICKLE_ODD_FRAME);
    machine_flaw(m, "an argument reaches over the end of its frame");
    m->frame_end = NULL;
}

enum status
pickle_line(struct machine *m, struct slice *ret_line)
{
    size_t left = (size_t)(m->end - m->at);
    const uint8_t *newline = left == 0 ? NULL : memchr(m->at, '\n', left);
    const uint8_t *line = NULL;

    STOP_IF(newline == NULL, m, TRUNCATED, "the pickle ends inside a line of text");
    TRY(machine_take(m, (size_t)(newline - m->at) + 1, &line));
    *ret_line = (struct slice){.at = (const char *)line, .length = (size_t)(newline - line)};
    return OK;
}

enum status
pickle_grow_stack(struct machine *m)
{
    size_t capacity = m->capacity == 0 ? STACK_FIRST : m->capacity * 2;
    size_t cap = m->budget->limits->pickle_nodes;
    struct pickle_value *stack;

    STOP_IF(m->top >= cap, m, LIMIT, "more than %zu values on the stack", cap);
    if (capacity > cap)
        capacity = cap;
    stack = mem_resize(m->stack, capacity, sizeof *stack);
    STOP_IF(stack == NULL, m, NO_MEMORY, "out of memory");
    m->stack = stack;
    m->capacity = capacity;
    return OK;
}

enum status
pickle_pop_mark(struct machine *m, struct pickle_items *ret_items)
{
    STOP_IF(m->mark_count == 0, m, MALFORMED, "opcode 0x%02x finds no mark", *m->op);
    *ret_items = (struct pickle_items){
        .at = m->stack == NULL ? NULL : m->stack + m->fence,
        .count = m->top - m->fence,
    };
    m->top = m->fence;
    m->fence = m->marks[--m->mark_count];
    return OK;
}

enum status
pickle_new(struct machine *m, size_t count, size_t size, void *ret_object)
{
    void *object = arena_alloc(m->arena, count, size);
    size_t since = m->allocations - m->draft.allocations;

    if (object == NULL)
        return arena_fail(m->arena, &m->out->problem);
    if (since < MACHINE_TENSOR_OBJECTS)
        m->draft.made[since] = object;
    m->allocations++;
    memcpy(ret_object, &object, sizeof object);
    return OK;
}

static enum status
op_mark(struct machine *m)
{
    STOP_IF(m->mark_count >= m->budget->limits->pickle_nodes, m, LIMIT, "more than %zu open marks",
            m->mark_count);
    if (m->mark_count == m->mark_capacity) {
        size_t capacity = m->mark_capacity == 0 ? STACK_FIRST : m->mark_capacity * 2;
        size_t *marks = mem_resize(m->marks, capacity, sizeof *marks);

        STOP_IF(marks == NULL, m, NO_MEMORY, "out of memory");
        m->marks = marks;
        m->mark_capacity = capacity;
    }
    m->marks[m->mark_count++] = m->fence;
    m->fence = m->top;
    return OK;
}

/* A call whose result nobody keeps is how payloads hide from those who look at the result only. */
static void
remark_lost_calls(struct machine *m, struct pickle_items lost)
{
    for (size_t i = 0; i < lost.count; i++)
        if (lost.at[i].kind == PICKLE_CALL || lost.at[i].kind == PICKLE_TENSOR)
            machine_odd(m, PICKLE_ODD_STACK);
}

static enum status
op_pop_mark(struct machine *m)
{
    struct pickle_items lost;

    TRY(pickle_pop_mark(m, &lost));
    remark_lost_calls(m, lost);
    return OK;
}

/* Where nothing lies above the mark, POP takes the mark away. */
static enum status
op_pop(struct machine *m)
{
    struct pickle_value lost;

    if (m->top == m->fence && m->mark_count > 0)
        return op_pop_mark(m);
    TRY(machine_pop(m, &lost));
    remark_lost_calls(m, (struct pickle_items){.at = &lost, .count = 1});
    return OK;
}

static enum status
op_dup(struct machine *m)
{
    TRY(machine_need(m, 1));
    TRY(pickle_tensor_unfold_top(m));
    m->kept++;
    return machine_push_again(m, m->stack[m->top - 1]);
}

static enum status
put(struct machine *m, uint32_t index)
{
    bool is_odd = false, is_live = pickle_live_has(&m->live, index);

    TRY(machine_need(m, 1));
    if (is_live) {
        TRY(pickle_tensor_unfold_top(m));
        m->kept += m->stack[m->top - 1].kind >= PICKLE_TUPLE;
    }
    TRY(pickle_memo_put(&m->memo, m->budget, index, m->stack[m->top - 1], is_live, &is_odd,
                        &m->out->problem));
    if (is_odd)
        machine_odd(m, PICKLE_ODD_MEMO);
    return OK;
}

static enum status
get(struct machine *m, uint32_t index)
{
    const struct pickle_value *v = pickle_memo_get(&m->memo, index);

    STOP_IF(v == NULL, m, MALFORMED, "there is no memo entry %u", index);
    return machine_push_again(m, *v);
}

/* An index as a line of decimal text. */
static enum status
index_line(struct machine *m, uint32_t *ret_index)
{
    struct slice line;
    uint64_t index;

    TRY(pickle_line(m, &line));
    STOP_IF(!num_parse_u64(line, &index) || index > UINT32_MAX, m, MALFORMED,
            "a memo index is no number of 32 bits");
    *ret_index = (uint32_t)index;
    return OK;
}

static enum status
op_put(struct machine *m)
{
    uint32_t index = 0;

    TRY(index_line(m, &index));
    return put(m, index);
}

static enum status
op_binput(struct machine *m)
{
    uint8_t index = 0;

    TRY(machine_u8(m, &index));
    return put(m, index);
}

static enum status
op_long_binput(struct machine *m)
{
    uint32_t index = 0;

    TRY(machine_u32(m, &index));
    return put(m, index);
}

static enum status
op_memoize(struct machine *m)
{
    return put(m, (uint32_t)m->memo.count);
}

static enum status
op_get(struct machine *m)
{
    uint32_t index = 0;

    TRY(index_line(m, &index));
    return get(m, index);
}

static enum status
op_binget(struct machine *m)
{
    uint8_t index = 0;

    TRY(machine_u8(m, &index));
    return get(m, index);
}

static enum status
op_long_binget(struct machine *m)
{
    uint32_t index = 0;

    TRY(machine_u32(m, &index));
    return get(m, index);
}

/* PROTO may stand anywhere. A protocol that is not known yet is refused by Python's own loader, and
 * taken by PyTorch's. */
static enum status
op_proto(struct machine *m)
{
    uint8_t protocol = 0;

    TRY(machine_u8(m, &protocol));
    if (m->op != m->start)
        machine_odd(m, PICKLE_ODD_PROTO);
    if (protocol > PROTOCOL_MAX) {
        machine_odd(m, PICKLE_ODD_PROTO);
        machine_flaw(m, "pickle protocol %u does not exist", protocol);
    }
    m->protocol = protocol;
    if (protocol > m->out->protocol)
        m->out->protocol = protocol;
    return OK;
}

/* A frame only announces how many bytes may be read ahead; loaders differ in what they make of one
 * that lies. */
static enum status
op_frame(struct machine *m)
{
    const uint8_t *b = NULL;
    uint64_t length = 0;

    TRY(machine_take(m, 8, &b));
    for (unsigned i = 0; i < 8; i++)
        length |= (uint64_t)b[i] << 8 * i;
    if (m->frame_end != NULL && m->at < m->frame_end) {
        machine_odd(m, PICKLE_ODD_FRAME);
        machine_flaw(m, "a frame begins inside a frame");
    }
    if (length > (uint64_t)(m->end - m->at)) {
        machine_odd(m, PICKLE_ODD_FRAME);
        machine_flaw(m, "a frame reaches over the pickle's end");
        m->frame_end = NULL;
    } else
        m->frame_end = m->at + length;
    return OK;
}

static const struct machine_op stack_ops[] = {
    {'(', op_mark},   {'0', op_pop},    {'1', op_pop_mark},    {'2', op_dup},
    {'p', op_put},    {'q', op_binput}, {'r', op_long_binput}, {0x94, op_memoize},
    {'g', op_get},    {'h', op_binget}, {'j', op_long_binget}, {OPCODE_PROTO, op_proto},
    {0x95, op_frame}, {0, NULL},
};

static void
set_table(enum status (**table)(struct machine *), const struct machine_op *ops)
{
    for (; ops->run != NULL; ops++)
        table[ops->opcode] = ops->run;
}

/* The value on top is the pickle's. What is left below is legal. */
static enum status
stop(struct machine *m)
{
    m->out->end = (uint64_t)(m->at - m->start);
    TRY(machine_pop(m, &m->out->root));
    m->out->has_stop = true;
    if (m->top > 0 || m->mark_count > 0)
        machine_odd(m, PICKLE_ODD_STACK);
    return OK;
}

static enum status
run(struct machine *m)
{
    enum status (*table[OPCODES])(struct machine *) = {0};
    struct pickle *out = m->out;

    set_table(table, stack_ops);
    set_table(table, pickle_numbers);
    set_table(table, pickle_texts);
    set_table(table, pickle_containers);
    set_table(table, pickle_objects);
    for (;;) {
        uint8_t opcode = 0;

        m->op = m->at;
        out->end = machine_offset(m);
        STOP_IF(m->at == m->end, m, TRUNCATED, "the pickle ends without STOP");
        if (m->at == m->frame_end)
            m->frame_end = NULL;
        opcode = *m->at++;
        out->opcodes++;
        out->opcode_set[opcode >> 6] |= UINT64_C(1) << (opcode & 63U);
        if (opcode == OPCODE_STOP)
            return stop(m);
        STOP_IF(table[opcode] == NULL, m, MALFORMED, "0x%02x is no opcode", opcode);
        TRY(table[opcode](m));
    }
}

static enum status
run_bounded(struct machine *m)
{
    const struct limits *limits = m->budget->limits;

    m->op = m->start;
    STOP_IF(m->out->bytes.length > limits->pickle_bytes || m->out->bytes.length > UINT32_MAX, m,
            LIMIT, "a pickle of %zu bytes; the limit is %zu", m->out->bytes.length,
            limits->pickle_bytes);
    TRY(pickle_live_scan(m->out->bytes, &m->live, &m->out->problem));
    return run(m);
}

enum status
pickle_run(struct slice bytes, struct pickle_budget *budget, struct arena *arena,
           struct pickle *ret, struct err *err)
{
    CLEANUP(machine_done) struct machine m = {.budget = budget, .arena = arena, .out = ret};
    enum status ran, settled;

    *ret = (struct pickle){.bytes = bytes};
    m.start = m.at = (const uint8_t *)bytes.at;
    m.end = bytes.at == NULL ? m.start : m.start + bytes.length;
    m.global_end = &ret->globals;
    m.call_end = &ret->calls;
    m.persistent_end = &ret->persistents;
    m.tensor_end = &ret->tensors;

    ran = run_bounded(&m);
    settled = ran == ERR_NO_MEMORY ? ran : pickle_settle(&m);
    FAIL_IF(settled == ERR_NO_MEMORY, err, NO_MEMORY, 0, "out of memory");
    for (struct pickle_global *g = ret->globals; g != NULL; g = g->next) {
        g->listed = pickle_globals_find(g);
        g->torch = pickle_globals_torch(g);
    }
    ret->is_complete = ret->has_stop && ret->problem.code == OK;
    return OK;
}
