/*
 * A manifest's JSON, in one pass from token to struct. Three forms are told apart by their first key:
 *
 *   {"schema": "ckptd/manifest/1", "tensors": {NAME: ROW}, …}
 *   {NAME: [64, 3, 7, 7], …}
 *   {"__metadata__": {…}, NAME: {"dtype": "F32", "shape": […], "data_offsets": […]}, …}
 *
 * A document whose first key could be either is looked through for "schema" or "tensors" first.
 */
#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/compat/judge.h"
#include "common/compat/manifest_form.h"

/* Of globs in one list: each is held against every name. */
enum { GLOBS_MAX = 256 };

struct reader {
    struct json j;
    struct arena *arena;
    const struct limits *limits;
    struct manifest *m;
    struct vec tensors;      /* struct expected */
    bool has_tensors;        /* the schema's "tensors" was there */
    struct slice dtype_text; /* the last dtype met, for most manifests the only one */
    enum dtype dtype;
};

static enum status
read_globs(struct reader *r, const struct manifest_place *place, struct name_group *ret_globs,
           struct err *err)
{
    TRY(manifest_names_read(&r->j, r->arena, place, ret_globs, err));
    FAIL_IF(ret_globs->count > GLOBS_MAX, err, LIMIT, r->j.at, "more than %d globs in one list",
            GLOBS_MAX);
    return OK;
}

static const struct {
    const char *code;
    enum dtype dtype;
} safetensors_dtypes[] = {
    {"BOOL", DTYPE_BOOL},
    {"U8", DTYPE_UINT8},
    {"I8", DTYPE_INT8},
    {"U16", DTYPE_UINT16},
    {"I16", DTYPE_INT16},
    {"U32", DTYPE_UINT32},
    {"I32", DTYPE_INT32},
    {"U64", DTYPE_UINT64},
    {"I64", DTYPE_INT64},
    {"F16", DTYPE_FLOAT16},
    {"BF16", DTYPE_BFLOAT16},
    {"F32", DTYPE_FLOAT32},
    {"F64", DTYPE_FLOAT64},
    {"C64", DTYPE_COMPLEX64},
    {"F8_E5M2", DTYPE_FLOAT8_E5M2},
    {"F8_E4M3", DTYPE_FLOAT8_E4M3FN},
    {"F8_E8M0", DTYPE_FLOAT8_E8M0FNU},
    {"F4", DTYPE_FLOAT4_E2M1FN_X2},
    {"F6_E2M3", DTYPE_FLOAT6_E2M3FN},
    {"F6_E3M2", DTYPE_FLOAT6_E3M2FN},
};

static enum dtype
find_dtype(struct slice name)
{
    enum dtype dtype = dtype_find(name);

    for (size_t i = 0; dtype == DTYPE_UNKNOWN && i < ARRAY_LENGTH(safetensors_dtypes); i++)
        if (slice_is(name, safetensors_dtypes[i].code))
            dtype = safetensors_dtypes[i].dtype;
    return dtype;
}

static enum status
read_dtype(struct reader *r, struct manifest_place *place, struct expected *e, struct err *err)
{
    struct json_token t;

    place->member = "dtype";
    TRY(json_next(&r->j, &t, err));
    if (t.kind == JSON_NULL)
        return OK;
    if (t.kind != JSON_STRING)
        return manifest_wrong(place, t.offset, err, "expected a dtype's name or null, found %s",
                              json_kind_name(t.kind));
    if (!slice_equal(t.text, r->dtype_text)) {
        r->dtype_text = t.text;
        r->dtype = find_dtype(t.text);
    }
    if (r->dtype == DTYPE_UNKNOWN)
        return manifest_wrong(
            place, t.offset, err,
            "no dtype is called \"%.*s\"; expected PyTorch's name of one: float32, "
            "bfloat16, int64, bool …",
            (int)(t.text.length < 40 ? t.text.length : 40), t.text.at);
    e->dtype = r->dtype;
    return OK;
}

static enum status
read_kind(struct reader *r, struct manifest_place *place, struct expected *e, struct err *err)
{
    struct json_token t;

    place->member = "kind";
    TRY(manifest_want(&r->j, JSON_STRING, place, "\"parameter\" or \"buffer\"", &t, err));
    if (slice_is(t.text, "parameter"))
        e->kind = EXPECTED_PARAMETER;
    else if (slice_is(t.text, "buffer"))
        e->kind = EXPECTED_BUFFER;
    else
        return manifest_wrong(place, t.offset, err, "expected \"parameter\" or \"buffer\"");
    return OK;
}

