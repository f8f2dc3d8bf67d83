#include "common/compat/manifest.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/compat/manifest_form.h"

enum {
    PREFIX_BYTES = 8, /* of a safetensors file: its header's length */
};

/* A text that begins like JSON is read as YAML's flow style where it is no JSON, up to this size: what
 * people write by hand ({conv1.weight: [64, 3, 7, 7]}) is small, and a broken upload is not parsed
 * twice. */
#define FLOW_BYTES_MAX ((size_t)1 << 20)

/* Orders, for sorting and searching: by name, by path. */

static int
compare_expected(const void *a, const void *b)
{
    const struct expected *const x = a;
    const struct expected *const y = b;

    return slice_compare(x->name, y->name);
}

static int
compare_modules(const void *a, const void *b)
{
    const struct manifest_module *const x = a;
    const struct manifest_module *const y = b;

    return slice_compare(x->path, y->path);
}

static int
compare_names(const void *a, const void *b)
{
    const struct slice *const x = a;
    const struct slice *const y = b;

    return slice_compare(*x, *y);
}

static int
compare_groups(const void *a, const void *b)
{
    const struct name_group *const x = a;
    const struct name_group *const y = b;

    return slice_compare(x->names[0], y->names[0]);
}

/* Sort what is still the parser's own memory, unless it is sorted, as most input is. */
static void
sort(const void *items, size_t count, size_t size, int (*compare)(const void *a, const void *b))
{
    char *own = (char *)(uintptr_t)items;

    for (size_t i = 1; i < count; i++)
        if (compare(own + (i - 1) * size, own + i * size) > 0) {
            qsort(own, count, size, compare);
            return;
        }
}

const struct expected *
manifest_find(const struct manifest *m, struct slice name)
{
    struct expected wanted = {.name = name};

    if (m->count == 0)
        return NULL;
    return bsearch(&wanted, m->tensors, m->count, sizeof wanted, compare_expected);
}

const struct manifest_module *
manifest_module_find(const struct manifest *m, struct slice path)
{
    struct manifest_module wanted = {.path = path};

    if (m->module_count == 0)
        return NULL;
    return bsearch(&wanted, m->modules, m->module_count, sizeof wanted, compare_modules);
}

/* Whether a key is a module's extra state: what it holds is that module's affair. */
static bool
is_extra_state(struct slice name)
{
    return slice_is(name, "_extra_state") || slice_ends(name, slice_of("._extra_state"));
}

/* Sort and drop names that are there twice. */
static void
sort_names(struct name_group *group)
{
    struct slice *names = (struct slice *)(uintptr_t)group->names;
    size_t kept = 0;

    sort(names, group->count, sizeof *names, compare_names);
    for (size_t i = 0; i < group->count; i++)
        if (kept == 0 || !slice_equal(names[kept - 1], names[i]))
            names[kept++] = names[i];
    group->count = kept;
}

/* Tensors that are extra state by their name move to that list: no shape is expected of them. */
static enum status
part_extra_state(struct manifest *m, struct arena *arena, struct err *err)
{
    struct expected *tensors = (struct expected *)(uintptr_t)m->tensors;
    size_t found = 0, kept = 0, count = m->extra_state.count;
    struct slice *names;

    for (size_t i = 0; i < m->count; i++)
        found += is_extra_state(tensors[i].name);
    if (found == 0)
        return OK;
    names = arena_alloc(arena, count + found, sizeof *names);
    if (names == NULL)
        return arena_fail(arena, err);
    if (count > 0)
        memcpy(names, m->extra_state.names, count * sizeof *names);
    for (size_t i = 0; i < m->count; i++)
        if (is_extra_state(tensors[i].name))
            names[count++] = tensors[i].name;
        else
            tensors[kept++] = tensors[i];
    m->count = kept;
    m->extra_state = (struct name_group){.names = names, .count = count};
    return OK;
}

/* Groups are of tensors that exist, of one shape, and have no member in common. */
static enum status
check_tied(const struct manifest *m, struct arena *arena, struct err *err)
{
    static const struct manifest_place place = {.section = "tied"};
    bool *is_taken = arena_alloc(arena, m->count, sizeof *is_taken);

    if (is_taken == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < m->tied_count; i++)
        for (size_t k = 0; k < m->tied[i].count; k++) {
            struct slice name = m->tied[i].names[k];
            const struct expected *e = manifest_find(m, name);

            if (e == NULL)
                return manifest_wrong(&place, 0, err, "\"%.*s\" is not among the tensors",
                                      (int)(name.length < 80 ? name.length : 80), name.at);
            if (is_taken[e - m->tensors])
                return manifest_wrong(&place, 0, err, "\"%.*s\" is in two groups, or twice in one",
                                      (int)(name.length < 80 ? name.length : 80), name.at);
            is_taken[e - m->tensors] = true;
        }
    return OK;
}

/* What a form's reader left: sort it, check the parts against each other, and take its digest. */
static enum status
finish(struct manifest *m, struct arena *arena, struct err *err)
{
    sort(m->tensors, m->count, sizeof *m->tensors, compare_expected);
    sort(m->modules, m->module_count, sizeof *m->modules, compare_modules);
    TRY(part_extra_state(m, arena, err));
    sort_names(&m->extra_state);
    if (m->tied_count > 0)
        TRY(check_tied(m, arena, err));
    for (size_t i = 0; i < m->tied_count; i++)
        sort(m->tied[i].names, m->tied[i].count, sizeof *m->tied[i].names, compare_names);
    sort(m->tied, m->tied_count, sizeof *m->tied, compare_groups);
    return manifest_digest(m, &m->digest, err);
}

