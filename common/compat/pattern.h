#pragma once
/*
 * Patterns of the remap language: segments joined by dots.
 *
 *     {i}     one letter: a number, 0 or without leading zero, also inside a segment
 *     {leaf}  two or more of [a-z0-9_]: one whole segment
 *     {*}     one or more whole segments, at most once
 *     {{ }}   braces
 *
 * In a template (what a rule makes of a match) a number may be computed: {i+1}, {3-i}, {(k-1)/3}.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum {
    PATTERN_SEGMENTS_MAX = 512,
    PATTERN_NAMES_MAX = 16, /* named captures in one rule */
    PATTERN_TERMS_MAX = 16, /* in one expression */
    PATTERN_LETTERS = 52,
};

enum part_kind {
    PART_TEXT,
    PART_NUMBER, /* {i}: captured in a pattern, computed in a template */
    PART_NAME,   /* {leaf} */
    PART_REST,   /* {*} */
};

/* One summand: sign × coefficient × letter, or a quotient of such a sum. */
struct term {
    bool is_minus;
    char letter;         /* 0: a constant, or a quotient */
    int64_t coefficient; /* 1 where none is written */
    char division;       /* '/' or '%', 0 where it is no quotient */
    int64_t divisor;
    const struct term *inner; /* what is divided */
    size_t inner_count;
};

struct part {
    enum part_kind kind;
    struct slice text;        /* PART_TEXT, unescaped; PART_NAME: the name */
    const struct term *terms; /* PART_NUMBER */
    size_t term_count;
};

struct segment {
    const struct part *parts; /* none: the empty segment */
    size_t count;
};

struct pattern {
    struct slice text; /* as written */
    const struct segment *segments;
    size_t count;
    size_t rest;          /* index of the segment that is {*}; SIZE_MAX: none */
    bool is_literal;      /* no captures at all */
    struct slice literal; /* then the key it stands for */
};

/* What a match bound. Slices point into the key. */
struct bindings {
    int64_t numbers[PATTERN_LETTERS];
    uint64_t bound; /* bit set of letters */
    struct {
        struct slice name, value;
    } names[PATTERN_NAMES_MAX];
    size_t name_count;
    bool has_rest;
    struct slice rest; /* the segments under {*}, dots included */
};

/* Index of a letter in numbers[]; a-z, then A-Z. */
unsigned pattern_letter(char c);

/* Read what a rule matches, or what it makes. ERR_BAD_REMAP with the fault's place in words. */
enum status pattern_parse(struct slice text, bool is_template, struct arena *arena,
                          struct pattern *ret_pattern, struct err *err) MUST_CHECK;

/* A pattern that stands for exactly this text: braces escaped. */
enum status pattern_of_text(struct slice text, struct arena *arena, struct slice *ret_pattern,
                            struct err *err) MUST_CHECK;

/* Match a whole key, given as its segments. What b already binds must match equally; on false b is
 * undefined. */
bool pattern_match(const struct pattern *p, const struct slice *segments, size_t count,
                   struct bindings *b);

/* As pattern_match for a run of exactly p->count segments (segment rules have no {*}). */
bool pattern_match_run(const struct pattern *p, const struct slice *segments, struct bindings *b);

/* Append what the template makes of a match. False where a number is negative or overflows. */
bool pattern_make(const struct pattern *template, const struct bindings *b, struct buf *out);

/* Whether the pattern binds {*} and every name that the template uses; else which it does not.
 * Letters are compared through pattern_letters: ops bind some of their own. */
bool pattern_binds(const struct pattern *p, const struct pattern *template,
                   struct slice *ret_unbound);

/* The letters that occur in it, as a bit set over pattern_letter. */
uint64_t pattern_letters(const struct pattern *p);

/* How many {names} it holds, repeated ones counted again. */
size_t pattern_names(const struct pattern *p);
