#include "server/api/loaded.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/natural.h"
#include "common/render/inspection_json.h"
#include "server/store/inspection_store.h"

enum { SUMMARY_BYTES_MAX = 16 << 20 };

static void
loaded_free(void *value)
{
    struct loaded *loaded = value;

    inspection_done(&loaded->in);
    mem_free(loaded);
}

static enum status
load_containers(struct app *app, const struct inspection_row *row, struct loaded *loaded,
                struct err *err)
{
    struct arena *arena = &loaded->in.arena;
    struct container *containers = arena_alloc(arena, row->container_count, sizeof *containers);
    int64_t *ids = arena_alloc(arena, row->container_count, sizeof *ids);

    if (containers == NULL || ids == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < row->container_count; i++) {
        const struct container_row *from = &row->containers[i];
        struct container *c = &containers[i];

        c->path = from->path;
        c->kind = from->kind;
        ids[i] = from->id;
        TRY(structure_store_get(app->store, from->structure_id, &app->limits, arena, &c->structure,
                                err));
        TRY(structure_store_facts(app->store, from->facts_id, &c->structure, &app->limits, arena,
                                  &c->facts, err));
    }
    loaded->in.containers = containers;
    loaded->in.container_count = row->container_count;
    loaded->container_ids = ids;
    return OK;
}

/* Natural order goes by the structure's names, which qsort's rows must carry with them. */
struct named {
    struct slice name;
    uint32_t index;
};

static int
compare_named(const void *a, const void *b)
{
    const struct named *const x = a;
    const struct named *const y = b;

    return natural_compare(x->name, y->name);
}

static enum status
order_tensors(const struct structure *s, struct arena *arena, const uint32_t **ret_order,
              struct err *err)
{
    CLEANUP(mem_free_at) struct named *rows = mem_new(s->count, sizeof *rows);
    uint32_t *order = arena_alloc(arena, s->count, sizeof *order);

    FAIL_IF(rows == NULL, err, NO_MEMORY, 0, "out of memory");
    if (order == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < s->count; i++)
        rows[i] = (struct named){s->tensors[i].name, (uint32_t)i};
    if (s->count > 1)
        qsort(rows, s->count, sizeof *rows, compare_named);
    for (size_t i = 0; i < s->count; i++)
        order[i] = rows[i].index;
    *ret_order = order;
    return OK;
}

static enum status
order_all(struct loaded *loaded, struct err *err)
{
    struct arena *arena = &loaded->in.arena;
    const uint32_t **orders = arena_alloc(arena, loaded->in.container_count, sizeof *orders);

    if (orders == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < loaded->in.container_count; i++)
        TRY(order_tensors(&loaded->in.containers[i].structure, arena, &orders[i], err));
    loaded->orders = orders;
    return OK;
}

static enum status
summarize(struct app *app, struct loaded *loaded, struct err *err)
{
    CLEANUP(buf_done) struct buf json = buf_with_cap(SUMMARY_BYTES_MAX);

    TRY(inspection_json(&json, &loaded->in, false, 0, &app->limits, err));
    return arena_copy(&loaded->in.arena, buf_slice_of(&json), &loaded->summary, err);
}

static enum status
load(struct app *app, int64_t inspection_id, struct loaded *loaded, struct err *err)
{
    struct inspection_row row;

    loaded->in.arena = arena_with_cap(app->limits.arena_bytes);
    TRY(inspection_store_get(app->store, inspection_id, &loaded->in.arena, &row, err));
    loaded->in.format = row.format;
    loaded->in.metadata = row.metadata;
    loaded->in.findings = row.findings;
    loaded->in.finding_count = row.finding_count;
    loaded->in.findings_dropped = row.findings_dropped;
    loaded->in.safety = row.safety;
    loaded->in.weights_only = row.weights_only;
    loaded->in.default_container = row.default_container;
    vouched_apply(&app->vouched, &loaded->in);
    TRY(load_containers(app, &row, loaded, err));
    TRY(order_all(loaded, err));
    return summarize(app, loaded, err);
}

enum status
loaded_get(struct app *app, int64_t inspection_id, struct cache_item **ret_item, struct err *err)
{
    char key[32];
    struct loaded *loaded;
    enum status status;

    (void)snprintf(key, sizeof key, "%lld", (long long)inspection_id);
    *ret_item = cache_get(app->inspections, slice_of(key));
    if (*ret_item != NULL)
        return OK;
    loaded = mem_new(1, sizeof *loaded);
    FAIL_IF(loaded == NULL, err, NO_MEMORY, 0, "out of memory");
    status = load(app, inspection_id, loaded, err);
    if (status != OK) {
        loaded_free(loaded);
        return status;
    }
    return cache_put(app->inspections, slice_of(key), loaded,
                     loaded->in.arena.used_bytes + sizeof *loaded, loaded_free, ret_item, err);
}

enum status
loaded_container(const struct loaded *loaded, struct slice path, size_t *ret_index, struct err *err)
{
    CLEANUP(buf_done) struct buf there = buf_with_cap(200);
    const struct inspection *in = &loaded->in;

    if (path.at == NULL) {
        FAIL_IF(in->default_container >= in->container_count, err, NOT_FOUND, 0,
                "the checkpoint holds no state dict");
        *ret_index = in->default_container;
        return OK;
    }
    for (*ret_index = 0; *ret_index < in->container_count; (*ret_index)++) {
        const struct container *c = &in->containers[*ret_index];

        if (slice_equal(c->path, path))
            return OK;
        if (c->kind != CONTAINER_OUTER)
            buf_printf(&there, " \"%.*s\"", SLICE_PRINT(c->path));
    }
    FAIL(err, NOT_FOUND, 0, "the checkpoint has no state dict at \"%.*s\"; it has%s",
         SLICE_PRINT(path), there.length > 0 ? there.bytes : " none");
}

enum status
loaded_placement(struct app *app, const struct loaded *loaded, size_t container,
                 struct arena *arena, struct placement *ret_placement, struct err *err)
{
    return structure_store_placement(app->store, loaded->container_ids[container],
                                     &loaded->in.containers[container].structure, &app->limits,
                                     arena, ret_placement, err);
}

void
loaded_release(struct cache_item **item)
{
    cache_release(*item);
}
