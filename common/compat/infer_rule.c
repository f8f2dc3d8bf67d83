/*
 * The fewest key rules. Each key that is of use needs its edit; a rule at a node gives one to all keys
 * below, unless a deeper rule gives another. From the leaves up, each node keeps the edits that would
 * save the most rules below it; from the root down, a rule is made where what is inherited is not
 * among them. (It is how routing tables are made small.)
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/compat/infer_work.h"

enum {
    LABELS_MAX = 6,   /* kept at a node */
    COUNTED_MAX = 48, /* told apart among its children */
};

struct labels {
    uint32_t labels[LABELS_MAX];
    uint8_t count; /* 0: nothing below is of use */
};

struct made {
    uint32_t node;
    uint32_t edit;
    bool is_key; /* of the node's own key, not of what lies below */
};

struct reduction {
    struct work *w;
    struct labels *labels; /* of each node */
    uint32_t *given;       /* edit that each node gives to what lies below it */
    struct vec made;
};

static void
reduction_done(struct reduction *r)
{
    vec_done(&r->made);
}

struct tally {
    uint32_t labels[COUNTED_MAX];
    uint32_t votes[COUNTED_MAX];
    size_t count;
};

static const struct edit *
edit_at(const struct work *w, uint32_t id)
{
    return &VEC_AT(&w->edits, struct edit, id);
}

/* An edit can be given at a node if the node lies below the edit's from. */
static void
tally_label(const struct reduction *r, struct tally *t, const struct tree_node *n, uint32_t label)
{
    if (!infer_is_below(n->path, edit_at(r->w, label)->from))
        return;
    for (size_t i = 0; i < t->count; i++) {
        if (t->labels[i] != label)
            continue;
        t->votes[i]++;
        return;
    }
    if (t->count == COUNTED_MAX)
        return;
    t->labels[t->count] = label;
    t->votes[t->count++] = 1;
}

/* The labels with the most votes, ascending. */
static void
keep_most(const struct tally *t, struct labels *l)
{
    uint32_t most = 0;

    for (size_t i = 0; i < t->count; i++)
        most = t->votes[i] > most ? t->votes[i] : most;
    for (size_t i = 0; i < t->count && l->count < LABELS_MAX; i++) {
        size_t at = l->count;

        if (t->votes[i] < most)
            continue;
        for (; at > 0 && l->labels[at - 1] > t->labels[i]; at--)
            l->labels[at] = l->labels[at - 1];
        l->labels[at] = t->labels[i];
        l->count++;
    }
}

static void
climb(struct reduction *r)
{
    const struct tree *t = &r->w->sources;

    for (size_t i = t->count; i-- > 0;) {
        const struct tree_node *n = &t->nodes[i];
        struct tally tally = {.count = 0};
        bool is_of_use = false;

        for (uint32_t c = (uint32_t)i + 1; c < n->end; c = t->nodes[c].end) {
            uint32_t key = t->nodes[c].key;

            for (size_t k = 0; k < r->labels[c].count; k++)
                tally_label(r, &tally, n, r->labels[c].labels[k]);
            is_of_use = is_of_use || r->labels[c].count > 0;
            if (key == TREE_NONE || r->w->assigned[key] == INFER_NONE_ID)
                continue;
            tally_label(r, &tally, n, r->w->assigned[key]);
            is_of_use = true;
        }
        keep_most(&tally, &r->labels[i]);
        /* Below are only edits that begin deeper: nothing can be given here. */
        if (is_of_use && tally.count == 0)
            r->labels[i] = (struct labels){.labels = {INFER_IDENTITY}, .count = 1};
    }
}

static bool
has_label(const struct labels *l, uint32_t label)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->labels[i] == label)
            return true;
    }
    return false;
}

static enum status
add_made(struct reduction *r, uint32_t node, uint32_t edit, bool is_key, struct err *err)
{
    struct made *made;

    TRY(vec_add(&r->made, &made, "rules in a remap", err));
    *made = (struct made){.node = node, .edit = edit, .is_key = is_key};
    return OK;
}

