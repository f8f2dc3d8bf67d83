#pragma once
/*
 * Finding the rule that matches a key. Passes with many rules (a table of renames is a pass, too) are
 * indexed: literal rules by their key, the others by the plain segments they begin with.
 */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/compat/remap.h"

struct rule_entry {
    uint32_t rule;
    uint32_t pattern; /* index in the rule's from */
    uint32_t next;    /* entry with the same lead, UINT32_MAX at the end */
};

struct rule_index {
    const struct remap_pass *pass;
    bool is_indexed;
    struct map literals; /* key -> rule_entry */
    struct map leads;    /* plain segments that a pattern begins with -> first rule_entry */
    struct vec entries;  /* struct rule_entry */
    uint32_t general;    /* entries that begin with a capture; UINT32_MAX: none */
};

/* A key, cut at its dots. */
struct segmented {
    struct slice key;
    const struct slice *segments;
    size_t count;
};

struct rule_match {
    const struct remap_rule *rule;
    uint32_t rule_at;
    uint32_t pattern;
    struct bindings bindings;
};

enum status rule_index_make(struct rule_index *index, const struct remap_pass *pass,
                            struct err *err) MUST_CHECK;
void rule_index_done(struct rule_index *index);

/* The first key rule that matches the whole key and whose numbers can be computed; or the first
 * segment rule that matches at the segments' beginning. *tries counts patterns held against it. */
bool rule_index_find(const struct rule_index *index, const struct segmented *key, struct buf *made,
                     struct rule_match *ret_match, uint64_t *tries);
