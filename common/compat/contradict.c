#include "common/compat/contradict.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/map.h"
#include "common/base/num.h"
#include "common/base/vec.h"
#include "common/compat/meaning.h"
#include "common/compat/tree.h"

enum { SENTENCES_MAX = 16 };

/* One side of a numbered series: the children of one node that are "block" and a number. */
struct side {
    uint32_t count;
    uint64_t first, last;  /* numbers */
    uint32_t first_child;  /* node of the lowest number seen first */
    uint32_t sample_child; /* node of the highest number */
};

struct series {
    struct slice base;
    struct side found, expected;
};

struct search {
    const struct question *q;
    struct tree found, expected;
    struct map found_paths;
    struct vec sentences; /* struct slice */
    struct vec series;
};

static void
search_done(struct search *s)
{
    map_done(&s->found_paths);
    vec_done(&s->sentences);
    vec_done(&s->series);
}

static bool
is_full(const struct search *s)
{
    return s->sentences.count == SENTENCES_MAX;
}

static enum status
add_sentence(struct search *s, struct slice text, struct err *err)
{
    struct slice *item;

    if (is_full(s))
        return OK;
    TRY(vec_add(&s->sentences, &item, "contradictions", err));
    *item = text;
    return OK;
}

/* "block12" is block and 12; a number has no leading zero. */
static bool
cut_number(struct slice segment, struct slice *ret_base, uint64_t *ret_number)
{
    size_t digits = 0;

    while (digits < segment.length && segment.at[segment.length - digits - 1] >= '0' &&
           segment.at[segment.length - digits - 1] <= '9')
        digits++;
    *ret_base = slice_part(segment, 0, segment.length - digits);
    return digits > 0 && num_parse_u64(slice_from(segment, segment.length - digits), ret_number);
}

static void
count_child(struct side *side, uint64_t number, uint32_t child)
{
    if (side->count == 0 || number < side->first) {
        side->first = number;
        side->first_child = child;
    }
    if (side->count == 0 || number > side->last) {
        side->last = number;
        side->sample_child = child;
    }
    side->count++;
}

/* Sort a node's children into the series they belong to. */
static enum status
collect(struct search *s, const struct tree *t, uint32_t node, bool is_found, struct map *bases,
        struct err *err)
{
    for (uint32_t c = node + 1; c < t->nodes[node].end; c = t->nodes[c].end) {
        struct slice base;
        uint64_t number;
        uint32_t at, next = (uint32_t)s->series.count;
        struct series *series;

        if (t->nodes[c].end == c + 1 || !cut_number(t->nodes[c].segment, &base, &number))
            continue; /* a leaf, or no number */
        TRY(map_add(bases, base, next, &at, err));
        if (at == MAP_NONE) {
            at = next;
            TRY(vec_add(&s->series, &series, "series", err));
            series->base = base;
        }
        series = &VEC_AT(&s->series, struct series, at);
        count_child(is_found ? &series->found : &series->expected, number, c);
    }
    return OK;
}

static bool
is_dense(const struct side *side)
{
    return side->last - side->first == side->count - 1;
}

/* A number for each distinct name under a node, with all numbers in it made one. */
static uint64_t
hash_template(struct slice name)
{
    uint64_t h = UINT64_C(0xCBF29CE484222325);
    bool in_digits = false;

    for (size_t i = 0; i < name.length; i++) {
        bool is_digit = name.at[i] >= '0' && name.at[i] <= '9';

        if (is_digit && in_digits)
            continue;
        in_digits = is_digit;
        h = (h ^ (unsigned char)(is_digit ? '#' : name.at[i])) * UINT64_C(0x100000001B3);
    }
    return h ^ h >> 31;
}

