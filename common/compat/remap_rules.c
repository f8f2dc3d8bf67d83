#include "common/compat/remap_rules.h"

enum { INDEX_FROM = 8 }; /* rules; fewer are tried one after the other */

#define NO_ENTRY UINT32_MAX

void
rule_index_done(struct rule_index *index)
{
    map_done(&index->literals);
    map_done(&index->firsts);
    vec_done(&index->entries);
}

/* The first segment, where it is plain text. */
static bool
first_text(const struct pattern *p, struct slice *ret_text)
{
    const struct segment *s = &p->segments[0];

    *ret_text = s->count == 0 ? (struct slice){0} : s->parts[0].text;
    return s->count == 0 || (s->count == 1 && s->parts[0].kind == PART_TEXT);
}

/* Entries are added from the last rule to the first, so that each list ascends. */
static enum status
add_entry(struct rule_index *index, uint32_t rule, uint32_t pattern, struct err *err)
{
    const struct pattern *p = &index->pass->rules[rule].from[pattern];
    uint32_t at = (uint32_t)index->entries.count;
    struct rule_entry *entry;
    struct slice text;

    TRY(vec_add(&index->entries, &entry, "patterns in a pass", err));
    *entry = (struct rule_entry){.rule = rule, .pattern = pattern, .next = NO_ENTRY};
    if (p->is_literal && !index->pass->is_segments)
        return map_set(&index->literals, p->literal, at, err);
    if (first_text(p, &text)) {
        entry->next = map_get(&index->firsts, text);
        return map_set(&index->firsts, text, at, err);
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

/* The entry with the lower rule; either may be none. */
static uint32_t *
lower(const struct rule_index *index, uint32_t *a, uint32_t *b)
{
    if (*a == NO_ENTRY)
        return b;
    if (*b == NO_ENTRY)
        return a;
    return VEC_AT(&index->entries, struct rule_entry, *a).rule <=
                   VEC_AT(&index->entries, struct rule_entry, *b).rule
               ? a
               : b;
}

bool
rule_index_find(const struct rule_index *index, const struct segmented *key, struct buf *made,
                struct rule_match *ret_match, uint64_t *tries)
{
    uint32_t literal, first, general = index->general;

    (*tries)++;
    if (!index->is_indexed)
        return find_in_turn(index, key, made, ret_match, tries);
    literal = map_get(&index->literals, key->key);
    first = map_get(&index->firsts, key->segments[0]);
    for (;;) {
        uint32_t *next = lower(index, &literal, lower(index, &first, &general));
        const struct rule_entry *entry;

        if (*next == NO_ENTRY)
            return false;
        entry = &VEC_AT(&index->entries, struct rule_entry, *next);
        *next = entry->next;
        (*tries)++;
        if (try_rule(index, entry->rule, entry->pattern, key, made, ret_match))
            return true;
    }
}
