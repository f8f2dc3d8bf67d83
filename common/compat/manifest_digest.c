/*
 * The canonical form of a manifest, of which the digest is taken: one line for each thing it says, in
 * bytewise order within its kind, names with their length before them. Neither the form it came in,
 * nor the order of its keys, nor name and source make a difference.
 */
#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/compat/manifest_form.h"

enum { CHUNK_BYTES = 16 << 10 }; /* hashed at once */

struct canon {
    struct hash hash;
    struct buf line;
};

static void
canon_done(struct canon *c)
{
    hash_done(&c->hash);
    buf_done(&c->line);
}

static void
end_line(struct canon *c)
{
    buf_char(&c->line, '\n');
    if (c->line.length < CHUNK_BYTES || c->line.failed != OK)
        return;
    hash_add(&c->hash, c->line.bytes, c->line.length);
    buf_clear(&c->line);
}

static void
add_name(struct canon *c, struct slice name)
{
    buf_char(&c->line, ' ');
    buf_u64(&c->line, name.length);
    buf_char(&c->line, ':');
    buf_slice(&c->line, name);
}

static void
add_group(struct canon *c, const char *kind, const struct name_group *group)
{
    if (group->count == 0)
        return;
    buf_text(&c->line, kind);
    for (size_t i = 0; i < group->count; i++)
        add_name(c, group->names[i]);
    end_line(c);
}

static void
add_tensor(struct canon *c, const struct expected *e)
{
    static const char kinds[] = {
        [EXPECTED_UNSAID] = '-', [EXPECTED_PARAMETER] = 'p', [EXPECTED_BUFFER] = 'b'};

    buf_text(&c->line, "tensor");
    add_name(c, e->name);
    buf_char(&c->line, ' ');
    buf_text(&c->line, e->dtype == DTYPE_UNKNOWN ? "-" : dtype_name(e->dtype));
    buf_char(&c->line, ' ');
    buf_char(&c->line, kinds[e->kind]);
    buf_char(&c->line, ' ');
    if (!e->has_shape)
        buf_char(&c->line, '*');
    for (uint32_t i = 0; i < e->shape.rank; i++) {
        if (e->shape.dims[i] == MANIFEST_ANY_DIM)
            buf_char(&c->line, '*');
        else
            buf_u64(&c->line, e->shape.dims[i]);
        buf_char(&c->line, ',');
    }
    end_line(c);
}

static void
add_module(struct canon *c, const struct manifest_module *m)
{
    buf_text(&c->line, "module");
    add_name(c, m->path);
    add_name(c, m->type);
    add_name(c, m->base);
    buf_char(&c->line, ' ');
    if (m->has_version)
        buf_printf(&c->line, "%lld", (long long)m->version);
    buf_text(&c->line, m->is_none ? " none" : "");
    buf_text(&c->line, m->is_lazy ? " lazy" : "");
    buf_text(&c->line, m->custom_load ? " custom" : "");
    buf_text(&c->line, m->post_hook ? " post" : "");
    if (m->says_stats)
        buf_text(&c->line, m->track_running_stats ? " stats" : " nostats");
    for (size_t i = 0; i < m->spectral_count; i++) {
        buf_text(&c->line, " spectral");
        add_name(c, m->spectral[i].name);
        buf_char(&c->line, ' ');
        buf_u64(&c->line, m->spectral[i].dim);
    }
    end_line(c);
    add_group(c, "weight_norm", &m->weight_norm);
    add_group(c, "hooks", &m->hooks);
}

static void
add_load(struct canon *c, const struct manifest *m)
{
    if (m->loader.length > 0) {
        buf_text(&c->line, "loader");
        add_name(c, m->loader);
        end_line(c);
    }
    if (m->has_container) {
        buf_text(&c->line, "container");
        add_name(c, m->container);
        end_line(c);
    }
}

enum status
manifest_digest(const struct manifest *m, struct digest *ret_digest, struct err *err)
{
    CLEANUP(canon_done) struct canon c = {.line = buf_with_cap(SIZE_MAX / 2)};

    TRY(hash_begin(&c.hash, err));
    buf_text(&c.line, "ckptd manifest 1\n");
    for (size_t i = 0; i < m->count; i++)
        add_tensor(&c, &m->tensors[i]);
    if (m->has_modules)
        buf_text(&c.line, "modules\n");
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
        buf_printf(&c.line, "min_coverage %.17g\n", m->expect.min_coverage);
    add_load(&c, m);
    TRY(buf_check(&c.line, err));
    hash_add(&c.hash, c.line.bytes, c.line.length);
    *ret_digest = hash_end(&c.hash);
    return OK;
}
