#include "common/compat/weigh.h"

#include "common/base/attr.h"
#include "common/base/glob.h"
#include "common/base/vec.h"

/* Globs held against keys, at most: a question of a thousand globs over a million keys is refused. */
static const uint64_t glob_tries_max = 100000000;

static enum status
join_groups(struct arena *arena, struct name_group a, struct name_group b,
            struct name_group *ret_group, struct err *err)
{
    struct slice *names = arena_alloc(arena, a.count + b.count, sizeof *names);

    if (names == NULL)
        return arena_fail(arena, err);
    if (a.count > 0)
        memcpy(names, a.names, a.count * sizeof *names);
    if (b.count > 0)
        memcpy(names + a.count, b.names, b.count * sizeof *names);
    *ret_group = (struct name_group){.names = names, .count = a.count + b.count};
    return OK;
}

enum status
question_make(const struct manifest *m, const struct report_options *options,
              const struct limits *limits, struct arena *arena, struct question *ret_question,
              struct err *err)
{
    struct question q = {.manifest = m, .options = options, .limits = limits, .arena = arena};

    q.loader = options->loader;
    if (q.loader == LOADER_COUNT)
        q.loader = m->loader.length == 0 ? LOADER_TORCH : loader_find(m->loader);
    FAIL_IF(q.loader == LOADER_COUNT, err, BAD_MANIFEST, 0,
            "the manifest names the loader \"%.*s\", which is not known", SLICE_PRINT(m->loader));
    q.opened = options->has_container ? options->container
               : m->has_container     ? m->container
                                      : loader_container(q.loader);
    q.min_coverage = options->has_min_coverage    ? options->min_coverage
                     : m->expect.has_min_coverage ? m->expect.min_coverage
                                                  : 0.5;
    TRY(join_groups(arena, options->allow_missing, m->expect.allow_missing, &q.allow_missing, err));
    TRY(join_groups(arena, options->allow_unexpected, m->expect.allow_unexpected,
                    &q.allow_unexpected, err));
    TRY(join_groups(arena, options->allow_mismatch, m->expect.allow_mismatch, &q.allow_mismatch,
                    err));
    *ret_question = q;
    return OK;
}

/* The first glob that matches, or NULL. */
static const struct slice *
find_glob(const struct name_group *globs, struct slice key)
{
    for (size_t i = 0; i < globs->count; i++) {
        if (glob_match(globs->names[i], key))
            return &globs->names[i];
    }
    return NULL;
}

static bool
is_allowed(const struct name_group *globs, struct slice key)
{
    return find_glob(globs, key) != NULL;
}

static size_t
count_left(const struct name_group *globs, const struct slice *keys, size_t count)
{
    size_t left = count;

    for (size_t i = 0; globs->count > 0 && i < count; i++)
        left -= is_allowed(globs, keys[i]);
    return left;
}

static struct slice
expected_name(const struct question *q, const struct mismatch *mismatch)
{
    return q->manifest->tensors[mismatch->expected].name;
}

/* Casts that the policy does not take. */
static size_t
count_dtypes(const struct question *q, const struct state *s, const struct judgement *j)
{
    size_t left = 0;

    if (q->options->dtype == DTYPE_POLICY_ANY)
        return 0;
    for (size_t i = 0; i < j->dtype_mismatch_count; i++) {
        const struct mismatch *mismatch = &j->dtype_mismatch[i];
        enum dtype_kind expected = dtype_kind(q->manifest->tensors[mismatch->expected].dtype);
        enum dtype_kind found = dtype_kind(s->keys[mismatch->found].dtype);

        if (q->options->dtype == DTYPE_POLICY_SAFE && expected == found)
            continue;
        left += !is_allowed(&q->allow_mismatch, expected_name(q, mismatch));
    }
    return left;
}

static double
fraction(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 1.0 : (double)part / (double)whole;
}