static enum status
read_dim(struct reader *r, const struct manifest_place *place, uint64_t *ret_dim, struct err *err)
{
    struct json_token t;

    TRY(json_next(&r->j, &t, err));
    *ret_dim = MANIFEST_ANY_DIM;
    if (t.kind == JSON_NULL)
        return OK;
    if (t.kind != JSON_NUMBER || !num_parse_u64(t.text, ret_dim) || *ret_dim > INT64_MAX)
        return manifest_wrong(place, t.offset, err,
                              "a dimension is a whole number from 0, or null for any; found %.*s",
                              t.kind == JSON_NUMBER ? (int)(t.text.length < 40 ? t.text.length : 40)
                                                    : (int)strlen(json_kind_name(t.kind)),
                              t.kind == JSON_NUMBER ? t.text.at : json_kind_name(t.kind));
    return OK;
}

/* The product of what is known must be a number that PyTorch can hold. */
static enum status
check_elements(const uint64_t *dims, uint32_t rank, const struct manifest_place *place,
               uint64_t offset, struct err *err)
{
    uint64_t known[TENSOR_RANK_MAX], elements;

    for (uint32_t i = 0; i < rank; i++)
        known[i] = dims[i] == MANIFEST_ANY_DIM ? 1 : dims[i];
    if (!shape_elements((struct shape){.rank = rank, .dims = known}, &elements))
        return manifest_wrong(place, offset, err, "more than 2^63-1 elements");
    return OK;
}

/* Dimensions, where the list's beginning has been read. */
static enum status
read_dims(struct reader *r, const struct manifest_place *place, uint64_t offset, struct expected *e,
          struct err *err)
{
    size_t rank_max = r->limits->rank < TENSOR_RANK_MAX ? r->limits->rank : TENSOR_RANK_MAX;
    uint64_t dims[TENSOR_RANK_MAX];
    uint64_t *kept;
    uint32_t rank = 0;
    bool is_end;

    for (;;) {
        TRY(json_element(&r->j, &is_end, err));
        if (is_end)
            break;
        FAIL_IF(rank == rank_max, err, LIMIT, offset, "a shape of more than %zu dimensions",
                rank_max);
        TRY(read_dim(r, place, &dims[rank++], err));
    }
    TRY(check_elements(dims, rank, place, offset, err));
    kept = arena_alloc(r->arena, rank, sizeof *kept);
    if (kept == NULL)
        return arena_fail(r->arena, err);
    if (rank > 0)
        memcpy(kept, dims, rank * sizeof *kept);
    e->shape = (struct shape){.rank = rank, .dims = kept};
    e->has_shape = true;
    return OK;
}

static enum status
read_shape(struct reader *r, struct manifest_place *place, struct expected *e, struct err *err)
{
    struct json_token t;

    place->member = "shape";
    TRY(json_next(&r->j, &t, err));
    if (t.kind == JSON_NULL)
        return OK;
    if (t.kind != JSON_ARRAY)
        return manifest_wrong(place, t.offset, err,
                              "expected a list of dimensions, or null for any shape; found %s",
                              json_kind_name(t.kind));
    return read_dims(r, place, t.offset, e, err);
}

/* {"shape": …, "dtype": …, "kind": …}, where its beginning has been read. */
static enum status
read_row(struct reader *r, struct manifest_place *place, uint64_t offset, struct expected *e,
         struct err *err)
{
    bool has_shape = false, is_end;
    struct slice key;

    for (;;) {
        TRY(json_key(&r->j, &key, &is_end, err));
        if (is_end)
            break;
        if (slice_is(key, "shape")) {
            has_shape = true;
            TRY(read_shape(r, place, e, err));
        } else if (slice_is(key, "dtype"))
            TRY(read_dtype(r, place, e, err));
        else if (slice_is(key, "kind"))
            TRY(read_kind(r, place, e, err));
        else if (slice_is(key, "data_offsets"))
            TRY(json_skip(&r->j, NULL, err));
        else {
            place->member = NULL;
            return manifest_wrong(place, r->j.at, err, "\"%.*s\" is none of shape, dtype, kind",
                                  (int)(key.length < 40 ? key.length : 40), key.at);
        }
    }
    place->member = NULL;
    if (!has_shape)
        return manifest_wrong(place, offset, err,
                              "\"shape\" is missing: a list of dimensions, or null for any");
    return OK;
}

