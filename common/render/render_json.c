/*
 * A report as JSON, ckptd/report/1: the contract of design §5. Counts are whole, lists are cut at the
 * limit, the mapping is not.
 */
#include "common/base/json_writer.h"
#include "common/render/render.h"

static size_t
limit_of(const struct report *r)
{
    return r->options.limit == 0 ? REPORT_LIMIT_DEFAULT : r->options.limit;
}

static size_t
shown(const struct report *r, size_t count)
{
    return count < limit_of(r) ? count : limit_of(r);
}

/* Lists of scalars stand on one line where they are short. */
static void
write_names(struct json_writer *w, const char *key, const struct slice *names, size_t count)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < count; i++)
        jw_slice(w, names[i]);
    jw_array_end(w);
}

static void
write_texts(struct json_writer *w, const char *key, struct text_list list)
{
    write_names(w, key, list.texts, list.count);
}

/* An empty text is null. */
static void
write_optional(struct json_writer *w, const char *key, struct slice text)
{
    jw_key(w, key);
    if (text.length > 0)
        jw_slice(w, text);
    else
        jw_null(w);
}

static void
write_expected_shape(struct json_writer *w, const struct expected *e)
{
    if (!e->has_shape) {
        jw_null(w);
        return;
    }
    jw_flat_array(w);
    for (uint32_t i = 0; i < e->shape.rank; i++) {
        if (e->shape.dims[i] == MANIFEST_ANY_DIM)
            jw_null(w);
        else
            jw_u64(w, e->shape.dims[i]);
    }
    jw_array_end(w);
}

static void
write_shape(struct json_writer *w, struct shape shape)
{
    jw_flat_array(w);
    for (uint32_t i = 0; i < shape.rank; i++)
        jw_u64(w, shape.dims[i]);
    jw_array_end(w);
}

enum difference { DIFFERS_IN_SHAPE, DIFFERS_IN_DTYPE, IS_NO_TENSOR };

static void
write_mismatch(struct json_writer *w, const struct report *r, const struct report_side *side,
               const struct mismatch *mismatch, enum difference difference)
{
    const struct expected *expected = &r->manifest->tensors[mismatch->expected];
    const struct state_key *found = &side->state.keys[mismatch->found];

    jw_object(w);
    jw_pair_slice(w, "key", expected->name);
    jw_key(w, "expected");
    if (difference == DIFFERS_IN_DTYPE)
        jw_text(w, dtype_name(expected->dtype));
    else
        write_expected_shape(w, expected);
    jw_key(w, "found");
    switch (difference) {
    case DIFFERS_IN_SHAPE:
        write_shape(w, found->shape);
        break;
    case DIFFERS_IN_DTYPE:
        jw_text(w, dtype_name(found->dtype));
        break;
    case IS_NO_TENSOR:
        jw_slice(w, found->type);
        break;
    }
    jw_object_end(w);
}

static void
write_mismatches(struct json_writer *w, const char *key, const struct report *r,
                 const struct report_side *side, const struct mismatch *list, size_t count,
                 enum difference difference)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < shown(r, count); i++)
        write_mismatch(w, r, side, &list[i], difference);
    jw_array_end(w);
}

static void
write_counts(struct json_writer *w, const struct report_side *side)
{
    const struct judgement *j = &side->judgement;

    jw_key(w, "counts");
    jw_object(w);
    jw_pair_u64(w, "matched", j->matched);
    jw_pair_u64(w, "missing", j->missing_count);
    jw_pair_u64(w, "unexpected", j->unexpected_count);
    jw_pair_u64(w, "shape_mismatch", j->shape_mismatch_count);
    jw_pair_u64(w, "dtype_mismatch", j->dtype_mismatch_count);
    jw_pair_u64(w, "not_a_tensor", j->not_a_tensor_count);
    jw_object_end(w);
    jw_key(w, "coverage");
    jw_object(w);
    jw_key(w, "tensors");
    jw_double(w, side->coverage.tensors);
    jw_key(w, "elements");
    jw_double(w, side->coverage.elements);
    jw_object_end(w);
}

static void
write_side(struct json_writer *w, const char *key, const struct report *r,
           const struct report_side *side)
{
    const struct judgement *j = &side->judgement;

    jw_key(w, key);
    jw_object(w);
    jw_pair_bool(w, "strict", j->strict);
    jw_pair_bool(w, "non_strict", j->non_strict);
    write_counts(w, side);
    write_names(w, "missing", j->missing, shown(r, j->missing_count));
    write_names(w, "unexpected", j->unexpected, shown(r, j->unexpected_count));
    write_mismatches(w, "shape_mismatch", r, side, j->shape_mismatch, j->shape_mismatch_count,
                     DIFFERS_IN_SHAPE);
    write_mismatches(w, "dtype_mismatch", r, side, j->dtype_mismatch, j->dtype_mismatch_count,
                     DIFFERS_IN_DTYPE);
    write_mismatches(w, "not_a_tensor", r, side, j->not_a_tensor, j->not_a_tensor_count,
                     IS_NO_TENSOR);
    write_names(w, "errors", j->errors, shown(r, j->error_count));
    jw_object_end(w);
}

