/*
 * Shards become one container. Each is read as a file of its own, by whatever format its bytes are;
 * then the tensors are put together, in the shards' order, and held against the index.
 *
 * A tensor in two shards is what loaders disagree about: the one that the index names counts here, or
 * else the last, as it does for those who load shard after shard.
 */
#include "common/formats/set_private.h"

#include "common/base/attr.h"
#include "common/formats/builder.h"
#include "common/formats/set_name.h"

enum { TOLD_MAX = 20 /* findings of a kind; the rest is counted */ };

/* What is put together, and how much of it was told. */
struct joint {
    struct set *s;
    struct set_join *j;
    struct inspection in; /* of the unit; the set's arena holds it */
    struct builder builder;
    struct map owners; /* tensors' names, to their places in the builder */
    size_t twice, lacking, extra;
    bool has_alias;
    bool is_incomplete;
    uint64_t file_bytes; /* of the shards that were read */
};

void
set_join_done(struct set_join *j)
{
    vec_done(&j->shards);
    vec_done(&j->rows);
    map_done(&j->by_name);
}

enum status
set_join_begin(struct set *s, struct set_join *j, struct err *err)
{
    (void)err;
    *j = (struct set_join){0};
    j->shards = vec_of(sizeof(struct set_shard), s->limits->tensors);
    j->rows = vec_of(sizeof(struct set_row), s->limits->tensors);
    return OK;
}

static void
joint_done(struct joint *t)
{
    builder_done(&t->builder);
    map_done(&t->owners);
}

/* ---- reading ---- */

/* The container that a shard adds: its default one, or else its only one. */
static enum status
choose_container(struct set *s, struct set_shard *shard, struct err *err)
{
    shard->container = shard->read.default_container;
    if (shard->container < shard->read.container_count)
        return OK;
    shard->container = 0;
    if (shard->read.container_count > 0)
        return OK;
    shard->is_read = false;
    return set_note(s, FINDING_SHARD_TENSOR_MISSING, shard->path, err,
                    "the shard holds no state dict");
}

static enum status
read_shard(struct joint *t, struct set_shard *shard, struct err *err)
{
    struct err problem = {0};
    struct source source;
    enum status status;

    if (shard->file == SIZE_MAX) {
        t->is_incomplete = true;
        return shard->is_refused ? OK
                                 : set_note(t->s, FINDING_FRAGMENT_MISSING, shard->path, err,
                                            "shard %u of %zu is missing: %.*s", shard->number,
                                            t->j->shards.count, SLICE_PRINT(shard->path));
    }
    t->s->is_joining = true;
    status = set_read_file(t->s, shard->file, &shard->read, &problem);
    t->s->is_joining = false;
    if (status == OK) {
        shard->is_read = true;
        TRY(t->s->files->open(t->s->files->context, shard->file, &source, err));
        t->file_bytes += source.size_bytes;
        return choose_container(t->s, shard, err);
    }
    if (!set_is_local(status)) {
        err_copy(err, &problem);
        return status;
    }
    if (t->s->first.code == OK)
        err_copy(&t->s->first, &problem);
    t->is_incomplete = true;
    set_at_least(t->s, SAFETY_MALFORMED);
    return set_note(t->s, FINDING_UNREADABLE, shard->path, err, "the shard could not be read: %s",
                    problem.text);
}

/* ---- joining ---- */

/* Which of the index's rows is the tensor's, or NULL. */
static const struct set_row *
row_of(const struct set_join *j, struct slice name)
{
    uint32_t row = map_get(&j->by_name, name);

    return row == MAP_NONE ? NULL : &VEC_AT(&j->rows, struct set_row, row);
}

/* The same name once more. */
static enum status
add_again(struct joint *t, const struct built_tensor *tensor, uint32_t shard, uint32_t at,
          struct err *err)
{
    struct built_tensor *old = &VEC_AT(&t->builder.tensors, struct built_tensor, at);
    const struct set_row *row = row_of(t->j, tensor->tensor.name);
    uint32_t order = old->order;

    set_at_least(t->s, SAFETY_MALFORMED);
    if (row == NULL || row->shard == shard) {
        *old = *tensor;
        old->order = order;
    }
    if (t->twice++ >= TOLD_MAX)
        return OK;
    return set_note(t->s, FINDING_SHARD_TENSOR_TWICE, tensor->tensor.name, err,
                    "it is in two shards, of which loaders take either: %s",
                    row == NULL ? "the last is taken here" : "the one in the index is taken here");
}