static enum status
read_tensor(struct reader *r, const char *section, struct slice name, struct err *err)
{
    struct manifest_place place = {.section = section, .has_key = true, .key = name};
    struct expected *e;
    struct json_token t;

    FAIL_IF(name.length > r->limits->name_bytes, err, LIMIT, r->j.at,
            "a tensor's name of %zu bytes; the limit is %zu", name.length, r->limits->name_bytes);
    TRY(vec_add(&r->tensors, &e, "tensors", err));
    e->name = name;
    TRY(json_next(&r->j, &t, err));
    if (t.kind == JSON_NULL)
        return OK;
    if (t.kind == JSON_ARRAY)
        return read_dims(r, &place, t.offset, e, err);
    if (t.kind == JSON_OBJECT)
        return read_row(r, &place, t.offset, e, err);
    return manifest_wrong(&place, t.offset, err,
                          "expected a list of dimensions, or {\"shape\": [dimensions]}; found %s",
                          json_kind_name(t.kind));
}

static enum status
read_tensors(struct reader *r, struct err *err)
{
    static const struct manifest_place place = {.section = "tensors"};
    struct json_token t;
    struct slice name;
    bool is_end;

    r->has_tensors = true;
    TRY(manifest_want(&r->j, JSON_OBJECT, &place, "an object of names and shapes", &t, err));
    for (;;) {
        TRY(json_key(&r->j, &name, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_tensor(r, "tensors", name, err));
    }
}

static enum status
read_modules(struct reader *r, struct err *err)
{
    static const struct manifest_place place = {.section = "modules"};
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct manifest_module), r->limits->tensors);
    struct manifest_module *row;
    struct json_token t;
    struct slice path;
    bool is_end;

    r->m->has_modules = true;
    TRY(manifest_want(&r->j, JSON_OBJECT, &place, "an object of paths and modules", &t, err));
    for (;;) {
        TRY(json_key(&r->j, &path, &is_end, err));
        if (is_end)
            return manifest_keep(&rows, r->arena, &r->m->modules, &r->m->module_count, err);
        FAIL_IF(path.length > r->limits->name_bytes, err, LIMIT, r->j.at,
                "a module's path of %zu bytes; the limit is %zu", path.length,
                r->limits->name_bytes);
        TRY(vec_add(&rows, &row, "modules", err));
        row->path = path;
        TRY(manifest_module_read(&r->j, r->arena, row, err));
    }
}

static enum status
read_tied(struct reader *r, struct err *err)
{
    static const struct manifest_place place = {.section = "tied"};
    CLEANUP(vec_done) struct vec groups = vec_of(sizeof(struct name_group), r->limits->tensors);
    struct name_group *group;
    struct json_token t;
    bool is_end;

    TRY(manifest_want(&r->j, JSON_ARRAY, &place, "a list of lists of names", &t, err));
    for (;;) {
        TRY(json_element(&r->j, &is_end, err));
        if (is_end)
            return manifest_keep(&groups, r->arena, &r->m->tied, &r->m->tied_count, err);
        TRY(vec_add(&groups, &group, "tied groups", err));
        TRY(manifest_names_read(&r->j, r->arena, &place, group, err));
        if (group->count < 2)
            return manifest_wrong(&place, r->j.at, err, "a group has two names or more");
    }
}

static enum status
read_load(struct reader *r, struct err *err)
{
    struct manifest_place place = {.section = "load"};
    struct json_token t;
    struct slice key;
    bool is_end;

    TRY(manifest_want(&r->j, JSON_OBJECT, &place, "an object of loader and container", &t, err));
    for (;;) {
        TRY(json_key(&r->j, &key, &is_end, err));
        if (is_end)
            return OK;
        if (slice_is(key, "loader")) {
            place.member = "loader";
            TRY(manifest_want(&r->j, JSON_STRING, &place, "the name of a loader", &t, err));
            if (loader_find(t.text) == LOADER_COUNT)
                return manifest_wrong(&place, t.offset, err,
                                      "no loader is called \"%.*s\"; there are torch, safetensors, "
                                      "lightning",
                                      (int)(t.text.length < 40 ? t.text.length : 40), t.text.at);
            r->m->loader = t.text;
        } else if (slice_is(key, "container")) {
            place.member = "container";
            TRY(manifest_want(&r->j, JSON_STRING, &place, "a container's path, \"\" for the top",
                              &t, err));
            r->m->has_container = true;
            r->m->container = t.text;
        } else
            return manifest_wrong(&place, r->j.at, err, "\"%.*s\" is none of loader, container",
                                  (int)(key.length < 40 ? key.length : 40), key.at);
    }
}

