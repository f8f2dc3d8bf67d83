/*
 * Running a remap: each pass turns the list of items into the next. Results of rules that join
 * several keys wait in groups until the pass has seen all keys.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/compat/remap_ops.h"
#include "common/compat/remap_rules.h"

/* Patterns held against keys, in all: a remap that needs more is an attack or a mistake. */
static const uint64_t tries_max = 100000000;

struct item {
    struct state_key key;
    const uint32_t *sources;
    size_t source_count;
    struct slice op;
};

/* One operand that waits for the others. */
struct operand {
    uint32_t rule;
    struct slice name; /* of the result */
    int64_t position;
    uint32_t item; /* in the old list */
};

struct run {
    const struct state *first; /* what the remap began with */
    const struct limits *limits;
    struct arena *arena;
    struct vec old, new; /* struct item */
    struct vec operands;
    struct vec dropped; /* uint32_t */
    struct slice *segments;
    size_t segment_room;
    struct buf made; /* scratch */
    struct buf name; /* scratch */
    uint64_t tries;
    uint64_t *counts; /* of the pass that runs */
};

static void
run_done(struct run *r)
{
    vec_done(&r->old);
    vec_done(&r->new);
    vec_done(&r->operands);
    vec_done(&r->dropped);
    mem_free(r->segments);
    buf_done(&r->made);
    buf_done(&r->name);
}

static enum status
segment(struct run *r, struct slice key, struct segmented *ret_segmented, struct err *err)
{
    size_t count = 1;

    for (size_t i = 0; i < key.length; i++)
        count += key.at[i] == '.';
    if (count > r->segment_room) {
        struct slice *more = mem_resize(r->segments, 2 * count, sizeof *more);

        FAIL_IF(more == NULL, err, NO_MEMORY, 0, "out of memory");
        r->segments = more;
        r->segment_room = 2 * count;
    }
    *ret_segmented = (struct segmented){.key = key, .segments = r->segments, .count = count};
    for (size_t i = 0; i + 1 < count; i++)
        r->segments[i] = slice_cut(&key, '.');
    r->segments[count - 1] = key;
    return OK;
}

/* Keep what stands in a scratch buffer as a key's name. */
static enum status
keep_name(struct run *r, const struct buf *made, struct slice from, struct slice *ret_name,
          struct err *err)
{
    TRY(buf_check(made, err));
    FAIL_IF(made->length > r->limits->name_bytes, err, BAD_REMAP, 0,
            "a key of more than %zu bytes would come of \"%.*s\"", r->limits->name_bytes,
            SLICE_PRINT(from));
    return arena_copy(r->arena, buf_slice_of(made), ret_name, err);
}

static enum status
add_item(struct run *r, const struct item *item, struct err *err)
{
    struct item *added;

    TRY(vec_add(&r->new, &added, "keys after a remap", err));
    *added = *item;
    return OK;
}

/* What was done to the sources so far, and now this. */
static enum status
add_op(struct run *r, const struct remap_rule *rule, struct item *item, struct err *err)
{
    if (rule->op == REMAP_OP_NONE || rule->op == REMAP_OP_COPY)
        return OK;
    buf_clear(&r->name);
    if (item->op.length > 0) {
        buf_slice(&r->name, item->op);
        buf_text(&r->name, "; ");
    }
    remap_ops_write(&r->name, rule);
    TRY(buf_check(&r->name, err));
    return arena_copy(r->arena, buf_slice_of(&r->name), &item->op, err);
}

static enum status
add_operand(struct run *r, const struct rule_match *m, uint32_t at, struct err *err)
{
    const struct item *item = &VEC_AT(&r->old, struct item, at);
    struct operand *operand;

    buf_clear(&r->made);
    (void)pattern_make(&m->rule->to[0], &m->bindings, &r->made);
    TRY(vec_add(&r->operands, &operand, "keys in groups", err));
    operand->rule = m->rule_at;
    operand->item = at;
    operand->position = m->rule->op == REMAP_OP_STACK
                            ? m->bindings.numbers[pattern_letter(m->rule->over)]
                            : (int64_t)m->pattern;
    return keep_name(r, &r->made, item->key.name, &operand->name, err);
}

