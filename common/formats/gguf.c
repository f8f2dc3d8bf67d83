/*
 * GGUF, the format of ggml and llama.cpp:
 *
 *     "GGUF" | u32 version | u64 tensors | u64 keys
 *     keys:     text | u32 type | value             text: u64 length | bytes
 *     tensors:  text | u32 rank | u64 dims[rank] | u32 type | u64 offset
 *     padding up to a multiple of general.alignment (32) | the tensors' bytes, each so aligned
 *
 * Specification: docs/gguf.md and src/gguf.cpp of ggml-org/ggml. The dims begin with the one that
 * varies fastest, the reverse of PyTorch's. Version 1 has u32 where the others have u64. Since version
 * 3 all numbers may be big-endian: then the version reads with its halves swapped.
 *
 * ggml is stricter than the text: tensors must lie in the order of the table and without holes. That
 * is a finding here. What neither takes (keys or names twice, overlaps, a row that is no whole number
 * of blocks, bytes outside the file) makes the file malformed. Of a table that breaks off, what came
 * before is kept. A type that is not known is listed without a size. The files before GGUF (ggml,
 * ggmf, ggjt) are refused: format.c says how to convert them.
 */
#include "common/formats/format.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/gguf_stream.h"

enum {
    AHEAD_BYTES = 64 << 10,
    VALUE_BYTES_MAX = 32 << 10, /* of one key's value, as JSON */
    ALIGNMENT_USUAL = 32,
    VERSION_MAX = 3,
    NAME_BYTES_USUAL = 64, /* the specification's; ggml takes one less */
    RANK_USUAL = 4,
};

static const struct {
    bool is_known;
    enum dtype dtype;
    const char *gone; /* the name it had */
} types[] = {
#define TYPE(id, code) [id] = {true, DTYPE_##code, NULL},
#define GONE(id, name) [id] = {false, DTYPE_UNKNOWN, name},
#include "common/formats/gguf_table.h"
#undef TYPE
#undef GONE
};

/* What is wrong with where tensors lie: each is told once, with how often and of whom first. */
enum fault { FAULT_MISALIGNED, FAULT_OUTSIDE, FAULT_OVERLAP, FAULT_HOLE, FAULT_ORDER, FAULT_COUNT };

static const struct {
    enum finding_id id;
    bool is_malformed;
    const char *what;
} faults[FAULT_COUNT] = {
    [FAULT_MISALIGNED] = {FINDING_TENSOR_MALFORMED, true,
                          "its offset is no multiple of the alignment"},
    [FAULT_OUTSIDE] = {FINDING_TENSOR_OUTSIDE, true,
                       "its bytes reach past the end of the file, which is cut off or damaged"},
    [FAULT_OVERLAP] = {FINDING_TENSOR_OVERLAP, true, "it shares bytes with another tensor"},
    [FAULT_HOLE] = {FINDING_HEADER_ODD, false,
                    "before it lie bytes of no tensor: llama.cpp refuses such a file"},
    [FAULT_ORDER] = {FINDING_HEADER_ODD, false,
                     "it lies before a tensor that the table lists first: llama.cpp refuses such a "
                     "file"},
};

struct fault_count {
    size_t count;
    struct slice first;
};

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    (void)source;
    return length >= 4 && memcmp(head, "GGUF", 4) == 0 ? 32 : 0;
}

/* ---- the header ---- */

static enum status
read_header(struct gguf *g, struct err *err)
{
    uint32_t magic, version;

    TRY(gguf_u32(g, &magic, err));
    TRY(gguf_u32(g, &version, err));
    if ((version & 0xffff) == 0) {
        g->is_big_endian = true;
        version = version >> 24 | (version >> 8 & 0xff00); /* small where it is one at all */
    }
    FAIL_IF(version == 0 || version > VERSION_MAX, err, UNSUPPORTED, 4,
            "GGUF version %u is not known: 1 to %d are read", version, VERSION_MAX);
    g->version = version;
    if (g->is_big_endian && version < 3)
        TRY(inspection_note(g->in, g->limits, FINDING_HEADER_ODD, (struct slice){0}, err,
                            "big-endian numbers in a file of version %u: only version 3 allows "
                            "them",
                            version));
    TRY(gguf_size(g, &g->tensor_count, err));
    return gguf_size(g, &g->key_count, err);
}

/* ---- the table of tensors ---- */