static enum status
read_min_coverage(struct reader *r, const struct manifest_place *place, struct err *err)
{
    struct expectations *expect = &r->m->expect;
    struct json_token t;

    TRY(json_next(&r->j, &t, err));
    if (t.kind != JSON_NUMBER || !num_parse_double(t.text, &expect->min_coverage) ||
        expect->min_coverage < 0 || expect->min_coverage > 1)
        return manifest_wrong(place, t.offset, err, "expected a number from 0 to 1");
    expect->has_min_coverage = true;
    return OK;
}

static enum status
read_expect(struct reader *r, struct err *err)
{
    struct manifest_place place = {.section = "expect"};
    struct expectations *expect = &r->m->expect;
    const struct {
        const char *name;
        struct name_group *globs;
    } lists[] = {
        {"allow_missing", &expect->allow_missing},
        {"allow_unexpected", &expect->allow_unexpected},
        {"allow_mismatch", &expect->allow_mismatch},
    };
    struct json_token t;
    struct slice key;
    bool is_end, is_known;

    TRY(manifest_want(&r->j, JSON_OBJECT, &place, "an object", &t, err));
    for (;;) {
        TRY(json_key(&r->j, &key, &is_end, err));
        if (is_end)
            return OK;
        is_known = slice_is(key, "min_coverage");
        if (is_known) {
            place.member = "min_coverage";
            TRY(read_min_coverage(r, &place, err));
        }
        for (size_t i = 0; !is_known && i < ARRAY_LENGTH(lists); i++)
            if (slice_is(key, lists[i].name)) {
                place.member = lists[i].name;
                TRY(read_globs(r, &place, lists[i].globs, err));
                is_known = true;
            }
        place.member = NULL;
        if (!is_known)
            return manifest_wrong(&place, r->j.at, err,
                                  "\"%.*s\" is none of allow_missing, allow_unexpected, "
                                  "allow_mismatch, min_coverage",
                                  (int)(key.length < 40 ? key.length : 40), key.at);
    }
}

static enum status
read_schema(struct reader *r, struct err *err)
{
    static const struct manifest_place place = {.section = "schema"};
    struct json_token t;

    TRY(manifest_want(&r->j, JSON_STRING, &place, "\"ckptd/manifest/1\"", &t, err));
    if (!slice_is(t.text, "ckptd/manifest/1"))
        return manifest_wrong(&place, t.offset, err,
                              "expected \"ckptd/manifest/1\", found \"%.*s\"",
                              (int)(t.text.length < 40 ? t.text.length : 40), t.text.at);
    return OK;
}

static enum status
read_name(struct reader *r, struct err *err)
{
    static const struct manifest_place place = {.section = "name"};
    struct json_token t;

    TRY(manifest_want(&r->j, JSON_STRING, &place, "a string", &t, err));
    FAIL_IF(t.text.length > r->limits->name_bytes, err, LIMIT, t.offset,
            "a manifest's name of %zu bytes; the limit is %zu", t.text.length,
            r->limits->name_bytes);
    r->m->name = t.text;
    return OK;
}

static enum status
read_optional(struct reader *r, struct err *err)
{
    static const struct manifest_place place = {.section = "optional"};

    return read_globs(r, &place, &r->m->optional, err);
}

static enum status
read_extra_state(struct reader *r, struct err *err)
{
    static const struct manifest_place place = {.section = "extra_state"};

    return manifest_names_read(&r->j, r->arena, &place, &r->m->extra_state, err);
}

static enum status
read_source(struct reader *r, struct err *err)
{
    return json_skip(&r->j, &r->m->source, err);
}

static const struct {
    const char *key;
    enum status (*read)(struct reader *r, struct err *err);
} sections[] = {
    {"schema", read_schema},   {"name", read_name},
    {"tensors", read_tensors}, {"modules", read_modules},
    {"tied", read_tied},       {"optional", read_optional},
    {"load", read_load},       {"extra_state", read_extra_state},
    {"expect", read_expect},   {"source", read_source},
};

