#include "common/compat/report_query.h"

#include "common/base/attr.h"
#include "common/base/num.h"

enum { GLOBS_MAX = 1000 };

typedef enum status set_function(struct report_options *o, struct slice value, struct arena *arena,
                                 struct err *err);

struct report_options
report_query_begin(void)
{
    return (struct report_options){.loader = LOADER_COUNT};
}

static enum status
set_loader(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    (void)arena;
    o->loader = loader_find(value);
    FAIL_IF(o->loader == LOADER_COUNT, err, BAD_REQUEST, 0,
            "there is no loader %.*s; it is one of torch, safetensors, lightning",
            SLICE_PRINT(value));
    return OK;
}

static enum status
set_container(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    o->has_container = true;
    return arena_copy(arena, value, &o->container, err);
}

static enum status
set_infer(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    (void)arena;
    FAIL_IF(!report_infer_find(value, &o->infer), err, BAD_REQUEST, 0,
            "infer is full, complete or none, not %.*s", SLICE_PRINT(value));
    return OK;
}

static enum status
set_require(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    (void)arena;
    o->required = verdict_find(value);
    FAIL_IF(o->required == VERDICT_COUNT || !verdict_is_level(o->required), err, BAD_REQUEST, 0,
            "require is strict, strict_after_remap, non_strict or partial, not %.*s",
            SLICE_PRINT(value));
    o->has_required = true;
    return OK;
}

static enum status
set_dtype(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    (void)arena;
    FAIL_IF(!report_dtype_find(value, &o->dtype), err, BAD_REQUEST, 0,
            "dtype is any, safe or exact, not %.*s", SLICE_PRINT(value));
    return OK;
}

static enum status
set_min_coverage(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    (void)arena;
    FAIL_IF(
        !num_parse_double(value, &o->min_coverage) || o->min_coverage < 0 || o->min_coverage > 1,
        err, BAD_REQUEST, 0, "min_coverage is a number from 0 to 1, not %.*s", SLICE_PRINT(value));
    o->has_min_coverage = true;
    return OK;
}

static enum status
set_limit(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    uint64_t limit;

    (void)arena;
    FAIL_IF(!num_parse_u64(value, &limit) || limit < 1 || limit > REPORT_LIMIT_MAX, err,
            BAD_REQUEST, 0, "limit is a number from 1 to %d, not %.*s", REPORT_LIMIT_MAX,
            SLICE_PRINT(value));
    o->limit = (size_t)limit;
    return OK;
}

static enum status
set_include(struct report_options *o, struct slice value, struct arena *arena, struct err *err)
{
    (void)arena;
    FAIL_IF(!slice_is(value, "mapping"), err, BAD_REQUEST, 0, "include is mapping, not %.*s",
            SLICE_PRINT(value));
    o->wants_mapping = true;
    return OK;
}

/* Globs are few: the list is copied for each. */
static enum status
add_glob(struct name_group *group, struct slice value, struct arena *arena, struct err *err)
{
    struct slice *names;

    FAIL_IF(group->count >= GLOBS_MAX, err, LIMIT, 0, "more than %d globs", GLOBS_MAX);
    names = arena_alloc(arena, group->count + 1, sizeof *names);
    if (names == NULL)
        return arena_fail(arena, err);
    if (group->count > 0)
        memcpy(names, group->names, group->count * sizeof *names);
    TRY(arena_copy(arena, value, &names[group->count], err));
    group->names = names;
    group->count++;
    return OK;
}

static enum status
set_allow_missing(struct report_options *o, struct slice value, struct arena *arena,
                  struct err *err)
{
    return add_glob(&o->allow_missing, value, arena, err);
}

static enum status
set_allow_unexpected(struct report_options *o, struct slice value, struct arena *arena,
                     struct err *err)
{
    return add_glob(&o->allow_unexpected, value, arena, err);
}

static enum status
set_allow_mismatch(struct report_options *o, struct slice value, struct arena *arena,
                   struct err *err)
{
    return add_glob(&o->allow_mismatch, value, arena, err);
}

static const struct {
    const char *name;
    set_function *set;
} options[] = {
    {"loader", set_loader},
    {"container", set_container},
    {"infer", set_infer},
    {"require", set_require},
    {"dtype", set_dtype},
    {"min_coverage", set_min_coverage},
    {"limit", set_limit},
    {"include", set_include},
    {"allow_missing", set_allow_missing},
    {"allow_unexpected", set_allow_unexpected},
    {"allow_mismatch", set_allow_mismatch},
};

enum status
report_query_set(struct report_options *o, struct slice name, struct slice value,
                 struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(options); i++)
        if (slice_is(name, options[i].name))
            return options[i].set(o, value, arena, err);
    FAIL(err, INTERNAL, 0, "there is no report option %.*s", SLICE_PRINT(name));
}
