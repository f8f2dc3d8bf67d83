#include "common/compat/report.h"

#include "common/base/attr.h"
#include "common/base/vec.h"
#include "common/compat/advice.h"
#include "common/compat/attempt.h"

static const struct {
    const char *name;
    enum infer_mode mode;
} infer_modes[] = {{"full", INFER_FULL}, {"complete", INFER_COMPLETE}, {"none", INFER_NONE}};

static const struct {
    const char *name;
    enum dtype_policy policy;
} dtype_policies[] = {
    {"any", DTYPE_POLICY_ANY}, {"safe", DTYPE_POLICY_SAFE}, {"exact", DTYPE_POLICY_EXACT}};

bool
report_infer_find(struct slice name, enum infer_mode *ret_mode)
{
    for (size_t i = 0; i < ARRAY_LENGTH(infer_modes); i++) {
        if (!slice_is(name, infer_modes[i].name))
            continue;
        *ret_mode = infer_modes[i].mode;
        return true;
    }
    return false;
}

bool
report_dtype_find(struct slice name, enum dtype_policy *ret_policy)
{
    for (size_t i = 0; i < ARRAY_LENGTH(dtype_policies); i++) {
        if (!slice_is(name, dtype_policies[i].name))
            continue;
        *ret_policy = dtype_policies[i].policy;
        return true;
    }
    return false;
}

/* All that is tried, and what came of it. */
struct trial {
    const struct question *q;
    const struct inspection *in;
    struct attempt as_is;
    struct attempt best;
    struct vec containers;  /* struct report_container */
    struct vec ambiguities; /* struct ambiguity, of the container of best */
    size_t ambiguous_tensors;
};

static void
trial_done(struct trial *t)
{
    vec_done(&t->containers);
    vec_done(&t->ambiguities);
}

static bool
is_tried(const struct question *q, const struct container *c)
{
    if (q->options->has_container || q->manifest->has_container)
        return slice_equal(c->path, q->opened);
    return c->kind != CONTAINER_OUTER && c->kind != CONTAINER_OPTIMIZER;
}

static enum infer_mode
mode_of(const struct report_options *o)
{
    if (o->infer != INFER_DEFAULT)
        return o->infer;
    return o->remap == NULL ? INFER_FULL : INFER_NONE;
}

static enum status
list_container(struct trial *t, size_t at, enum verdict verdict, struct err *err)
{
    struct report_container *item;

    TRY(vec_add(&t->containers, &item, "containers", err));
    *item =
        (struct report_container){t->in->containers[at].path, t->in->containers[at].kind, verdict};
    return OK;
}

/* Two remaps one after the other. */
static enum status
join_remaps(const struct question *q, const struct remap *first, const struct remap *then,
            struct remap *ret_remap, struct err *err)
{
    struct remap_pass *passes =
        arena_alloc(q->arena, first->pass_count + then->pass_count, sizeof *passes);

    if (passes == NULL)
        return arena_fail(q->arena, err);
    *ret_remap = *first;
    if (first->pass_count > 0)
        memcpy(passes, first->passes, first->pass_count * sizeof *passes);
    if (then->pass_count > 0)
        memcpy(passes + first->pass_count, then->passes, then->pass_count * sizeof *passes);
    ret_remap->passes = passes;
    ret_remap->pass_count += then->pass_count;
    return OK;
}

static enum status
keep_ambiguities(struct trial *t, const struct inference *found, struct err *err)
{
    t->ambiguities.count = 0;
    t->ambiguous_tensors = 0;
    for (size_t i = 0; i < found->ambiguity_count; i++) {
        struct ambiguity *item;

        TRY(vec_add(&t->ambiguities, &item, "ambiguities", err));
        *item = found->ambiguities[i];
        t->ambiguous_tensors += item->tensors;
    }
    return OK;
}

/* One remap; and, where a class's rule may want the versions that a rebuilt dict has lost, the same
 * with them. */
static enum status
try_remap(struct trial *t, size_t at, struct remap *remap, struct attempt *best, struct err *err)
{
    struct attempt next;

    TRY(attempt_remap(t->q, t->in, at, remap, &next, err));
    if (attempt_is_better(t->q, t->in, &next, best))
        *best = next;
    if (next.weighed.strict || !next.container->facts.has_metadata || remap->renames_metadata)
        return OK;
    remap->renames_metadata = true;
    TRY(attempt_remap(t->q, t->in, at, remap, &next, err));
    if (attempt_is_better(t->q, t->in, &next, best))
        *best = next;
    return OK;
}

