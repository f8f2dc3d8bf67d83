/*
 * Which prefix becomes which. Every name of the checkpoint is known by all its suffixes; each name of
 * the manifest looks for the longest it shares with a tensor of its shape, and votes for what stands
 * before it on either side. Edits are taken by how much they fill. Ties that nothing decides are
 * reported and none of them is taken.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/compat/infer_work.h"

enum {
    STARTS_MAX = 16, /* how many leading segments can be before a suffix */
    CHAIN_MAX = 16,  /* tensors looked at that share one suffix */
    FEW = 8,         /* tensors: fewer prove nothing by filling a subtree of the manifest */
};

struct holder {
    uint32_t key;
    uint32_t next;
};

struct suffixes {
    struct map first; /* suffix -> holder */
    struct vec holders;
};

static void
suffixes_done(struct suffixes *x)
{
    map_done(&x->first);
    vec_done(&x->holders);
}

/* The suffix after its first `start` segments; false where there is none. */
static bool
next_suffix(struct slice *suffix)
{
    struct slice rest = *suffix;

    (void)slice_cut(&rest, '.');
    if (rest.at == NULL)
        return false;
    *suffix = rest;
    return true;
}

static enum status
add_suffixes(struct suffixes *x, struct slice name, uint32_t key, struct err *err)
{
    int starts = 0;

    do {
        uint32_t at = (uint32_t)x->holders.count;
        struct holder *holder;

        TRY(vec_add(&x->holders, &holder, "suffixes", err));
        holder->key = key;
        TRY(map_swap(&x->first, name, at, &holder->next, err));
    } while (++starts < STARTS_MAX && next_suffix(&name));
    return OK;
}

/* What stands before a suffix, without the dot. */
static struct slice
before(struct slice name, struct slice suffix)
{
    size_t length = name.length - suffix.length;

    return slice_part(name, 0, length == 0 ? 0 : length - 1);
}

/* How many leading segments two paths share. */
static size_t
context(struct slice a, struct slice b)
{
    size_t shared = 0;

    while (a.at != NULL && b.at != NULL && slice_equal(slice_cut(&a, '.'), slice_cut(&b, '.')))
        shared++;
    return shared;
}

static enum status
vote_for(struct work *w, struct slice from, struct slice to, struct err *err)
{
    uint32_t id;

    TRY(work_edit(w, from, to, &id, err));
    if (id != INFER_NONE_ID)
        VEC_AT(&w->edits, struct edit, id).votes++;
    return OK;
}

/* All holders of one suffix: those of the expected shape in the nearest context vote. */
static enum status
vote_suffix(struct work *w, const struct suffixes *x, uint32_t first, const struct expected *e,
            struct slice suffix, struct err *err)
{
    bool is_leaf = memchr(suffix.at, '.', suffix.length) == NULL;
    struct slice to = before(e->name, suffix);
    size_t nearest = 0;

    for (int pass = 0; pass < 2; pass++) {
        uint32_t at = first;

        for (int i = 0; at != MAP_NONE && i < CHAIN_MAX; i++) {
            const struct holder *holder = &VEC_AT(&x->holders, struct holder, at);
            struct slice from = before(w->names[holder->key], suffix);
            size_t near = context(from, to);

            at = holder->next;
            if (!infer_fits(e, &w->s->keys[holder->key]))
                continue;
            /* A leaf's name alone says nothing, but where one side has no more than that. */
            if (is_leaf && from.length > 0 && to.length > 0)
                continue;
            if (pass == 0)
                nearest = near > nearest ? near : nearest;
            else if (near == nearest)
                TRY(vote_for(w, from, to, err));
        }
    }
    return OK;
}

