#include "common/compat/infer.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/compat/infer_work.h"

/* Segments that wrap a module and can stand anywhere in a path. */
static const char *const wrappers[] = {"_checkpoint_wrapped_module", "_forward_module",
                                       "_fsdp_wrapped_module", "_orig_mod", "module"};

enum {
    SEGMENT_RULES_MAX = 32,
    ROUNDS_MAX = 3, /* of looking for renames that recur */
    SINGLES_MAX = 8,
    SWAPS_MAX = INFER_EDITS_MAX, /* rules that are compared with each other */
};

/* A segment rule that is tried: patterns. */
struct swap {
    struct slice from, to;
};

struct plan {
    struct swap swaps[SEGMENT_RULES_MAX];
    size_t count;
};

/* What came of one run. */
struct outcome {
    bool is_valid;
    struct plan plan;
    struct remap remap;
    struct remap with_drops;
    size_t drop_count;
    size_t matched, named, rule_count;
    bool completes, completes_with_drops;
    struct slice text; /* the remap's lines, to choose between equals */
    const struct ambiguity *ambiguities;
    size_t ambiguity_count;
};

struct search {
    const struct manifest *m;
    const struct state *s;
    const struct limits *limits;
    struct arena *arena;
};

/* Which tensors of the manifest a state fills, and which of its keys are of use. */
static void
count_matches(const struct manifest *m, const struct state *s, bool *is_used, struct outcome *o)
{
    size_t used = 0;

    o->matched = o->named = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct state_key *key = state_find(s, m->tensors[i].name);

        if (key == NULL)
            continue;
        o->named++;
        o->matched += infer_fits(&m->tensors[i], key);
        used++;
        if (is_used != NULL)
            is_used[key->origin] = true;
    }
    o->completes = o->named == m->count && used == s->count;
}

static enum status
segment_pass(struct work *w, const struct plan *plan, struct remap_pass *ret_pass, struct err *err)
{
    struct remap_rule *rules = arena_alloc(w->kept, plan->count, sizeof *rules);

    if (rules == NULL)
        return arena_fail(w->kept, err);
    for (size_t i = 0; i < plan->count; i++) {
        const struct swap *swap = &plan->swaps[i];

        TRY(infer_rule_of(w, swap->from, swap->to,
                          slice_of(swap->to.length == 0 ? "a wrapper's segment"
                                                        : "the same rename in several places"),
                          &rules[i], err));
    }
    *ret_pass = (struct remap_pass){true, rules, plan->count};
    return OK;
}

/* Drop rules, then the others, as the last pass. */
static enum status
assemble(struct work *w, const struct remap_pass *segments, const struct remap_rule *drops,
         size_t drop_count, const struct remap_rule *rules, size_t rule_count,
         struct remap *ret_remap, struct err *err)
{
    struct remap_pass *passes = arena_alloc(w->kept, 2, sizeof *passes);
    struct remap_rule *all = arena_alloc(w->kept, drop_count + rule_count, sizeof *all);
    struct remap r = {.passes = passes};

    if (passes == NULL || all == NULL)
        return arena_fail(w->kept, err);
    if (segments->rule_count > 0)
        passes[r.pass_count++] = *segments;
    if (drop_count > 0)
        memcpy(all, drops, drop_count * sizeof *all);
    if (rule_count > 0)
        memcpy(all + drop_count, rules, rule_count * sizeof *all);
    if (drop_count + rule_count > 0)
        passes[r.pass_count++] = (struct remap_pass){false, all, drop_count + rule_count};
    *ret_remap = r;
    return OK;
}

/* Run the keys' pass over all keys. A remap under which two keys meet is none. */
static enum status
prove(struct work *w, const struct remap_rule *rules, size_t count, struct remapped *ret_new,
      bool *ret_holds, struct err *err)
{
    const struct remap_pass pass = {false, rules, count};
    const struct remap remap = {.passes = &pass, .pass_count = count > 0};
    struct err why = {0};
    enum status status = remap_apply(&remap, w->s, w->limits, &w->arena, ret_new, &why);

    *ret_holds = status == OK;
    /* One that takes too many steps is none, either. */
    if (status != OK && status != ERR_BAD_REMAP && status != ERR_LIMIT) {
        err_copy(err, &why);
        return status;
    }
    return OK;
}

/* What may be left out, and whether the remap then still holds. */
static enum status
find_drops(struct work *w, const struct remap_pass *segments, const struct remap_rule *rules,
           size_t rule_count, const struct remapped *new, const bool *is_used, struct outcome *o,
           struct err *err)
{
    CLEANUP(mem_free_at) struct slice *became = mem_new(w->count + 1, sizeof *became);
    struct remap_rule *drops, *all;
    struct remapped proved;
    struct outcome counted = {0};
    size_t count = 0;
    bool holds;

