#include "tests/support/compat_case.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/vec.h"

/* The quoted names in a message. */
static enum status
add_quoted(struct vec *names, struct slice message, struct err *err)
{
    struct slice rest = message, before;

    while (rest.at != NULL) {
        struct slice *name;

        before = slice_cut(&rest, '"');
        (void)before;
        if (rest.at == NULL)
            return OK;
        TRY(vec_add(names, &name, "names", err));
        *name = slice_cut(&rest, '"');
    }
    return OK;
}

static enum status
keep(struct vec *items, struct arena *arena, void *ret_items, size_t *ret_count, struct err *err)
{
    void *list = arena_alloc(arena, items->count, items->size);

    if (list == NULL)
        return arena_fail(arena, err);
    if (items->count > 0)
        memcpy(list, items->items, items->count * items->size);
    memcpy(ret_items, &list, sizeof list);
    *ret_count = items->count;
    vec_done(items);
    return OK;
}

static enum status
read_names(struct json *j, struct arena *arena, struct name_group *ret_names, struct err *err)
{
    CLEANUP(vec_done) struct vec names = vec_of(sizeof(struct slice), 100000);
    struct json_token t;
    bool is_end;

    TRY(json_peek(j, &t, err));
    if (t.kind == JSON_NULL)
        return json_skip(j, NULL, err);
    TRY(json_array(j, "a list of names", err));
    for (;;) {
        struct slice *name;

        TRY(json_element(j, &is_end, err));
        if (is_end)
            return keep(&names, arena, &ret_names->names, &ret_names->count, err);
        TRY(vec_add(&names, &name, "names", err));
        TRY(json_string(j, "a name", name, err));
    }
}

static enum status
read_shape(struct json *j, struct arena *arena, struct state_key *k, struct err *err)
{
    uint64_t *dims = arena_alloc(arena, TENSOR_RANK_MAX, sizeof *dims);
    bool is_end;

    if (dims == NULL)
        return arena_fail(arena, err);
    TRY(json_array(j, "a shape", err));
    for (k->shape = (struct shape){.dims = dims};; k->shape.rank++) {
        TRY(json_element(j, &is_end, err));
        if (is_end)
            break;
        FAIL_IF(k->shape.rank == TENSOR_RANK_MAX, err, LIMIT, 0, "too many dimensions");
        TRY(json_u64(j, "a dimension", &dims[k->shape.rank], err));
    }
    FAIL_IF(!shape_elements(k->shape, &k->elements), err, LIMIT, 0, "too many elements");
    return OK;
}

static enum layout
find_layout(struct slice name)
{
    enum layout layout = 0;

    while (layout < LAYOUT_COUNT && !slice_is(name, layout_name(layout)))
        layout++;
    return layout;
}

static enum entry_kind
find_entry(struct slice name)
{
    enum entry_kind kind = 0;

    while (kind < ENTRY_KIND_COUNT && !slice_is(name, entry_kind_name(kind)))
        kind++;
    return kind;
}

static enum status
read_key(struct json *j, struct arena *arena, struct state_key *k, struct err *err)
{
    struct slice member, text;
    bool is_end;

    TRY(json_object(j, "a key", err));
    for (;;) {
        TRY(json_key(j, &member, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(member, "shape")) {
            k->is_tensor = true;
            TRY(read_shape(j, arena, k, err));
            continue;
        }
        TRY(json_string(j, "a member", &text, err));
        if (slice_is(member, "dtype"))
            k->dtype = dtype_find(text);
        else if (slice_is(member, "layout"))
            k->layout = find_layout(text);
        else if (slice_is(member, "entry"))
            k->entry = find_entry(text);
        else if (slice_is(member, "type"))
            k->type = text;
    }
}

static int
compare_keys(const void *a, const void *b)
{
    return slice_compare(((const struct state_key *)a)->name, ((const struct state_key *)b)->name);
}

static enum status
read_keys(struct json *j, struct arena *arena, struct state *s, struct err *err)
{
    CLEANUP(vec_done) struct vec keys = vec_of(sizeof(struct state_key), 100000);
    bool is_end;

    TRY(json_object(j, "keys", err));
    for (;;) {
        struct state_key *k;
        struct slice name;

        TRY(json_key(j, &name, &is_end, err));
        if (is_end)
            break;
        TRY(vec_add(&keys, &k, "keys", err));
        k->name = name;
        TRY(read_key(j, arena, k, err));
    }
    if (keys.count > 0)
        qsort(keys.items, keys.count, sizeof(struct state_key), compare_keys);
    for (size_t i = 0; i < keys.count; i++)
        VEC_AT(&keys, struct state_key, i).origin = (uint32_t)i;
    return keep(&keys, arena, &s->keys, &s->count, err);
}

static int
compare_versions(const void *a, const void *b)
{
    return slice_compare(((const struct module_version *)a)->module,
                         ((const struct module_version *)b)->module);
}

/* {"bn": {"version": 2}, "sn": {"version": 1, "spectral_norm.weight": 1}} */
static enum status
read_metadata(struct json *j, struct arena *arena, struct state *s, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct module_version), 100000);
    struct json_token t;
    bool is_end;

    TRY(json_peek(j, &t, err));
    if (t.kind == JSON_NULL)
        return json_skip(j, NULL, err);
    s->has_metadata = true;
    TRY(json_object(j, "metadata", err));
    for (;;) {
        struct module_version *row;
        struct slice module, member;

        TRY(json_key(j, &module, &is_end, err));
        if (is_end)
            break;
        TRY(json_object(j, "a module's metadata", err));
        for (;;) {
            TRY(json_key(j, &member, &is_end, err));
            if (is_end)
                break;
            TRY(vec_add(&rows, &row, "versions", err));
            row->module = module;
            if (!slice_is(member, "version"))
                TRY(arena_printf(arena, &row->module, err, "%.*s:%.*s", SLICE_PRINT(module),
                                 SLICE_PRINT(member)));
            TRY(json_peek(j, &t, err));
            row->has_version = t.kind != JSON_NULL;
            if (row->has_version)
                TRY(json_i64(j, "a version", &row->version, err));
            else
                TRY(json_skip(j, NULL, err));
        }
    }
    if (rows.count > 0)
        qsort(rows.items, rows.count, sizeof(struct module_version), compare_versions);
    return keep(&rows, arena, &s->versions, &s->version_count, err);
}