static int
compare_u64(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

/* Files of an old PyTorch lack it, and a remap may have left it out. */
static bool
is_counter(struct slice name)
{
    return slice_ends(name, slice_of(".num_batches_tracked"));
}

/* A hash over the names that stand under a node, numbers apart: equal for blocks of one kind. */
static enum status
shape_of(const struct tree *t, uint32_t node, struct arena *arena, uint64_t *ret_hash,
         struct err *err)
{
    const struct tree_node *n = &t->nodes[node];
    uint64_t *hashes = arena_alloc(arena, n->leaf_end - n->first_leaf, sizeof *hashes);
    size_t count = 0;

    if (hashes == NULL)
        return arena_fail(arena, err);
    for (uint32_t i = n->first_leaf; i < n->leaf_end; i++) {
        struct slice name = t->nodes[t->leaves[i]].path;

        if (!is_counter(name))
            hashes[count++] = hash_template(slice_from(name, n->path.length));
    }
    if (count > 1)
        qsort(hashes, count, sizeof *hashes, compare_u64);
    *ret_hash = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || hashes[i] != hashes[i - 1])
            *ret_hash = *ret_hash * UINT64_C(0x9E3779B97F4A7C15) + hashes[i];
    }
    return OK;
}

/* Both sides number on from the same start, and the longer goes on with what the shorter ends in. */
static enum status
is_one_kind(struct search *s, const struct series *series, bool *ret_is, struct err *err)
{
    uint64_t ends[2] = {0}, starts[2] = {0};

    *ret_is = false;
    if (series->found.first != series->expected.first || !is_dense(&series->found) ||
        !is_dense(&series->expected))
        return OK;
    TRY(shape_of(&s->found, series->found.sample_child, s->q->arena, &ends[0], err));
    TRY(shape_of(&s->expected, series->expected.sample_child, s->q->arena, &ends[1], err));
    TRY(shape_of(&s->found, series->found.first_child, s->q->arena, &starts[0], err));
    TRY(shape_of(&s->expected, series->expected.first_child, s->q->arena, &starts[1], err));
    *ret_is = ends[0] == ends[1] || (starts[0] == starts[1] && ends[0] == starts[1]) ||
              (starts[0] == starts[1] && ends[1] == starts[0]);
    return OK;
}

static enum status
tell_series(struct search *s, struct slice path, const struct series *series, struct err *err)
{
    struct slice text;
    unsigned found = series->found.count, expected = series->expected.count;

    if (series->base.length == 0)
        TRY(arena_printf(s->q->arena, &text, err, "%.*s%s %u block%s, the manifest expects %u",
                         SLICE_PRINT(path), path.length == 0 ? "the checkpoint has" : " has", found,
                         found == 1 ? "" : "s", expected));
    else
        TRY(arena_printf(s->q->arena, &text, err,
                         "%.*s%s%.*s{i}: the checkpoint has %u, the manifest expects %u",
                         SLICE_PRINT(path), path.length == 0 ? "" : ".", SLICE_PRINT(series->base),
                         found, expected));
    return add_sentence(s, text, err);
}

static enum status
compare_node(struct search *s, uint32_t found, uint32_t expected, struct err *err)
{
    CLEANUP(map_done) struct map bases = {0};

    s->series.count = 0;
    TRY(collect(s, &s->found, found, true, &bases, err));
    TRY(collect(s, &s->expected, expected, false, &bases, err));
    for (size_t i = 0; i < s->series.count; i++) {
        const struct series *series = &VEC_AT(&s->series, struct series, i);
        bool is;

        if (series->found.count == 0 || series->expected.count == 0 ||
            series->found.count == series->expected.count)
            continue;
        TRY(is_one_kind(s, series, &is, err));
        if (is)
            TRY(tell_series(s, s->expected.nodes[expected].path, series, err));
    }
    return OK;
}

