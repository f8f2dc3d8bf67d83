/*
 * What may be left out (design §5, "What may be emitted"): buffers that carry nothing, and whole
 * subtrees that have no counterpart. Never one of a numbered series whose siblings are of use, never
 * what gives another tensor its meaning, and nothing from within a module that is of use.
 */
#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/compat/infer_work.h"
#include "common/compat/meaning.h"

enum { DROPS_MAX = 64 }; /* more rules than this are no remap that a person reads */

struct drops {
    struct work *w;
    const bool *is_used;
    const struct slice *became;
    uint32_t *used;      /* of the leaves before each leaf, how many are of use */
    bool *is_gone;       /* keys that a rule leaves out already */
    struct slice *roots; /* froms of the edits that are of use */
    size_t root_count;
    struct vec rules; /* struct remap_rule */
};

static void
drops_done(struct drops *d)
{
    mem_free(d->used);
    mem_free(d->is_gone);
    mem_free(d->roots);
    vec_done(&d->rules);
}

static uint32_t
used_below(const struct drops *d, const struct tree_node *n)
{
    return d->used[n->leaf_end] - d->used[n->first_leaf];
}

/* "block12" is block and a number. */
static size_t
base_length(struct slice segment)
{
    size_t length = segment.length;

    while (length > 0 && segment.at[length - 1] >= '0' && segment.at[length - 1] <= '9')
        length--;
    return length;
}

/* One of a numbered series of which another is of use. */
static bool
is_of_used_series(const struct drops *d, uint32_t node)
{
    const struct tree *t = &d->w->sources;
    struct slice segment = t->nodes[node].segment;
    size_t length = base_length(segment);
    uint32_t parent = t->nodes[node].parent;

    if (length == segment.length)
        return false;
    /* Siblings are looked at so long as there is time; then nothing more is left out. */
    if (d->w->steps_left < t->nodes[parent].end - parent)
        return true;
    d->w->steps_left -= t->nodes[parent].end - parent;
    for (uint32_t c = parent + 1; c < t->nodes[parent].end; c = t->nodes[c].end) {
        struct slice other = t->nodes[c].segment;

        if (c != node && base_length(other) == length && other.length > length &&
            slice_equal(slice_part(other, 0, length), slice_part(segment, 0, length)) &&
            used_below(d, &t->nodes[c]) > 0)
            return true;
    }
    return false;
}

/* The same of anything above the node that is of no use itself: a block too many. */
static bool
lies_in_used_series(const struct drops *d, uint32_t node)
{
    const struct tree_node *nodes = d->w->sources.nodes;

    for (; nodes[node].parent != TREE_NONE && used_below(d, &nodes[node]) == 0;
         node = nodes[node].parent) {
        if (is_of_used_series(d, node))
            return true;
    }
    return false;
}

/* Whether a node's parent lies above all that is of use, or is where that begins. */
static bool
is_outermost(const struct drops *d, const struct tree_node *n, bool strictly)
{
    struct slice parent = d->w->sources.nodes[n->parent].path;

    for (size_t i = 0; i < d->root_count; i++) {
        bool is_above = infer_is_below(d->roots[i], parent);

        if (is_above && (!strictly || d->roots[i].length > parent.length))
            return true;
    }
    return false;
}

/* What the remap makes of the path, by what it makes of the first key below. */
static struct slice
path_became(const struct drops *d, const struct tree_node *n)
{
    uint32_t key = d->w->sources.nodes[d->w->sources.leaves[n->first_leaf]].key;
    struct slice name = d->w->names[key], new_name = d->became[key];
    size_t rest = name.length - n->path.length;

    if (new_name.length < rest || !slice_equal(slice_from(new_name, new_name.length - rest),
                                               slice_from(name, n->path.length)))
        return n->path;
    return slice_part(new_name, 0, new_name.length - rest);
}

static bool
may_drop_subtree(const struct drops *d, uint32_t node)
{
    const struct tree_node *n = &d->w->sources.nodes[node];

    return meaning_of(n->path) == MEANING_NONE && !is_of_used_series(d, node) &&
           is_outermost(d, n, false) && map_get(&d->w->target_paths, path_became(d, n)) == MAP_NONE;
}

static bool
is_extra_state(struct slice name)
{
    struct slice last = slice_of("_extra_state");

    return slice_equal(name, last) || slice_ends(name, slice_of("._extra_state"));
}

static bool
may_drop_key(const struct drops *d, uint32_t node)
{
    const struct tree_node *n = &d->w->sources.nodes[node];
    const struct state_key *key = &d->w->s->keys[n->key];
    struct state_key named = *key;

    named.name = d->w->names[n->key];
    if (meaning_is_benign(&named))
        return !lies_in_used_series(d, node);
    if (!key->is_tensor)
        return !is_extra_state(named.name) && is_outermost(d, n, false);
    return meaning_of(n->path) == MEANING_NONE && !is_of_used_series(d, node) &&
           is_outermost(d, n, true);
}