static enum status
descend(struct reduction *r, struct err *err)
{
    const struct tree *t = &r->w->sources;

    for (uint32_t i = 0; i < t->count; i++) {
        const struct tree_node *n = &t->nodes[i];
        uint32_t inherited = n->parent == TREE_NONE ? INFER_IDENTITY : r->given[n->parent];
        uint32_t wanted = n->key == TREE_NONE ? INFER_NONE_ID : r->w->assigned[n->key];

        if (wanted != INFER_NONE_ID && wanted != inherited)
            TRY(add_made(r, i, wanted, true, err));
        r->given[i] = inherited;
        if (r->labels[i].count == 0 || has_label(&r->labels[i], inherited))
            continue;
        r->given[i] = r->labels[i].labels[0];
        TRY(add_made(r, i, r->given[i], false, err));
    }
    return OK;
}

/* Deeper rules before those above them; else in the tree's order. */
static int
compare_made(const void *left, const void *right)
{
    const struct made *a = left, *b = right;

    return (a->node > b->node) - (a->node < b->node);
}

/* Preorder to postorder, in place of the sorted list: each rule moves behind those below it. */
static void
put_deeper_first(const struct tree *t, struct made *made, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        struct made moved = made[i];
        size_t at = i;

        if (moved.is_key)
            continue;
        while (at + 1 < count && made[at + 1].node < t->nodes[moved.node].end) {
            made[at] = made[at + 1];
            at++;
        }
        made[at] = moved;
    }
}

static enum status
tell(struct reduction *r, const struct made *made, struct remap_rule *ret_rule, struct err *err)
{
    struct work *w = r->w;
    const struct tree_node *n = &w->sources.nodes[made->node];
    struct slice from, to, path, evidence;
    uint32_t fits = 0, all = n->leaf_end - n->first_leaf;

    TRY(arena_copy(&w->arena, work_edited(w, edit_at(w, made->edit), n->path), &path, err));
    if (made->is_key) {
        TRY(pattern_of_text(n->path, &w->arena, &from, err));
        TRY(pattern_of_text(path, &w->arena, &to, err));
        return infer_rule_of(w, from, to, slice_of("the same shape in the same place"), ret_rule,
                             err);
    }
    for (uint32_t i = n->first_leaf; i < n->leaf_end; i++)
        fits += w->assigned[w->sources.nodes[w->sources.leaves[i]].key] == made->edit;
    TRY(infer_all_below(w, n->path, &from, err));
    TRY(infer_all_below(w, path, &to, err));
    if (all == w->count && n->path.length > 0)
        evidence = slice_of("prefix on every key");
    else
        TRY(arena_printf(w->kept, &evidence, err, "%u of %u fit by name and shape", (unsigned)fits,
                         (unsigned)all));
    return infer_rule_of(w, from, to, evidence, ret_rule, err);
}

enum status
infer_rules(struct work *w, struct remap_rule **ret_rules, size_t *ret_count, struct err *err)
{
    CLEANUP(reduction_done)
    struct reduction r = {.w = w, .made = vec_of(sizeof(struct made), w->limits->remap_rules)};
    struct remap_rule *rules;

    r.labels = arena_alloc(&w->arena, w->sources.count, sizeof *r.labels);
    if (r.labels == NULL)
        return arena_fail(&w->arena, err);
    r.given = arena_alloc(&w->arena, w->sources.count, sizeof *r.given);
    if (r.given == NULL)
        return arena_fail(&w->arena, err);
    climb(&r);
    TRY(descend(&r, err));
    rules = arena_alloc(w->kept, r.made.count, sizeof *rules);
    if (rules == NULL)
        return arena_fail(w->kept, err);
    if (r.made.count > 1) {
        qsort(r.made.items, r.made.count, sizeof(struct made), compare_made);
        put_deeper_first(&w->sources, r.made.items, r.made.count);
    }
    for (size_t i = 0; i < r.made.count; i++)
        TRY(tell(&r, &VEC_AT(&r.made, struct made, i), &rules[i], err));
    *ret_rules = rules;
    *ret_count = r.made.count;
    return OK;
}
