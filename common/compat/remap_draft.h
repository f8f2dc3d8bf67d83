#pragma once
/*
 * What both spellings of the remap language are read into: one rule's members in any order, then the
 * rule, then the passes.
 */
#include "common/base/vec.h"
#include "common/compat/remap_ops.h"

struct remap_draft {
    struct vec from, to; /* struct slice */
    bool drops;
    bool vanishes; /* "to": null, // */
    enum remap_op op;
    unsigned given; /* enum remap_arg */
    char over;
    int64_t dim, start, end;
    struct vec numbers; /* int64_t, of whichever list was given */
    uint64_t count;
    struct slice evidence;
};

struct remap_draft remap_draft_new(void);
void remap_draft_done(struct remap_draft *d);

/* Add a pattern or a number. */
enum status remap_draft_text(struct vec *texts, struct slice text, struct err *err) MUST_CHECK;
enum status remap_draft_number(struct remap_draft *d, int64_t number, struct err *err) MUST_CHECK;

struct remap_builder {
    struct arena *arena;
    size_t rules_left;
    struct vec rules; /* of the pass that is being read */
    struct vec passes;
};

struct remap_builder remap_builder_new(const struct limits *limits, struct arena *arena);
void remap_builder_done(struct remap_builder *b);

/* Make the rule that a draft says and add it to the pass. */
enum status remap_builder_rule(struct remap_builder *b, const struct remap_draft *d,
                               bool is_segments, struct err *err) MUST_CHECK;

/* End the pass; it must hold a rule. */
enum status remap_builder_pass(struct remap_builder *b, bool is_segments,
                               struct err *err) MUST_CHECK;

/* The passes, moved to the arena. */
enum status remap_builder_end(struct remap_builder *b, struct remap *remap,
                              struct err *err) MUST_CHECK;
