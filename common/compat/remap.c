#include "common/compat/remap.h"

#include "common/base/attr.h"
#include "common/compat/remap_ops.h"

const struct remap_op_row remap_ops[REMAP_OP_COUNT] = {
    [REMAP_OP_NONE] = {"none", 0, 0},
    [REMAP_OP_SPLIT] = {"split", ARG_DIM | ARG_SIZES, 0},
    [REMAP_OP_CONCAT] = {"concat", ARG_DIM, 0},
    [REMAP_OP_STACK] = {"stack", ARG_DIM | ARG_OVER, ARG_OVER},
    [REMAP_OP_UNSTACK] = {"unstack", ARG_DIM | ARG_OVER, ARG_OVER},
    [REMAP_OP_PERMUTE] = {"permute", ARG_DIMS, ARG_DIMS},
    [REMAP_OP_RESHAPE] = {"reshape", ARG_SHAPE, ARG_SHAPE},
    [REMAP_OP_SQUEEZE] = {"squeeze", ARG_DIM_LIST, ARG_DIM_LIST},
    [REMAP_OP_UNSQUEEZE] = {"unsqueeze", ARG_DIM_LIST, ARG_DIM_LIST},
    [REMAP_OP_SLICE] = {"slice", ARG_DIM | ARG_START | ARG_END, ARG_END},
    [REMAP_OP_COPY] = {"copy", 0, 0},
};

const struct remap_arg_row remap_args[] = {
    {"dim", ARG_DIM},     {"dim", ARG_DIM_LIST}, {"sizes", ARG_SIZES},
    {"over", ARG_OVER},   {"dims", ARG_DIMS},    {"shape", ARG_SHAPE},
    {"start", ARG_START}, {"end", ARG_END},      {NULL, 0},
};

const char *
remap_op_name(enum remap_op op)
{
    return op < REMAP_OP_COUNT ? remap_ops[op].name : "none";
}

enum remap_op
remap_op_find(struct slice name)
{
    for (unsigned i = REMAP_OP_NONE + 1; i < REMAP_OP_COUNT; i++) {
        if (slice_is(name, remap_ops[i].name))
            return (enum remap_op)i;
    }
    return REMAP_OP_COUNT;
}

static struct slice
rule_name(const struct remap_rule *rule)
{
    return rule->from[0].text;
}

/* How many patterns stand on each side, for each op. */
static enum status
check_counts(const struct remap_rule *rule, struct err *err)
{
    bool takes_many = rule->op == REMAP_OP_CONCAT;
    bool gives_many = rule->op == REMAP_OP_SPLIT || rule->op == REMAP_OP_COPY;
    const char *name = remap_op_name(rule->op);

    FAIL_IF(rule->to_count == 0 && rule->op != REMAP_OP_NONE, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" cannot both drop and %s", SLICE_PRINT(rule_name(rule)), name);
    FAIL_IF(rule->from_count > 1 && !takes_many, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" has a list in from, which only concat takes",
            SLICE_PRINT(rule_name(rule)));
    FAIL_IF(rule->to_count > 1 && !gives_many, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" has a list in to, which only split and copy give",
            SLICE_PRINT(rule_name(rule)));
    FAIL_IF(takes_many && rule->from_count < 2, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" concatenates fewer than two", SLICE_PRINT(rule_name(rule)));
    FAIL_IF(gives_many && rule->to_count < 2, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" gives fewer than two: %s needs a list in to",
            SLICE_PRINT(rule_name(rule)), name);
    return OK;
}

static enum status
check_template(const struct remap_rule *rule, const struct pattern *from, const struct pattern *to,
               struct err *err)
{
    uint64_t over = rule->over == 0 ? 0 : UINT64_C(1) << pattern_letter(rule->over);
    uint64_t known = pattern_letters(from), used = pattern_letters(to);
    struct slice unbound;

