#pragma once
/*
 * The pickle machine's inside, shared by the files that hold its opcodes. Not for readers: they
 * include pickle.h.
 *
 * An operation returns OK, or the status that stops the machine, whose text is then in out->problem.
 * A defect that some loader would pass over is remarked by machine_flaw, and the machine goes on.
 */
#include <string.h>

#include "common/formats/pickle.h"
#include "common/formats/pickle_live.h"
#include "common/formats/pickle_memo.h"

enum { MACHINE_TENSOR_OBJECTS = 6 }; /* that a call to be folded is made of */

/* Where the machine stood when a tensor's persistent id began, and what it allocated since:
 * pickle_tensor.h. */
struct machine_draft {
    bool is_open;
    const void *made[MACHINE_TENSOR_OBJECTS]; /* the first of them */
    struct arena_mark mark;
    size_t allocations;
    size_t kept;
    struct pickle_call **call_end;
    struct pickle_persistent **persistent_end;
};

enum { MACHINE_TENSOR_KINDS = 16 }; /* of one pickle, that are folded; files have one or two */

struct machine {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *op;        /* of the opcode that runs */
    const uint8_t *frame_end; /* NULL outside of frames */

    struct pickle_value *stack;
    size_t top;
    size_t fence; /* what lies below belongs to an open mark */
    size_t capacity;
    size_t *marks; /* fences of outer marks */
    size_t mark_count;
    size_t mark_capacity;
    struct pickle_memo memo;

    struct pickle_budget *budget;
    struct arena *arena;
    struct pickle *out;
    unsigned protocol; /* as told last */

    struct pickle_global **names; /* open addressing over all globals seen */
    size_t name_slots;
    struct pickle_global **global_end; /* where the next of each list is to be linked */
    struct pickle_call **call_end;
    struct pickle_persistent **persistent_end;
    struct pickle_tensor **tensor_end;
    struct pickle_dict *dicts; /* all of them, to be deduplicated at the end */

    struct pickle_live live;
    size_t allocations; /* of the arena */
    size_t kept;        /* values that the memo or the stack holds a second time */
    struct machine_draft draft;
    const struct pickle_tensor_kind *tensor_kinds[MACHINE_TENSOR_KINDS];
    size_t tensor_kind_count;
};

struct machine_op {
    uint8_t opcode;
    enum status (*run)(struct machine *m);
};

/* The opcodes, by what they work on; each ends with a row without a function. */
extern const struct machine_op pickle_numbers[];
extern const struct machine_op pickle_texts[];
extern const struct machine_op pickle_containers[];
extern const struct machine_op pickle_objects[];

/* Stop here. For functions that return a status. */
#define STOP_AT(m, code, ...) FAIL(&(m)->out->problem, code, machine_offset(m), __VA_ARGS__)
#define STOP_IF(condition, m, code, ...) \
    FAIL_IF(condition, &(m)->out->problem, code, machine_offset(m), __VA_ARGS__)

static inline uint64_t
machine_offset(const struct machine *m)
{
    return (uint64_t)(m->op - m->start);
}

/* Remark a defect and go on. */
#define machine_flaw(m, ...) \
    err_set(&(m)->out->problem, ERR_MALFORMED, machine_offset(m), __VA_ARGS__)

static inline void
machine_odd(struct machine *m, enum pickle_odd odd)
{
    m->out->odd |= (unsigned)odd;
}

/* An argument's bytes left a frame, which the loaders read differently. */
void pickle_frame_crossed(struct machine *m);

/* Lend the next length bytes. */
static inline enum status
machine_take(struct machine *m, size_t length, const uint8_t **ret_bytes)
{
    STOP_IF((size_t)(m->end - m->at) < length, m, TRUNCATED,
            "the pickle ends inside an opcode's argument");
    if (m->frame_end != NULL && (size_t)(m->frame_end - m->at) < length)
        pickle_frame_crossed(m);
    *ret_bytes = m->at;
    m->at += length;
    return OK;
}

static inline enum status
machine_u8(struct machine *m, uint8_t *ret_value)
{
    const uint8_t *b;

    TRY(machine_take(m, 1, &b));
    *ret_value = b[0];
    return OK;
}

static inline enum status
machine_u32(struct machine *m, uint32_t *ret_value)
{
    const uint8_t *b;

    TRY(machine_take(m, 4, &b));
    *ret_value = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return OK;
}

/* A length that is signed on the wire. */
static inline enum status
machine_signed_length(struct machine *m, uint32_t *ret_length)
{
    TRY(machine_u32(m, ret_length));
    STOP_IF(*ret_length > INT32_MAX, m, MALFORMED, "a negative length");
    return OK;
}

/* The value of a hexadecimal digit; 16 for what is none. */
static inline unsigned
machine_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

/* A value that is a run of bytes. */
static inline struct pickle_value
machine_bytes(enum pickle_kind kind, struct slice s)
{
    return (struct pickle_value){
        .kind = (uint8_t)kind, .count = (uint32_t)s.length, .is.bytes = s.at};
}

/* The text up to the next newline, which is taken, too. */
enum status pickle_line(struct machine *m, struct slice *ret_line) MUST_CHECK;

enum status pickle_grow_stack(struct machine *m) MUST_CHECK;

/* Push a value that stands elsewhere already. */
static inline enum status
machine_push_again(struct machine *m, struct pickle_value v)
{
    if (m->top == m->capacity)
        TRY(pickle_grow_stack(m));
    m->stack[m->top++] = v;
    return OK;
}

/* Push a new value; it counts against the budget. */
static inline enum status
machine_push(struct machine *m, struct pickle_value v)
{
    STOP_IF(m->budget->nodes_left == 0, m, LIMIT, "more than %zu values in the file's pickles",
            m->budget->limits->pickle_nodes);
    m->budget->nodes_left--;
    return machine_push_again(m, v);
}

/* There are at least count values above the last mark. */
static inline enum status
machine_need(struct machine *m, size_t count)
{
    STOP_IF(m->top - m->fence < count, m, MALFORMED, "the stack is empty where opcode 0x%02x pops",
            *m->op);
    return OK;
}

static inline enum status
machine_pop(struct machine *m, struct pickle_value *ret_value)
{
    TRY(machine_need(m, 1));
    *ret_value = m->stack[--m->top];
    return OK;
}

/* Close the last mark: the values above it, still in place, are lent until the next push. */
enum status pickle_pop_mark(struct machine *m, struct pickle_items *ret_items) MUST_CHECK;

/* Zeroed memory of the arena. */
enum status pickle_new(struct machine *m, size_t count, size_t size, void *ret_object) MUST_CHECK;

/* Room for more items at the end of a list, or pairs of a dict. */
enum status pickle_list_reserve(struct machine *m, struct pickle_list *l, size_t more) MUST_CHECK;
enum status pickle_list_add(struct machine *m, struct pickle_list *l,
                            struct pickle_items items) MUST_CHECK;

/* What a call's result went through, made when it is needed first. */
enum status pickle_extra_of(struct machine *m, struct pickle_call *call,
                            struct pickle_extra **ret_extra) MUST_CHECK;

/* The text is UTF-8; halves of surrogate pairs may stand in it, and are told. */
bool pickle_text_is_valid(struct slice text, bool *ret_has_surrogate);

/* Leave each text and each number once among the keys of all dicts. */
enum status pickle_settle(struct machine *m) MUST_CHECK;