/* One container: as it is, and by each remap that the inference offers after base. */
static enum status
try_container(struct trial *t, size_t at, const struct remap *base, struct err *err)
{
    struct attempt here;
    struct inference found;
    struct remap joined = {0};

    if (base->pass_count == 0 && t->as_is.container_at == at)
        here = t->as_is;
    else
        TRY(attempt_remap(t->q, t->in, at, base, &here, err));
    TRY(infer(t->q->manifest, &here.result.state, t->q->limits, t->q->arena, &found, err));
    for (size_t i = 0; here.verdict != VERDICT_STRICT && i < found.candidate_count; i++) {
        TRY(join_remaps(t->q, base, &found.candidates[i].remap, &joined, err));
        TRY(try_remap(t, at, &joined, &here, err));
    }
    TRY(list_container(t, at, here.verdict, err));
    if (attempt_is_better(t->q, t->in, &here, &t->best)) {
        t->best = here;
        TRY(keep_ambiguities(t, &found, err));
    } else if (slice_equal(t->in->containers[at].path, t->q->opened) || t->best.is_as_is) {
        TRY(keep_ambiguities(t, &found, err));
    }
    return OK;
}

static enum status
find_given(const struct trial *t, size_t *ret_container, struct err *err)
{
    const struct remap *given = t->q->options->remap;
    struct slice path = given->has_container ? given->container : t->q->opened;

    *ret_container = attempt_container(t->in, path);
    FAIL_IF(*ret_container == SIZE_MAX, err, BAD_REQUEST, 0,
            "the remap is for the container \"%.*s\", which the checkpoint does not have",
            SLICE_PRINT(path));
    return OK;
}

/* The caller's remap, and nothing else, or what follows it. */
static enum status
try_given(struct trial *t, struct err *err)
{
    enum infer_mode mode = mode_of(t->q->options);
    size_t at = 0;

    TRY(find_given(t, &at, err));
    if (mode == INFER_COMPLETE) {
        t->best.verdict = VERDICT_COUNT;
        return try_container(t, at, t->q->options->remap, err);
    }
    TRY(attempt_remap(t->q, t->in, at, t->q->options->remap, &t->best, err));
    t->best.is_given = true;
    return mode == INFER_NONE ? list_container(t, at, t->best.verdict, err) : OK;
}

static enum status
try_all(struct trial *t, struct err *err)
{
    static const struct remap nothing = {0};

    TRY(attempt_as_is(t->q, t->in, &t->as_is, err));
    t->best = t->as_is;
    if (t->q->options->remap != NULL)
        TRY(try_given(t, err));
    if (mode_of(t->q->options) == INFER_NONE && t->q->options->remap == NULL &&
        t->as_is.container != NULL && t->as_is.container->kind != CONTAINER_OUTER)
        return list_container(t, t->as_is.container_at, t->as_is.verdict, err);
    if (mode_of(t->q->options) != INFER_FULL)
        return OK;
    for (size_t i = 0; i < t->in->container_count; i++) {
        if (is_tried(t->q, &t->in->containers[i]))
            TRY(try_container(t, i, &nothing, err));
    }
    return OK;
}

/* Design §5's order, where the attempts alone do not decide. */
static enum verdict
decide(const struct trial *t)
{
    const struct attempt *best = &t->best;
    bool is_unsure = t->ambiguous_tensors > 0 && best->judgement.matched + t->ambiguous_tensors >=
                                                     (t->q->manifest->count + 1) / 2;

    if (t->in->safety == SAFETY_MALFORMED)
        return VERDICT_UNKNOWN;
    if (t->as_is.verdict == VERDICT_STRICT &&
        (best->is_as_is || best->verdict == VERDICT_STRICT_AFTER_REMAP))
        return VERDICT_STRICT;
    if (best->verdict <= VERDICT_STRICT_AFTER_REMAP)
        return best->verdict;
    if (best->weighed.is_unknown || (t->as_is.weighed.is_unknown && !best->is_given))
        return VERDICT_UNKNOWN;
    if (best->verdict == VERDICT_INCOMPATIBLE && best->contradictions.count == 0 && is_unsure)
        return VERDICT_UNKNOWN;
    return best->verdict;
}

/* The names in the checkpoint behind each key that is filled. */
static enum status
make_mapping(const struct question *q, const struct attempt *a, struct report *r, struct err *err)
{
    const struct manifest *m = q->manifest;
    struct mapping_row *rows = arena_alloc(q->arena, a->judgement.matched, sizeof *rows);
    struct state old = {0};

    if (rows == NULL)
        return arena_fail(q->arena, err);
    r->mapping = rows;
    if (a->container == NULL)
        return OK; /* nothing is filled, then */
    TRY(state_of_container(a->container, q->arena, &old, err));
    for (size_t i = 0; i < m->count && r->mapping_count < a->judgement.matched; i++) {
        uint32_t key = a->judgement.filled_by[i], self = key;
        struct remap_source source = {.keys = &self, .count = 1};
        struct slice *from;

        if (key >= FILLED_BY_ITSELF)
            continue;
        if (a->result.sources != NULL)
            source = a->result.sources[key];
        from = arena_alloc(q->arena, source.count, sizeof *from);
        if (from == NULL)
            return arena_fail(q->arena, err);
        for (size_t k = 0; k < source.count; k++)
            from[k] = old.keys[source.keys[k]].name;
        rows[r->mapping_count++] =
            (struct mapping_row){m->tensors[i].name, from, source.count, source.op};
    }
    return OK;
}