/* A rule that takes one key and gives one or several. */
static enum status
apply_one(struct run *r, struct rule_match *m, const struct item *old, struct err *err)
{
    size_t parts;

    TRY(remap_ops_parts(m->rule, &old->key, &parts, err));
    for (size_t i = 0; i < parts; i++) {
        struct item item = *old;
        size_t to = m->rule->op == REMAP_OP_UNSTACK ? 0 : i;

        if (m->rule->op == REMAP_OP_UNSTACK)
            m->bindings.numbers[pattern_letter(m->rule->over)] = (int64_t)i;
        buf_clear(&r->made);
        FAIL_IF(!pattern_make(&m->rule->to[to], &m->bindings, &r->made), err, BAD_REMAP, 0,
                "the rule for \"%.*s\" cannot number all its results", SLICE_PRINT(old->key.name));
        TRY(remap_ops_one(m->rule, &old->key, i, r->arena, &item.key, err));
        TRY(keep_name(r, &r->made, old->key.name, &item.key.name, err));
        TRY(add_op(r, m->rule, &item, err));
        TRY(add_item(r, &item, err));
    }
    return OK;
}

static enum status
drop(struct run *r, const struct item *item, struct err *err)
{
    for (size_t i = 0; i < item->source_count; i++) {
        uint32_t *source;

        TRY(vec_add(&r->dropped, &source, "dropped keys", err));
        *source = item->sources[i];
    }
    return OK;
}

static enum status
apply_key_rules(struct run *r, const struct rule_index *index, uint32_t at, struct err *err)
{
    const struct item *old = &VEC_AT(&r->old, struct item, at);
    struct segmented key;
    struct rule_match m;

    TRY(segment(r, old->key.name, &key, err));
    if (!rule_index_find(index, &key, &r->made, &m, &r->tries))
        return add_item(r, old, err);
    r->counts[m.rule_at]++;
    if (m.rule->to_count == 0)
        return drop(r, old, err);
    if (m.rule->op == REMAP_OP_CONCAT || m.rule->op == REMAP_OP_STACK)
        return add_operand(r, &m, at, err);
    return apply_one(r, &m, old, err);
}

static void
add_segment(struct buf *name, bool *is_first, struct slice text)
{
    if (!*is_first)
        buf_char(name, '.');
    buf_slice(name, text);
    *is_first = false;
}

static enum status
apply_segment_rules(struct run *r, const struct rule_index *index, uint32_t at, struct err *err)
{
    struct item item = VEC_AT(&r->old, struct item, at);
    struct segmented key;
    bool is_first = true, is_changed = false;

    TRY(segment(r, item.key.name, &key, err));
    buf_clear(&r->name);
    for (size_t i = 0; i < key.count;) {
        struct segmented rest = {.segments = key.segments + i, .count = key.count - i};
        struct rule_match m;

        if (!rule_index_find(index, &rest, &r->made, &m, &r->tries)) {
            add_segment(&r->name, &is_first, key.segments[i]);
            i++;
            continue;
        }
        if (m.rule->to_count == 0 && is_first && i + m.rule->from[0].count == key.count) {
            /* Nothing would be left of the key. */
            return add_item(r, &VEC_AT(&r->old, struct item, at), err);
        }
        r->counts[m.rule_at]++;
        is_changed = true;
        TRY(buf_check(&r->made, err));
        if (m.rule->to_count > 0)
            add_segment(&r->name, &is_first, buf_slice_of(&r->made));
        i += m.rule->from[0].count;
    }
    if (is_changed)
        TRY(keep_name(r, &r->name, item.key.name, &item.key.name, err));
    return add_item(r, &item, err);
}

/* Operands of one result together, in their order; ties, which are errors, by item. */
static int
compare_operands(const void *left, const void *right)
{
    const struct operand *a = left, *b = right;
    int order = slice_compare(a->name, b->name);

    if (a->rule != b->rule)
        return a->rule < b->rule ? -1 : 1;
    if (order != 0)
        return order;
    if (a->position != b->position)
        return a->position < b->position ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item);
}