    FAIL_IF(rule->op == REMAP_OP_STACK && ((known & over) == 0 || (used & over) != 0), err,
            BAD_REMAP, 0,
            "the rule for \"%.*s\" stacks over {%c}, which must be in from, not in to",
            SLICE_PRINT(from->text), rule->over);
    FAIL_IF(rule->op == REMAP_OP_UNSTACK && ((known & over) != 0 || (used & over) == 0), err,
            BAD_REMAP, 0,
            "the rule for \"%.*s\" unstacks over {%c}, which must be in to, not in from",
            SLICE_PRINT(from->text), rule->over);
    if (rule->op == REMAP_OP_UNSTACK)
        known |= over;
    FAIL_IF((used & ~known) != 0, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" uses a letter in \"%.*s\" that its pattern does not capture",
            SLICE_PRINT(from->text), SLICE_PRINT(to->text));
    FAIL_IF(!pattern_binds(from, to, &unbound), err, BAD_REMAP, 0,
            "the rule for \"%.*s\" uses {%.*s} in \"%.*s\", which its pattern does not capture",
            SLICE_PRINT(from->text), SLICE_PRINT(unbound), SLICE_PRINT(to->text));
    return OK;
}

/* Patterns of one list must bind alike: their operands meet where the captures are equal. */
static enum status
check_alike(const struct remap_rule *rule, struct err *err)
{
    for (size_t i = 1; i < rule->from_count; i++) {
        struct slice unbound;
        const struct pattern *a = &rule->from[0], *b = &rule->from[i];

        FAIL_IF(pattern_letters(a) != pattern_letters(b) || !pattern_binds(a, b, &unbound) ||
                    !pattern_binds(b, a, &unbound),
                err, BAD_REMAP, 0, "\"%.*s\" and \"%.*s\" do not capture the same",
                SLICE_PRINT(a->text), SLICE_PRINT(b->text));
    }
    return OK;
}

static enum status
check_segment_pattern(const struct pattern *p, struct err *err)
{
    FAIL_IF(p->rest != SIZE_MAX, err, BAD_REMAP, 0, "{*} has no place in a segment rule: \"%.*s\"",
            SLICE_PRINT(p->text));
    FAIL_IF(p->count > REMAP_SEGMENTS_MAX, err, BAD_REMAP, 0,
            "a segment rule of more than %d segments: \"%.*s\"", REMAP_SEGMENTS_MAX,
            SLICE_PRINT(p->text));
    return OK;
}

static enum status
check_segment_rule(const struct remap_rule *rule, struct err *err)
{
    FAIL_IF(rule->from_count > 1 || rule->to_count > 1 || rule->op != REMAP_OP_NONE, err, BAD_REMAP,
            0, "the segment rule for \"%.*s\" has a list or an op: only key rules may",
            SLICE_PRINT(rule_name(rule)));
    TRY(check_segment_pattern(&rule->from[0], err));
    if (rule->to_count == 1)
        TRY(check_segment_pattern(&rule->to[0], err));
    return OK;
}

enum status
remap_check_rule(const struct remap_rule *rule, bool is_segments, struct err *err)
{
    FAIL_IF(rule->from_count == 0, err, BAD_REMAP, 0, "a rule without from");
    if (is_segments)
        TRY(check_segment_rule(rule, err));
    TRY(check_counts(rule, err));
    TRY(check_alike(rule, err));
    FAIL_IF(rule->op == REMAP_OP_SPLIT && rule->number_count != 0 &&
                rule->number_count != rule->to_count,
            err, BAD_REMAP, 0, "the rule for \"%.*s\" splits into %zu, but tells %zu sizes",
            SLICE_PRINT(rule_name(rule)), rule->to_count, rule->number_count);
    for (size_t i = 0; i < rule->from_count; i++) {
        FAIL_IF(pattern_names(&rule->from[i]) > PATTERN_NAMES_MAX, err, BAD_REMAP, 0,
                "\"%.*s\" captures more than %d names", SLICE_PRINT(rule->from[i].text),
                PATTERN_NAMES_MAX);
        for (size_t j = 0; j < rule->to_count; j++)
            TRY(check_template(rule, &rule->from[i], &rule->to[j], err));
    }
    return remap_ops_check(rule, err);
}

enum status
remap_digest(const struct remap *r, struct digest *ret_digest, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(SIZE_MAX / 4);
    struct json_writer w = json_writer_to(&text, 0);

    remap_write_json(&w, r, false);
    TRY(buf_check(&text, err));
    return hash_bytes(text.bytes, text.length, ret_digest, err);
}