static enum status
read_shape(struct gguf *g, struct slice name, struct shape *ret_shape, struct err *err)
{
    uint64_t *dims;
    uint32_t rank;

    TRY(gguf_u32(g, &rank, err));
    FAIL_IF(rank > TENSOR_RANK_MAX || rank > g->limits->rank, err, MALFORMED, g->at,
            "%.*s has %u dimensions", SLICE_PRINT(name), rank);
    if (rank > RANK_USUAL)
        TRY(inspection_note(g->in, g->limits, FINDING_TENSOR_ODD, name, err,
                            "it has %u dimensions: ggml takes four", rank));
    dims = arena_alloc(&g->in->arena, rank, sizeof *dims);
    if (dims == NULL)
        return arena_fail(&g->in->arena, err);
    for (uint32_t i = 0; i < rank; i++)
        TRY(gguf_size(g, &dims[rank - 1 - i], err));
    *ret_shape = (struct shape){.rank = rank, .dims = dims};
    return OK;
}

static enum status
read_type(struct gguf *g, struct slice name, enum dtype *ret_dtype, struct err *err)
{
    uint32_t id;

    TRY(gguf_u32(g, &id, err));
    *ret_dtype = DTYPE_UNKNOWN;
    if (id < ARRAY_LENGTH(types) && types[id].is_known) {
        *ret_dtype = types[id].dtype;
        return OK;
    }
    if (id < ARRAY_LENGTH(types) && types[id].gone != NULL)
        return inspection_note(g->in, g->limits, FINDING_TENSOR_DTYPE, name, err,
                               "its type, %s, was removed from ggml: convert the model again",
                               types[id].gone);
    return inspection_note(g->in, g->limits, FINDING_TENSOR_DTYPE, name, err,
                           "its type, number %u, is not one of ggml's: a fork wrote it, or a newer "
                           "release",
                           id);
}

static enum status
check_name(struct gguf *g, struct slice name, struct err *err)
{
    if (name.length == 0)
        return inspection_note(g->in, g->limits, FINDING_KEY_ODD, name, err,
                               "a tensor without a name");
    if (name.length < NAME_BYTES_USUAL)
        return OK;
    return inspection_note(g->in, g->limits, FINDING_KEY_ODD, name, err,
                           "its name has %zu bytes: ggml takes 63", name.length);
}

/* A whole number of blocks in each row. */
static bool
has_whole_rows(const struct tensor *t)
{
    uint64_t row = t->shape.rank == 0 ? 1 : t->shape.dims[t->shape.rank - 1];

    return row % dtype_block(t->dtype) == 0;
}

static enum status
read_tensor(struct gguf *g, struct err *err)
{
    struct built_tensor t = {0};
    struct tensor *tensor = &t.tensor;
    uint64_t offset;

    TRY(gguf_text(g, g->limits->name_bytes, "a tensor's name", &tensor->name, err));
    TRY(arena_copy(&g->in->arena, tensor->name, &tensor->name, err));
    TRY(check_name(g, tensor->name, err));
    TRY(read_shape(g, tensor->name, &tensor->shape, err));
    TRY(read_type(g, tensor->name, &tensor->dtype, err));
    TRY(gguf_u64(g, &offset, err));
    if (!shape_elements(tensor->shape, &tensor->elements) ||
        !shape_bytes(tensor->elements, tensor->dtype, &tensor->bytes))
        return gguf_malformed(g, FINDING_TENSOR_MALFORMED, tensor->name, err,
                              "its shape overflows: it is left out");
    t.place = (struct place){
        .has_bytes = tensor->dtype != DTYPE_UNKNOWN,
        .is_big_endian = g->is_big_endian,
        .offset = offset, /* of the data, until place_tensors */
        .stored_bytes = tensor->bytes,
        .storage_bytes = tensor->bytes,
    };
    if (!has_whole_rows(tensor)) {
        t.place.has_bytes = false;
        TRY(gguf_malformed(g, FINDING_TENSOR_MALFORMED, tensor->name, err,
                           "its rows are no whole number of its type's blocks"));
    }
    return builder_tensor(&g->builder, &t, err);
}

static enum status
read_tables(struct gguf *g, struct err *err)
{
    TRY(gguf_keys(g, err));
    for (uint64_t i = 0; i < g->tensor_count; i++)
        TRY(read_tensor(g, err));
    return OK;
}

/* ---- where the tensors lie ---- */

static int
compare_offsets(const void *a, const void *b)
{
    const struct built_tensor *const x = *(const struct built_tensor *const *)a;
    const struct built_tensor *const y = *(const struct built_tensor *const *)b;

    if (x->place.offset != y->place.offset)
        return x->place.offset < y->place.offset ? -1 : 1;
    return (x->place.stored_bytes > y->place.stored_bytes) -
           (x->place.stored_bytes < y->place.stored_bytes);
}

static void
count_fault(struct fault_count *counts, enum fault fault, const struct built_tensor *t)
{
    if (counts[fault].count++ == 0)
        counts[fault].first = t->tensor.name;
}

/* The next multiple of the alignment; as it is, where there is none. */
static uint64_t
aligned(const struct gguf *g, uint64_t offset)
{
    uint64_t up;

    return num_add(offset, g->alignment - 1, &up) ? up & ~(uint64_t)(g->alignment - 1) : offset;
}