    FAIL_IF(became == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < new->state.count; i++)
        became[new->sources[i].keys[0]] = new->state.keys[i].name;
    TRY(infer_drops(w, is_used, became, &drops, &count, err));
    if (count == 0)
        return OK;
    all = arena_alloc(w->kept, count + rule_count, sizeof *all);
    if (all == NULL)
        return arena_fail(w->kept, err);
    memcpy(all, drops, count * sizeof *all);
    if (rule_count > 0)
        memcpy(all + count, rules, rule_count * sizeof *all);
    TRY(prove(w, all, count + rule_count, &proved, &holds, err));
    if (!holds)
        return OK;
    count_matches(w->m, &proved.state, NULL, &counted);
    if (counted.named != o->named)
        return OK;
    o->completes_with_drops = counted.completes;
    o->drop_count = count;
    return assemble(w, segments, drops, count, rules, rule_count, &o->with_drops, err);
}

static enum status
settle_ambiguities(struct work *w, struct outcome *o, struct err *err)
{
    struct ambiguity *copy = arena_alloc(w->kept, w->ambiguities.count, sizeof *copy);

    if (copy == NULL)
        return arena_fail(w->kept, err);
    if (w->ambiguities.count > 0)
        memcpy(copy, w->ambiguities.items, w->ambiguities.count * sizeof *copy);
    o->ambiguities = copy;
    o->ambiguity_count = w->ambiguities.count;
    return OK;
}

static enum status
describe(struct work *w, struct outcome *o, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(w->limits->remap_bytes);

    for (size_t i = 0; i < o->remap.pass_count; i++)
        o->rule_count += o->remap.passes[i].rule_count;
    remap_write_lines(&text, &o->remap, false);
    /* A remap too long to be written down is none. */
    o->is_valid = buf_check(&text, NULL) == OK;
    return arena_copy(w->kept, buf_slice_of(&text), &o->text, err);
}

static enum status
infer_keys(struct work *w, const struct remap_pass *segments, struct outcome *o, struct err *err)
{
    CLEANUP(mem_free_at) bool *is_used = mem_new(w->count + 1, sizeof *is_used);
    struct remap_rule *rules;
    struct remapped new;
    size_t count;
    bool holds;

    FAIL_IF(is_used == NULL, err, NO_MEMORY, 0, "out of memory");
    TRY(infer_vote(w, err));
    TRY(infer_twin(w, err));
    TRY(infer_rules(w, &rules, &count, err));
    TRY(settle_ambiguities(w, o, err));
    TRY(prove(w, rules, count, &new, &holds, err));
    if (!holds)
        return OK;
    count_matches(w->m, &new.state, is_used, o);
    TRY(assemble(w, segments, NULL, 0, rules, count, &o->remap, err));
    TRY(describe(w, o, err));
    if (o->completes)
        return OK;
    return find_drops(w, segments, rules, count, &new, is_used, o, err);
}

/* One run: these segment rules first, then the best key rules. */
static enum status
run(const struct search *x, const struct plan *plan, struct outcome *ret_outcome, struct err *err)
{
    CLEANUP(work_done) struct work w = {0};
    CLEANUP(arena_done) struct arena arena = arena_with_cap(x->limits->arena_bytes);
    CLEANUP(mem_free_at) struct slice *names = NULL;
    struct outcome o = {.plan = *plan};
    struct remapped swapped = {.state = *x->s};
    struct work early = {.kept = x->arena};
    struct remap_pass segments = {.is_segments = true};
    struct err why = {0};
    enum status status;

    *ret_outcome = o;
    if (plan->count > 0) {
        const struct remap remap = {.passes = &segments, .pass_count = 1};

        TRY(segment_pass(&early, plan, &segments, err));
        status = remap_apply(&remap, x->s, x->limits, &arena, &swapped, &why);
        if (status == ERR_BAD_REMAP)
            return OK;
        if (status != OK)
            err_copy(err, &why);
        TRY(status);
    }
    names = mem_new(swapped.state.count + 1, sizeof *names);
    FAIL_IF(names == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < swapped.state.count; i++)
        names[i] = swapped.state.keys[i].name;
    TRY(work_make(&w, x->m, &swapped.state, names, x->limits, x->arena, err));
    TRY(infer_keys(&w, &segments, &o, err));
    *ret_outcome = o;
    return OK;
}

static bool
is_better(const struct outcome *a, const struct outcome *b)
{
    if (a->is_valid != b->is_valid)
        return a->is_valid;
    if (a->matched != b->matched)
        return a->matched > b->matched;
    if (a->named != b->named)
        return a->named > b->named;
    if (a->rule_count != b->rule_count)
        return a->rule_count < b->rule_count;
    if (a->remap.pass_count != b->remap.pass_count)
        return a->remap.pass_count < b->remap.pass_count;
    /* A prefix is a key rule, where a segment rule would do as well. */
    if (a->plan.count != b->plan.count)
        return a->plan.count < b->plan.count;
    return slice_compare(a->text, b->text) < 0;
}