static enum status
check_group(struct run *r, const struct remap_rule *rule, const struct operand *operands,
            size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct slice key = VEC_AT(&r->old, struct item, operands[i].item).key.name;

        FAIL_IF(i > 0 && operands[i].position == operands[i - 1].position, err, BAD_REMAP, 0,
                "%s: \"%.*s\" and \"%.*s\" stand at one place of \"%.*s\"", remap_op_name(rule->op),
                SLICE_PRINT(VEC_AT(&r->old, struct item, operands[i - 1].item).key.name),
                SLICE_PRINT(key), SLICE_PRINT(operands[i].name));
        FAIL_IF(operands[i].position != (int64_t)i && rule->op == REMAP_OP_STACK, err, BAD_REMAP, 0,
                "stack: number %zu of \"%.*s\" is missing before \"%.*s\"", i,
                SLICE_PRINT(operands[i].name), SLICE_PRINT(key));
        FAIL_IF(operands[i].position != (int64_t)i, err, BAD_REMAP, 0,
                "concat: for \"%.*s\" the key of \"%.*s\" is missing beside \"%.*s\"",
                SLICE_PRINT(operands[i].name), SLICE_PRINT(rule->from[i].text), SLICE_PRINT(key));
    }
    FAIL_IF(rule->op == REMAP_OP_CONCAT && count != rule->from_count, err, BAD_REMAP, 0,
            "concat: for \"%.*s\" the key of \"%.*s\" is missing", SLICE_PRINT(operands[0].name),
            SLICE_PRINT(rule->from[count].text));
    return OK;
}

static enum status
join_group(struct run *r, const struct remap_rule *rule, const struct operand *operands,
           size_t count, struct err *err)
{
    struct item item = VEC_AT(&r->old, struct item, operands[0].item);
    const struct state_key **keys;
    uint32_t *sources;
    size_t source_count = 0, at = 0;

    TRY(check_group(r, rule, operands, count, err));
    keys = arena_alloc(r->arena, count, sizeof(const struct state_key *));
    if (keys == NULL)
        return arena_fail(r->arena, err);
    for (size_t i = 0; i < count; i++) {
        const struct item *old = &VEC_AT(&r->old, struct item, operands[i].item);

        keys[i] = &old->key;
        source_count += old->source_count;
    }
    sources = arena_alloc(r->arena, source_count, sizeof *sources);
    if (sources == NULL)
        return arena_fail(r->arena, err);
    for (size_t i = 0; i < count; i++) {
        const struct item *old = &VEC_AT(&r->old, struct item, operands[i].item);

        memcpy(sources + at, old->sources, old->source_count * sizeof *sources);
        at += old->source_count;
    }
    TRY(remap_ops_many(rule, keys, count, r->arena, &item.key, err));
    item.key.name = operands[0].name;
    item.sources = sources;
    item.source_count = source_count;
    TRY(add_op(r, rule, &item, err));
    return add_item(r, &item, err);
}

static enum status
join_groups(struct run *r, const struct remap_pass *pass, struct err *err)
{
    struct operand *operands = r->operands.items;
    size_t end;

    if (r->operands.count == 0)
        return OK;
    qsort(operands, r->operands.count, sizeof *operands, compare_operands);
    for (size_t i = 0; i < r->operands.count; i = end) {
        for (end = i + 1; end < r->operands.count && operands[end].rule == operands[i].rule &&
                          slice_equal(operands[end].name, operands[i].name);
             end++)
            ;
        TRY(join_group(r, &pass->rules[operands[i].rule], operands + i, end - i, err));
    }
    r->operands.count = 0;
    return OK;
}

static struct slice
first_name(const struct run *r, const struct item *item)
{
    return r->first->keys[item->sources[0]].name;
}

/* Two keys with one name: the remap fails. */
static enum status
check_names(const struct run *r, struct err *err)
{
    CLEANUP(map_done) struct map names = {0};

    TRY(map_reserve(&names, r->new.count, err));
    for (size_t i = 0; i < r->new.count; i++) {
        const struct item *item = &VEC_AT(&r->new, struct item, i);
        uint32_t other;

        TRY(map_add(&names, item->key.name, (uint32_t)i, &other, err));
        if (other == MAP_NONE)
            continue;
        FAIL(err, BAD_REMAP, 0, "\"%.*s\" and \"%.*s\" both become \"%.*s\"",
             SLICE_PRINT(first_name(r, &VEC_AT(&r->new, struct item, other))),
             SLICE_PRINT(first_name(r, item)), SLICE_PRINT(item->key.name));
    }
    return OK;
}