static enum status
vote_all(struct work *w, struct err *err)
{
    CLEANUP(suffixes_done)
    struct suffixes x = {.holders = vec_of(sizeof(struct holder), UINT32_MAX - 1)};

    /* From the last name to the first, so that each suffix lists its holders in order. */
    for (size_t i = w->count; i-- > 0;) {
        if (w->s->keys[i].is_tensor)
            TRY(add_suffixes(&x, w->names[i], (uint32_t)i, err));
    }
    for (size_t i = 0; i < w->m->count; i++) {
        struct slice suffix = w->m->tensors[i].name;
        int starts = 0;

        do {
            uint32_t first = map_get(&x.first, suffix);

            if (first == MAP_NONE)
                continue;
            TRY(vote_suffix(w, &x, first, &w->m->tensors[i], suffix, err));
            break;
        } while (++starts < STARTS_MAX && next_suffix(&suffix));
    }
    return OK;
}

/* Whether an edit brings a free key to a free tensor of its shape. */
static bool
would_fill(struct work *w, uint32_t id, uint32_t key, uint32_t *ret_target)
{
    const struct edit *e = &VEC_AT(&w->edits, struct edit, id);
    uint32_t target;

    if (w->assigned[key] != INFER_NONE_ID)
        return false;
    target = map_get(&w->target_names, work_edited(w, e, w->names[key]));
    if (ret_target != NULL)
        *ret_target = target;
    return target != MAP_NONE && w->taken[target] == INFER_NONE_ID &&
           infer_fits(&w->m->tensors[target], &w->s->keys[key]);
}

uint32_t
infer_gain(struct work *w, uint32_t id, bool take)
{
    const struct edit *e = &VEC_AT(&w->edits, struct edit, id);
    uint32_t node = map_get(&w->source_paths, e->from), gain = 0;
    const struct tree_node *n;

    if (node == MAP_NONE)
        return 0;
    n = &w->sources.nodes[node];
    if (w->steps_left < n->leaf_end - n->first_leaf)
        return 0;
    w->steps_left -= n->leaf_end - n->first_leaf;
    for (uint32_t i = n->first_leaf; i < n->leaf_end; i++) {
        uint32_t key = w->sources.nodes[w->sources.leaves[i]].key, target;

        if (!would_fill(w, id, key, &target))
            continue;
        gain++;
        if (take) {
            w->assigned[key] = id;
            w->taken[target] = key;
        }
    }
    return gain;
}

static uint32_t
leaves_below(const struct tree *t, const struct map *paths, struct slice path)
{
    uint32_t node = map_get(paths, path);

    return node == MAP_NONE ? 0 : t->nodes[node].leaf_end - t->nodes[node].first_leaf;
}

/* The deepest node above all the keys that an edit would fill; TREE_NONE where there are none. */
static uint32_t
node_above(struct work *w, const struct edit *e, uint32_t id)
{
    uint32_t node = map_get(&w->source_paths, e->from), first = TREE_NONE, last = 0;
    const struct tree *t = &w->sources;

    for (uint32_t i = t->nodes[node].first_leaf; i < t->nodes[node].leaf_end; i++) {
        if (!would_fill(w, id, t->nodes[t->leaves[i]].key, NULL))
            continue;
        first = first == TREE_NONE ? i : first;
        last = i;
    }
    if (first == TREE_NONE)
        return TREE_NONE;
    node = t->leaves[first];
    while (t->nodes[node].leaf_end <= last)
        node = t->nodes[node].parent;
    return node;
}

/* A small module that moved whole, while most of the manifest is filled already: a head beside its
 * backbone. */
static bool
is_small_move(struct work *w, const struct edit *e, uint32_t id)
{
    uint32_t node, taken = 0;
    const struct tree_node *n;
    struct slice to;

    if (e->gain < 2 || w->steps_left < w->count)
        return false;
    for (size_t i = 0; i < w->m->count; i++)
        taken += w->taken[i] != INFER_NONE_ID;
    node = node_above(w, e, id);
    if (node == TREE_NONE || (uint64_t)taken * 10 < (uint64_t)w->m->count * 6)
        return false;
    w->steps_left -= w->count;
    n = &w->sources.nodes[node];
    to = work_edited(w, e, n->path);
    return n->leaf_end - n->first_leaf == e->gain &&
           leaves_below(&w->targets, &w->target_paths, to) == e->gain;
}

/* Keys that an edit brings to a name of the manifest, whatever their shapes: a head of another size
 * speaks for the prefix before it, too. */
