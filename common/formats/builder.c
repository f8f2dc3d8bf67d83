#include "common/formats/builder.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

void
builder_begin(struct builder *b, struct inspection *in, const struct limits *limits)
{
    *b = (struct builder){
        .in = in,
        .limits = limits,
        .tensors = vec_of(sizeof(struct built_tensor), limits->tensors),
        .entries = vec_of(sizeof(struct entry), limits->tensors),
        .versions = vec_of(sizeof(struct module_version), limits->tensors),
    };
}

void
builder_done(struct builder *b)
{
    vec_done(&b->tensors);
    vec_done(&b->entries);
    vec_done(&b->versions);
}

static enum status
check_name(const struct builder *b, struct slice name, struct err *err)
{
    FAIL_IF(name.length > b->limits->name_bytes, err, LIMIT, 0,
            "a name of %zu bytes; the limit is %zu", name.length, b->limits->name_bytes);
    return OK;
}

enum status
builder_tensor(struct builder *b, const struct built_tensor *t, struct err *err)
{
    struct built_tensor *built;
    struct tensor *tensor;

    TRY(check_name(b, t->tensor.name, err));
    FAIL_IF(t->tensor.shape.rank > b->limits->rank || t->tensor.shape.rank > TENSOR_RANK_MAX, err,
            LIMIT, 0, "%.*s has rank %u; the limit is %zu", SLICE_PRINT(t->tensor.name),
            t->tensor.shape.rank, b->limits->rank);
    TRY(vec_add(&b->tensors, &built, "tensors", err));
    *built = *t;
    built->order = (uint32_t)b->tensors.count - 1;
    tensor = &built->tensor;
    FAIL_IF(!shape_elements(tensor->shape, &tensor->elements) ||
                !shape_bytes(tensor->elements, tensor->dtype, &tensor->bytes),
            err, MALFORMED, 0, "the shape of %.*s overflows", SLICE_PRINT(tensor->name));
    return OK;
}

enum status
builder_entry(struct builder *b, const struct entry *e, struct err *err)
{
    struct entry *entry;

    TRY(check_name(b, e->name, err));
    TRY(vec_add(&b->entries, &entry, "entries", err));
    *entry = *e;
    if (entry->type.length > b->limits->name_bytes)
        entry->type.length = b->limits->name_bytes;
    return OK;
}

enum status
builder_version(struct builder *b, const struct module_version *v, struct err *err)
{
    struct module_version *version;

    TRY(check_name(b, v->module, err));
    TRY(vec_add(&b->versions, &version, "module versions", err));
    *version = *v;
    return OK;
}

/* ---- sorting; of equal names the last one given wins ---- */

static int
compare_tensors(const void *a, const void *b)
{
    const struct built_tensor *const x = a;
    const struct built_tensor *const y = b;
    int order = slice_compare(x->tensor.name, y->tensor.name);

    if (order != 0)
        return order;
    return (x->order > y->order) - (x->order < y->order);
}

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *const x = a;
    const struct entry *const y = b;

    return slice_compare(x->name, y->name);
}

static int
compare_versions(const void *a, const void *b)
{
    const struct module_version *const x = a;
    const struct module_version *const y = b;

    return slice_compare(x->module, y->module);
}

static enum status
sort_tensors(struct builder *b, struct err *err)
{
    struct built_tensor *list = b->tensors.items;
    size_t kept = 0;

    if (b->tensors.count > 1)
        qsort(list, b->tensors.count, sizeof *list, compare_tensors);
    for (size_t i = 0; i < b->tensors.count; i++) {
        uint32_t order = list[i].order;

        if (kept > 0 && slice_equal(list[kept - 1].tensor.name, list[i].tensor.name)) {
            TRY(inspection_note(b->in, b->limits, FINDING_KEY_DUPLICATE, list[i].tensor.name, err,
                                "the key is there more than once; the last one counts"));
            order = list[--kept].order; /* a dict keeps the first place */
        }
        list[kept] = list[i];
        list[kept++].order = order;
    }
    b->tensors.count = kept;
    return OK;
}

/* ---- the three parts ---- */

/* The last part to be made: the rows shrink to what it needs of them, so that a hundred thousand tensors
 * are never held twice over. */
