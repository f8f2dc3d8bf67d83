/*
 * A manifest as ckptd/manifest/1: everything in order, a tensor a line, so that two of them can be
 * compared line by line. The Python client prints the same bytes for the same manifest.
 */
#include <stdio.h>

#include "common/base/json_writer.h"
#include "common/compat/manifest.h"

/* Members of one object: a comma before each but the first. */
struct members {
    struct buf *out;
    const char *separator; /* between two */
    bool has_one;
};

static void
key(struct members *m, const char *name)
{
    if (m->has_one)
        buf_text(m->out, m->separator);
    m->has_one = true;
    buf_char(m->out, '"');
    buf_text(m->out, name);
    buf_text(m->out, "\": ");
}

static void
text(struct members *m, const char *name, struct slice value)
{
    key(m, name);
    json_quote(m->out, value);
}

static void
flag(struct members *m, const char *name, bool value)
{
    key(m, name);
    buf_text(m->out, value ? "true" : "false");
}

static void
print_list(struct buf *out, const struct name_group *group)
{
    buf_char(out, '[');
    for (size_t i = 0; i < group->count; i++) {
        if (i > 0)
            buf_text(out, ", ");
        json_quote(out, group->names[i]);
    }
    buf_char(out, ']');
}

static void
list(struct members *m, const char *name, const struct name_group *group)
{
    if (group->count == 0)
        return;
    key(m, name);
    print_list(m->out, group);
}

static void
print_shape(struct buf *out, const struct expected *e)
{
    if (!e->has_shape) {
        buf_text(out, "null");
        return;
    }
    buf_char(out, '[');
    for (uint32_t i = 0; i < e->shape.rank; i++) {
        if (i > 0)
            buf_text(out, ", ");
        if (e->shape.dims[i] == MANIFEST_ANY_DIM)
            buf_text(out, "null");
        else
            buf_u64(out, e->shape.dims[i]);
    }
    buf_char(out, ']');
}

static void
print_tensor(struct buf *out, const struct expected *e)
{
    static const char *const kinds[] = {
        [EXPECTED_PARAMETER] = "parameter", [EXPECTED_BUFFER] = "buffer"};
    struct members row = {.out = out, .separator = ", "};

    buf_char(out, '{');
    key(&row, "shape");
    print_shape(out, e);
    if (e->dtype != DTYPE_UNKNOWN)
        text(&row, "dtype", slice_of(dtype_name(e->dtype)));
    if (e->kind != EXPECTED_UNSAID)
        text(&row, "kind", slice_of(kinds[e->kind]));
    buf_char(out, '}');
}

static void
print_spectral(struct members *row, const struct manifest_module *m)
{
    if (m->spectral_count == 0)
        return;
    key(row, "spectral_norm");
    for (size_t i = 0; i < m->spectral_count; i++) {
        buf_text(row->out, i == 0 ? "{" : ", ");
        json_quote(row->out, m->spectral[i].name);
        buf_text(row->out, ": ");
        buf_u64(row->out, m->spectral[i].dim);
    }
    buf_char(row->out, '}');
}

static void
print_module(struct buf *out, const struct manifest_module *m)
{
    struct members row = {.out = out, .separator = ", "};

    buf_char(out, '{');
    if (m->is_none) {
        key(&row, "type");
        buf_text(out, "null");
    } else if (m->type.length > 0)
        text(&row, "type", m->type);
    if (m->base.length > 0)
        text(&row, "base", m->base);
    if (m->has_version) {
        key(&row, "version");
        buf_printf(out, "%lld", (long long)m->version);
    }
    if (m->is_lazy)
        flag(&row, "lazy", true);
    if (m->says_stats)
        flag(&row, "track_running_stats", m->track_running_stats);
    list(&row, "weight_norm", &m->weight_norm);
    print_spectral(&row, m);
    if (m->custom_load)
        flag(&row, "custom_load", true);
    if (m->post_hook)
        flag(&row, "post_hook", true);
    list(&row, "hooks", &m->hooks);
    buf_char(out, '}');
}

/* One line of an object whose members stand a line each. */
static void
begin_line(struct buf *out, size_t index, struct slice name)
{
    buf_text(out, index == 0 ? "\n    " : ",\n    ");
    json_quote(out, name);
    buf_text(out, ": ");
}

static void
print_tensors(struct members *top, const struct manifest *m)
{
    key(top, "tensors");
    buf_char(top->out, '{');
    for (size_t i = 0; i < m->count; i++) {
        begin_line(top->out, i, m->tensors[i].name);
        print_tensor(top->out, &m->tensors[i]);
    }
    buf_text(top->out, m->count > 0 ? "\n  }" : "}");
}

static void
print_modules(struct members *top, const struct manifest *m)
{
    if (!m->has_modules)
        return;
    key(top, "modules");
    buf_char(top->out, '{');
    for (size_t i = 0; i < m->module_count; i++) {
        begin_line(top->out, i, m->modules[i].path);
        print_module(top->out, &m->modules[i]);
    }
    buf_text(top->out, m->module_count > 0 ? "\n  }" : "}");
}

static void
print_tied(struct members *top, const struct manifest *m)
{
    if (m->tied_count == 0)
        return;
    key(top, "tied");
    for (size_t i = 0; i < m->tied_count; i++) {
        buf_text(top->out, i == 0 ? "[\n    " : ",\n    ");
        print_list(top->out, &m->tied[i]);
    }
    buf_text(top->out, "\n  ]");
}

static void
print_load(struct members *top, const struct manifest *m)
{
    struct members row = {.out = top->out, .separator = ", "};

    if (m->loader.length == 0 && !m->has_container)
        return;
    key(top, "load");
    buf_char(top->out, '{');
    if (m->loader.length > 0)
        text(&row, "loader", m->loader);
    if (m->has_container)
        text(&row, "container", m->container);
    buf_char(top->out, '}');
}

static void
print_expect(struct members *top, const struct expectations *e)
{
    struct members row = {.out = top->out, .separator = ", "};
    struct json_writer number = json_writer_to(top->out, 0);

    if (e->allow_missing.count + e->allow_unexpected.count + e->allow_mismatch.count == 0 &&
        !e->has_min_coverage)
        return;
    key(top, "expect");
    buf_char(top->out, '{');
    list(&row, "allow_missing", &e->allow_missing);
    list(&row, "allow_unexpected", &e->allow_unexpected);
    list(&row, "allow_mismatch", &e->allow_mismatch);
    if (e->has_min_coverage) {
        key(&row, "min_coverage");
        jw_double(&number, e->min_coverage);
    }
    buf_char(top->out, '}');
}

void
manifest_print(struct buf *out, const struct manifest *m)
{
    struct members top = {.out = out, .separator = ",\n  "};

    buf_text(out, "{\n  ");
    text(&top, "schema", slice_of("ckptd/manifest/1"));
    if (m->name.length > 0)
        text(&top, "name", m->name);
    print_tensors(&top, m);
    print_modules(&top, m);
    print_tied(&top, m);
    list(&top, "optional", &m->optional);
    list(&top, "extra_state", &m->extra_state);
    print_load(&top, m);
    print_expect(&top, &m->expect);
    if (m->source.length > 0) {
        key(&top, "source");
        buf_slice(out, m->source);
    }
    buf_text(out, "\n}\n");
}
