#include "common/compat/infer_work.h"

#include "common/base/attr.h"

/* Each key may be looked at so often while edits are weighed against each other. */
static const uint64_t steps_each = 24, steps_least = 200000;

bool
infer_fits(const struct expected *e, const struct state_key *key)
{
    if (!key->is_tensor)
        return false;
    if (!e->has_shape)
        return true;
    /* A single element goes into a scalar. */
    if (e->shape.rank == 0 && key->shape.rank == 1)
        return key->shape.dims[0] > 0;
    if (e->shape.rank != key->shape.rank)
        return false;
    for (uint32_t i = 0; i < e->shape.rank; i++) {
        if (e->shape.dims[i] != MANIFEST_ANY_DIM && e->shape.dims[i] != key->shape.dims[i])
            return false;
    }
    return true;
}

bool
infer_is_below(struct slice path, struct slice prefix)
{
    return prefix.length == 0 || (slice_starts(path, prefix) &&
                                  (path.length == prefix.length || path.at[prefix.length] == '.'));
}

struct slice
infer_below(struct slice name, struct slice prefix)
{
    return prefix.length == 0 ? name : slice_from(name, prefix.length + 1);
}

static enum status
map_paths(const struct tree *t, struct map *paths, struct err *err)
{
    TRY(map_reserve(paths, t->count, err));
    for (uint32_t i = 0; i < t->count; i++)
        TRY(map_set(paths, t->nodes[i].path, i, err));
    return OK;
}

static enum status
make_trees(struct work *w, struct err *err)
{
    struct slice *names = arena_alloc(&w->arena, w->m->count, sizeof *names);

    if (names == NULL)
        return arena_fail(&w->arena, err);
    TRY(map_reserve(&w->target_names, w->m->count, err));
    for (size_t i = 0; i < w->m->count; i++) {
        names[i] = w->m->tensors[i].name;
        TRY(map_set(&w->target_names, names[i], (uint32_t)i, err));
    }
    TRY(tree_make(names, w->m->count, &w->arena, &w->targets, err));
    TRY(tree_make(w->names, w->count, &w->arena, &w->sources, err));
    TRY(map_paths(&w->targets, &w->target_paths, err));
    return map_paths(&w->sources, &w->source_paths, err);
}

enum status
work_make(struct work *w, const struct manifest *m, const struct state *s,
          const struct slice *names, const struct limits *limits, struct arena *kept,
          struct err *err)
{
    uint32_t identity;

    *w = (struct work){
        .m = m,
        .s = s,
        .limits = limits,
        .arena = arena_with_cap(limits->arena_bytes),
        .kept = kept,
        .names = names,
        .count = s->count,
        .edits = vec_of(sizeof(struct edit), INFER_EDITS_MAX),
        .ambiguities = vec_of(sizeof(struct ambiguity), INFER_AMBIGUITIES_MAX),
        .scratch = buf_with_cap((size_t)1 << 20),
        .steps_left = steps_least + steps_each * s->count,
    };
    w->assigned = arena_alloc(&w->arena, s->count, sizeof *w->assigned);
    if (w->assigned == NULL)
        return arena_fail(&w->arena, err);
    w->taken = arena_alloc(&w->arena, m->count, sizeof *w->taken);
    if (w->taken == NULL)
        return arena_fail(&w->arena, err);
    for (size_t i = 0; i < s->count; i++)
        w->assigned[i] = INFER_NONE_ID;
    for (size_t i = 0; i < m->count; i++)
        w->taken[i] = INFER_NONE_ID;
    TRY(work_edit(w, (struct slice){.at = ""}, (struct slice){.at = ""}, &identity, err));
    return make_trees(w, err);
}

void
work_done(struct work *w)
{
    map_done(&w->source_paths);
    map_done(&w->target_paths);
    map_done(&w->target_names);
    map_done(&w->edit_ids);
    vec_done(&w->edits);
    vec_done(&w->ambiguities);
    buf_done(&w->scratch);
    arena_done(&w->arena);
}

static struct slice
without_last(struct slice path)
{
    size_t length = path.length;

    while (length > 0 && path.at[length - 1] != '.')
        length--;
    return slice_part(path, 0, length == 0 ? 0 : length - 1);
}