static void
write_subjects(struct json_writer *w, const struct report *r)
{
    const struct report_subject *c = &r->options.checkpoint;
    struct digest_text digest = digest_text(&r->manifest->digest);
    char text[sizeof "sha256:" + DIGEST_HEX] = "sha256:";

    jw_key(w, "checkpoint");
    jw_object(w);
    if (c->path.length > 0) {
        jw_pair_slice(w, "path", c->path);
    } else {
        write_optional(w, "model", c->model);
        write_optional(w, "ref", c->ref);
        write_optional(w, "version", c->version);
        jw_pair_u64(w, "serial", c->serial);
    }
    write_optional(w, "digest", c->digest);
    jw_object_end(w);

    jw_key(w, "manifest");
    jw_object(w);
    write_optional(w, "name",
                   r->options.manifest_name.length > 0 ? r->options.manifest_name
                                                       : r->manifest->name);
    memcpy(text + strlen(text), digest.hex, sizeof digest.hex);
    jw_pair_text(w, "digest", text);
    jw_object_end(w);
}

static void
write_containers(struct json_writer *w, const struct report *r)
{
    jw_key(w, "containers");
    jw_array(w);
    for (size_t i = 0; i < r->container_count; i++) {
        jw_object(w);
        jw_pair_slice(w, "path", r->containers[i].path);
        jw_pair_text(w, "kind", container_kind_name(r->containers[i].kind));
        jw_pair_text(w, "verdict", verdict_name(r->containers[i].verdict));
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
write_allowed(struct json_writer *w, const struct report *r)
{
    static const char *const kinds[] = {
        [ALLOWED_MISSING] = "missing",
        [ALLOWED_UNEXPECTED] = "unexpected",
        [ALLOWED_MISMATCH] = "mismatch",
    };

    jw_key(w, "allowed");
    jw_array(w);
    for (size_t i = 0; i < shown(r, r->allowed_count); i++) {
        jw_object(w);
        jw_pair_text(w, "kind", kinds[r->allowed[i].kind]);
        jw_pair_slice(w, "key", r->allowed[i].key);
        jw_pair_slice(w, "by", r->allowed[i].glob);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
write_ambiguities(struct json_writer *w, const struct report *r)
{
    jw_key(w, "ambiguities");
    jw_array(w);
    for (size_t i = 0; i < shown(r, r->ambiguity_count); i++) {
        const struct ambiguity *a = &r->ambiguities[i];

        jw_object(w);
        jw_pair_slice(w, "what", a->what);
        write_names(w, "candidates", a->candidates, a->candidate_count);
        jw_pair_u64(w, "tensors", a->tensors);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
write_mapping(struct json_writer *w, const struct report *r)
{
    jw_key(w, "mapping");
    jw_array(w);
    for (size_t i = 0; i < r->mapping_count; i++) {
        const struct mapping_row *row = &r->mapping[i];

        jw_object(w);
        jw_pair_slice(w, "to", row->to);
        jw_key(w, "from");
        jw_flat_array(w);
        for (size_t k = 0; k < row->from_count; k++)
            jw_slice(w, row->from[k]);
        jw_array_end(w);
        write_optional(w, "op", row->op);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
write_remap(struct json_writer *w, const struct report *r)
{
    if (r->has_remap) {
        write_side(w, "after_remap", r, &r->after_remap);
        jw_key(w, "remap");
        remap_write_json(w, &r->remap, true);
    } else {
        jw_key(w, "after_remap");
        jw_null(w);
        jw_key(w, "remap");
        jw_null(w);
    }
    jw_key(w, "discarded");
    jw_object(w);
    jw_pair_u64(w, "tensors", r->discarded_tensors);
    jw_pair_u64(w, "elements", r->discarded_elements);
    write_texts(w, "subtrees", r->discarded_subtrees);
    jw_object_end(w);
}

void
render_json(const struct report *r, const struct render_options *options, struct buf *out)
{
    struct json_writer w = json_writer_to(out, 2);

    (void)options;
    jw_object(&w);
    jw_pair_text(&w, "schema", "ckptd/report/1");
    jw_pair_text(&w, "verdict", verdict_name(r->verdict));
    jw_pair_slice(&w, "summary", r->summary);
    jw_pair_text(&w, "loader", loader_name(r->loader));
    jw_pair_text(&w, "exactness", r->is_exact ? "exact" : "inferred");
    jw_pair_u64(&w, "matcher", INFER_REVISION);
    write_subjects(&w, r);
    write_side(&w, "as_is", r, &r->as_is);
    write_remap(&w, r);
    write_containers(&w, r);
    write_allowed(&w, r);
    write_ambiguities(&w, r);
    write_texts(&w, "contradictions", r->contradictions);
    write_texts(&w, "warnings", r->warnings);
    write_texts(&w, "advice", r->advice);
    if (r->options.wants_mapping)
        write_mapping(&w, r);
    jw_object_end(&w);
    buf_char(out, '\n');
}
