/*
 * The canonical form of a manifest, of which the digest is taken: one line for each thing it says, in
 * bytewise order within its kind, names with their length before them. Neither the form it came in,
 * nor the order of its keys, nor name and source make a difference.
 */
#include <stdio.h>

#include "common/base/attr.h"
#include "common/compat/manifest_form.h"

struct canon {
    struct hash hash;
    size_t used;
    char chunk[8192]; /* hashed when it is full: most pieces are a few bytes */
};

static void
canon_done(struct canon *c)
{
    hash_done(&c->hash);
}

static void
flush(struct canon *c)
{
    hash_add(&c->hash, c->chunk, c->used);
    c->used = 0;
}

static void
put(struct canon *c, const char *bytes, size_t length)
{
    if (length > sizeof c->chunk - c->used)
        flush(c);
    if (length > sizeof c->chunk) {
        hash_add(&c->hash, bytes, length);
        return;
    }
    if (length > 0)
        memcpy(c->chunk + c->used, bytes, length);
    c->used += length;
}

static void
put_char(struct canon *c, char byte)
{
    put(c, &byte, 1);
}

static void
put_text(struct canon *c, const char *text)
{
    put(c, text, strlen(text));
}

static void
put_u64(struct canon *c, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    put(c, digits + at, sizeof digits - at);
}

static void
end_line(struct canon *c)
{
    put_char(c, '\n');
}

static void
add_name(struct canon *c, struct slice name)
{
    put_char(c, ' ');
    put_u64(c, name.length);
    put_char(c, ':');
    put(c, name.at, name.length);
}

static void
add_group(struct canon *c, const char *kind, const struct name_group *group)
{
    if (group->count == 0)
        return;
    put_text(c, kind);
    for (size_t i = 0; i < group->count; i++)
        add_name(c, group->names[i]);
    end_line(c);
}

static void
add_tensor(struct canon *c, const struct expected *e)
{
    static const char kinds[] = {
        [EXPECTED_UNSAID] = '-', [EXPECTED_PARAMETER] = 'p', [EXPECTED_BUFFER] = 'b'};

    put_text(c, "tensor");
    add_name(c, e->name);
    put_char(c, ' ');
    put_text(c, e->dtype == DTYPE_UNKNOWN ? "-" : dtype_name(e->dtype));
    put_char(c, ' ');
    put_char(c, kinds[e->kind]);
    put_char(c, ' ');
    if (!e->has_shape)
        put_char(c, '*');
    for (uint32_t i = 0; i < e->shape.rank; i++) {
        if (e->shape.dims[i] == MANIFEST_ANY_DIM)
            put_char(c, '*');
        else
            put_u64(c, e->shape.dims[i]);
        put_char(c, ',');
    }
    end_line(c);
}

static void
add_module(struct canon *c, const struct manifest_module *m)
{
    put_text(c, "module");
    add_name(c, m->path);
    add_name(c, m->type);
    add_name(c, m->base);
    put_char(c, ' ');
    if (m->has_version && m->version < 0)
        put_char(c, '-');
    if (m->has_version)
        put_u64(c, m->version < 0 ? 0U - (uint64_t)m->version : (uint64_t)m->version);
    put_text(c, m->is_none ? " none" : "");
    put_text(c, m->is_lazy ? " lazy" : "");
    put_text(c, m->custom_load ? " custom" : "");
    put_text(c, m->post_hook ? " post" : "");
    if (m->says_stats)
        put_text(c, m->track_running_stats ? " stats" : " nostats");
    for (size_t i = 0; i < m->spectral_count; i++) {
        put_text(c, " spectral");
        add_name(c, m->spectral[i].name);
        put_char(c, ' ');
        put_u64(c, m->spectral[i].dim);
    }
    end_line(c);
    add_group(c, "weight_norm", &m->weight_norm);
    add_group(c, "hooks", &m->hooks);
}

static void
add_load(struct canon *c, const struct manifest *m)
{
    if (m->loader.length > 0) {
        put_text(c, "loader");
        add_name(c, m->loader);
        end_line(c);
    }
    if (m->has_container) {
        put_text(c, "container");
        add_name(c, m->container);
        end_line(c);
    }
}

/* Exactly: coverages that differ at all differ here. */
static void
add_coverage(struct canon *c, double coverage)
{
    char text[40];

    (void)snprintf(text, sizeof text, "min_coverage %.17g", coverage);
    put_text(c, text);
    end_line(c);
}

enum status
manifest_digest(const struct manifest *m, struct digest *ret_digest, struct err *err)
{
    CLEANUP(canon_done) struct canon c = {.used = 0};

    TRY(hash_begin(&c.hash, err));
    put_text(&c, "ckptd manifest 1\n");
    for (size_t i = 0; i < m->count; i++)
        add_tensor(&c, &m->tensors[i]);
    if (m->has_modules)
        put_text(&c, "modules\n");
    for (size_t i = 0; i < m->module_count; i++)
        add_module(&c, &m->modules[i]);
    for (size_t i = 0; i < m->tied_count; i++)
        add_group(&c, "tied", &m->tied[i]);
    add_group(&c, "optional", &m->optional);
    add_group(&c, "extra_state", &m->extra_state);
    add_group(&c, "allow_missing", &m->expect.allow_missing);
    add_group(&c, "allow_unexpected", &m->expect.allow_unexpected);
    add_group(&c, "allow_mismatch", &m->expect.allow_mismatch);
    if (m->expect.has_min_coverage)
        add_coverage(&c, m->expect.min_coverage);
    add_load(&c, m);
    flush(&c);
    *ret_digest = hash_end(&c.hash);
    return OK;
}