/* Make the offsets the file's, each tensor by itself. *ret_located of those that lie in the file go to
 * the list. */
static void
locate(struct gguf *g, struct built_tensor **list, size_t *ret_located, struct fault_count *counts)
{
    struct built_tensor *tensors = g->builder.tensors.items;
    uint64_t data = aligned(g, g->at), size = g->window.source->size_bytes, end, last = 0;

    *ret_located = 0;
    for (size_t i = 0; i < g->builder.tensors.count; i++) {
        struct built_tensor *t = &tensors[i];
        uint64_t offset = t->place.offset;
        bool is_aligned = offset % g->alignment == 0;

        if (!t->place.has_bytes)
            continue;
        t->place.has_bytes = is_aligned && num_add(offset, data, &t->place.offset) &&
                             num_add(t->place.offset, t->place.stored_bytes, &end) && end <= size;
        if (!is_aligned)
            count_fault(counts, FAULT_MISALIGNED, t);
        else if (!t->place.has_bytes)
            count_fault(counts, FAULT_OUTSIDE, t);
        else {
            if (t->place.offset < last)
                count_fault(counts, FAULT_ORDER, t);
            last = t->place.offset;
            list[(*ret_located)++] = t;
        }
    }
}

/* Holes and overlaps of those that were located, and what follows the last. */
static enum status
check_tiling(struct gguf *g, struct built_tensor **list, size_t located, struct fault_count *counts,
             struct err *err)
{
    bool is_all = located == g->builder.tensors.count;
    uint64_t end = aligned(g, g->at), size = g->window.source->size_bytes;

    if (located > 1)
        qsort(list, located, sizeof *list, compare_offsets);
    for (size_t i = 0; i < located; i++) {
        const struct place *p = &list[i]->place;

        if (p->offset < end && p->stored_bytes > 0)
            count_fault(counts, FAULT_OVERLAP, list[i]);
        if (p->offset > end && is_all)
            count_fault(counts, FAULT_HOLE, list[i]);
        if (p->offset + p->stored_bytes > end)
            end = aligned(g, p->offset + p->stored_bytes);
    }
    if (!is_all || end >= size)
        return OK;
    return inspection_note(g->in, g->limits, FINDING_FILE_TRAILING, (struct slice){0}, err,
                           "%llu bytes follow the last tensor", (unsigned long long)(size - end));
}

static enum status
place_tensors(struct gguf *g, struct err *err)
{
    size_t count = g->builder.tensors.count, located;
    CLEANUP(mem_free_at) struct built_tensor **list = mem_new(count + 1, sizeof *list);
    struct fault_count counts[FAULT_COUNT] = {{0}};

    FAIL_IF(list == NULL, err, NO_MEMORY, 0, "out of memory");
    locate(g, list, &located, counts);
    TRY(check_tiling(g, list, located, counts, err));
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (counts[i].count == 0)
            continue;
        if (faults[i].is_malformed)
            g->in->safety = SAFETY_MALFORMED;
        TRY(inspection_note(g->in, g->limits, faults[i].id, counts[i].first, err,
                            "%s (tensors of which this is so: %zu)", faults[i].what,
                            counts[i].count));
    }
    return OK;
}

/* Without an alignment, or behind a table that broke off, nobody knows where the data begin. */
static void
forget_places(struct gguf *g)
{
    for (size_t i = 0; i < g->builder.tensors.count; i++)
        VEC_AT(&g->builder.tensors, struct built_tensor, i).place.has_bytes = false;
}

/* ---- what it is ---- */

static bool
is_low_rank(struct slice name)
{
    return slice_ends(name, slice_of(".lora_a")) || slice_ends(name, slice_of(".lora_b"));
}

static enum status
note_split(struct gguf *g, struct err *err)
{
    if (g->split_number >= g->split_count)
        return gguf_malformed(g, FINDING_HEADER_MALFORMED, slice_of("split.no"), err,
                              "the number of this shard is not below the count of shards");
    if (g->split_tensors == 0)
        return inspection_note(g->in, g->limits, FINDING_FRAGMENT, (struct slice){0}, err,
                               "shard %llu of %llu: load them together",
                               (unsigned long long)g->split_number + 1,
                               (unsigned long long)g->split_count);
    return inspection_note(g->in, g->limits, FINDING_FRAGMENT, (struct slice){0}, err,
                           "shard %llu of %llu, %zu of %llu tensors: load them together",
                           (unsigned long long)g->split_number + 1,
                           (unsigned long long)g->split_count, g->builder.tensors.count,
                           (unsigned long long)g->split_tensors);
}

