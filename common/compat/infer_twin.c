/*
 * Twins: below two paths that already correspond, one child of the checkpoint is of no use and one of
 * the manifest has nothing, and what lies below both is the same to the last name and shape. Then one
 * was renamed to the other. Where several fit several, nothing is taken.
 */
#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/compat/infer_work.h"

enum { SIDE_MAX = 32 }; /* children of one parent that are held against each other */

struct twins {
    struct work *w;
    uint32_t *used;   /* of the source leaves before each leaf, how many are assigned */
    uint32_t *filled; /* of the target leaves before each leaf, how many are taken */
};

static void
twins_done(struct twins *t)
{
    mem_free(t->used);
    mem_free(t->filled);
}

static uint32_t
sum_below(const uint32_t *sums, const struct tree_node *n)
{
    return sums[n->leaf_end] - sums[n->first_leaf];
}

static bool
has_children(const struct tree *t, uint32_t node)
{
    return t->nodes[node].end > node + 1;
}

/* Where a target's parent came from: by the edit that filled its first tensor, if that edit speaks of
 * the parent or of what lies above it. */
static bool
source_of(const struct twins *t, const struct tree_node *parent, uint32_t *ret_node)
{
    struct work *w = t->w;

    for (uint32_t i = parent->first_leaf; i < parent->leaf_end; i++) {
        uint32_t target = w->targets.nodes[w->targets.leaves[i]].key;
        const struct edit *e;
        struct slice path, above;

        if (w->taken[target] == INFER_NONE_ID)
            continue;
        e = &VEC_AT(&w->edits, struct edit, w->assigned[w->taken[target]]);
        if (!infer_is_below(parent->path, e->to))
            continue;
        buf_clear(&w->scratch);
        buf_slice(&w->scratch, e->from);
        above = parent->path.length > e->to.length ? infer_below(parent->path, e->to)
                                                   : (struct slice){.at = ""};
        if (w->scratch.length > 0 && above.length > 0)
            buf_char(&w->scratch, '.');
        buf_slice(&w->scratch, above);
        path = buf_slice_of(&w->scratch);
        *ret_node = map_get(&w->source_paths, path);
        return *ret_node != MAP_NONE;
    }
    return false;
}

/* The children of a node below which nothing is used yet. */
static size_t
idle_children(const struct tree *t, const uint32_t *sums, uint32_t node, uint32_t *children)
{
    size_t count = 0;

    for (uint32_t c = node + 1; c < t->nodes[node].end && count < SIDE_MAX; c = t->nodes[c].end) {
        if (has_children(t, c) && sum_below(sums, &t->nodes[c]) == 0)
            children[count++] = c;
    }
    return count;
}

static enum status
are_twins(struct twins *t, uint32_t source, uint32_t target, bool *ret_are, uint32_t *ret_edit,
          struct err *err)
{
    struct work *w = t->w;
    const struct tree_node *s = &w->sources.nodes[source], *e = &w->targets.nodes[target];
    uint32_t leaves = s->leaf_end - s->first_leaf;

    *ret_are = false;
    if (leaves != e->leaf_end - e->first_leaf)
        return OK;
    TRY(work_edit(w, s->path, e->path, ret_edit, err));
    if (*ret_edit == INFER_NONE_ID)
        return OK;
    *ret_are = infer_gain(w, *ret_edit, false) == leaves;
    return OK;
}

static enum status
note_group(struct twins *t, uint32_t target, const uint32_t *sources, const bool *fits,
           size_t count, struct err *err)
{
    struct work *w = t->w;
    const struct tree_node *n = &w->targets.nodes[target];
    struct slice names[SIDE_MAX], what;
    size_t fitting = 0;

    for (size_t i = 0; i < count; i++) {
        if (fits[i])
            names[fitting++] = w->sources.nodes[sources[i]].path;
    }
    TRY(arena_printf(&w->arena, &what, err, "%.*s could be any of %zu subtrees of equal content",
                     SLICE_PRINT(n->path), fitting));
    return infer_note(w, what, names, fitting, n->leaf_end - n->first_leaf, err);
}

/* All idle children of two parents that correspond. */
static enum status
pair_children(struct twins *t, uint32_t source, uint32_t target, struct err *err)
{
    uint32_t sources[SIDE_MAX], targets[SIDE_MAX], edits[SIDE_MAX] = {0};
    size_t source_count = idle_children(&t->w->sources, t->used, source, sources);
    size_t target_count = idle_children(&t->w->targets, t->filled, target, targets);
    bool fits[SIDE_MAX][SIDE_MAX] = {{false}};

    for (size_t i = 0; i < target_count; i++) {
        for (size_t k = 0; k < source_count; k++)
            TRY(are_twins(t, sources[k], targets[i], &fits[i][k], &edits[k], err));
    }
    for (size_t i = 0; i < target_count; i++) {
        size_t across = 0, down = 0, which = 0;
        uint32_t edit;
        bool is;

        for (size_t k = 0; k < source_count; k++) {
            across += fits[i][k];
            which = fits[i][k] ? k : which;
        }
        for (size_t k = 0; k < target_count; k++)
            down += across > 0 && fits[k][which];
        if (across == 0)
            continue;
        if (across > 1 || down > 1) {
            TRY(note_group(t, targets[i], sources, fits[i], source_count, err));
            continue;
        }
        TRY(are_twins(t, sources[which], targets[i], &is, &edit, err));
        if (is)
            (void)infer_gain(t->w, edit, true);
    }
    return OK;
}

static enum status
sum_leaves(struct twins *t, struct err *err)
{
    struct work *w = t->w;

    t->used = mem_new(w->sources.leaf_count + 1, sizeof *t->used);
    t->filled = mem_new(w->targets.leaf_count + 1, sizeof *t->filled);
    FAIL_IF(t->used == NULL || t->filled == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < w->sources.leaf_count; i++) {
        uint32_t key = w->sources.nodes[w->sources.leaves[i]].key;

        t->used[i + 1] = t->used[i] + (w->assigned[key] != INFER_NONE_ID);
    }
    for (size_t i = 0; i < w->targets.leaf_count; i++) {
        uint32_t target = w->targets.nodes[w->targets.leaves[i]].key;

        t->filled[i + 1] = t->filled[i] + (w->taken[target] != INFER_NONE_ID);
    }
    return OK;
}

enum status
infer_twin(struct work *w, struct err *err)
{
    CLEANUP(twins_done) struct twins t = {.w = w};

    TRY(sum_leaves(&t, err));
    for (uint32_t i = 0; i < w->targets.count; i++) {
        const struct tree_node *n = &w->targets.nodes[i];
        uint32_t filled = sum_below(t.filled, n), source;

        /* Only where something is filled and something is not. */
        if (filled == 0 || filled == n->leaf_end - n->first_leaf || !has_children(&w->targets, i))
            continue;
        if (source_of(&t, n, &source))
            TRY(pair_children(&t, source, i, err));
    }
    return OK;
}