static enum status
add_tensor(struct joint *t, const struct built_tensor *tensor, uint32_t shard, struct err *err)
{
    struct set_shard *from = &VEC_AT(&t->j->shards, struct set_shard, shard);
    uint32_t at;

    if (t->j->rows.count > 0 && row_of(t->j, tensor->tensor.name) == NULL && t->extra++ < TOLD_MAX)
        TRY(set_note(t->s, FINDING_SHARD_TENSOR_EXTRA, tensor->tensor.name, err,
                     "it is in %.*s, but not in the index", SLICE_PRINT(from->path)));
    TRY(map_add(&t->owners, tensor->tensor.name, (uint32_t)t->builder.tensors.count, &at, err));
    if (at != MAP_NONE)
        return add_again(t, tensor, shard, at, err);
    return builder_tensor(&t->builder, tensor, err);
}

/* Which group of tensors that share a storage each is in, so that the builder finds them again. */
static enum status
find_groups(struct joint *t, const struct container *c, uint32_t shard, uint64_t **ret_groups,
            struct err *err)
{
    *ret_groups = NULL;
    if (c->facts.alias_count == 0)
        return OK;
    t->has_alias = true;
    *ret_groups = arena_alloc(&t->s->in->arena, c->structure.count, sizeof **ret_groups);
    if (*ret_groups == NULL)
        return arena_fail(&t->s->in->arena, err);
    for (size_t i = 0; i < c->facts.alias_count; i++) {
        const struct alias_group *g = &c->facts.aliases[i];

        for (size_t k = 0; k < g->count; k++)
            (*ret_groups)[g->members[k]] = ((uint64_t)shard + 1) << 32 | (i + 1);
    }
    return OK;
}

static enum status
add_tensors(struct joint *t, const struct container *c, uint32_t shard, struct err *err)
{
    uint64_t *groups;

    TRY(find_groups(t, c, shard, &groups, err));
    for (size_t i = 0; i < c->structure.count; i++) {
        size_t at = c->facts.order != NULL ? c->facts.order[i] : i;
        struct built_tensor tensor = {.tensor = c->structure.tensors[at]};

        if (c->facts.layouts != NULL)
            tensor.layout = c->facts.layouts[at];
        if (c->placement.places != NULL)
            tensor.place = c->placement.places[at];
        if (groups != NULL)
            tensor.storage = groups[at];
        TRY(add_tensor(t, &tensor, shard, err));
    }
    return OK;
}

static enum status
add_shard(struct joint *t, uint32_t shard, struct err *err)
{
    const struct set_shard *from = &VEC_AT(&t->j->shards, struct set_shard, shard);
    const struct container *c = &from->read.containers[from->container];

    TRY(add_tensors(t, c, shard, err));
    for (size_t i = 0; i < c->facts.entry_count; i++)
        TRY(builder_entry(&t->builder, &c->facts.entries[i], err));
    for (size_t i = 0; i < c->facts.version_count; i++)
        TRY(builder_version(&t->builder, &c->facts.versions[i], err));
    t->builder.has_metadata = t->builder.has_metadata && c->facts.has_metadata;
    return OK;
}

/* ---- against the index ---- */

static enum status
check_rows(struct joint *t, struct err *err)
{
    for (size_t i = 0; i < t->j->rows.count; i++) {
        const struct set_row *row = &VEC_AT(&t->j->rows, struct set_row, i);
        const struct set_shard *shard = &VEC_AT(&t->j->shards, struct set_shard, row->shard);
        const struct structure *s;

        if (!shard->is_read)
            continue;
        s = &shard->read.containers[shard->container].structure;
        if (structure_find(s, row->name) != SIZE_MAX)
            continue;
        t->is_incomplete = true;
        if (t->lacking++ < TOLD_MAX)
            TRY(set_note(t->s, FINDING_SHARD_TENSOR_MISSING, row->name, err,
                         "the index says that it is in %.*s, where it is not",
                         SLICE_PRINT(shard->path)));
    }
    if (t->lacking > TOLD_MAX)
        TRY(set_note(t->s, FINDING_SHARD_TENSOR_MISSING, t->j->index_path, err,
                     "%zu tensors of the index are not in their shards", t->lacking));
    if (t->extra > TOLD_MAX)
        TRY(set_note(t->s, FINDING_SHARD_TENSOR_EXTRA, t->j->index_path, err,
                     "%zu tensors are not in the index", t->extra));
    if (t->twice > TOLD_MAX)
        TRY(set_note(t->s, FINDING_SHARD_TENSOR_TWICE, t->j->index_path, err,
                     "%zu tensors are in two shards", t->twice));
    return OK;
}