static enum status
apply_pass(struct run *r, const struct remap_pass *pass, struct err *err)
{
    CLEANUP(rule_index_done) struct rule_index index = {0};
    struct vec swap;

    TRY(rule_index_make(&index, pass, err));
    r->new.count = 0;
    for (uint32_t i = 0; i < r->old.count; i++) {
        if (pass->is_segments)
            TRY(apply_segment_rules(r, &index, i, err));
        else
            TRY(apply_key_rules(r, &index, i, err));
        FAIL_IF(r->tries > tries_max, err, LIMIT, 0, "the remap takes more than %llu steps",
                (unsigned long long)tries_max);
    }
    TRY(join_groups(r, pass, err));
    TRY(check_names(r, err));
    swap = r->old;
    r->old = r->new;
    r->new = swap;
    return OK;
}

/* Begin with every key as it is. */
static enum status
load(struct run *r, const struct state *old, struct err *err)
{
    uint32_t *self = arena_alloc(r->arena, old->count, sizeof *self);

    if (self == NULL)
        return arena_fail(r->arena, err);
    for (size_t i = 0; i < old->count; i++) {
        struct item *item;

        self[i] = (uint32_t)i;
        TRY(vec_add(&r->old, &item, "keys", err));
        *item = (struct item){.key = old->keys[i], .sources = &self[i], .source_count = 1};
        item->key.origin = (uint32_t)i;
    }
    return OK;
}

static int
compare_items(const void *left, const void *right)
{
    const struct item *a = left, *b = right;

    return slice_compare(a->key.name, b->key.name);
}

/* A prefix that went or came leaves the order as it was. */
static bool
is_sorted(const struct vec *items)
{
    for (size_t i = 1; i < items->count; i++) {
        if (compare_items(&VEC_AT(items, struct item, i - 1), &VEC_AT(items, struct item, i)) > 0)
            return false;
    }
    return true;
}