static struct slice
last_of(struct slice path)
{
    struct slice head = without_last(path);

    return head.length == 0 && (path.length == 0 || path.at[0] != '.')
               ? path
               : slice_from(path, head.length + 1);
}

/* module.encoder to encoder is module to nothing: one edit for one change. */
static void
trim_tails(struct slice *from, struct slice *to)
{
    while (from->length > 0 && to->length > 0 && slice_equal(last_of(*from), last_of(*to))) {
        *from = without_last(*from);
        *to = without_last(*to);
    }
}

enum status
work_edit(struct work *w, struct slice from, struct slice to, uint32_t *ret_edit, struct err *err)
{
    struct slice id;
    struct edit *edit;

    trim_tails(&from, &to);
    buf_clear(&w->scratch);
    buf_u64(&w->scratch, from.length);
    buf_char(&w->scratch, ':');
    buf_slice(&w->scratch, from);
    buf_slice(&w->scratch, to);
    TRY(buf_check(&w->scratch, err));
    *ret_edit = map_get(&w->edit_ids, buf_slice_of(&w->scratch));
    if (*ret_edit != MAP_NONE)
        return OK;
    *ret_edit = INFER_NONE_ID;
    if (w->edits.count == INFER_EDITS_MAX)
        return OK;
    TRY(arena_copy(&w->arena, buf_slice_of(&w->scratch), &id, err));
    *ret_edit = (uint32_t)w->edits.count;
    TRY(vec_add(&w->edits, &edit, "edits", err));
    *edit = (struct edit){.from = from, .to = to};
    return map_set(&w->edit_ids, id, *ret_edit, err);
}

struct slice
work_edited(struct work *w, const struct edit *e, struct slice name)
{
    struct slice rest;

    if (e->from.length == 0 && e->to.length == 0)
        return name;
    buf_clear(&w->scratch);
    buf_slice(&w->scratch, e->to);
    if (name.length > e->from.length) {
        rest = infer_below(name, e->from);
        if (e->to.length > 0)
            buf_char(&w->scratch, '.');
        buf_slice(&w->scratch, rest);
    }
    return buf_slice_of(&w->scratch);
}

enum status
infer_rule_of(struct work *w, struct slice from, struct slice to, struct slice evidence,
              struct remap_rule *ret_rule, struct err *err)
{
    struct pattern *patterns = arena_alloc(w->kept, 2, sizeof *patterns);

    if (patterns == NULL)
        return arena_fail(w->kept, err);
    TRY(arena_copy(w->kept, from, &from, err));
    TRY(arena_copy(w->kept, to, &to, err));
    TRY(pattern_parse(from, false, w->kept, &patterns[0], err));
    if (to.length > 0)
        TRY(pattern_parse(to, true, w->kept, &patterns[1], err));
    *ret_rule = (struct remap_rule){.from = &patterns[0], .from_count = 1, .evidence = evidence};
    if (to.length > 0) {
        ret_rule->to = &patterns[1];
        ret_rule->to_count = 1;
    }
    return OK;
}

enum status
infer_all_below(struct work *w, struct slice path, struct slice *ret_pattern, struct err *err)
{
    struct slice escaped;

    if (path.length == 0) {
        *ret_pattern = slice_of("{*}");
        return OK;
    }
    TRY(pattern_of_text(path, &w->arena, &escaped, err));
    return arena_printf(&w->arena, ret_pattern, err, "%.*s.{*}", SLICE_PRINT(escaped));
}

enum status
infer_note(struct work *w, struct slice what, const struct slice *candidates, size_t count,
           size_t tensors, struct err *err)
{
    struct slice *copy;
    struct ambiguity *a;

    if (w->ambiguities.count == INFER_AMBIGUITIES_MAX)
        return OK;
    copy = arena_alloc(w->kept, count, sizeof *copy);
    if (copy == NULL)
        return arena_fail(w->kept, err);
    for (size_t i = 0; i < count; i++)
        TRY(arena_copy(w->kept, candidates[i], &copy[i], err));
    TRY(arena_copy(w->kept, what, &what, err));
    TRY(vec_add(&w->ambiguities, &a, "ambiguities", err));
    *a = (struct ambiguity){
        .what = what, .candidates = copy, .candidate_count = count, .tensors = tensors};
    return OK;
}
