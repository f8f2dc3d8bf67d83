/*
 * A row of a manifest's "modules". Members that are not known are passed over: a newer client may say
 * more of a module than this judge asks.
 */
#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/compat/manifest_form.h"

/* One row, on its way. */
struct row {
    struct json *j;
    struct arena *arena;
    struct manifest_module *module;
    struct manifest_place place;
};

static enum status
read_version(struct row *r, struct err *err)
{
    struct json_token t;

    TRY(json_next(r->j, &t, err));
    if (t.kind == JSON_NULL)
        return OK;
    if (t.kind != JSON_NUMBER || !num_parse_i64(t.text, &r->module->version))
        return manifest_wrong(&r->place, t.offset, err, "expected a whole number or null");
    r->module->has_version = true;
    return OK;
}

static enum status
read_type(struct row *r, struct err *err)
{
    struct json_token t;

    TRY(json_next(r->j, &t, err));
    if (t.kind != JSON_NULL && t.kind != JSON_STRING)
        return manifest_wrong(&r->place, t.offset, err,
                              "expected the name of a class, or null for a module that is None; "
                              "found %s",
                              json_kind_name(t.kind));
    r->module->is_none = t.kind == JSON_NULL;
    r->module->type = t.text;
    return OK;
}

static enum status
read_base(struct row *r, struct err *err)
{
    struct json_token t;

    TRY(manifest_want(r->j, JSON_STRING, &r->place, "the name of a class", &t, err));
    r->module->base = t.text;
    return OK;
}

static enum status
read_lazy(struct row *r, struct err *err)
{
    return manifest_flag_read(r->j, &r->place, &r->module->is_lazy, err);
}

static enum status
read_custom_load(struct row *r, struct err *err)
{
    return manifest_flag_read(r->j, &r->place, &r->module->custom_load, err);
}

static enum status
read_post_hook(struct row *r, struct err *err)
{
    return manifest_flag_read(r->j, &r->place, &r->module->post_hook, err);
}

static enum status
read_stats(struct row *r, struct err *err)
{
    r->module->says_stats = true;
    return manifest_flag_read(r->j, &r->place, &r->module->track_running_stats, err);
}

static enum status
read_weight_norm(struct row *r, struct err *err)
{
    return manifest_names_read(r->j, r->arena, &r->place, &r->module->weight_norm, err);
}

static enum status
read_hooks(struct row *r, struct err *err)
{
    return manifest_names_read(r->j, r->arena, &r->place, &r->module->hooks, err);
}

static enum status
read_spectral_norm(struct row *r, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct spectral_norm), r->j->tokens_left);
    struct spectral_norm *one;
    struct json_token t;
    struct slice name;
    uint64_t dim;
    bool is_end;

    TRY(manifest_want(r->j, JSON_OBJECT, &r->place, "an object of parameters and dimensions", &t,
                      err));
    for (;;) {
        TRY(json_key(r->j, &name, &is_end, err));
        if (is_end)
            return manifest_keep(&rows, r->arena, &r->module->spectral, &r->module->spectral_count,
                                 err);
        TRY(manifest_want(r->j, JSON_NUMBER, &r->place, "a dimension's number", &t, err));
        if (!num_parse_u64(t.text, &dim) || dim >= TENSOR_RANK_MAX)
            return manifest_wrong(&r->place, t.offset, err, "expected a dimension from 0 to %d",
                                  TENSOR_RANK_MAX - 1);
        TRY(vec_add(&rows, &one, "spectral norms", err));
        *one = (struct spectral_norm){.name = name, .dim = (uint32_t)dim};
    }
}

static const struct {
    const char *name;
    enum status (*read)(struct row *r, struct err *err);
} members[] = {
    {"type", read_type},
    {"version", read_version},
    {"base", read_base},
    {"lazy", read_lazy},
    {"custom_load", read_custom_load},
    {"post_hook", read_post_hook},
    {"track_running_stats", read_stats},
    {"weight_norm", read_weight_norm},
    {"spectral_norm", read_spectral_norm},
    {"hooks", read_hooks},
};

static enum status
read_member(struct row *r, struct slice key, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(members); i++)
        if (slice_is(key, members[i].name)) {
            r->place.member = members[i].name;
            return members[i].read(r, err);
        }
    return json_skip(r->j, NULL, err);
}

enum status
manifest_module_read(struct json *j, struct arena *arena, struct manifest_module *module,
                     struct err *err)
{
    struct row r = {
        .j = j,
        .arena = arena,
        .module = module,
        .place = {.section = "modules", .has_key = true, .key = module->path},
    };
    struct json_token t;
    struct slice key;
    bool is_end;

    TRY(manifest_want(j, JSON_OBJECT, &r.place, "an object", &t, err));
    for (;;) {
        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return OK;
        TRY(read_member(&r, key, err));
    }
}
