#include "common/compat/remap_draft.h"

/* A list in one rule: as long as a remap may have rules, and no pattern is shorter than a byte. */
enum { LIST_MAX = 100000 };

static const unsigned lists = ARG_SIZES | ARG_DIMS | ARG_SHAPE | ARG_DIM_LIST;

struct remap_draft
remap_draft_new(void)
{
    return (struct remap_draft){
        .from = vec_of(sizeof(struct slice), LIST_MAX),
        .to = vec_of(sizeof(struct slice), LIST_MAX),
        .numbers = vec_of(sizeof(int64_t), LIST_MAX),
    };
}

void
remap_draft_done(struct remap_draft *d)
{
    vec_done(&d->from);
    vec_done(&d->to);
    vec_done(&d->numbers);
}

enum status
remap_draft_text(struct vec *texts, struct slice text, struct err *err)
{
    struct slice *item;

    TRY(vec_add(texts, &item, "patterns in one rule", err));
    *item = text;
    return OK;
}

enum status
remap_draft_number(struct remap_draft *d, int64_t number, struct err *err)
{
    int64_t *item;

    TRY(vec_add(&d->numbers, &item, "numbers in one rule", err));
    *item = number;
    return OK;
}

struct remap_builder
remap_builder_new(const struct limits *limits, struct arena *arena)
{
    return (struct remap_builder){
        .arena = arena,
        .rules_left = limits->remap_rules,
        .rules = vec_of(sizeof(struct remap_rule), limits->remap_rules),
        .passes = vec_of(sizeof(struct remap_pass), limits->remap_rules),
    };
}

void
remap_builder_done(struct remap_builder *b)
{
    vec_done(&b->rules);
    vec_done(&b->passes);
}

/* Move a vector's items to the arena; NULL where there are none. */
static enum status
settle(struct arena *arena, const struct vec *v, const void *ret_items, struct err *err)
{
    void *items = NULL;

    if (v->count > 0) {
        items = arena_alloc(arena, v->count, v->size);
        if (items == NULL)
            return arena_fail(arena, err);
        memcpy(items, v->items, v->count * v->size);
    }
    memcpy((void *)(uintptr_t)ret_items, &items, sizeof items);
    return OK;
}

static enum status
parse_patterns(struct arena *arena, const struct vec *texts, bool are_templates,
               const struct pattern **ret_patterns, struct err *err)
{
    struct pattern *patterns = arena_alloc(arena, texts->count, sizeof *patterns);

    if (patterns == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < texts->count; i++)
        TRY(pattern_parse(VEC_AT(texts, struct slice, i), are_templates, arena, &patterns[i], err));
    *ret_patterns = patterns;
    return OK;
}

static const char *
arg_name(unsigned arg)
{
    for (const struct remap_arg_row *row = remap_args; row->name != NULL; row++) {
        if ((row->arg & arg) != 0)
            return row->name;
    }
    return "";
}

/* Hold what was given against what the op takes. */
static enum status
take_args(const struct remap_draft *d, struct arena *arena, struct remap_rule *rule,
          struct err *err)
{
    const struct remap_op_row *row = &remap_ops[d->op];
    unsigned given = d->given;
    int64_t *single;

    if ((row->args & ARG_DIM_LIST) != 0 && given == ARG_DIM) {
        single = arena_alloc(arena, 1, sizeof *single);
        if (single == NULL)
            return arena_fail(arena, err);
        *single = d->dim;
        rule->numbers = single;
        rule->number_count = 1;
        return OK;
    }
    FAIL_IF((given & ~row->args) != 0, err, BAD_REMAP, 0, "%s does not take %s%s",
            d->op == REMAP_OP_NONE ? "a rule without an op" : row->name,
            (given & ~row->args) == ARG_DIM_LIST ? "a list as " : "", arg_name(given & ~row->args));
    FAIL_IF((row->needs & ~given) != 0, err, BAD_REMAP, 0, "%s needs %s", row->name,
            arg_name(row->needs & ~given));
    rule->over = d->over;
    rule->dim = d->dim;
    rule->start = d->start;
    rule->end = d->end;
    if ((given & lists) != 0) {
        TRY(settle(arena, &d->numbers, &rule->numbers, err));
        rule->number_count = d->numbers.count;
    }
    return OK;
}

enum status
remap_builder_rule(struct remap_builder *b, const struct remap_draft *d, bool is_segments,
                   struct err *err)
{
    struct remap_rule rule = {.op = d->op, .from_count = d->from.count, .to_count = d->to.count};
    struct remap_rule *item;

    FAIL_IF(b->rules_left == 0, err, LIMIT, 0, "a remap of more rules than the limit allows");
    b->rules_left--;
    FAIL_IF(d->from.count == 0, err, BAD_REMAP, 0, "a rule without from");
    FAIL_IF((d->to.count > 0) + d->drops + d->vanishes != 1, err, BAD_REMAP, 0,
            "the rule for \"%.*s\" must have exactly one of to and drop",
            SLICE_PRINT(VEC_AT(&d->from, struct slice, 0)));
    FAIL_IF(is_segments && d->drops, err, BAD_REMAP, 0,
            "the segment rule for \"%.*s\" drops: only key rules may",
            SLICE_PRINT(VEC_AT(&d->from, struct slice, 0)));
    FAIL_IF(!is_segments && d->vanishes, err, BAD_REMAP, 0,
            "the key rule for \"%.*s\" makes nothing of it: to drop a key, say so",
            SLICE_PRINT(VEC_AT(&d->from, struct slice, 0)));
    TRY(parse_patterns(b->arena, &d->from, false, &rule.from, err));
    TRY(parse_patterns(b->arena, &d->to, true, &rule.to, err));
    TRY(take_args(d, b->arena, &rule, err));
    TRY(remap_check_rule(&rule, is_segments, err));
    TRY(vec_add(&b->rules, &item, "rules in a remap", err));
    *item = rule;
    return OK;
}

enum status
remap_builder_pass(struct remap_builder *b, bool is_segments, struct err *err)
{
    struct remap_pass pass = {.is_segments = is_segments, .rule_count = b->rules.count};
    struct remap_pass *item;

    FAIL_IF(b->rules.count == 0, err, BAD_REMAP, 0, "a pass without rules");
    TRY(settle(b->arena, &b->rules, &pass.rules, err));
    b->rules.count = 0;
    TRY(vec_add(&b->passes, &item, "passes in a remap", err));
    *item = pass;
    return OK;
}

enum status
remap_builder_end(struct remap_builder *b, struct remap *remap, struct err *err)
{
    remap->pass_count = b->passes.count;
    return settle(b->arena, &b->passes, &remap->passes, err);
}
