#include "common/compat/attempt.h"

#include "common/compat/contradict.h"

size_t
attempt_container(const struct inspection *in, struct slice path)
{
    for (size_t i = 0; i < in->container_count; i++) {
        if (slice_equal(in->containers[i].path, path))
            return i;
    }
    return SIZE_MAX;
}

/* The remap with the counts of this run on its rules. */
static enum status
annotate(const struct question *q, struct attempt *a, struct err *err)
{
    struct remap_pass *passes = arena_alloc(q->arena, a->remap.pass_count, sizeof *passes);

    if (passes == NULL)
        return arena_fail(q->arena, err);
    for (size_t i = 0; i < a->remap.pass_count; i++) {
        const struct remap_pass *pass = &a->remap.passes[i];
        struct remap_rule *rules = arena_alloc(q->arena, pass->rule_count, sizeof *rules);

        if (rules == NULL)
            return arena_fail(q->arena, err);
        for (size_t k = 0; k < pass->rule_count; k++) {
            rules[k] = pass->rules[k];
            rules[k].count = a->result.counts[i][k];
        }
        a->rule_count += pass->rule_count;
        passes[i] = (struct remap_pass){pass->is_segments, rules, pass->rule_count};
    }
    a->remap.passes = passes;
    return OK;
}

enum status
attempt_explain(const struct question *q, struct attempt *a, struct err *err)
{
    if (a->is_explained || a->weighed.strict)
        return OK;
    a->is_explained = true;
    return contradict(q, a->container, &a->result.state, &a->judgement, &a->contradictions, err);
}

static enum status
finish(const struct question *q, struct attempt *a, struct err *err)
{
    bool is_plain = a->container != NULL && a->remap.pass_count == 0 &&
                    slice_equal(a->container->path, q->opened);

    TRY(weigh(q, &a->result.state, &a->judgement, &a->weighed, err));
    /* Too little is filled: that decides, whatever else there is to say. */
    if (!a->weighed.strict && !a->weighed.is_unknown &&
        a->weighed.coverage.elements >= q->min_coverage)
        TRY(attempt_explain(q, a, err));
    a->verdict = weigh_level(q, &a->weighed, a->contradictions.count > 0);
    if (a->verdict == VERDICT_STRICT && !is_plain)
        a->verdict = VERDICT_STRICT_AFTER_REMAP;
    return OK;
}

/* The loader would not even get to load_state_dict. */
static enum status
note_absent(const struct question *q, struct attempt *a, struct err *err)
{
    struct slice *errors = arena_alloc(q->arena, a->judgement.error_count + 1, sizeof *errors);

    if (errors == NULL)
        return arena_fail(q->arena, err);
    if (q->opened.length == 0)
        TRY(arena_printf(q->arena, &errors[0], err, "the file holds no state dict"));
    else
        TRY(arena_printf(q->arena, &errors[0], err,
                         "the loader opens \"%.*s\", which the file does not have",
                         SLICE_PRINT(q->opened)));
    if (a->judgement.error_count > 0)
        memcpy(errors + 1, a->judgement.errors, a->judgement.error_count * sizeof *errors);
    a->judgement.errors = errors;
    a->judgement.error_count++;
    a->judgement.strict = false;
    a->judgement.non_strict = false;
    return OK;
}

enum status
attempt_as_is(const struct question *q, const struct inspection *in, struct attempt *ret_attempt,
              struct err *err)
{
    struct attempt a = {.is_as_is = true, .container_at = attempt_container(in, q->opened)};

    if (a.container_at != SIZE_MAX) {
        a.container = &in->containers[a.container_at];
        TRY(state_of_container(a.container, q->arena, &a.result.state, err));
    }
    TRY(judge(q->manifest, &a.result.state, q->loader, q->arena, &a.judgement, err));
    if (a.container == NULL)
        TRY(note_absent(q, &a, err));
    TRY(finish(q, &a, err));
    *ret_attempt = a;
    return OK;
}

enum status
attempt_remap(const struct question *q, const struct inspection *in, size_t container,
              const struct remap *remap, struct attempt *ret_attempt, struct err *err)
{
    struct attempt a = {
        .container = &in->containers[container], .container_at = container, .remap = *remap};
    struct state old;

    TRY(state_of_container(a.container, q->arena, &old, err));
    a.result.state = old;
    if (remap->pass_count > 0) {
        TRY(remap_apply(remap, &old, q->limits, q->arena, &a.result, err));
        TRY(annotate(q, &a, err));
    }
    if (!slice_equal(a.container->path, q->opened)) {
        a.remap.has_container = true;
        a.remap.container = a.container->path;
    }
    /* In a rebuilt dict there is no _metadata, whether or not it was only unwrapped. */
    if (remap->pass_count > 0 && !remap->renames_metadata)
        a.result.state.has_metadata = false;
    TRY(judge(q->manifest, &a.result.state, q->loader, q->arena, &a.judgement, err));
    TRY(finish(q, &a, err));
    *ret_attempt = a;
    return OK;
}

/* Smaller is nearer to what the loader would take by itself. */
static size_t
container_rank(const struct question *q, const struct inspection *in, const struct attempt *a)
{
    size_t rank = a->container_at;

    if (a->container == NULL)
        return SIZE_MAX;
    if (slice_equal(a->container->path, q->opened))
        return 0;
    if (a->container->kind == CONTAINER_EMA)
        return in->container_count + 2 + rank;
    return a->container_at == in->default_container ? 1 : rank + 2;
}

bool
attempt_is_better(const struct question *q, const struct inspection *in, const struct attempt *a,
                  const struct attempt *b)
{
    double gain = a->weighed.coverage.elements - b->weighed.coverage.elements;

    if (a->verdict != b->verdict)
        return a->verdict < b->verdict;
    if (gain > 0 || gain < 0)
        return gain > 0;
    if (a->judgement.matched != b->judgement.matched)
        return a->judgement.matched > b->judgement.matched;
    if (a->rule_count != b->rule_count)
        return a->rule_count < b->rule_count;
    return container_rank(q, in, a) < container_rank(q, in, b);
}