static int
compare_u32(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

static enum status
finish_keys(struct run *r, struct remapped *new, struct err *err)
{
    struct state_key *keys = arena_alloc(r->arena, r->old.count, sizeof *keys);
    struct remap_source *sources;

    if (keys == NULL)
        return arena_fail(r->arena, err);
    sources = arena_alloc(r->arena, r->old.count, sizeof *sources);
    if (sources == NULL)
        return arena_fail(r->arena, err);
    if (!is_sorted(&r->old))
        qsort(r->old.items, r->old.count, sizeof(struct item), compare_items);
    for (size_t i = 0; i < r->old.count; i++) {
        const struct item *item = &VEC_AT(&r->old, struct item, i);

        keys[i] = item->key;
        keys[i].origin = item->sources[0];
        sources[i] = (struct remap_source){item->sources, item->source_count, item->op};
    }
    new->state = (struct state){.keys = keys, .count = r->old.count};
    new->sources = sources;
    return OK;
}

/* A key that was dropped in parts is told once. */
static enum status
finish_dropped(struct run *r, struct remapped *new, struct err *err)
{
    uint32_t *dropped;

    if (r->dropped.count == 0)
        return OK;
    dropped = arena_alloc(r->arena, r->dropped.count, sizeof *dropped);
    if (dropped == NULL)
        return arena_fail(r->arena, err);
    qsort(r->dropped.items, r->dropped.count, sizeof(uint32_t), compare_u32);
    for (size_t i = 0; i < r->dropped.count; i++) {
        uint32_t key = VEC_AT(&r->dropped, uint32_t, i);

        if (new->dropped_count == 0 || dropped[new->dropped_count - 1] != key)
            dropped[new->dropped_count++] = key;
    }
    new->dropped = dropped;
    return OK;
}

/* The first key at or after a name. */
static size_t
lower_bound(const struct state *s, struct slice name)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slice_compare(s->keys[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where a module went: where one of its keys went, if that key kept its place in the module. */
static bool
module_moves(struct slice module, struct slice old_key, struct slice new_key,
             struct slice *ret_module)
{
    struct slice leaf = module.length == 0 ? old_key : slice_from(old_key, module.length + 1);

    if (!slice_ends(new_key, leaf))
        return false;
    if (new_key.length == leaf.length) {
        *ret_module = (struct slice){.at = "", .length = 0};
        return true;
    }
    *ret_module = slice_part(new_key, 0, new_key.length - leaf.length - 1);
    return new_key.at[ret_module->length] == '.';
}

static int
compare_versions(const void *left, const void *right)
{
    const struct module_version *a = left, *b = right;

    return slice_compare(a->module, b->module);
}

/* "metadata": "rename": each row of _metadata follows its module's keys; a row that has none, or
 * meets another, is left out. */
static enum status
rename_metadata(struct run *r, const struct state *old, struct remapped *new, struct err *err)
{
    CLEANUP(mem_free_at) uint32_t *went = mem_new(old->count + 1, sizeof *went);
    struct module_version *rows = arena_alloc(r->arena, old->version_count, sizeof *rows);
    size_t count = 0, kept = 0;

    FAIL_IF(went == NULL, err, NO_MEMORY, 0, "out of memory");
    if (rows == NULL)
        return arena_fail(r->arena, err);
    for (size_t i = 0; i < old->count; i++)
        went[i] = UINT32_MAX;
    for (size_t i = 0; i < new->state.count; i++) {
        if (new->sources[i].count == 1)
            went[new->sources[i].keys[0]] = (uint32_t)i;
    }
    for (size_t i = 0; i < old->version_count; i++) {
        struct slice module = old->versions[i].module, moved, prefix = {0};
        size_t at;

        if (module.length > 0)
            TRY(arena_printf(r->arena, &prefix, err, "%.*s.", SLICE_PRINT(module)));
        at = lower_bound(old, prefix);
        if (at == old->count || !slice_starts(old->keys[at].name, prefix) || went[at] == UINT32_MAX)
            continue;
        if (!module_moves(module, old->keys[at].name, new->state.keys[went[at]].name, &moved))
            continue;
        rows[count] = old->versions[i];
        rows[count++].module = moved;
    }
    if (count > 0)
        qsort(rows, count, sizeof *rows, compare_versions);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !slice_equal(rows[kept - 1].module, rows[i].module))
            rows[kept++] = rows[i];
    }
    new->state.has_metadata = old->has_metadata;
    new->state.versions = rows;
    new->state.version_count = kept;
    return OK;
}

static enum status
run_passes(struct run *r, const struct remap *remap, uint64_t **counts, struct err *err)
{
    for (size_t i = 0; i < remap->pass_count; i++) {
        counts[i] = arena_alloc(r->arena, remap->passes[i].rule_count, sizeof **counts);
        if (counts[i] == NULL)
            return arena_fail(r->arena, err);
        r->counts = counts[i];
        TRY(apply_pass(r, &remap->passes[i], err));
    }
    return OK;
}

enum status
remap_apply(const struct remap *remap, const struct state *old, const struct limits *limits,
            struct arena *arena, struct remapped *ret_new, struct err *err)
{
    CLEANUP(run_done)
    struct run r = {
        .first = old,
        .limits = limits,
        .arena = arena,
        .old = vec_of(sizeof(struct item), old->count + limits->tensors),
        .new = vec_of(sizeof(struct item), old->count + limits->tensors),
        .operands = vec_of(sizeof(struct operand), old->count + limits->tensors),
        .dropped = vec_of(sizeof(uint32_t), UINT32_MAX),
        .made = buf_with_cap(2 * limits->name_bytes + 1024),
        .name = buf_with_cap(2 * limits->name_bytes + (size_t)1024 * 1024),
    };
    struct remapped new = {0};
    uint64_t **counts = arena_alloc(arena, remap->pass_count, sizeof *counts);

    if (counts == NULL)
        return arena_fail(arena, err);
    TRY(load(&r, old, err));
    TRY(run_passes(&r, remap, counts, err));
    TRY(finish_keys(&r, &new, err));
    TRY(finish_dropped(&r, &new, err));
    if (remap->renames_metadata)
        TRY(rename_metadata(&r, old, &new, err));
    new.counts = (const uint64_t *const *)counts;
    *ret_new = new;
    return OK;
}
