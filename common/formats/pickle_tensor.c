#include "common/formats/pickle_tensor.h"

enum {
    ID_PARTS = 5,
    ARGUMENTS = 6,
    RANK_MAX = 64,
};

/* The parts of a call that may be folded. */
struct parts {
    const struct pickle_global *function;
    const struct pickle_value *id; /* ID_PARTS of them, or one more */
    const struct pickle_value *size;
    const struct pickle_value *stride;
    uint32_t rank;
    int64_t first;
    bool requires_grad;
    bool has_view;
    const struct pickle_global *hooks;
};

void
pickle_tensor_begin(struct machine *m, struct pickle_items items)
{
    if ((items.count != ID_PARTS && items.count != ID_PARTS + 1) ||
        !pickle_is_text(items.at[0], "storage"))
        return;
    m->draft.is_open = true;
    m->draft.mark = arena_mark(m->arena);
    m->draft.allocations = m->allocations;
    m->draft.kept = m->kept;
    m->draft.call_end = m->call_end;
    m->draft.persistent_end = m->persistent_end;
}

static bool
is_plain_text(struct pickle_value v)
{
    return v.kind == PICKLE_STR && !v.is_raw;
}

/* ('storage', class, key, location, elements[, None]) */
static bool
read_id(struct pickle_value v, struct parts *p)
{
    struct pickle_value id = pickle_persistent_id(v);

    if (id.kind != PICKLE_TUPLE || (id.count != ID_PARTS && id.count != ID_PARTS + 1))
        return false;
    p->id = id.is.items;
    p->has_view = id.count == ID_PARTS + 1;
    return is_plain_text(p->id[0]) && pickle_is_text(p->id[0], "storage") &&
           p->id[1].kind == PICKLE_GLOBAL && is_plain_text(p->id[2]) && is_plain_text(p->id[3]) &&
           p->id[4].kind == PICKLE_INT && p->id[4].is.integer >= 0 &&
           (!p->has_view || p->id[5].kind == PICKLE_NONE);
}

static bool
are_sizes(struct pickle_value v, uint32_t rank)
{
    if (v.kind != PICKLE_TUPLE || v.count != rank)
        return false;
    for (uint32_t i = 0; i < rank; i++)
        if (v.is.items[i].kind != PICKLE_INT || v.is.items[i].is.integer < 0)
            return false;
    return true;
}

/* OrderedDict(), and nothing done with it. */
static bool
are_hooks(struct pickle_value v)
{
    return v.kind == PICKLE_CALL && v.is.call->kind == PICKLE_REDUCE && v.is.call->extra == NULL &&
           v.is.call->args.kind == PICKLE_TUPLE && v.is.call->args.count == 0 &&
           pickle_is_call(v, "collections", "OrderedDict");
}

static bool
read_parts(const struct machine *m, struct parts *p)
{
    struct pickle_value args = m->stack[m->top - 1], callable = m->stack[m->top - 2];
    const struct pickle_value *a = args.is.items;

    if (args.kind != PICKLE_TUPLE || args.count != ARGUMENTS || callable.kind != PICKLE_GLOBAL ||
        !callable.is.global->folds)
        return false;
    p->function = callable.is.global;
    p->rank = a[2].kind == PICKLE_TUPLE ? a[2].count : 0;
    if (!read_id(a[0], p) || a[1].kind != PICKLE_INT || a[1].is.integer < 0 || p->rank > RANK_MAX ||
        !are_sizes(a[2], p->rank) || !are_sizes(a[3], p->rank) || a[4].kind != PICKLE_BOOL ||
        !are_hooks(a[5]))
        return false;
    p->first = a[1].is.integer;
    p->size = a[2].is.items;
    p->stride = a[3].is.items;
    p->requires_grad = a[4].is.truth;
    p->hooks = a[5].is.call->callable.is.global;
    return true;
}

/* All that was allocated since the draft is this call's, and nobody holds any of it. It is not enough to
 * count: a part may be older than the draft, and something else take its place that lives on, or a call
 * that must not be forgotten. */