static enum status
check_work(const struct question *q, const struct judgement *j, struct err *err)
{
    uint64_t globs = q->allow_missing.count + q->allow_unexpected.count + q->allow_mismatch.count;
    uint64_t keys =
        j->missing_count + j->unexpected_count + j->shape_mismatch_count + j->dtype_mismatch_count;

    FAIL_IF(globs > 0 && keys > glob_tries_max / globs, err, LIMIT, 0,
            "%llu globs over %llu keys are more than can be tried", (unsigned long long)globs,
            (unsigned long long)keys);
    return OK;
}

enum status
weigh(const struct question *q, const struct state *s, const struct judgement *j,
      struct weighed *ret_weighed, struct err *err)
{
    struct weighed w = {.not_tensors = j->not_a_tensor_count, .errors = j->error_count};
    bool nothing_allowed;

    TRY(check_work(q, j, err));
    w.missing = count_left(&q->allow_missing, j->missing, j->missing_count);
    w.unexpected = count_left(&q->allow_unexpected, j->unexpected, j->unexpected_count);
    for (size_t i = 0; i < j->shape_mismatch_count; i++)
        w.shapes += !is_allowed(&q->allow_mismatch, expected_name(q, &j->shape_mismatch[i]));
    w.dtypes = count_dtypes(q, s, j);
    w.is_unknown = j->is_unknown;
    w.coverage.tensors = fraction(j->matched, q->manifest->count);
    w.coverage.elements = fraction(j->filled_elements, j->expected_elements);

    /* Where nothing was allowed, PyTorch's own word is the answer. */
    nothing_allowed = w.missing == j->missing_count && w.unexpected == j->unexpected_count &&
                      w.shapes == j->shape_mismatch_count;
    w.non_strict =
        nothing_allowed ? j->non_strict : w.shapes == 0 && w.not_tensors == 0 && w.errors == 0;
    w.strict = nothing_allowed ? j->strict : w.non_strict && w.missing == 0 && w.unexpected == 0;
    w.strict = w.strict && w.dtypes == 0;
    w.non_strict = w.non_strict && w.dtypes == 0;
    *ret_weighed = w;
    return OK;
}

enum verdict
weigh_level(const struct question *q, const struct weighed *w, bool is_contradicted)
{
    if (w->is_unknown)
        return VERDICT_UNKNOWN;
    if (w->strict)
        return VERDICT_STRICT;
    if (is_contradicted || w->coverage.elements < q->min_coverage)
        return VERDICT_INCOMPATIBLE;
    return w->non_strict ? VERDICT_NON_STRICT : VERDICT_PARTIAL;
}

static enum status
note_allowed(struct vec *list, const struct name_group *globs, enum allowance kind,
             struct slice key, struct err *err)
{
    const struct slice *glob = find_glob(globs, key);
    struct allowed *item;

    if (glob == NULL)
        return OK;
    TRY(vec_add(list, &item, "allowed keys", err));
    *item = (struct allowed){.kind = kind, .key = key, .glob = *glob};
    return OK;
}

enum status
weigh_allowed(const struct question *q, const struct judgement *j,
              const struct allowed **ret_allowed, size_t *ret_count, struct err *err)
{
    CLEANUP(vec_done) struct vec list = vec_of(sizeof(struct allowed), SIZE_MAX / 2);
    struct allowed *copy;

    for (size_t i = 0; i < j->missing_count; i++)
        TRY(note_allowed(&list, &q->allow_missing, ALLOWED_MISSING, j->missing[i], err));
    for (size_t i = 0; i < j->unexpected_count; i++)
        TRY(note_allowed(&list, &q->allow_unexpected, ALLOWED_UNEXPECTED, j->unexpected[i], err));
    for (size_t i = 0; i < j->shape_mismatch_count; i++)
        TRY(note_allowed(&list, &q->allow_mismatch, ALLOWED_MISMATCH,
                         expected_name(q, &j->shape_mismatch[i]), err));
    copy = arena_alloc(q->arena, list.count, sizeof *copy);
    if (copy == NULL)
        return arena_fail(q->arena, err);
    if (list.count > 0)
        memcpy(copy, list.items, list.count * sizeof *copy);
    *ret_allowed = copy;
    *ret_count = list.count;
    return OK;
}