static enum status
add_rule(struct drops *d, struct slice pattern, const char *evidence, struct err *err)
{
    struct remap_rule *rule;

    TRY(vec_add(&d->rules, &rule, "rules that drop", err));
    return infer_rule_of(d->w, pattern, (struct slice){0}, slice_of(evidence), rule, err);
}

static struct slice
last_segment(struct slice name)
{
    size_t start = name.length;

    while (start > 0 && name.at[start - 1] != '.')
        start--;
    return slice_from(name, start);
}

/* One rule for all buffers of one name, where no key that is of use has it. */
static enum status
drop_buffers(struct drops *d, uint32_t key, struct err *err)
{
    struct work *w = d->w;
    struct slice last = last_segment(w->names[key]), pattern;
    bool is_common = last.length < w->names[key].length;

    for (size_t i = 0; is_common && i < w->count; i++) {
        struct state_key named = w->s->keys[i];

        named.name = w->names[i];
        if (slice_equal(last_segment(named.name), last) &&
            (d->is_used[i] || !meaning_is_benign(&named)))
            is_common = false;
    }
    if (!is_common) {
        TRY(pattern_of_text(w->names[key], &w->arena, &pattern, err));
        d->is_gone[key] = true;
        return add_rule(d, pattern, "a buffer that carries nothing", err);
    }
    for (size_t i = 0; i < w->count; i++) {
        if (slice_equal(last_segment(w->names[i]), last) && last.length < w->names[i].length)
            d->is_gone[i] = true;
    }
    TRY(pattern_of_text(last, &w->arena, &pattern, err));
    TRY(arena_printf(&w->arena, &pattern, err, "{*}.%.*s", SLICE_PRINT(pattern)));
    return add_rule(d, pattern, "buffers that carry nothing", err);
}

static enum status
drop_key(struct drops *d, uint32_t node, struct err *err)
{
    const struct tree_node *n = &d->w->sources.nodes[node];
    struct slice pattern;

    if (d->is_used[n->key] || d->is_gone[n->key] || !may_drop_key(d, node))
        return OK;
    if (d->w->s->keys[n->key].is_tensor && !is_outermost(d, n, true))
        return drop_buffers(d, n->key, err);
    TRY(pattern_of_text(n->path, &d->w->arena, &pattern, err));
    d->is_gone[n->key] = true;
    return add_rule(d, pattern, "no counterpart in the manifest", err);
}

static enum status
drop_below(struct drops *d, uint32_t node, struct err *err)
{
    struct slice pattern;

    TRY(infer_all_below(d->w, d->w->sources.nodes[node].path, &pattern, err));
    return add_rule(d, pattern, "no counterpart in the manifest", err);
}

static enum status
find_roots(struct drops *d, struct err *err)
{
    struct work *w = d->w;

    d->roots = mem_new(w->edits.count + 1, sizeof *d->roots);
    d->used = mem_new(w->sources.leaf_count + 1, sizeof *d->used);
    d->is_gone = mem_new(w->count + 1, sizeof *d->is_gone);
    FAIL_IF(d->roots == NULL || d->used == NULL || d->is_gone == NULL, err, NO_MEMORY, 0,
            "out of memory");
    for (uint32_t i = 0; i < w->edits.count; i++) {
        const struct edit *e = &VEC_AT(&w->edits, struct edit, i);

        if (e->is_picked)
            d->roots[d->root_count++] = e->from;
    }
    for (size_t i = 0; i < w->sources.leaf_count; i++) {
        uint32_t key = w->sources.nodes[w->sources.leaves[i]].key;

        d->used[i + 1] = d->used[i] + d->is_used[key];
    }
    return OK;
}

enum status
infer_drops(struct work *w, const bool *is_used, const struct slice *became,
            struct remap_rule **ret_rules, size_t *ret_count, struct err *err)
{
    CLEANUP(drops_done)
    struct drops d = {
        .w = w,
        .is_used = is_used,
        .became = became,
        .rules = vec_of(sizeof(struct remap_rule), DROPS_MAX),
    };
    const struct tree *t = &w->sources;

    *ret_count = 0;
    TRY(find_roots(&d, err));
    if (d.used[t->leaf_count] == 0)
        return OK;
    for (uint32_t i = 1; i < t->count && d.rules.count < DROPS_MAX;) {
        const struct tree_node *n = &t->nodes[i];
        bool is_idle = used_below(&d, n) == 0;

        if (is_idle && n->end > i + 1 && n->key == TREE_NONE && may_drop_subtree(&d, i)) {
            TRY(drop_below(&d, i, err));
            i = n->end;
            continue;
        }
        if (n->key != TREE_NONE)
            TRY(drop_key(&d, i, err));
        i++;
    }
    *ret_rules = arena_alloc(w->kept, d.rules.count, sizeof **ret_rules);
    if (*ret_rules == NULL)
        return arena_fail(w->kept, err);
    if (d.rules.count > 0)
        memcpy(*ret_rules, d.rules.items, d.rules.count * sizeof **ret_rules);
    *ret_count = d.rules.count;
    return OK;
}