/* Some writers sum up the files, others the tensors, of which some stand under two names. */
static enum status
check_total(struct joint *t, const struct container *c, struct err *err)
{
    uint64_t bytes = structure_bytes(&c->structure);

    if (!t->j->has_total_size || t->is_incomplete || t->has_alias || t->j->total_size == bytes ||
        t->j->total_size == t->file_bytes)
        return OK;
    return set_note(t->s, FINDING_SHARD_INDEX, t->j->index_path, err,
                    "total_size is %llu, but the tensors have %llu bytes",
                    (unsigned long long)t->j->total_size, (unsigned long long)bytes);
}

/* ---- the whole ---- */

/* The path that all shards' state dicts have, or the top. */
static struct slice
common_path(const struct set_join *j)
{
    const struct slice *path = NULL;

    for (size_t i = 0; i < j->shards.count; i++) {
        const struct set_shard *shard = &VEC_AT(&j->shards, struct set_shard, i);

        if (!shard->is_read)
            continue;
        if (path != NULL && !slice_equal(*path, shard->read.containers[shard->container].path))
            return slice_of("");
        path = &shard->read.containers[shard->container].path;
    }
    return path == NULL ? slice_of("") : *path;
}

/* GGUF's shards call themselves fragments: whole they are weights, of which its blocks are most. */
static enum container_kind
common_kind(const struct joint *t)
{
    const struct set_shard *first = t->j->shards.items;
    enum container_kind kind;
    size_t blocks = 0;

    if (t->is_incomplete)
        return CONTAINER_FRAGMENT;
    kind = first->read.containers[first->container].kind;
    if (kind != CONTAINER_FRAGMENT || first->read.part.length > 0)
        return kind;
    for (size_t i = 0; i < t->builder.tensors.count; i++)
        blocks += dtype_block(VEC_AT(&t->builder.tensors, struct built_tensor, i).tensor.dtype) > 1;
    return blocks * 2 > t->builder.tensors.count ? CONTAINER_QUANTIZED : CONTAINER_WEIGHTS;
}

static enum status
put_together(struct joint *t, struct err *err)
{
    struct container *c;
    bool is_odd = false;

    builder_begin(&t->builder, t->s->in, t->s->limits);
    t->builder.has_metadata = true;
    if (t->j->is_chunked) {
        t->builder.has_metadata = false;
        TRY(set_chunks_join(t->s, t->j, &t->builder, &is_odd, err));
        t->is_incomplete = t->is_incomplete || is_odd;
    }
    for (size_t i = 0; i < t->j->shards.count && !t->j->is_chunked; i++) {
        if (VEC_AT(&t->j->shards, struct set_shard, i).is_read)
            TRY(add_shard(t, (uint32_t)i, err));
    }
    TRY(check_rows(t, err));
    TRY(builder_finish(&t->builder, common_path(t->j), common_kind(t), err));
    t->in.containers = t->s->in->containers; /* the unit's, until the set is finished */
    t->in.container_count = t->s->in->container_count;
    t->s->in->containers = NULL;
    t->s->in->container_count = 0;
    c = &t->in.containers[0];
    if (c->structure.count > 0 && c->kind != CONTAINER_OPTIMIZER && c->kind != CONTAINER_OUTER)
        t->in.default_container = 0;
    return check_total(t, c, err);
}

/* One of several, and the others are not here. */
static enum status
tell_part(struct joint *t, struct err *err)
{
    const struct set_shard *only = t->j->shards.items;
    struct set_number n;

    if (t->j->shards.count != 1 || t->j->missing == 0 || !set_name_number(only->path, &n))
        return OK;
    TRY(arena_printf(&t->s->in->arena, &t->in.part, err,
                     "{\"scheme\":\"shards\",\"rank\":%u,\"of\":%u}", n.number, n.total));
    return set_note(t->s, FINDING_FRAGMENT, only->path, err,
                    "shard %u of %u: upload the others with it as one version", n.number, n.total);
}

enum status
set_join_read(struct set *s, struct set_join *j, struct err *err)
{
    CLEANUP(joint_done) struct joint t = {.s = s, .j = j, .is_incomplete = j->missing > 0};
    const struct set_shard *first = NULL;

    for (size_t i = 0; i < j->shards.count; i++) {
        struct set_shard *shard = &VEC_AT(&j->shards, struct set_shard, i);

        TRY(read_shard(&t, shard, err));
        if (first == NULL && shard->is_read)
            first = shard;
    }
    if (first == NULL)
        return OK;
    t.in = (struct inspection){.format = first->read.format,
                               .metadata = j->is_chunked ? (struct slice){0} : first->read.metadata,
                               .weights_only = first->read.weights_only,
                               .default_container = SIZE_MAX};
    TRY(put_together(&t, err));
    TRY(tell_part(&t, err));
    return set_add_unit(s, j->name, &t.in, err);
}
