#pragma once
/*
 * The remap language (design.md §5): passes of rules that turn a checkpoint's keys into the
 * manifest's. Two spellings, equal in what they can say: JSON (ckptd/remap/1) and lines.
 *
 *     container state_dict
 *     /_fsdp_wrapped_module/ -> //
 *     ---
 *     module.{*} -> {*}
 *     decoder.{*} -> (drop)
 *
 * A remap lives in an arena of the caller's and is read-only once made. Matching never backtracks:
 * a rule costs time in proportion to the key.
 */
#include "common/base/hash.h"
#include "common/base/json_writer.h"
#include "common/compat/pattern.h"
#include "common/compat/state.h"

enum remap_op {
    REMAP_OP_NONE,
    REMAP_OP_SPLIT,
    REMAP_OP_CONCAT,
    REMAP_OP_STACK,
    REMAP_OP_UNSTACK,
    REMAP_OP_PERMUTE,
    REMAP_OP_RESHAPE,
    REMAP_OP_SQUEEZE,
    REMAP_OP_UNSQUEEZE,
    REMAP_OP_SLICE,
    REMAP_OP_COPY,
    REMAP_OP_COUNT
};

struct remap_rule {
    const struct pattern *from;
    size_t from_count; /* more than one only with concat */
    const struct pattern *to;
    size_t to_count; /* 0: drop; in a segment rule: the segments vanish */
    enum remap_op op;
    char over;              /* stack, unstack: the letter; 0 elsewhere */
    const int64_t *numbers; /* split: sizes; permute: dims; reshape: shape; (un)squeeze: dims */
    size_t number_count;
    int64_t dim;        /* split, concat, stack, unstack, slice; 0 where it was not said */
    int64_t start, end; /* slice */

    /* Annotations: ignored on reading, no part of the digest. */
    uint64_t count;        /* keys it touched, 0 = not said */
    struct slice evidence; /* why, for a person; may be empty */
};

struct remap_pass {
    bool is_segments;
    const struct remap_rule *rules;
    size_t rule_count;
};

struct remap {
    bool has_container; /* false: what the loader opens */
    struct slice container;
    bool renames_metadata;
    const struct remap_pass *passes;
    size_t pass_count;
};

/* Read either spelling: text that begins with '{' is JSON. ERR_BAD_JSON where it is no JSON,
 * ERR_BAD_REMAP where it says something that cannot be (in lines, also where it cannot be read),
 * ERR_LIMIT, ERR_NO_MEMORY. text must outlive the remap. */
enum status remap_parse(struct slice text, const struct limits *limits, struct arena *arena,
                        struct remap *ret_remap, struct err *err) MUST_CHECK;
enum status remap_parse_json(struct slice text, const struct limits *limits, struct arena *arena,
                             struct remap *ret_remap, struct err *err) MUST_CHECK;
enum status remap_parse_lines(struct slice text, const struct limits *limits, struct arena *arena,
                              struct remap *ret_remap, struct err *err) MUST_CHECK;

/* Check what no single rule's spelling shows; both parsers do so, and inference for its own. */
enum status remap_check_rule(const struct remap_rule *rule, bool is_segments,
                             struct err *err) MUST_CHECK;

/* One JSON value; with or without count and evidence. */
void remap_write_json(struct json_writer *w, const struct remap *r, bool annotated);

/* The line form; annotations stand as comments at the end of their lines. */
void remap_write_lines(struct buf *out, const struct remap *r, bool annotated);
void remap_write_rule(struct buf *out, const struct remap_rule *rule, bool is_segments);

/* Over the JSON on one line without annotations. */
enum status remap_digest(const struct remap *r, struct digest *ret_digest,
                         struct err *err) MUST_CHECK;

/* "split", …; REMAP_OP_COUNT where there is none of that name. */
const char *remap_op_name(enum remap_op op);
enum remap_op remap_op_find(struct slice name);

/* Where a key of the new state comes from. */
struct remap_source {
    const uint32_t *keys; /* indexes in the old state, in the operands' order */
    size_t count;
    struct slice op; /* "split dim=0 sizes=3,3", several joined by "; "; empty: renamed only */
};

struct remapped {
    struct state state;
    const struct remap_source *sources; /* one for each of state's keys */
    const uint32_t *dropped;            /* indexes in the old state, ascending */
    size_t dropped_count;
    const uint64_t *const *counts; /* [pass][rule]: keys each rule touched */
};

/* Apply all passes to all keys. The container is the caller's business: old is what it holds. Two
 * keys with one name, an incomplete group, a gap in a stack, or a shape that an op cannot take is
 * ERR_BAD_REMAP naming the keys. The new state has _metadata only where the remap says so. Lives in
 * the arena; old and r must outlive it. */
enum status remap_apply(const struct remap *r, const struct state *old, const struct limits *limits,
                        struct arena *arena, struct remapped *ret_new, struct err *err) MUST_CHECK;