/* decoder.{*} is shown as decoder. */
static struct slice
subtree_name(struct slice pattern)
{
    struct slice rest = slice_of(".{*}");

    return slice_ends(pattern, rest) && pattern.length > rest.length
               ? slice_part(pattern, 0, pattern.length - rest.length)
               : pattern;
}

static enum status
list_discarded(const struct question *q, const struct attempt *a, struct report *r, struct err *err)
{
    struct slice *subtrees = arena_alloc(q->arena, a->rule_count, sizeof *subtrees);
    struct state old;

    if (subtrees == NULL)
        return arena_fail(q->arena, err);
    TRY(state_of_container(a->container, q->arena, &old, err));
    for (size_t i = 0; i < a->result.dropped_count; i++) {
        const struct state_key *key = &old.keys[a->result.dropped[i]];

        r->discarded_tensors += key->is_tensor;
        if (key->is_tensor &&
            __builtin_add_overflow(r->discarded_elements, key->elements, &r->discarded_elements))
            r->discarded_elements = UINT64_MAX;
    }
    r->discarded_subtrees.texts = subtrees;
    for (size_t i = 0; i < a->remap.pass_count; i++) {
        const struct remap_pass *pass = &a->remap.passes[i];

        for (size_t k = 0; !pass->is_segments && k < pass->rule_count; k++) {
            if (pass->rules[k].to_count == 0 && pass->rules[k].count > 0)
                subtrees[r->discarded_subtrees.count++] = subtree_name(pass->rules[k].from[0].text);
        }
    }
    return OK;
}

static struct report_side
side_of(const struct attempt *a)
{
    return (struct report_side){a->result.state, a->judgement, a->weighed.coverage};
}

static enum status
settle_lists(struct trial *t, struct report *r, struct err *err)
{
    struct report_container *containers =
        arena_alloc(t->q->arena, t->containers.count, sizeof *containers);
    struct ambiguity *ambiguities;

    if (containers == NULL)
        return arena_fail(t->q->arena, err);
    ambiguities = arena_alloc(t->q->arena, t->ambiguities.count, sizeof *ambiguities);
    if (ambiguities == NULL)
        return arena_fail(t->q->arena, err);
    if (t->containers.count > 0)
        memcpy(containers, t->containers.items, t->containers.count * sizeof *containers);
    if (t->ambiguities.count > 0)
        memcpy(ambiguities, t->ambiguities.items, t->ambiguities.count * sizeof *ambiguities);
    r->containers = containers;
    r->container_count = t->containers.count;
    r->ambiguities = ambiguities;
    r->ambiguity_count = t->ambiguities.count;
    return OK;
}

static enum status
fill(struct trial *t, struct report *r, struct err *err)
{
    struct attempt *shown = t->best.is_as_is ? &t->as_is : &t->best;

    if (!shown->weighed.is_unknown)
        TRY(attempt_explain(t->q, shown, err));
    t->best = *shown;
    r->as_is = side_of(&t->as_is);
    r->has_remap = !t->best.is_as_is;
    if (r->has_remap) {
        r->after_remap = side_of(&t->best);
        r->remap = t->best.remap;
        TRY(list_discarded(t->q, &t->best, r, err));
    }
    r->contradictions = shown->contradictions;
    r->verdict = decide(t);
    TRY(settle_lists(t, r, err));
    TRY(weigh_allowed(t->q, &shown->judgement, &r->allowed, &r->allowed_count, err));
    if (t->q->options->wants_mapping)
        TRY(make_mapping(t->q, shown, r, err));
    return advise(t->q, t->in, shown, r, err);
}

enum status
report_make(const struct inspection *in, const struct manifest *m,
            const struct report_options *options, const struct limits *limits, struct arena *arena,
            struct report *ret_report, struct err *err)
{
    struct question q;
    struct report r = {.options = *options, .manifest = m, .is_exact = m->has_modules};
    CLEANUP(trial_done)
    struct trial t = {
        .q = &q,
        .in = in,
        .containers = vec_of(sizeof(struct report_container), SIZE_MAX / 2),
        .ambiguities = vec_of(sizeof(struct ambiguity), SIZE_MAX / 2),
    };

    TRY(question_make(m, options, limits, arena, &q, err));
    FAIL_IF(options->has_container && attempt_container(in, q.opened) == SIZE_MAX, err, BAD_REQUEST,
            0, "the checkpoint has no container \"%.*s\"", SLICE_PRINT(q.opened));
    r.loader = q.loader;
    r.opened = q.opened;
    TRY(try_all(&t, err));
    TRY(fill(&t, &r, err));
    *ret_report = r;
    return OK;
}