static enum status
read_state(struct json *j, struct arena *arena, struct state *s, struct err *err)
{
    struct slice member;
    bool is_end;

    TRY(json_object(j, "a state", err));
    for (;;) {
        TRY(json_key(j, &member, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(member, "keys"))
            TRY(read_keys(j, arena, s, err));
        else if (slice_is(member, "metadata"))
            TRY(read_metadata(j, arena, s, err));
        else
            TRY(json_skip(j, NULL, err));
    }
}

static enum status
read_answer(struct json *j, struct arena *arena, struct compat_answer *a, struct err *err)
{
    const struct {
        const char *name;
        struct name_group *list;
    } lists[] = {
        {"missing", &a->missing},
        {"unexpected", &a->unexpected},
        {"shape_mismatch", &a->shape_mismatch},
        {"not_a_tensor", &a->not_a_tensor},
        {"errors", &a->errors},
    };
    struct slice member;
    bool is_end;

    TRY(json_object(j, "an answer", err));
    for (;;) {
        struct json_token t;
        bool is_list = false;

        TRY(json_key(j, &member, &is_end, err));
        if (is_end)
            return OK;
        TRY(json_peek(j, &t, err));
        if (slice_is(member, "missing"))
            a->has_lists = t.kind == JSON_ARRAY;
        for (size_t i = 0; i < ARRAY_LENGTH(lists); i++)
            if (slice_is(member, lists[i].name)) {
                is_list = true;
                TRY(read_names(j, arena, lists[i].list, err));
            }
        if (is_list)
            continue;
        if (slice_is(member, "strict"))
            a->strict = t.kind == JSON_TRUE;
        else if (slice_is(member, "non_strict"))
            a->non_strict = t.kind == JSON_TRUE;
        else if (slice_is(member, "direct"))
            a->is_direct = t.kind != JSON_NULL;
        TRY(json_skip(j, NULL, err));
    }
}

enum status
compat_case_read(struct json *j, const struct limits *limits, struct arena *arena,
                 struct compat_case *ret_case, struct err *err)
{
    struct compat_case c = {0};
    struct slice member, text;
    bool is_end;

    TRY(json_object(j, "a case", err));
    for (;;) {
        TRY(json_key(j, &member, &is_end, err));
        if (is_end)
            break;
        if (slice_is(member, "name"))
            TRY(json_string(j, "a name", &c.name, err));
        else if (slice_is(member, "loader")) {
            TRY(json_string(j, "a loader", &text, err));
            c.loader = loader_find(text);
        } else if (slice_is(member, "manifest"))
            TRY(json_skip(j, &c.manifest_text, err));
        else if (slice_is(member, "state"))
            TRY(read_state(j, arena, &c.state, err));
        else if (slice_is(member, "torch"))
            TRY(read_answer(j, arena, &c.torch, err));
        else
            TRY(json_skip(j, NULL, err));
    }
    FAIL_IF(c.loader >= LOADER_COUNT, err, BAD_REQUEST, 0, "an unknown loader");
    TRY(manifest_parse(c.manifest_text, limits, arena, &c.manifest, err));
    *ret_case = c;
    return OK;
}

static enum status
name_mismatches(const struct manifest *m, const struct mismatch *list, size_t count,
                struct arena *arena, struct name_group *ret_names, struct err *err)
{
    struct slice *names = arena_alloc(arena, count, sizeof *names);

    if (names == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < count; i++)
        names[i] = m->tensors[list[i].expected].name;
    *ret_names = (struct name_group){.names = names, .count = count};
    return OK;
}

enum status
compat_case_judge(const struct compat_case *c, struct arena *arena, struct judgement *ret_judgement,
                  struct compat_answer *ret_answer, struct err *err)
{
    CLEANUP(vec_done) struct vec named = vec_of(sizeof(struct slice), 100000);
    struct judgement j;
    struct compat_answer a;

    TRY(judge(&c->manifest, &c->state, c->loader, arena, &j, err));
    a = (struct compat_answer){
        .strict = j.strict,
        .non_strict = j.non_strict,
        .missing = {j.missing, j.missing_count},
        .unexpected = {j.unexpected, j.unexpected_count},
    };
    TRY(name_mismatches(&c->manifest, j.shape_mismatch, j.shape_mismatch_count, arena,
                        &a.shape_mismatch, err));
    TRY(name_mismatches(&c->manifest, j.not_a_tensor, j.not_a_tensor_count, arena, &a.not_a_tensor,
                        err));
    for (size_t i = 0; i < j.error_count; i++)
        TRY(add_quoted(&named, j.errors[i], err));
    TRY(keep(&named, arena, &a.errors.names, &a.errors.count, err));
    *ret_judgement = j;
    *ret_answer = a;
    return OK;
}

static bool
holds(const struct name_group *list, struct slice name)
{
    for (size_t i = 0; i < list->count; i++)
        if (slice_equal(list->names[i], name))
            return true;
    return false;
}

bool
compat_case_same(const struct name_group *a, const struct name_group *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!holds(b, a->names[i]))
            return false;
    for (size_t i = 0; i < b->count; i++)
        if (!holds(a, b->names[i]))
            return false;
    return true;
}