static enum status
make_structure(struct builder *b, struct container *c, struct err *err)
{
    size_t count = b->tensors.count;
    struct tensor *tensors, *rows = b->tensors.items;

    for (size_t i = 0; i < count; i++)
        memmove(rows + i, &VEC_AT(&b->tensors, struct built_tensor, i).tensor, sizeof *rows);
    rows = mem_resize(rows, count, sizeof *rows);
    if (rows != NULL) {
        b->tensors.items = rows;
        b->tensors.capacity = count * sizeof *rows / sizeof(struct built_tensor);
    }
    tensors = arena_alloc(&b->in->arena, count, sizeof *tensors);
    if (tensors == NULL)
        return arena_fail(&b->in->arena, err);
    if (count > 0)
        memcpy(tensors, b->tensors.items, count * sizeof *tensors);
    c->structure = (struct structure){.tensors = tensors, .count = count};
    return OK;
}

static enum status
make_placement(struct builder *b, struct container *c, struct err *err)
{
    struct place *places;
    bool any = false;

    for (size_t i = 0; i < b->tensors.count; i++)
        any = any || VEC_AT(&b->tensors, struct built_tensor, i).place.has_bytes;
    if (!any)
        return OK;
    places = arena_alloc(&b->in->arena, b->tensors.count, sizeof *places);
    if (places == NULL)
        return arena_fail(&b->in->arena, err);
    for (size_t i = 0; i < b->tensors.count; i++) {
        const struct place *p = &VEC_AT(&b->tensors, struct built_tensor, i).place;

        places[i] = p->has_bytes ? *p : (struct place){0}; /* a view of nothing says nothing */
    }
    c->placement.places = places;
    return OK;
}

static enum status
make_layouts(struct builder *b, struct container *c, struct err *err)
{
    uint8_t *layouts;
    bool any = false;

    for (size_t i = 0; i < b->tensors.count; i++)
        any = any || VEC_AT(&b->tensors, struct built_tensor, i).layout != LAYOUT_STRIDED;
    if (!any)
        return OK;
    layouts = arena_alloc(&b->in->arena, b->tensors.count, sizeof *layouts);
    if (layouts == NULL)
        return arena_fail(&b->in->arena, err);
    for (size_t i = 0; i < b->tensors.count; i++)
        layouts[i] = (uint8_t)VEC_AT(&b->tensors, struct built_tensor, i).layout;
    c->facts.layouts = layouts;
    return OK;
}

struct ranked {
    uint32_t order;
    uint32_t index;
};

static int
compare_ranks(const void *a, const void *b)
{
    const struct ranked *const x = a;
    const struct ranked *const y = b;

    return (x->order > y->order) - (x->order < y->order);
}

static enum status
make_order(struct builder *b, struct container *c, struct err *err)
{
    size_t count = b->tensors.count;
    CLEANUP(mem_free_at) struct ranked *ranks = mem_new(count, sizeof *ranks);
    uint32_t *order = arena_alloc(&b->in->arena, count, sizeof *order);

    FAIL_IF(ranks == NULL, err, NO_MEMORY, 0, "out of memory");
    if (order == NULL)
        return arena_fail(&b->in->arena, err);
    for (size_t i = 0; i < count; i++)
        ranks[i] = (struct ranked){VEC_AT(&b->tensors, struct built_tensor, i).order, (uint32_t)i};
    if (count > 1)
        qsort(ranks, count, sizeof *ranks, compare_ranks);
    for (size_t i = 0; i < count; i++)
        order[i] = ranks[i].index;
    c->facts.order = order;
    return OK;
}

/* ---- aliases ---- */

struct shared {
    uint64_t storage;
    uint32_t index;
};

