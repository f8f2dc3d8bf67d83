#include "common/compat/remap_rules.h"

enum {
    INDEX_FROM = 8, /* rules; fewer are tried one after the other */
    LEAD_MAX = 4,   /* leading segments that rules are found by */
    LISTS = LEAD_MAX + 2,
};

#define NO_ENTRY UINT32_MAX

void
rule_index_done(struct rule_index *index)
{
    map_done(&index->literals);
    map_done(&index->leads);
    vec_done(&index->entries);
}

/* The leading segments that are plain text, as the key has them: at most LEAD_MAX, of a segment rule
 * one. False where the pattern begins with a capture. */
static bool
lead_of(const struct pattern *p, bool is_segments, struct slice *ret_lead)
{
    size_t most = is_segments ? 1 : LEAD_MAX, count = 0, end = 0;

    for (size_t i = 0; i <= p->text.length && count < most; i++) {
        if (i < p->text.length && (p->text.at[i] == '{' || p->text.at[i] == '}'))
            break;
        if (i == p->text.length || p->text.at[i] == '.') {
            end = i;
            count++;
        }
    }
    *ret_lead = slice_part(p->text, 0, end);
    return count > 0;
}

/* Entries are added from the last rule to the first, so that each list ascends. */
static enum status
add_entry(struct rule_index *index, uint32_t rule, uint32_t pattern, struct err *err)
{
    const struct pattern *p = &index->pass->rules[rule].from[pattern];
    uint32_t at = (uint32_t)index->entries.count;
    struct rule_entry *entry;
    struct slice lead;

    TRY(vec_add(&index->entries, &entry, "patterns in a pass", err));
    *entry = (struct rule_entry){.rule = rule, .pattern = pattern, .next = NO_ENTRY};
    if (p->is_literal && !index->pass->is_segments)
        return map_set(&index->literals, p->literal, at, err);
    if (lead_of(p, index->pass->is_segments, &lead)) {
        entry->next = map_get(&index->leads, lead);
        return map_set(&index->leads, lead, at, err);
    }
    entry->next = index->general;
    index->general = at;
    return OK;
}

enum status
rule_index_make(struct rule_index *index, const struct remap_pass *pass, struct err *err)
{
    index->pass = pass;
    index->general = NO_ENTRY;
    index->entries = vec_of(sizeof(struct rule_entry), UINT32_MAX - 1);
    index->is_indexed = pass->rule_count > INDEX_FROM;
    for (size_t i = pass->rule_count; index->is_indexed && i-- > 0;) {
        for (size_t k = pass->rules[i].from_count; k-- > 0;)
            TRY(add_entry(index, (uint32_t)i, (uint32_t)k, err));
    }
    return OK;
}

/* Whether every number that the rule computes is one: else it does not match. For unstack the letter
 * that runs is tried at 0. */
static bool
can_make(const struct remap_rule *rule, struct bindings *b, struct buf *made)
{
    if (rule->op == REMAP_OP_UNSTACK) {
        b->bound |= UINT64_C(1) << pattern_letter(rule->over);
        b->numbers[pattern_letter(rule->over)] = 0;
    }
    for (size_t i = 0; i < rule->to_count; i++) {
        buf_clear(made);
        if (!pattern_make(&rule->to[i], b, made) || made->length == 0)
            return false;
    }
    return true;
}

static bool
try_rule(const struct rule_index *index, uint32_t rule, uint32_t pattern,
         const struct segmented *key, struct buf *made, struct rule_match *m)
{
    const struct pattern *p = &index->pass->rules[rule].from[pattern];

    m->bindings.bound = 0;
    m->bindings.name_count = 0;
    m->bindings.has_rest = false;
    m->bindings.rest = (struct slice){0};
    if (index->pass->is_segments) {
        if (key->count < p->count || !pattern_match_run(p, key->segments, &m->bindings))
            return false;
    } else if (!pattern_match(p, key->segments, key->count, &m->bindings)) {
        return false;
    }
    m->rule = &index->pass->rules[rule];
    m->rule_at = rule;
    m->pattern = pattern;
    return can_make(m->rule, &m->bindings, made);
}

static bool
find_in_turn(const struct rule_index *index, const struct segmented *key, struct buf *made,
             struct rule_match *m, uint64_t *tries)
{
    for (uint32_t i = 0; i < index->pass->rule_count; i++) {
        for (uint32_t k = 0; k < index->pass->rules[i].from_count; k++) {
            (*tries)++;
            if (try_rule(index, i, k, key, made, m))
                return true;
        }
    }
    return false;
}

/* The lists that hold rules for this key: those for itself, for each of its leads, and for all. */
static size_t
find_lists(const struct rule_index *index, const struct segmented *key, uint32_t *lists)
{
    size_t count = 0;

    lists[count++] = index->general;
    if (!index->pass->is_segments)
        lists[count++] = map_get(&index->literals, key->key);
    for (size_t i = 0; i < key->count && i < (index->pass->is_segments ? 1 : LEAD_MAX); i++) {
        const char *start = key->segments[0].at,
                   *end = key->segments[i].at + key->segments[i].length;
        struct slice lead = {start, (size_t)(end - start)};

        lists[count++] = map_get(&index->leads, lead);
    }
    return count;
}

/* The list whose next rule comes first; NULL where all have ended. */
static uint32_t *
next_list(const struct rule_index *index, uint32_t *lists, size_t count)
{
    uint32_t *best = NULL, rule = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t other;

        if (lists[i] == NO_ENTRY)
            continue;
        other = VEC_AT(&index->entries, struct rule_entry, lists[i]).rule;
        if (best == NULL || other < rule) {
            best = &lists[i];
            rule = other;
        }
    }
    return best;
}

bool
rule_index_find(const struct rule_index *index, const struct segmented *key, struct buf *made,
                struct rule_match *ret_match, uint64_t *tries)
{
    uint32_t lists[LISTS], *next;
    size_t count;

    (*tries)++;
    if (!index->is_indexed)
        return find_in_turn(index, key, made, ret_match, tries);
    count = find_lists(index, key, lists);
    while ((next = next_list(index, lists, count)) != NULL) {
        const struct rule_entry *entry = &VEC_AT(&index->entries, struct rule_entry, *next);

        *next = entry->next;
        (*tries)++;
        if (try_rule(index, entry->rule, entry->pattern, key, made, ret_match))
            return true;
    }
    return false;
}
