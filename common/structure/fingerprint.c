#include "common/structure/fingerprint.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/num.h"
#include "common/base/vec.h"

static const char *const wrappers[] = {
    "module",          "_orig_mod",   "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
    "_forward_module", "_fpw_module",
};

/* Buffers that code makes: the last segment of the name, and the ranks that it has then. A square
 * one's last two dimensions are equal. Sources: knowledge of PyTorch's BatchNorm and of the models'
 * own code, listed in remap.md §5.20. */
static const struct {
    const char *leaf;
    uint32_t rank_min;
    uint32_t rank_max;
    bool is_square;
} benign[] = {
    {"num_batches_tracked", 0, 0, false},
    {"position_ids", 1, 2, false},
    {"inv_freq", 1, 1, false},
    {"freqs", 1, 1, false},
    {"masked_bias", 0, 0, false},
    {"bias", 4, 4, true}, /* GPT-2's causal mask, [1, 1, n, n]; a parameter has rank 1 */
    {"mask", 2, 4, true},
    {"tril", 2, 2, true},
    {"attn_mask", 2, 4, true},
    {"causal_mask", 2, 4, true},
    {"relative_position_index", 2, 2, true},
    {"relative_coords_table", 4, 4, false},
    {"attention_bias_idxs", 2, 2, true},
    {"cos_cached", 2, 4, false},
    {"sin_cached", 2, 4, false},
    {"total_ops", 0, 1, false},
    {"total_params", 0, 1, false},
};

bool
fingerprint_is_wrapper(struct slice segment)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++)
        if (slice_is(segment, wrappers[i]))
            return true;
    return false;
}

static struct slice
last_segment(struct slice name)
{
    for (size_t i = name.length; i > 0; i--)
        if (name.at[i - 1] == '.')
            return slice_from(name, i);
    return name;
}

bool
fingerprint_is_benign(const struct tensor *t)
{
    struct slice leaf = last_segment(t->name);
    uint32_t rank = t->shape.rank;

    for (size_t i = 0; i < sizeof benign / sizeof benign[0]; i++) {
        if (!slice_is(leaf, benign[i].leaf))
            continue;
        if (rank < benign[i].rank_min || rank > benign[i].rank_max)
            return false;
        return !benign[i].is_square || t->shape.dims[rank - 1] == t->shape.dims[rank - 2];
    }
    return false;
}

/* ---- structure1 and architecture1: sorted lines ---- */

static void
add_dims(struct buf *out, struct shape s)
{
    for (uint32_t i = 0; i < s.rank; i++) {
        if (i > 0)
            buf_char(out, ',');
        buf_u64(out, s.dims[i]);
    }
}

static void
add_line(struct buf *out, struct slice name, const struct tensor *t, bool with_dtype)
{
    buf_u64(out, name.length);
    buf_char(out, ':');
    buf_slice(out, name);
    buf_char(out, ' ');
    if (with_dtype) {
        buf_text(out, dtype_name(t->dtype));
        buf_char(out, ' ');
    }
    add_dims(out, t->shape);
    buf_char(out, '\n');
}

static int
compare_slices(const void *a, const void *b)
{
    const struct slice *const x = a;
    const struct slice *const y = b;

    return slice_compare(*x, *y);
}

/* Hash the header and the lines of text, which ends[i] close, sorted. */
static enum status
hash_lines(const char *header, const struct buf *text, const size_t *ends, size_t count,
           struct arena *scratch, struct digest *ret_digest, struct err *err)
{
    CLEANUP(hash_done) struct hash h = {0};
    struct slice *lines = arena_alloc(scratch, count, sizeof *lines);
    size_t start = 0;

    if (lines == NULL)
        return arena_fail(scratch, err);
    for (size_t i = 0; i < count; i++) {
        lines[i] = slice_part(buf_slice_of(text), start, ends[i] - start);
        start = ends[i];
    }
    if (count > 1)
        qsort(lines, count, sizeof *lines, compare_slices);
    TRY(hash_begin(&h, err));
    hash_add(&h, header, strlen(header));
    for (size_t i = 0; i < count; i++)
        hash_add(&h, lines[i].at, lines[i].length);
    *ret_digest = hash_end(&h);
    return OK;
}

static enum status
structure1(const struct structure *s, const struct limits *limits, struct arena *scratch,
           struct digest *ret_digest, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(limits->arena_bytes);
    size_t *ends = arena_alloc(scratch, s->count, sizeof *ends);

    if (ends == NULL)
        return arena_fail(scratch, err);
    for (size_t i = 0; i < s->count; i++) {
        add_line(&text, s->tensors[i].name, &s->tensors[i], true);
        ends[i] = text.length;
    }
    TRY(buf_check(&text, err));
    return hash_lines("ckptd structure1\n", &text, ends, s->count, scratch, ret_digest, err);
}

