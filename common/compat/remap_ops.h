#pragma once
/*
 * Ops of the remap language: their arguments, as both spellings need them, and what they do to
 * shapes. Values are the export's business.
 */
#include "common/compat/remap.h"

enum { REMAP_SEGMENTS_MAX = 4 }; /* adjacent ones that a segment rule matches or gives */

enum remap_arg {
    ARG_DIM = 1,
    ARG_SIZES = 2,
    ARG_OVER = 4,
    ARG_DIMS = 8,
    ARG_SHAPE = 16,
    ARG_DIM_LIST = 32, /* spelled "dim": a number or a list */
    ARG_START = 64,
    ARG_END = 128,
};

struct remap_op_row {
    const char *name;
    unsigned args;  /* those it takes */
    unsigned needs; /* those it cannot do without */
};

struct remap_arg_row {
    const char *name;
    unsigned arg;
};

extern const struct remap_op_row remap_ops[REMAP_OP_COUNT];
extern const struct remap_arg_row remap_args[]; /* a NULL name ends it */

/* Check a rule's numbers: what can be said without a tensor. */
enum status remap_ops_check(const struct remap_rule *rule, struct err *err) MUST_CHECK;

/* What the rule makes of one tensor: part is the index of the result, for split and unstack. The
 * result keeps the key's name; its shape is the arena's. */
enum status remap_ops_one(const struct remap_rule *rule, const struct state_key *key, size_t part,
                          struct arena *arena, struct state_key *ret_key,
                          struct err *err) MUST_CHECK;

/* How many results one tensor gives: its size along the dim for unstack. */
enum status remap_ops_parts(const struct remap_rule *rule, const struct state_key *key,
                            size_t *ret_parts, struct err *err) MUST_CHECK;

/* What concat or stack makes of several, in the operands' order. */
enum status remap_ops_many(const struct remap_rule *rule, const struct state_key *const *keys,
                           size_t count, struct arena *arena, struct state_key *ret_key,
                           struct err *err) MUST_CHECK;

/* Append the op with its arguments, "split dim=0 sizes=3,3". */
void remap_ops_write(struct buf *out, const struct remap_rule *rule);
