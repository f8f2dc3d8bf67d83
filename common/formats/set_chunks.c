/*
 * torch.distributed.checkpoint's safetensors files (HuggingFaceStorageWriter, save_distributed): each
 * rank writes shard-<rank>-model-<n>-of-<m>.safetensors with its chunks under the tensors' own names,
 * and tells where they lie in a member of __metadata__, which is JSON in a text:
 *
 *     "DCP_SHARDING_INFO": "{\"layer.weight\": {\"saved_offsets\": [4, 0]}}"
 *
 * The whole tensor's shape is told nowhere: it is what the chunks span.
 */
#include "common/base/attr.h"
#include "common/base/cursor.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/formats/builder.h"
#include "common/formats/set_private.h"
#include "common/formats/tiles.h"

enum { LENGTH_BYTES = 8 };

/* One tensor of one shard. */
struct chunk {
    const struct tensor *tensor;
    struct place place;
    const uint64_t *offsets; /* rank of them */
    uint32_t next;           /* of the same tensor; MAP_NONE: the last */
};

struct whole {
    uint32_t first, last, count; /* chunks */
};

struct chunks {
    struct set *s;
    struct builder *builder;
    struct vec list;   /* struct chunk */
    struct vec wholes; /* struct whole */
    struct map names;
    bool is_odd;
};

static void
chunks_done(struct chunks *c)
{
    vec_done(&c->list);
    vec_done(&c->wholes);
    map_done(&c->names);
}

/* ---- where the chunks of one file lie ---- */

static enum status
read_offsets(struct chunks *c, struct json *j, struct slice *ret_offsets, struct err *err)
{
    uint64_t numbers[TENSOR_RANK_MAX];
    struct slice key;
    size_t count = 0;
    bool is_end;

    *ret_offsets = (struct slice){0};
    TRY(json_object(j, "a chunk", err));
    for (;;) {
        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            break;
        if (!slice_is(key, "saved_offsets")) {
            TRY(json_skip(j, NULL, err));
            continue;
        }
        TRY(json_array(j, "saved_offsets", err));
        for (count = 0;; count++) {
            TRY(json_element(j, &is_end, err));
            if (is_end)
                break;
            FAIL_IF(count == TENSOR_RANK_MAX, err, LIMIT, 0, "too many offsets");
            TRY(json_u64(j, "an offset", &numbers[count], err));
        }
    }
    return arena_copy(&c->s->in->arena,
                      (struct slice){(const char *)numbers, count * sizeof numbers[0]}, ret_offsets,
                      err);
}

/* The names of a file's chunks, to their offsets in list. */
static enum status
read_info(struct chunks *c, struct slice text, struct map *names, struct vec *list, struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    struct slice name, *offsets;
    uint32_t present;
    bool is_end;

    json_open(&j, text, c->s->limits, &c->s->in->arena);
    TRY(json_object(&j, "DCP_SHARDING_INFO", err));
    for (;;) {
        TRY(json_key(&j, &name, &is_end, err));
        if (is_end)
            return json_finish(&j, err);
        TRY(map_add(names, name, (uint32_t)list->count, &present, err));
        TRY(vec_add(list, &offsets, "chunks", err));
        TRY(read_offsets(c, &j, offsets, err));
    }
}