/* Copy name without its wrapper segments to at; the last segment, the tensor's own, stays. */
static size_t
strip_wrappers(struct slice name, char *at)
{
    size_t length = 0;

    while (name.at != NULL) {
        struct slice segment = slice_cut(&name, '.');

        if (name.at != NULL && fingerprint_is_wrapper(segment))
            continue;
        if (length > 0)
            at[length++] = '.';
        memcpy(at + length, segment.at, segment.length);
        length += segment.length;
    }
    return length;
}

/* The names without wrappers; the names themselves if two would become one. */
static enum status
stripped_names(const struct structure *s, struct arena *scratch, struct slice **ret_names,
               struct err *err)
{
    struct slice *names = arena_alloc(scratch, s->count, sizeof *names);
    struct slice *sorted = arena_alloc(scratch, s->count, sizeof *sorted);
    bool collide = false;

    if (names == NULL || sorted == NULL)
        return arena_fail(scratch, err);
    for (size_t i = 0; i < s->count; i++) {
        char *at = arena_alloc(scratch, s->tensors[i].name.length + 1, 1);

        if (at == NULL)
            return arena_fail(scratch, err);
        names[i] = (struct slice){at, strip_wrappers(s->tensors[i].name, at)};
        sorted[i] = names[i];
    }
    if (s->count > 1)
        qsort(sorted, s->count, sizeof *sorted, compare_slices);
    for (size_t i = 1; i < s->count; i++)
        collide = collide || slice_equal(sorted[i - 1], sorted[i]);
    for (size_t i = 0; collide && i < s->count; i++)
        names[i] = s->tensors[i].name;
    *ret_names = names;
    return OK;
}

static enum status
architecture1(const struct structure *s, const struct limits *limits, struct arena *scratch,
              struct digest *ret_digest, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(limits->arena_bytes);
    size_t *ends = arena_alloc(scratch, s->count, sizeof *ends);
    struct slice *names;
    size_t count = 0;

    if (ends == NULL)
        return arena_fail(scratch, err);
    TRY(stripped_names(s, scratch, &names, err));
    for (size_t i = 0; i < s->count; i++) {
        if (fingerprint_is_benign(&s->tensors[i]))
            continue;
        add_line(&text, names[i], &s->tensors[i], false);
        ends[count++] = text.length;
    }
    TRY(buf_check(&text, err));
    return hash_lines("ckptd architecture1\n", &text, ends, count, scratch, ret_digest, err);
}

/* ---- skeleton1: a tree, closed from its leaves up ---- */

struct child {
    uint64_t number; /* of the segment, if is_number */
    bool is_number;
    struct digest hash;
};

/* A module that is still open: its name up to the dot, and where its children begin. */
struct open_module {
    size_t path_length; /* with the trailing dot; 0 for the root */
    size_t first_child;
};

struct skeleton {
    struct vec modules;  /* struct open_module, from the root down */
    struct vec children; /* struct child, of all open modules */
    struct hash hash;
};