static int
compare_shared(const void *a, const void *b)
{
    const struct shared *const x = a;
    const struct shared *const y = b;

    if (x->storage != y->storage)
        return x->storage < y->storage ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool
is_same_view(const struct built_tensor *a, const struct built_tensor *b)
{
    uint32_t rank = a->tensor.shape.rank;
    const int64_t *x = a->place.strides, *y = b->place.strides;

    if (a->tensor.dtype != b->tensor.dtype || !shape_equal(a->tensor.shape, b->tensor.shape) ||
        a->place.first_element != b->place.first_element || (x == NULL) != (y == NULL))
        return false;
    return x == NULL || rank == 0 || memcmp(x, y, rank * sizeof *x) == 0;
}

static enum status
add_group(struct builder *b, const struct shared *run, size_t count, struct alias_group *g,
          struct err *err)
{
    const struct built_tensor *list = b->tensors.items;
    uint32_t *members = arena_alloc(&b->in->arena, count, sizeof *members);

    if (members == NULL)
        return arena_fail(&b->in->arena, err);
    g->is_tied = true;
    for (size_t i = 0; i < count; i++) {
        members[i] = run[i].index;
        g->is_tied = g->is_tied && is_same_view(&list[run[0].index], &list[run[i].index]);
    }
    g->members = members;
    g->count = count;
    return OK;
}

static int
compare_groups(const void *a, const void *b)
{
    const struct alias_group *const x = a;
    const struct alias_group *const y = b;

    return (x->members[0] > y->members[0]) - (x->members[0] < y->members[0]);
}

static enum status
make_aliases(struct builder *b, struct container *c, struct err *err)
{
    struct arena *arena = &b->in->arena;
    CLEANUP(mem_free_at) struct shared *shared = mem_new(b->tensors.count, sizeof *shared);
    size_t count = 0, groups = 0;
    struct alias_group *list;

    FAIL_IF(shared == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < b->tensors.count; i++) {
        uint64_t storage = VEC_AT(&b->tensors, struct built_tensor, i).storage;

        if (storage != 0)
            shared[count++] = (struct shared){storage, (uint32_t)i};
    }
    if (count > 1)
        qsort(shared, count, sizeof *shared, compare_shared);
    for (size_t i = 1; i < count; i++)
        groups += shared[i].storage == shared[i - 1].storage &&
                  (i == 1 || shared[i - 2].storage != shared[i].storage);
    if (groups == 0)
        return OK;
    list = arena_alloc(arena, groups, sizeof *list);
    if (list == NULL)
        return arena_fail(arena, err);
    groups = 0;
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && shared[end].storage == shared[i].storage;)
            end++;
        if (end - i > 1)
            TRY(add_group(b, &shared[i], end - i, &list[groups++], err));
    }
    qsort(list, groups, sizeof *list, compare_groups);
    c->facts.aliases = list;
    c->facts.alias_count = groups;
    return OK;
}

static enum status
make_entries(struct builder *b, struct container *c, struct err *err)
{
    struct entry *entries = arena_alloc(&b->in->arena, b->entries.count, sizeof *entries);
    size_t kept = 0;

    if (entries == NULL)
        return arena_fail(&b->in->arena, err);
    if (b->entries.count > 1)
        qsort(b->entries.items, b->entries.count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < b->entries.count; i++) {
        struct entry e = VEC_AT(&b->entries, struct entry, i);

        if (kept == 0 || !slice_equal(entries[kept - 1].name, e.name))
            entries[kept++] = e;
    }
    c->facts.entries = entries;
    c->facts.entry_count = kept;
    return OK;
}

static enum status
make_versions(struct builder *b, struct container *c, struct err *err)
{
    struct module_version *list = arena_alloc(&b->in->arena, b->versions.count, sizeof *list);
    size_t kept = 0;

    if (list == NULL)
        return arena_fail(&b->in->arena, err);
    if (b->versions.count > 1)
        qsort(b->versions.items, b->versions.count, sizeof *list, compare_versions);
    for (size_t i = 0; i < b->versions.count; i++) {
        struct module_version v = VEC_AT(&b->versions, struct module_version, i);

        if (kept == 0 || !slice_equal(list[kept - 1].module, v.module))
            list[kept++] = v;
    }
    c->facts.versions = list;
    c->facts.version_count = kept;
    c->facts.has_metadata = b->has_metadata;
    return OK;
}

/* Containers are few: a new list each time costs less than it reads. */
static enum status
add_container(struct builder *b, struct container **ret_container, struct err *err)
{
    struct inspection *in = b->in;
    struct container *list;

    FAIL_IF(in->container_count >= b->limits->containers, err, LIMIT, 0,
            "more than %zu state dicts in one file", b->limits->containers);
    list = arena_alloc(&in->arena, in->container_count + 1, sizeof *list);
    if (list == NULL)
        return arena_fail(&in->arena, err);
    if (in->container_count > 0)
        memcpy(list, in->containers, in->container_count * sizeof *list);
    in->containers = list;
    *ret_container = &list[in->container_count];
    return OK;
}

enum status
builder_finish(struct builder *b, struct slice path, enum container_kind kind, struct err *err)
{
    struct container *c;

    TRY(sort_tensors(b, err));
    TRY(add_container(b, &c, err));
    c->path = path;
    c->kind = kind;
    TRY(make_layouts(b, c, err));
    TRY(make_order(b, c, err));
    TRY(make_aliases(b, c, err));
    TRY(make_entries(b, c, err));
    TRY(make_versions(b, c, err));
    TRY(make_placement(b, c, err));
    TRY(make_structure(b, c, err));
    b->in->container_count++;
    b->tensors.count = b->entries.count = b->versions.count = 0;
    b->has_metadata = false;
    return OK;
}