/* The member of __metadata__, at NULL where there is none. */
static enum status
find_info(struct chunks *c, struct slice header, struct slice *ret_text, struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    struct slice key;
    bool is_end;

    *ret_text = (struct slice){0};
    json_open(&j, header, c->s->limits, &c->s->in->arena);
    TRY(json_object(&j, "the header", err));
    for (;;) {
        TRY(json_key(&j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (!slice_is(key, "__metadata__")) {
            TRY(json_skip(&j, NULL, err));
            continue;
        }
        TRY(json_object(&j, "__metadata__", err));
        for (;;) {
            TRY(json_key(&j, &key, &is_end, err));
            if (is_end)
                break;
            if (slice_is(key, "DCP_SHARDING_INFO"))
                return json_string(&j, "DCP_SHARDING_INFO", ret_text, err);
            TRY(json_skip(&j, NULL, err));
        }
    }
}

/* The safetensors reader keeps small metadata only: the header is read once more. */
static enum status
read_header(struct chunks *c, size_t file, char **ret_header, struct slice *ret_text,
            struct err *err)
{
    uint8_t bytes[LENGTH_BYTES];
    struct source source;
    struct cursor at;
    uint64_t length;

    TRY(c->s->files->open(c->s->files->context, file, &source, err));
    TRY(source_read(&source, 0, bytes, sizeof bytes, err));
    at = cursor_over(bytes, sizeof bytes, 0);
    TRY(cursor_u64(&at, &length, err));
    FAIL_IF(length > c->s->limits->header_bytes || length > source.size_bytes, err, MALFORMED, 0,
            "a header of %llu bytes", (unsigned long long)length);
    *ret_header = mem_new((size_t)length + 1, 1);
    FAIL_IF(*ret_header == NULL, err, NO_MEMORY, 0, "out of memory");
    TRY(source_read(&source, LENGTH_BYTES, *ret_header, (size_t)length, err));
    *ret_text = (struct slice){*ret_header, (size_t)length};
    return OK;
}

/* ---- the chunks ---- */

static enum status
note(struct chunks *c, struct slice name, const char *what, struct err *err)
{
    c->is_odd = true;
    set_at_least(c->s, SAFETY_MALFORMED);
    return set_note(c->s, FINDING_DCP_CHUNKS, name, err, "%s", what);
}

static enum status
add_chunk(struct chunks *c, const struct container *from, size_t at, struct slice offsets,
          struct err *err)
{
    const struct tensor *tensor = &from->structure.tensors[at];
    uint32_t index = (uint32_t)c->list.count, present;
    struct chunk *chunk;
    struct whole *whole;

    if (offsets.length != tensor->shape.rank * sizeof(uint64_t))
        return note(c, tensor->name, "its file does not tell where in the tensor it lies", err);
    TRY(vec_add(&c->list, &chunk, "chunks", err));
    *chunk = (struct chunk){.tensor = tensor, .next = MAP_NONE};
    chunk->offsets = (const void *)offsets.at;
    if (from->placement.places != NULL)
        chunk->place = from->placement.places[at];
    TRY(map_add(&c->names, tensor->name, (uint32_t)c->wholes.count, &present, err));
    if (present == MAP_NONE) {
        TRY(vec_add(&c->wholes, &whole, "tensors", err));
        *whole = (struct whole){.first = index, .last = index, .count = 1};
        return OK;
    }
    whole = &VEC_AT(&c->wholes, struct whole, present);
    VEC_AT(&c->list, struct chunk, whole->last).next = index;
    whole->last = index;
    whole->count++;
    return OK;
}

static enum status
add_file(struct chunks *c, const struct set_shard *shard, struct err *err)
{
    const struct container *from = &shard->read.containers[shard->container];
    CLEANUP(mem_free_at) char *header = NULL;
    CLEANUP(map_done) struct map names = {0};
    CLEANUP(vec_done) struct vec list = vec_of(sizeof(struct slice), c->s->limits->tensors);
    struct slice text = {0};

    TRY(read_header(c, shard->file, &header, &text, err));
    TRY(find_info(c, text, &text, err));
    if (text.at != NULL)
        TRY(read_info(c, text, &names, &list, err));
    for (size_t i = 0; i < from->structure.count; i++) {
        size_t at = from->facts.order != NULL ? from->facts.order[i] : i;
        uint32_t row = map_get(&names, from->structure.tensors[at].name);

        TRY(add_chunk(c, from, at,
                      row == MAP_NONE ? slice_of("no") : VEC_AT(&list, struct slice, row), err));
    }
    return OK;
}

/* ---- whole tensors ---- */

/* What the chunks span. */
static enum status
span(struct chunks *c, const struct whole *w, struct tile *tiles, struct shape *ret_shape,
     bool *ret_ok, struct err *err)
{
    const struct tensor *first = VEC_AT(&c->list, struct chunk, w->first).tensor;
    uint64_t *dims = arena_alloc(&c->s->in->arena, first->shape.rank, sizeof *dims);
    uint32_t at = w->first;

    *ret_ok = true;
    if (dims == NULL)
        return arena_fail(&c->s->in->arena, err);
    for (uint32_t i = 0; i < w->count; i++) {
        const struct chunk *chunk = &VEC_AT(&c->list, struct chunk, at);
        const struct shape shape = chunk->tensor->shape;

        if (shape.rank != first->shape.rank || chunk->tensor->dtype != first->dtype) {
            *ret_ok = false;
            return OK;
        }
        for (uint32_t k = 0; k < shape.rank; k++) {
            uint64_t end;

            if (__builtin_add_overflow(chunk->offsets[k], shape.dims[k], &end)) {
                *ret_ok = false;
                return OK;
            }
            if (end > dims[k])
                dims[k] = end;
        }
        tiles[i] = (struct tile){.offsets = chunk->offsets, .sizes = shape.dims};
        at = chunk->next;
    }
    *ret_shape = (struct shape){.rank = first->shape.rank, .dims = dims};
    return OK;
}

static enum status
add_whole(struct chunks *c, const struct whole *w, struct err *err)
{
    CLEANUP(mem_free_at) struct tile *tiles = mem_new(w->count, sizeof *tiles);
    const struct chunk *first = &VEC_AT(&c->list, struct chunk, w->first);
    struct built_tensor t = {.tensor = *first->tensor};
    enum tiles_answer answer;
    struct slice what;
    bool ok;

    FAIL_IF(tiles == NULL, err, NO_MEMORY, 0, "out of memory");
    TRY(span(c, w, tiles, &t.tensor.shape, &ok, err));
    if (!ok)
        return note(c, t.tensor.name, "its chunks differ in dtype or rank, or overflow", err);
    answer = tiles_check(t.tensor.shape, tiles, w->count, &c->s->steps_left);
    if (answer != TILES_COVER) {
        TRY(arena_printf(&c->s->in->arena, &what, err, "its chunks %s", tiles_say(answer)));
        TRY(note(c, t.tensor.name, what.at, err));
    }
    if (answer == TILES_OUTSIDE) /* the whole overflows */
        return OK;
    if (w->count == 1)
        t.place = first->place;
    return builder_tensor(c->builder, &t, err);
}

enum status
set_chunks_join(struct set *s, const struct set_join *j, struct builder *builder, bool *ret_is_odd,
                struct err *err)
{
    CLEANUP(chunks_done) struct chunks c = {.s = s, .builder = builder};

    c.list = vec_of(sizeof(struct chunk), s->limits->tensors);
    c.wholes = vec_of(sizeof(struct whole), s->limits->tensors);
    for (size_t i = 0; i < j->shards.count; i++) {
        const struct set_shard *shard = &VEC_AT(&j->shards, struct set_shard, i);
        struct err problem = {0};
        enum status status = shard->is_read ? add_file(&c, shard, &problem) : OK;

        if (status == ERR_NO_MEMORY || status == ERR_IO) {
            err_copy(err, &problem);
            return status;
        }
        if (status != OK)
            TRY(note(&c, shard->path, problem.text, err));
    }
    for (size_t i = 0; i < c.wholes.count; i++)
        TRY(add_whole(&c, &VEC_AT(&c.wholes, struct whole, i), err));
    *ret_is_odd = c.is_odd;
    return OK;
}