static uint32_t
count_named(struct work *w, const struct edit *e)
{
    const struct tree_node *n = &w->sources.nodes[map_get(&w->source_paths, e->from)];
    uint32_t named = 0;

    if (w->steps_left < n->leaf_end - n->first_leaf)
        return 0;
    w->steps_left -= n->leaf_end - n->first_leaf;
    for (uint32_t i = n->first_leaf; i < n->leaf_end; i++) {
        uint32_t key = w->sources.nodes[w->sources.leaves[i]].key;

        named += map_get(&w->target_names, work_edited(w, e, w->names[key])) != MAP_NONE;
    }
    return named;
}

/* An edit must explain most of what lies below it, or fill most of a subtree that is not tiny. */
static bool
is_plausible(struct work *w, const struct edit *e, uint32_t id)
{
    uint32_t sources = leaves_below(&w->sources, &w->source_paths, e->from);
    uint32_t targets = leaves_below(&w->targets, &w->target_paths, e->to);

    if (e->from.length == 0 && e->to.length == 0)
        return true;
    return (uint64_t)e->gain * 10 >= (uint64_t)sources * 6 ||
           (e->gain >= FEW && (uint64_t)e->gain * 10 >= (uint64_t)targets * 6) ||
           (uint64_t)count_named(w, e) * 10 >= (uint64_t)sources * 6 || is_small_move(w, e, id);
}

static bool
has_word(struct slice path, const char *const *words, size_t count)
{
    while (path.at != NULL) {
        struct slice segment = slice_cut(&path, '.');

        for (size_t i = 0; i < count; i++) {
            if (slice_is(segment, words[i]))
                return true;
        }
    }
    return false;
}

static bool
is_average(struct slice path)
{
    static const char *const words[] = {"ema",        "model_ema",      "ema_model", "params_ema",
                                        "module_ema", "averaged_model", "shadow",    "swa_model"};

    return has_word(path, words, ARRAY_LENGTH(words));
}

/* Only wrappers: what somebody wrapped is what he meant. */
static bool
is_wrapper(struct slice path)
{
    static const char *const words[] = {"module", "_orig_mod", "_fsdp_wrapped_module",
                                        "_checkpoint_wrapped_module", "_forward_module"};

    while (path.at != NULL && path.length > 0) {
        if (!has_word(slice_cut(&path, '.'), words, ARRAY_LENGTH(words)))
            return false;
    }
    return true;
}

static uint8_t
preference_of(const struct edit *e)
{
    if (e->from.length == 0 && e->to.length == 0)
        return 0;
    if (is_average(e->from) && !is_average(e->to))
        return 3;
    return is_wrapper(e->from) && is_wrapper(e->to) ? 1 : 2;
}

static bool
are_rivals(const struct edit *a, const struct edit *b)
{
    return a->gain == b->gain && (slice_equal(a->from, b->from) || slice_equal(a->to, b->to));
}

static int
compare_edits(const struct edit *a, const struct edit *b)
{
    int order;

    if (a->gain != b->gain)
        return a->gain > b->gain ? -1 : 1;
    if (a->preference != b->preference)
        return a->preference - b->preference;
    order = slice_compare(a->from, b->from);
    return order != 0 ? order : slice_compare(a->to, b->to);
}

static uint32_t
find_best(const struct work *w)
{
    uint32_t best = INFER_NONE_ID;

    for (uint32_t i = 0; i < w->edits.count; i++) {
        const struct edit *e = &VEC_AT(&w->edits, struct edit, i);

        if (e->is_picked || e->is_barred || e->gain == 0)
            continue;
        if (best == INFER_NONE_ID || compare_edits(e, &VEC_AT(&w->edits, struct edit, best)) < 0)
            best = i;
    }
    return best;
}