static size_t
find_section(struct slice key)
{
    size_t i = 0;

    while (i < ARRAY_LENGTH(sections) && !slice_is(key, sections[i].key))
        i++;
    return i;
}

static enum status
read_section(struct reader *r, struct slice key, struct err *err)
{
    size_t i = find_section(key);

    FAIL_IF(
        i == ARRAY_LENGTH(sections), err, BAD_MANIFEST, r->j.at,
        "a manifest has no key \"%.*s\"; it has schema, name, tensors, modules, tied, optional, "
        "extra_state, load, expect, source",
        (int)(key.length < 80 ? key.length : 80), key.at);
    return sections[i].read(r, err);
}

/* A tensor's row of a safetensors header, which is flat: what tells a tensor called "tensors" from the
 * schema's object of tensors. */
static bool
is_header_row(struct slice raw)
{
    static const char mark[] = "\"data_offsets\"";

    if (memchr(raw.at + 1, '{', raw.length - 1) != NULL)
        return false;
    for (; raw.length >= sizeof mark - 1; raw = slice_from(raw, 1))
        if (slice_starts(raw, slice_of(mark)))
            return true;
    return false;
}

/* Whether the document is of the schema, judged by its first key, or where that could be a tensor's
 * name as well, by all of them. */
static enum status
find_form(struct slice text, const struct limits *limits, struct arena *arena, bool *ret_is_schema,
          struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    struct slice key, raw;
    bool is_end, is_first = true;

    *ret_is_schema = false;
    json_open(&j, text, limits, arena);
    TRY(json_object(&j, "a manifest", err));
    for (;; is_first = false) {
        struct json_token t;

        TRY(json_key(&j, &key, &is_end, err));
        if (is_end || (is_first && find_section(key) == ARRAY_LENGTH(sections)))
            return OK;
        TRY(json_peek(&j, &t, err));
        *ret_is_schema = slice_is(key, "schema") && t.kind == JSON_STRING;
        if (*ret_is_schema)
            return OK;
        TRY(json_skip(&j, &raw, err));
        *ret_is_schema = slice_is(key, "tensors") && t.kind == JSON_OBJECT && !is_header_row(raw);
        if (*ret_is_schema)
            return OK;
    }
}

static enum status
read_document(struct reader *r, bool is_schema, struct err *err)
{
    static const struct manifest_place top = {0};
    struct json_token t;
    struct slice key;
    bool is_end;

    TRY(manifest_want(&r->j, JSON_OBJECT, &top, "an object of tensors", &t, err));
    for (;;) {
        TRY(json_key(&r->j, &key, &is_end, err));
        if (is_end)
            return json_finish(&r->j, err);
        if (is_schema)
            TRY(read_section(r, key, err));
        else if (slice_is(key, "__metadata__"))
            TRY(json_skip(&r->j, NULL, err));
        else
            TRY(read_tensor(r, NULL, key, err));
    }
}

static enum status
read_all(struct reader *r, struct slice text, struct err *err)
{
    static const struct manifest_place top = {0};
    bool is_schema = false;
    struct json_token t;

    TRY(json_peek(&r->j, &t, err));
    if (t.kind == JSON_OBJECT)
        TRY(find_form(text, r->limits, r->arena, &is_schema, err));
    TRY(read_document(r, is_schema, err));
    if (is_schema && !r->has_tensors)
        return manifest_wrong(&top, 0, err,
                              "\"tensors\" is missing: an object of names and shapes");
    if (!is_schema && r->tensors.count == 0)
        return manifest_wrong(&top, 0, err, "it names no tensor");
    return manifest_keep(&r->tensors, r->arena, &r->m->tensors, &r->m->count, err);
}

enum status
manifest_json_read(struct slice text, const struct limits *limits, struct arena *arena,
                   struct manifest *ret_manifest, struct err *err)
{
    struct manifest m = {0};
    struct reader r = {
        .arena = arena,
        .limits = limits,
        .m = &m,
        .tensors = vec_of(sizeof(struct expected), limits->tensors),
    };
    enum status status;

    json_open(&r.j, text, limits, arena);
    status = read_all(&r, text, err);
    vec_done(&r.tensors);
    json_done(&r.j);
    TRY(status);
    *ret_manifest = m;
    return OK;
}
