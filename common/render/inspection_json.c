#include "common/render/inspection_json.h"

#include "common/base/attr.h"

void
inspection_json_containers(struct json_writer *w, const struct inspection *in)
{
    const struct container *chosen = inspection_default(in);

    jw_key(w, "container");
    if (chosen == NULL)
        jw_null(w);
    else
        jw_slice(w, chosen->path);
    jw_key(w, "containers");
    jw_array(w);
    for (size_t i = 0; i < in->container_count; i++) {
        const struct container *c = &in->containers[i];

        if (c->kind == CONTAINER_OUTER)
            continue;
        jw_object(w);
        jw_pair_slice(w, "path", c->path);
        jw_pair_text(w, "kind", container_kind_name(c->kind));
        jw_pair_u64(w, "tensors", c->structure.count);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
write_strides(struct json_writer *w, const struct place *p, uint32_t rank)
{
    jw_key(w, "strides");
    jw_flat_array(w);
    for (uint32_t i = 0; i < rank; i++)
        jw_i64(w, p->strides[i]);
    jw_array_end(w);
}

void
inspection_json_tensor(struct json_writer *w, const struct container *c, size_t index)
{
    const struct tensor *t = &c->structure.tensors[index];
    const struct facts *f = &c->facts;

    jw_object(w);
    jw_pair_slice(w, "name", t->name);
    jw_pair_text(w, "dtype", dtype_name(t->dtype));
    jw_key(w, "shape");
    jw_flat_array(w);
    for (uint32_t i = 0; i < t->shape.rank; i++)
        jw_u64(w, t->shape.dims[i]);
    jw_array_end(w);
    jw_pair_u64(w, "bytes", t->bytes);
    if (f->layouts != NULL && f->layouts[index] != LAYOUT_STRIDED)
        jw_pair_text(w, "layout", layout_name((enum layout)f->layouts[index]));
    if (c->placement.places != NULL && c->placement.places[index].strides != NULL)
        write_strides(w, &c->placement.places[index], t->shape.rank);
    jw_object_end(w);
}

static void
write_entries(struct json_writer *w, const struct facts *f)
{
    jw_key(w, "entries");
    jw_array(w);
    for (size_t i = 0; i < f->entry_count; i++) {
        jw_object(w);
        jw_pair_slice(w, "name", f->entries[i].name);
        jw_pair_text(w, "kind", entry_kind_name(f->entries[i].kind));
        jw_pair_slice(w, "type", f->entries[i].type);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
write_aliases(struct json_writer *w, const struct container *c)
{
    jw_key(w, "aliases");
    jw_array(w);
    for (size_t i = 0; i < c->facts.alias_count; i++) {
        const struct alias_group *g = &c->facts.aliases[i];

        jw_object(w);
        jw_pair_bool(w, "tied", g->is_tied);
        jw_key(w, "names");
        jw_flat_array(w);
        for (size_t k = 0; k < g->count; k++)
            jw_slice(w, c->structure.tensors[g->members[k]].name);
        jw_array_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

void
inspection_json_tensors(struct json_writer *w, const struct container *c)
{
    static const struct container none = {0};

    if (c == NULL)
        c = &none;
    jw_key(w, "tensors");
    jw_array(w);
    for (size_t i = 0; i < c->structure.count; i++)
        inspection_json_tensor(w, c, i);
    jw_array_end(w);
    write_entries(w, &c->facts);
    write_aliases(w, c);
}

void
inspection_json_totals(struct json_writer *w, const struct structure *s)
{
    jw_key(w, "totals");
    jw_object(w);
    jw_pair_u64(w, "tensors", s->count);
    jw_pair_u64(w, "elements", structure_elements(s));
    jw_pair_u64(w, "bytes", structure_bytes(s));
    jw_object_end(w);
}

void
inspection_json_fingerprints(struct json_writer *w, const struct fingerprints *f)
{
    jw_key(w, "fingerprints");
    jw_object(w);
    jw_pair_text(w, "structure", fingerprint_text(FINGERPRINT_STRUCTURE, &f->structure).text);
    jw_pair_text(w, "architecture",
                 fingerprint_text(FINGERPRINT_ARCHITECTURE, &f->architecture).text);
    jw_pair_text(w, "skeleton", fingerprint_text(FINGERPRINT_SKELETON, &f->skeleton).text);
    jw_object_end(w);
}

/* The line that makes weights_only load the file, ready to be pasted. */
static void
write_safe_globals(struct json_writer *w, const struct weights_only *wo)
{
    CLEANUP(buf_done) struct buf line = buf_with_cap((size_t)1 << 20);

    jw_key(w, "line");
    if (wo->need_count == 0 || wo->reason.length > 0) {
        jw_null(w);
        return;
    }
    buf_text(&line, "torch.serialization.add_safe_globals([");
    for (size_t i = 0; i < wo->need_count; i++) {
        buf_text(&line, i > 0 ? ", " : "");
        buf_slice(&line, wo->needs[i]);
    }
    buf_text(&line, "])");
    if (line.failed == OK)
        jw_slice(w, buf_slice_of(&line));
    else
        jw_null(w);
}

static void
write_weights_only(struct json_writer *w, const struct weights_only *wo)
{
    jw_key(w, "weights_only");
    if (!wo->applies) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_pair_bool(w, "loads", wo->loads);
    jw_key(w, "needs");
    jw_flat_array(w);
    for (size_t i = 0; i < wo->need_count; i++)
        jw_slice(w, wo->needs[i]);
    jw_array_end(w);
    write_safe_globals(w, wo);
    if (wo->reason.length > 0)
        jw_pair_slice(w, "reason", wo->reason);
    jw_object_end(w);
}

void
inspection_json_finding(struct json_writer *w, const struct finding *f)
{
    jw_object(w);
    jw_pair_text(w, "id", finding_name(f->id));
    jw_pair_text(w, "severity", severity_name(finding_level(f)));
    jw_pair_slice(w, "subject", f->subject);
    jw_pair_slice(w, "message", f->message);
    jw_object_end(w);
}

void
inspection_json_safety(struct json_writer *w, const struct inspection *in)
{
    jw_pair_text(w, "safety", safety_name(in->safety));
    write_weights_only(w, &in->weights_only);
    jw_key(w, "findings");
    jw_array(w);
    for (size_t i = 0; i < in->finding_count; i++)
        inspection_json_finding(w, &in->findings[i]);
    jw_array_end(w);
    if (in->findings_dropped > 0)
        jw_pair_u64(w, "findings_dropped", in->findings_dropped);
}

enum status
inspection_json(struct buf *out, const struct inspection *in, bool with_tensors, unsigned indent,
                const struct limits *limits, struct err *err)
{
    static const struct structure none = {0};
    const struct container *c = inspection_default(in);
    struct json_writer w = json_writer_to(out, indent);
    struct fingerprints f;

    jw_object(&w);
    jw_pair_slice(&w, "format", in->format);
    inspection_json_containers(&w, in);
    if (with_tensors)
        inspection_json_tensors(&w, c);
    inspection_json_totals(&w, c == NULL ? &none : &c->structure);
    if (c != NULL) {
        TRY(fingerprint_structure(&c->structure, limits, &f, err));
        inspection_json_fingerprints(&w, &f);
    } else {
        jw_key(&w, "fingerprints");
        jw_null(&w);
    }
    jw_key(&w, "metadata");
    jw_raw(&w, in->metadata.length > 0 ? in->metadata : slice_of("{}"));
    inspection_json_safety(&w, in);
    jw_object_end(&w);
    return buf_check(out, err);
}
