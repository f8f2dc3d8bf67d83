/*
 * Any bytes as a remap and the keys to run it over: the remap's text, a line "%%", the checkpoint's
 * keys one a line, a line "%%", the manifest's. Both spellings must say the same and be read back as
 * they were written; what a remap makes has each key once; the inference must end, and what it gives
 * must run, whatever the names are.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/utf8.h"
#include "common/compat/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 26, KEYS_MAX = 160 };

static const uint64_t square[] = {4, 4}, row[] = {12}, matrix[] = {12, 4};
static const struct shape shapes[] = {{2, square}, {1, row}, {2, matrix}, {0, NULL}};

/* The text before the next line that is "%%"; the rest stays. */
static struct slice
part(struct slice *rest)
{
    struct slice mark = slice_of("\n%%\n"), whole = *rest;

    for (size_t i = 0; i + mark.length <= whole.length; i++) {
        if (!slice_equal(slice_part(whole, i, mark.length), mark))
            continue;
        *rest = slice_from(whole, i + mark.length);
        return slice_part(whole, 0, i);
    }
    *rest = (struct slice){.at = "", .length = 0};
    return whole;
}

static int
compare_keys(const void *left, const void *right)
{
    const struct state_key *a = left, *b = right;

    return slice_compare(a->name, b->name);
}

/* A key's shape comes from its name, so that equal names have equal shapes. */
static size_t
read_keys(struct slice text, struct state_key *keys)
{
    size_t count = 0, kept = 0;

    while (text.at != NULL && count < KEYS_MAX) {
        struct slice name = slice_cut(&text, '\n');
        unsigned char last = name.length == 0 ? 0 : (unsigned char)name.at[name.length - 1];

        keys[count] = (struct state_key){.name = name,
                                         .is_tensor = last != '!',
                                         .dtype = DTYPE_FLOAT32,
                                         .shape = shapes[last % ARRAY_LENGTH(shapes)]};
        (void)shape_elements(keys[count].shape, &keys[count].elements);
        count++;
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !slice_equal(keys[kept - 1].name, keys[i].name))
            keys[kept++] = keys[i];
    }
    for (size_t i = 0; i < kept; i++)
        keys[i].origin = (uint32_t)i;
    return kept;
}

static void
check_state(const struct state *s)
{
    for (size_t i = 1; i < s->count; i++) {
        if (slice_compare(s->keys[i - 1].name, s->keys[i].name) >= 0)
            abort();
    }
}

static void
check_digest(const struct remap *r, struct slice text, const struct limits *limits,
             struct arena *arena)
{
    struct remap again;
    struct digest first, second;

    if (remap_parse(text, limits, arena, &again, NULL) != OK ||
        remap_digest(r, &first, NULL) != OK || remap_digest(&again, &second, NULL) != OK ||
        !digest_equal(&first, &second))
        abort();
}

/* A remap that was read: written either way, it is read as the same. JSON must be UTF-8, lines not. */
static void
check_spellings(const struct remap *r, bool is_utf8, const struct limits *limits,
                struct arena *arena)
{
    CLEANUP(buf_done) struct buf lines = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf json = buf_with_cap(CAP);
    struct json_writer w = json_writer_to(&json, 0);

    remap_write_lines(&lines, r, false);
    remap_write_json(&w, r, false);
    if (!is_utf8 || buf_check(&lines, NULL) != OK || buf_check(&json, NULL) != OK)
        return;
    check_digest(r, buf_slice_of(&lines), limits, arena);
    check_digest(r, buf_slice_of(&json), limits, arena);
}

static void
check_inference(const struct state *s, const struct state_key *expected, size_t count,
                const struct limits *limits, struct arena *arena)
{
    struct expected tensors[KEYS_MAX];
    struct manifest m = {.tensors = tensors};
    struct inference found;

    for (size_t i = 0; i < count; i++) {
        if (expected[i].is_tensor)
            tensors[m.count++] = (struct expected){
                .name = expected[i].name, .has_shape = true, .shape = expected[i].shape};
    }
    if (infer(&m, s, limits, arena, &found, NULL) != OK)
        return;
    for (size_t i = 0; i < found.candidate_count; i++) {
        struct remapped new;

        if (remap_apply(&found.candidates[i].remap, s, limits, arena, &new, NULL) != OK)
            abort();
        check_state(&new.state);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    struct limits limits = limits_default();
    struct slice rest = {(const char *)data, size}, text = part(&rest), source = part(&rest);
    static struct state_key keys[KEYS_MAX], expected[KEYS_MAX]; /* too large for a frame */
    struct state s = {.keys = keys, .count = read_keys(source, keys)};
    size_t count = read_keys(rest, expected);
    struct remap r;
    struct remapped new;

    if (size == 0)
        return 0;
    limits.tensors = 4096;
    limits.arena_bytes = CAP;
    if (remap_parse(text, &limits, &arena, &r, NULL) == OK) {
        check_spellings(&r, utf8_is_valid(text), &limits, &arena);
        if (remap_apply(&r, &s, &limits, &arena, &new, NULL) == OK)
            check_state(&new.state);
    }
    check_inference(&s, expected, count, &limits, &arena);
    return 0;
}