static int
compare_numbers(const void *a, const void *b)
{
    const struct child *const x = a;
    const struct child *const y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static int
compare_hashes(const void *a, const void *b)
{
    const struct child *const x = a;
    const struct child *const y = b;

    return memcmp(x->hash.bytes, y->hash.bytes, DIGEST_BYTES);
}

/* Consecutive integers keep their order, anything else is sorted by hash. */
static bool
order_children(struct child *children, size_t count)
{
    bool is_sequence = true;

    for (size_t i = 0; i < count; i++)
        is_sequence = is_sequence && children[i].is_number;
    if (is_sequence) {
        qsort(children, count, sizeof *children, compare_numbers);
        for (size_t i = 1; i < count; i++)
            is_sequence = is_sequence && children[i].number == children[i - 1].number + 1;
    }
    if (!is_sequence)
        qsort(children, count, sizeof *children, compare_hashes);
    return is_sequence;
}

static enum status
module_hash(struct skeleton *k, size_t first_child, struct digest *ret_hash, struct err *err)
{
    struct child *children = k->children.items;
    size_t count = k->children.count - first_child;
    bool is_sequence;

    if (count == 1) {
        *ret_hash = children[first_child].hash;
        return OK;
    }
    if (count > 0)
        children += first_child;
    is_sequence = count > 0 && order_children(children, count);
    TRY(hash_begin(&k->hash, err));
    hash_add(&k->hash, is_sequence ? "seq\n" : "set\n", 4);
    for (size_t i = 0; i < count; i++)
        hash_add(&k->hash, children[i].hash.bytes, DIGEST_BYTES);
    *ret_hash = hash_end(&k->hash);
    return OK;
}

static enum status
add_child(struct skeleton *k, struct slice segment, struct digest hash, struct err *err)
{
    struct child *child;

    TRY(vec_add(&k->children, &child, "modules", err));
    child->is_number = num_parse_u64(segment, &child->number);
    child->hash = hash;
    return OK;
}

/* Close the innermost module, whose path is in name, and make it a child of the next. */
static enum status
close_module(struct skeleton *k, struct slice name, struct err *err)
{
    struct open_module *modules = k->modules.items;
    struct open_module m = modules[--k->modules.count];
    size_t outer = modules[k->modules.count - 1].path_length;
    struct digest hash;

    TRY(module_hash(k, m.first_child, &hash, err));
    k->children.count = m.first_child;
    return add_child(k, slice_part(name, outer, m.path_length - 1 - outer), hash, err);
}

static enum status
leaf_hash(struct skeleton *k, const struct tensor *t, struct digest *ret_hash, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(TENSOR_RANK_MAX * 21 + 8);

    buf_text(&text, "leaf ");
    add_dims(&text, t->shape);
    buf_char(&text, '\n');
    TRY(buf_check(&text, err));
    TRY(hash_begin(&k->hash, err));
    hash_add(&k->hash, text.bytes, text.length);
    *ret_hash = hash_end(&k->hash);
    return OK;
}

/* Open the modules of name below the innermost open one, then add the leaf. */
static enum status
add_leaf(struct skeleton *k, const struct tensor *t, struct err *err)
{
    struct open_module *module;
    size_t start = VEC_AT(&k->modules, struct open_module, k->modules.count - 1).path_length;
    struct digest hash;

    for (size_t i = start; i < t->name.length; i++) {
        if (t->name.at[i] != '.')
            continue;
        TRY(vec_add(&k->modules, &module, "open modules", err));
        module->path_length = i + 1;
        module->first_child = k->children.count;
        start = i + 1;
    }
    TRY(leaf_hash(k, t, &hash, err));
    return add_child(k, slice_from(t->name, start), hash, err);
}

static bool
is_within(struct slice name, struct slice previous, size_t path_length)
{
    return name.length >= path_length &&
           slice_equal(slice_part(name, 0, path_length), slice_part(previous, 0, path_length));
}

/* Names are sorted, so the tensors of one module stand together. */
static enum status
walk(struct skeleton *k, const struct structure *s, struct err *err)
{
    struct slice previous = {0};
    struct open_module *root;

    TRY(vec_add(&k->modules, &root, "open modules", err));
    for (size_t i = 0; i < s->count; i++) {
        const struct tensor *t = &s->tensors[i];

        if (fingerprint_is_benign(t))
            continue;
        while (
            !is_within(t->name, previous,
                       VEC_AT(&k->modules, struct open_module, k->modules.count - 1).path_length))
            TRY(close_module(k, previous, err));
        TRY(add_leaf(k, t, err));
        previous = t->name;
    }
    while (k->modules.count > 1)
        TRY(close_module(k, previous, err));
    return OK;
}

static void
skeleton_done(struct skeleton *k)
{
    vec_done(&k->modules);
    vec_done(&k->children);
    hash_done(&k->hash);
}

static enum status
skeleton1(const struct structure *s, const struct limits *limits, struct digest *ret_digest,
          struct err *err)
{
    static const char header[] = "ckptd skeleton1\n";
    CLEANUP(skeleton_done)
    struct skeleton k = {
        .modules = vec_of(sizeof(struct open_module), limits->name_bytes + 1),
        .children = vec_of(sizeof(struct child), limits->tensors + limits->name_bytes + 1),
    };
    struct digest root;

    TRY(walk(&k, s, err));
    TRY(module_hash(&k, 0, &root, err));
    TRY(hash_begin(&k.hash, err));
    hash_add(&k.hash, header, strlen(header));
    hash_add(&k.hash, root.bytes, DIGEST_BYTES);
    *ret_digest = hash_end(&k.hash);
    return OK;
}

enum status
fingerprint_structure(const struct structure *s, const struct limits *limits,
                      struct fingerprints *ret, struct err *err)
{
    CLEANUP(arena_done) struct arena scratch = arena_with_cap(limits->arena_bytes);

    TRY(structure1(s, limits, &scratch, &ret->structure, err));
    TRY(architecture1(s, limits, &scratch, &ret->architecture, err));
    return skeleton1(s, limits, &ret->skeleton, err);
}

struct fingerprint_text
fingerprint_text(enum fingerprint_kind kind, const struct digest *d)
{
    static const char *const names[] = {
        [FINGERPRINT_STRUCTURE] = "structure1",
        [FINGERPRINT_ARCHITECTURE] = "architecture1",
        [FINGERPRINT_SKELETON] = "skeleton1",
    };
    struct fingerprint_text text;

    (void)snprintf(text.text, sizeof text.text, "%s:%s", names[kind], digest_text(d).hex);
    return text;
}