static enum status
note_class(struct work *w, const uint32_t *class, size_t count, struct err *err)
{
    struct slice *texts = arena_alloc(&w->arena, count, sizeof *texts), what;
    uint32_t gain = VEC_AT(&w->edits, struct edit, class[0]).gain;

    if (texts == NULL)
        return arena_fail(&w->arena, err);
    for (size_t i = 0; i < count; i++) {
        const struct edit *e = &VEC_AT(&w->edits, struct edit, class[i]);
        struct slice from, to;

        TRY(infer_all_below(w, e->from, &from, err));
        TRY(infer_all_below(w, e->to, &to, err));
        TRY(arena_printf(&w->arena, &texts[i], err, "%.*s -> %.*s", SLICE_PRINT(from),
                         SLICE_PRINT(to)));
    }
    TRY(arena_printf(&w->arena, &what, err,
                     "%zu ways to fill %u tensors fit equally well by names and shapes", count,
                     (unsigned)gain));
    return infer_note(w, what, texts, count, gain, err);
}

/* All edits that tie with one, directly or through others, and are no worse by preference. Bars them
 * and reports them; true if there were any. */
static enum status
bar_rivals(struct work *w, uint32_t best, bool *ret_barred, struct err *err)
{
    CLEANUP(mem_free_at) uint32_t *class = mem_new(w->edits.count, sizeof *class);
    struct edit *edits = w->edits.items;
    size_t count = 1;

    FAIL_IF(class == NULL, err, NO_MEMORY, 0, "out of memory");
    class[0] = best;
    edits[best].is_barred = true;
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < w->edits.count; k++) {
            if (edits[k].is_picked || edits[k].is_barred ||
                !are_rivals(&edits[class[i]], &edits[k]) ||
                edits[k].preference != edits[best].preference)
                continue;
            /* It may have been counted before others took some of it. */
            edits[k].gain = infer_gain(w, k, false);
            if (edits[k].gain != edits[best].gain)
                continue;
            edits[k].is_barred = true;
            class[count++] = k;
        }
    }
    *ret_barred = count > 1;
    if (count == 1) {
        edits[best].is_barred = false;
        return OK;
    }
    return note_class(w, class, count, err);
}

static int
compare_votes(const void *left, const void *right)
{
    const struct edit *a = left, *b = right;
    int order;

    if (a->votes != b->votes)
        return a->votes > b->votes ? -1 : 1;
    order = slice_compare(a->from, b->from);
    return order != 0 ? order : slice_compare(a->to, b->to);
}

/* Edits in an order that does not come from the input's; the identity stays first. */
static enum status
sort_edits(struct work *w, struct err *err)
{
    struct edit *edits = w->edits.items;

    if (w->edits.count > 2)
        qsort(edits + 1, w->edits.count - 1, sizeof *edits, compare_votes);
    map_done(&w->edit_ids);
    for (uint32_t i = 0; i < w->edits.count; i++) {
        struct slice id;

        edits[i].preference = preference_of(&edits[i]);
        TRY(arena_printf(&w->arena, &id, err, "%zu:%.*s%.*s", edits[i].from.length,
                         SLICE_PRINT(edits[i].from), SLICE_PRINT(edits[i].to)));
        TRY(map_set(&w->edit_ids, id, i, err));
    }
    return OK;
}

static void
count_all(struct work *w)
{
    for (uint32_t i = 0; i < w->edits.count; i++) {
        struct edit *e = &VEC_AT(&w->edits, struct edit, i);

        if (!e->is_picked && !e->is_barred)
            e->gain = infer_gain(w, i, false);
    }
}

enum status
infer_vote(struct work *w, struct err *err)
{
    uint32_t best;

    TRY(vote_all(w, err));
    TRY(sort_edits(w, err));
    count_all(w);
    while ((best = find_best(w)) != INFER_NONE_ID) {
        struct edit *e = &VEC_AT(&w->edits, struct edit, best);
        uint32_t gain = infer_gain(w, best, false);
        bool barred = false;

        if (gain < e->gain) {
            /* Others have taken some of it since it was counted. */
            e->gain = gain;
            continue;
        }
        if (!is_plausible(w, e, best)) {
            e->is_barred = true;
            continue;
        }
        TRY(bar_rivals(w, best, &barred, err));
        if (barred)
            continue;
        (void)infer_gain(w, best, true);
        e->is_picked = true;
        if (gain >= w->count / 4)
            count_all(w); /* most others have lost most of what they had */
    }
    return OK;
}