static enum status
try_plan(const struct search *x, const struct plan *plan, struct outcome *best, bool *ret_better,
         struct err *err)
{
    struct outcome next;

    TRY(run(x, plan, &next, err));
    *ret_better = is_better(&next, best);
    if (*ret_better)
        *best = next;
    return OK;
}

static bool
is_wrapper(struct slice segment)
{
    for (size_t i = 0; i < ARRAY_LENGTH(wrappers); i++) {
        if (slice_is(segment, wrappers[i]))
            return true;
    }
    return false;
}

/* Whether the word stands in the path behind something else than wrappers. */
static bool
stands_inside(struct slice path, const char *word)
{
    bool is_inside = false;

    while (path.at != NULL) {
        struct slice segment = slice_cut(&path, '.');

        if (is_inside && slice_is(segment, word))
            return true;
        is_inside = is_inside || !is_wrapper(segment);
    }
    return false;
}

static bool
has_segment(struct slice path, const char *word)
{
    while (path.at != NULL) {
        if (slice_is(slice_cut(&path, '.'), word))
            return true;
    }
    return false;
}

static bool
add_swap(struct plan *plan, struct slice from, struct slice to)
{
    size_t at = plan->count;

    for (size_t i = 0; i < plan->count; i++) {
        if (slice_equal(plan->swaps[i].from, from))
            return false;
    }
    if (plan->count == SEGMENT_RULES_MAX)
        return false;
    for (; at > 0 && slice_compare(plan->swaps[at - 1].from, from) > 0; at--)
        plan->swaps[at] = plan->swaps[at - 1];
    plan->swaps[at] = (struct swap){from, to};
    plan->count++;
    return true;
}

/* Wrappers in the middle of the checkpoint's paths, of which the manifest knows nothing. */
static void
plan_wrappers(const struct search *x, struct plan *plan)
{
    for (size_t i = 0; i < ARRAY_LENGTH(wrappers); i++) {
        bool is_inside = false, is_expected = false;

        for (size_t k = 0; k < x->s->count && !is_inside; k++)
            is_inside = stands_inside(x->s->keys[k].name, wrappers[i]);
        for (size_t k = 0; is_inside && k < x->m->count && !is_expected; k++)
            is_expected = has_segment(x->m->tensors[k].name, wrappers[i]);
        if (is_inside && !is_expected)
            (void)add_swap(plan, slice_of(wrappers[i]), (struct slice){0});
    }
}

/* What a rule changes in the middle: "x.attn.{*}" to "x.attention.{*}" is attn to attention. False
 * where it is nothing that a segment rule could say. */
static bool
cut_swap(const struct remap_rule *rule, struct swap *ret_swap)
{
    struct slice rest = slice_of(".{*}"), from, to;
    size_t start = 0;

    if (rule->to_count != 1)
        return false;
    from = rule->from[0].text;
    to = rule->to[0].text;
    if (!slice_ends(from, rest) || !slice_ends(to, rest))
        return false;
    from.length -= rest.length;
    to.length -= rest.length;
    for (size_t i = 0; i < from.length && i < to.length && from.at[i] == to.at[i]; i++) {
        if (from.at[i] == '.')
            start = i + 1;
    }
    *ret_swap = (struct swap){slice_from(from, start), slice_from(to, start)};
    return start > 0 && ret_swap->from.length > 0 && ret_swap->to.length > 0 &&
           !slice_equal(ret_swap->from, ret_swap->to);
}

static size_t
count_dots(struct slice text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.length; i++)
        count += text.at[i] == '.';
    return count;
}

/* bn1 to norm1 is bn{k} to norm{k}. */
static enum status
generalize(const struct search *x, struct swap *swap, struct err *err)
{
    size_t digits = 0, from = swap->from.length, to = swap->to.length;

    while (digits < from && digits < to && swap->from.at[from - digits - 1] >= '0' &&
           swap->from.at[from - digits - 1] <= '9' &&
           swap->from.at[from - digits - 1] == swap->to.at[to - digits - 1])
        digits++;
    if (digits == 0 || digits == from || digits == to)
        return OK;
    TRY(arena_printf(x->arena, &swap->from, err, "%.*s{k}", (int)(from - digits), swap->from.at));
    return arena_printf(x->arena, &swap->to, err, "%.*s{k}", (int)(to - digits), swap->to.at);
}