static bool
is_alone(const struct machine *m, const struct parts *p)
{
    const struct pickle_value *args = m->stack[m->top - 1].is.items;
    const void *parts[MACHINE_TENSOR_OBJECTS];
    size_t count = 0;

    parts[count++] = p->id;
    parts[count++] = args[0].is.persistent;
    if (p->rank > 0) {
        parts[count++] = p->size;
        parts[count++] = p->stride;
    }
    parts[count++] = args[5].is.call;
    parts[count++] = args;
    return m->allocations - m->draft.allocations == count && m->kept == m->draft.kept &&
           memcmp(parts, m->draft.made, count * sizeof parts[0]) == 0;
}

static bool
is_kind(const struct pickle_tensor_kind *kind, const struct parts *p)
{
    return kind->storage_class == p->id[1].is.global && kind->function == p->function &&
           kind->hooks == p->hooks && kind->has_view == p->has_view &&
           slice_equal(kind->location, (struct slice){p->id[3].is.bytes, p->id[3].count});
}

/* The kind, if the lists have one of it. The first of a kind is to stay as it is: then NULL. */
static enum status
find_kind(struct machine *m, const struct parts *p, const struct pickle_tensor_kind **ret_kind)
{
    struct pickle_tensor_kind *kind = NULL;

    *ret_kind = NULL;
    for (size_t i = 0; i < m->tensor_kind_count; i++) {
        if (is_kind(m->tensor_kinds[i], p)) {
            *ret_kind = m->tensor_kinds[i];
            return OK;
        }
    }
    if (m->tensor_kind_count == MACHINE_TENSOR_KINDS)
        return OK;
    TRY(pickle_new(m, 1, sizeof *kind, &kind));
    *kind = (struct pickle_tensor_kind){
        .function = p->function,
        .storage_class = p->id[1].is.global,
        .hooks = p->hooks,
        .location = {p->id[3].is.bytes, p->id[3].count},
        .has_view = p->has_view,
    };
    m->tensor_kinds[m->tensor_kind_count++] = kind;
    return OK;
}

/* Before the parts' memory is taken back. */
static struct pickle_tensor
head_of(const struct machine *m, const struct parts *p, const struct pickle_tensor_kind *kind)
{
    return (struct pickle_tensor){
        .kind = kind,
        .key = p->id[2].is.bytes,
        .key_length = p->id[2].count,
        .elements = p->id[4].is.integer,
        .first = p->first,
        .offset = (uint32_t)machine_offset(m),
        .rank = p->rank,
        .requires_grad = p->requires_grad,
    };
}

static void
take_back(struct machine *m)
{
    arena_rewind(m->arena, m->draft.mark);
    m->call_end = m->draft.call_end;
    *m->call_end = NULL;
    m->persistent_end = m->draft.persistent_end;
    *m->persistent_end = NULL;
}

enum status
pickle_tensor_fold(struct machine *m, bool *ret_folded)
{
    struct parts p = {0};
    const struct pickle_tensor_kind *kind = NULL;
    struct pickle_tensor head, *t = NULL;
    int64_t dims[2 * RANK_MAX];

    *ret_folded = false;
    if (!m->draft.is_open || m->top - m->fence < 2 || !read_parts(m, &p))
        return OK;
    m->draft.is_open = false;
    TRY(find_kind(m, &p, &kind));
    if (kind == NULL || !is_alone(m, &p))
        return OK;
    head = head_of(m, &p, kind);
    for (uint32_t i = 0; i < p.rank; i++) {
        dims[i] = p.size[i].is.integer;
        dims[p.rank + i] = p.stride[i].is.integer;
    }
    take_back(m);
    TRY(pickle_new(m, 1, sizeof *t + (size_t)2 * head.rank * sizeof dims[0], &t));
    *t = head;
    memcpy(t->dims, dims, (size_t)2 * head.rank * sizeof dims[0]);
    m->out->call_count++;
    m->top -= 2;
    *m->tensor_end = t;
    m->tensor_end = &t->next;
    *ret_folded = true;
    return machine_push(m, (struct pickle_value){.kind = PICKLE_TENSOR, .is.tensor = t});
}