/* The header's JSON where the text is a whole safetensors file, or at least its beginning. */
static bool
find_header(struct slice text, struct slice *ret_header)
{
    uint64_t length = 0;

    if (text.length < PREFIX_BYTES + 2 || text.at[PREFIX_BYTES] != '{')
        return false;
    for (unsigned i = 0; i < PREFIX_BYTES; i++)
        length |= (uint64_t)(unsigned char)text.at[i] << (8 * i);

    /* Text never begins so: a length that fits has zero bytes at its end. */
    if (length < 2 || length > text.length - PREFIX_BYTES)
        return false;
    *ret_header = slice_part(text, PREFIX_BYTES, (size_t)length);
    return true;
}

static char
first_character(struct slice text)
{
    size_t i = 0;

    while (i < text.length &&
           (text.at[i] == ' ' || text.at[i] == '\t' || text.at[i] == '\n' || text.at[i] == '\r'))
        i++;
    return i < text.length ? text.at[i] : '\0';
}

static enum status
read_yaml(struct slice text, const struct limits *limits, struct arena *arena,
          struct manifest *ret_manifest, struct err *err)
{
    struct slice json;

    TRY(manifest_yaml_read(text, limits, arena, &json, err));
    return manifest_json_read(json, limits, arena, ret_manifest, err);
}

static enum status
read_text(struct slice text, const struct limits *limits, struct arena *arena,
          struct manifest *ret_manifest, struct err *err)
{
    char first = first_character(text);
    struct err json_err = {0};
    enum status status;

    FAIL_IF(first == '\0' && text.length == 0, err, BAD_JSON, 0, "the manifest is empty");
    if (first != '{' && first != '[' && first != '"')
        return read_yaml(text, limits, arena, ret_manifest, err);
    status = manifest_json_read(text, limits, arena, ret_manifest, &json_err);
    if (status == ERR_BAD_JSON && text.length <= FLOW_BYTES_MAX) {
        struct slice json;

        if (manifest_yaml_read(text, limits, arena, &json, NULL) == OK)
            return manifest_json_read(json, limits, arena, ret_manifest, err);
    }
    err_copy(err, &json_err);
    return status;
}

enum status
manifest_parse(struct slice text, const struct limits *limits, struct arena *arena,
               struct manifest *ret_manifest, struct err *err)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    struct slice header = text;
    bool is_file = find_header(text, &header);
    struct manifest m = {0};

    FAIL_IF(header.length > limits->manifest_bytes, err, LIMIT, 0,
            "a manifest of %zu bytes; the limit is %zu", header.length, limits->manifest_bytes);
    if (slice_starts(text, slice_of(byte_order_mark)))
        header = slice_from(text, sizeof byte_order_mark - 1);
    if (is_file)
        TRY(manifest_json_read(header, limits, arena, &m, err));
    else
        TRY(read_text(header, limits, arena, &m, err));
    TRY(finish(&m, arena, err));
    *ret_manifest = m;
    return OK;
}

static enum status
tie_aliases(const struct container *c, struct manifest *m, struct arena *arena, struct err *err)
{
    struct name_group *groups = arena_alloc(arena, c->facts.alias_count, sizeof *groups);
    size_t count = 0;

    if (groups == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < c->facts.alias_count; i++) {
        const struct alias_group *group = &c->facts.aliases[i];
        struct slice *names;

        if (!group->is_tied)
            continue;
        names = arena_alloc(arena, group->count, sizeof *names);
        if (names == NULL)
            return arena_fail(arena, err);
        for (size_t k = 0; k < group->count; k++)
            names[k] = c->structure.tensors[group->members[k]].name;
        groups[count++] = (struct name_group){.names = names, .count = group->count};
    }
    m->tied = groups;
    m->tied_count = count;
    return OK;
}

static enum status
expect_extra_state(const struct container *c, struct manifest *m, struct arena *arena,
                   struct err *err)
{
    struct slice *names = arena_alloc(arena, c->facts.entry_count, sizeof *names);
    size_t count = 0;

    if (names == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < c->facts.entry_count; i++)
        if (is_extra_state(c->facts.entries[i].name))
            names[count++] = c->facts.entries[i].name;
    m->extra_state = (struct name_group){.names = names, .count = count};
    return OK;
}

enum status
manifest_of_container(const struct container *c, struct arena *arena, struct manifest *ret_manifest,
                      struct err *err)
{
    struct expected *tensors = arena_alloc(arena, c->structure.count, sizeof *tensors);
    struct manifest m = {.tensors = tensors, .count = c->structure.count};

    if (tensors == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < m.count; i++)
        tensors[i] = (struct expected){
            .name = c->structure.tensors[i].name,
            .has_shape = true,
            .shape = c->structure.tensors[i].shape,
            .dtype = c->structure.tensors[i].dtype,
        };
    TRY(tie_aliases(c, &m, arena, err));
    TRY(expect_extra_state(c, &m, arena, err));
    TRY(finish(&m, arena, err));
    *ret_manifest = m;
    return OK;
}