/* The kind, and the findings that say so. */
static enum status
tell_kind(struct gguf *g, enum container_kind *ret_kind, struct err *err)
{
    double elements[DTYPE_COUNT] = {0}, all = 0, in_blocks = 0; /* sums that cannot overflow */
    size_t low_rank = 0, count = g->builder.tensors.count;
    enum dtype most = DTYPE_UNKNOWN;

    for (size_t i = 0; i < count; i++) {
        const struct tensor *t = &VEC_AT(&g->builder.tensors, struct built_tensor, i).tensor;

        low_rank += is_low_rank(t->name);
        all += (double)t->elements;
        if (dtype_block(t->dtype) == 1)
            continue;
        in_blocks += (double)t->elements;
        elements[t->dtype] += (double)t->elements;
        if (elements[t->dtype] > elements[most])
            most = t->dtype;
    }
    *ret_kind = CONTAINER_WEIGHTS;
    if (in_blocks > all / 2) {
        *ret_kind = CONTAINER_QUANTIZED;
        TRY(inspection_note(g->in, g->limits, FINDING_QUANTIZED, (struct slice){0}, err,
                            "most elements are kept in blocks with common scales, mostly as %s: "
                            "PyTorch needs them converted back",
                            dtype_name(most)));
    }
    if (g->is_adapter || low_rank * 2 > count)
        *ret_kind = CONTAINER_ADAPTER;
    if (g->split_count <= 1)
        return OK;
    *ret_kind = CONTAINER_FRAGMENT;
    return note_split(g, err);
}

static enum status
finish(struct gguf *g, struct err *err)
{
    size_t count = g->builder.tensors.count;
    enum container_kind kind;

    buf_char(&g->metadata, '}');
    TRY(buf_check(&g->metadata, err));
    TRY(arena_copy(&g->in->arena, buf_slice_of(&g->metadata), &g->in->metadata, err));
    TRY(tell_kind(g, &kind, err));
    if (!g->has_architecture && g->split_count <= 1 && g->keys_read == g->key_count)
        TRY(inspection_note(g->in, g->limits, FINDING_HEADER_ODD, slice_of("general.architecture"),
                            err, "the key is missing: llama.cpp refuses such a file"));
    if (count == 0 && g->in->safety == SAFETY_CLEAN)
        TRY(inspection_note(g->in, g->limits, FINDING_EMPTY, (struct slice){0}, err,
                            "no tensors, only keys: a vocabulary, or the first of several shards"));
    TRY(builder_finish(&g->builder, (struct slice){0}, kind, err));
    if (g->in->containers[0].structure.count < count)
        g->in->safety = SAFETY_MALFORMED; /* a name twice: noted by the builder */
    if (g->in->containers[0].structure.count > 0)
        g->in->default_container = 0;
    return OK;
}

/* A table that breaks off: what came before it is kept, if anything did. */
static enum status
keep_rest(struct gguf *g, enum status status, const struct err *why, struct err *err)
{
    bool is_kept = (status == ERR_TRUNCATED || status == ERR_MALFORMED) &&
                   (g->keys_read > 0 || g->builder.tensors.count > 0);

    if (!is_kept) {
        err_copy(err, why);
        return status;
    }
    forget_places(g);
    g->in->safety = SAFETY_MALFORMED;
    TRY(inspection_note(g->in, g->limits, FINDING_HEADER_MALFORMED, (struct slice){0}, err,
                        "the header breaks off after %llu of %llu keys and %zu of %llu tensors: %s",
                        (unsigned long long)g->keys_read, (unsigned long long)g->key_count,
                        g->builder.tensors.count, (unsigned long long)g->tensor_count, why->text));
    return finish(g, err);
}

static void
gguf_done(struct gguf *g)
{
    window_done(&g->window);
    map_done(&g->keys);
    buf_done(&g->metadata);
    buf_done(&g->value);
    builder_done(&g->builder);
}

static enum status
read_gguf(const struct fileset *files, const struct limits *limits, struct inspection *in,
          struct err *err)
{
    CLEANUP(gguf_done)
    struct gguf g = {
        .in = in,
        .limits = limits,
        .alignment = ALIGNMENT_USUAL,
        .metadata = buf_with_cap(limits->metadata_bytes),
        .value = buf_with_cap(VALUE_BYTES_MAX),
    };
    struct source source;
    struct err why = {0};
    enum status status;

    TRY(files->open(files->context, 0, &source, err));
    g.window = window_over(&source, AHEAD_BYTES);
    builder_begin(&g.builder, in, limits);
    TRY(read_header(&g, err));
    status = read_tables(&g, &why);
    if (status != OK)
        return keep_rest(&g, status, &why, err);
    if (g.alignment == 0)
        forget_places(&g);
    else
        TRY(place_tensors(&g, err));
    return finish(&g, err);
}

const struct format format_gguf = {.name = "gguf", .probe = probe, .read = read_gguf};