static enum status
compare_series(struct search *s, struct err *err)
{
    TRY(map_reserve(&s->found_paths, s->found.count, err));
    for (uint32_t i = 0; i < s->found.count; i++)
        TRY(map_set(&s->found_paths, s->found.nodes[i].path, i, err));
    for (uint32_t i = 0; i < s->expected.count && !is_full(s); i++) {
        uint32_t found = map_get(&s->found_paths, s->expected.nodes[i].path);

        if (found != MAP_NONE)
            TRY(compare_node(s, found, i, err));
    }
    return OK;
}

static enum status
make_trees(struct search *s, const struct state *state, struct err *err)
{
    const struct manifest *m = s->q->manifest;
    size_t most = state->count > m->count ? state->count : m->count, tensors = 0;
    struct slice *names = arena_alloc(s->q->arena, most, sizeof *names);

    if (names == NULL)
        return arena_fail(s->q->arena, err);
    for (size_t i = 0; i < state->count; i++) {
        if (state->keys[i].is_tensor)
            names[tensors++] = state->keys[i].name;
    }
    TRY(tree_make(names, tensors, s->q->arena, &s->found, err));
    for (size_t i = 0; i < m->count; i++)
        names[i] = m->tensors[i].name;
    return tree_make(names, m->count, s->q->arena, &s->expected, err);
}

/* Whether the manifest itself is of that kind: then it is no contradiction. */
static bool
expects(const struct manifest *m, enum meaning meaning)
{
    for (size_t i = 0; i < m->count; i++) {
        if (meaning_of(m->tensors[i].name) == meaning ||
            (meaning == MEANING_QUANTIZED &&
             dtype_kind(m->tensors[i].dtype) == DTYPE_KIND_QUANTIZED))
            return true;
    }
    return false;
}

/* Keys that are too many and give a tensor its meaning. A lone `scale` may be a parameter: it counts
 * only beside an integer or eight-bit weight, which the container's kind tells. */
static enum status
tell_meanings(struct search *s, const struct container *c, const struct judgement *j,
              struct err *err)
{
    static const char *const sentences[] = {
        [MEANING_QUANTIZED] = "the checkpoint is quantized, the manifest expects plain weights",
        [MEANING_ADAPTER] = "the checkpoint is an adapter, the manifest expects the whole model",
        [MEANING_PRUNED] = "the checkpoint is pruned: its weights are still apart from their masks",
    };
    bool has[sizeof sentences / sizeof sentences[0]] = {false};

    for (size_t i = 0; i < j->unexpected_count; i++)
        has[meaning_of(j->unexpected[i])] = true;
    has[MEANING_QUANTIZED] = c != NULL && c->kind == CONTAINER_QUANTIZED;
    has[MEANING_ADAPTER] = c != NULL && (c->kind == CONTAINER_ADAPTER ||
                                         (has[MEANING_ADAPTER] && j->missing_count > 0));
    for (unsigned i = MEANING_QUANTIZED; i < sizeof sentences / sizeof sentences[0]; i++) {
        if (has[i] && !expects(s->q->manifest, (enum meaning)i))
            TRY(add_sentence(s, slice_of(sentences[i]), err));
    }
    return OK;
}

enum status
contradict(const struct question *q, const struct container *c, const struct state *state,
           const struct judgement *j, struct text_list *ret_sentences, struct err *err)
{
    CLEANUP(search_done)
    struct search s = {
        .q = q,
        .sentences = vec_of(sizeof(struct slice), SENTENCES_MAX),
        .series = vec_of(sizeof(struct series), SIZE_MAX / 2),
    };
    struct slice *copy;

    TRY(tell_meanings(&s, c, j, err));
    TRY(make_trees(&s, state, err));
    TRY(compare_series(&s, err));
    copy = arena_alloc(q->arena, s.sentences.count, sizeof *copy);
    if (copy == NULL)
        return arena_fail(q->arena, err);
    if (s.sentences.count > 0)
        memcpy(copy, s.sentences.items, s.sentences.count * sizeof *copy);
    *ret_sentences = (struct text_list){.texts = copy, .count = s.sentences.count};
    return OK;
}