/* Renames that several key rules make, as segment rules. */
static enum status
plan_recurring(const struct search *x, const struct outcome *o, struct plan *plan,
               struct plan *ret_new, struct err *err)
{
    CLEANUP(vec_done) struct vec swaps = vec_of(sizeof(struct swap), SWAPS_MAX);
    const struct remap_pass *pass =
        o->remap.pass_count == 0 ? NULL : &o->remap.passes[o->remap.pass_count - 1];

    *ret_new = (struct plan){.count = 0};
    for (size_t i = 0; pass != NULL && !pass->is_segments && i < pass->rule_count; i++) {
        struct swap swap, *item;

        if (swaps.count == SWAPS_MAX)
            break;
        if (!cut_swap(&pass->rules[i], &swap) || count_dots(swap.from) > 3 ||
            count_dots(swap.to) > 3)
            continue;
        TRY(generalize(x, &swap, err));
        TRY(vec_add(&swaps, &item, "renames", err));
        *item = swap;
    }
    for (size_t i = 0; i < swaps.count && ret_new->count < SEGMENT_RULES_MAX; i++) {
        const struct swap *a = &VEC_AT(&swaps, struct swap, i);
        bool recurs = false;

        for (size_t k = i + 1; k < swaps.count && !recurs; k++) {
            const struct swap *b = &VEC_AT(&swaps, struct swap, k);

            recurs = slice_equal(a->from, b->from) && slice_equal(a->to, b->to);
        }
        if (recurs && add_swap(plan, a->from, a->to))
            (void)add_swap(ret_new, a->from, a->to);
    }
    return OK;
}

/* All renames that recur at once; where that does not help, one by one. */
static enum status
try_recurring(const struct search *x, struct outcome *best, bool *ret_better, struct err *err)
{
    struct plan all = best->plan, new;

    *ret_better = false;
    TRY(plan_recurring(x, best, &all, &new, err));
    if (new.count == 0)
        return OK;
    TRY(try_plan(x, &all, best, ret_better, err));
    for (size_t i = 0; !*ret_better && new.count > 1 && i < new.count &&i < SINGLES_MAX; i++) {
        struct plan one = best->plan;

        if (add_swap(&one, new.swaps[i].from, new.swaps[i].to))
            TRY(try_plan(x, &one, best, ret_better, err));
    }
    return OK;
}

/* The same names on both sides: there is nothing to find. */
static bool
is_same(const struct manifest *m, const struct state *s)
{
    if (m->count != s->count)
        return false;
    for (size_t i = 0; i < m->count; i++) {
        if (!slice_equal(m->tensors[i].name, s->keys[i].name))
            return false;
    }
    return true;
}

static enum status
search(const struct search *x, struct outcome *best, struct err *err)
{
    struct plan plan = {.count = 0};
    bool is_better_now = true;

    TRY(run(x, &plan, best, err));
    if (best->is_valid && best->matched == x->m->count && best->rule_count <= 1)
        return OK;
    plan_wrappers(x, &plan);
    if (plan.count > 0)
        TRY(try_plan(x, &plan, best, &is_better_now, err));
    is_better_now = true;
    for (int i = 0; best->is_valid && is_better_now && i < ROUNDS_MAX; i++)
        TRY(try_recurring(x, best, &is_better_now, err));
    return OK;
}

static void
emit(struct candidate *c, const struct outcome *o, bool with_drops)
{
    *c = (struct candidate){
        .remap = with_drops ? o->with_drops : o->remap,
        .matched = o->matched,
        .named = o->named,
        .completes = with_drops ? o->completes_with_drops : o->completes,
        .rule_count = o->rule_count + (with_drops ? o->drop_count : 0),
    };
}

enum status
infer(const struct manifest *m, const struct state *s, const struct limits *limits,
      struct arena *arena, struct inference *ret_inference, struct err *err)
{
    const struct search x = {.m = m, .s = s, .limits = limits, .arena = arena};
    struct inference found = {0};
    struct candidate *candidates;
    struct outcome best = {0};

    *ret_inference = found;
    if (m->count == 0 || s->count == 0 || is_same(m, s))
        return OK;
    TRY(search(&x, &best, err));
    candidates = arena_alloc(arena, 2, sizeof *candidates);
    if (candidates == NULL)
        return arena_fail(arena, err);
    found.ambiguities = best.ambiguities;
    found.ambiguity_count = best.ambiguity_count;
    found.candidates = candidates;
    if (best.is_valid && best.drop_count > 0 && best.completes_with_drops)
        emit(&candidates[found.candidate_count++], &best, true);
    if (best.is_valid && best.rule_count > 0)
        emit(&candidates[found.candidate_count++], &best, false);
    if (best.is_valid && best.drop_count > 0 && !best.completes_with_drops)
        emit(&candidates[found.candidate_count++], &best, true);
    *ret_inference = found;
    return OK;
}