/* ---- and back ---- */

static struct pickle_value
text_value(struct slice text)
{
    return (struct pickle_value){
        .kind = PICKLE_STR, .count = (uint32_t)text.length, .is.bytes = text.at};
}

static struct pickle_value
int_value(int64_t number)
{
    return (struct pickle_value){.kind = PICKLE_INT, .is.integer = number};
}

static struct pickle_value
global_value(const struct pickle_global *g)
{
    return (struct pickle_value){.kind = PICKLE_GLOBAL,
                                 .is.global = (struct pickle_global *)(uintptr_t)g};
}

static enum status
make_tuple(struct machine *m, const struct pickle_value *items, uint32_t count,
           struct pickle_value *ret_tuple)
{
    struct pickle_value *copy = NULL;

    if (count > 0) {
        TRY(pickle_new(m, count, sizeof *copy, &copy));
        memcpy(copy, items, count * sizeof *copy);
    }
    *ret_tuple = (struct pickle_value){.kind = PICKLE_TUPLE, .count = count, .is.items = copy};
    return OK;
}

static enum status
make_sizes(struct machine *m, const int64_t *dims, uint32_t rank, struct pickle_value *ret_tuple)
{
    struct pickle_value items[RANK_MAX];

    for (uint32_t i = 0; i < rank; i++)
        items[i] = int_value(dims[i]);
    return make_tuple(m, items, rank, ret_tuple);
}

static enum status
make_id(struct machine *m, const struct pickle_tensor *t, struct pickle_value *ret_value)
{
    const struct pickle_value parts[ID_PARTS + 1] = {
        text_value(slice_of("storage")),
        global_value(t->kind->storage_class),
        text_value((struct slice){t->key, t->key_length}),
        text_value(t->kind->location),
        int_value(t->elements),
        {.kind = PICKLE_NONE}};
    struct pickle_persistent *p = NULL;

    TRY(pickle_new(m, 1, sizeof *p, &p));
    TRY(make_tuple(m, parts, t->kind->has_view ? ID_PARTS + 1 : ID_PARTS, &p->id));
    p->offset = t->offset;
    *m->persistent_end = p;
    m->persistent_end = &p->next;
    *ret_value = (struct pickle_value){.kind = PICKLE_PERSISTENT, .is.persistent = p};
    return OK;
}

static enum status
make_call(struct machine *m, const struct pickle_global *function, uint32_t offset,
          struct pickle_value args, struct pickle_value *ret_value)
{
    struct pickle_call *c = NULL;

    TRY(pickle_new(m, 1, sizeof *c, &c));
    c->offset = offset;
    c->kind = PICKLE_REDUCE;
    c->callable = global_value(function);
    c->args = args;
    *m->call_end = c;
    m->call_end = &c->next;
    *ret_value = (struct pickle_value){
        .kind = PICKLE_CALL, .is_unhashable = function->makes_unhashable, .is.call = c};
    return OK;
}

enum status
pickle_tensor_unfold_top(struct machine *m)
{
    struct pickle_value *top = &m->stack[m->top - 1], args[ARGUMENTS], tuple = {0};
    const struct pickle_tensor *t = top->is.tensor;

    if (top->kind != PICKLE_TENSOR)
        return OK;
    TRY(make_id(m, t, &args[0]));
    args[1] = int_value(t->first);
    TRY(make_sizes(m, t->dims, t->rank, &args[2]));
    TRY(make_sizes(m, t->dims + t->rank, t->rank, &args[3]));
    args[4] = (struct pickle_value){.kind = PICKLE_BOOL, .is.truth = t->requires_grad};
    TRY(make_call(m, t->kind->hooks, t->offset, (struct pickle_value){.kind = PICKLE_TUPLE},
                  &args[5]));
    TRY(make_tuple(m, args, ARGUMENTS, &tuple));
    for (uint32_t i = 0; i < ARGUMENTS; i++)
        tuple.is_unhashable = tuple.is_unhashable || args[i].is_unhashable;
    return make_call(m, t->kind->function, t->offset, tuple, top);
}
