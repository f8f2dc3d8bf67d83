/*
 * ONNX: one Protocol Buffers message, ModelProto, without a magic.
 *
 *     08 <ir_version> | 12 n <producer_name> | … | 3a n <graph> | 42 n <opset_import> | …
 *     graph: 0a n <node> … | 12 n <name> | 2a n <initializer: 08 dims… 10 type 42 n <name> 4a n <raw>>
 *
 * Specification: onnx.proto and docs/IR.md of onnx/onnx; the wire format is protobuf.c's matter. The
 * file is walked tag by tag through a window, and weights are passed over by their length, so a model
 * costs what its fields cost. Messages are put together as parsers do: of a field given twice the last
 * counts, messages given twice are merged, lists may be packed or not, and the order means nothing.
 *
 * The initializers of the model's graph are the weights (the container ""). Tensors hide elsewhere,
 * too: in attributes of nodes, in the graphs that If and Loop carry, in functions (the container
 * "constants") and in training_info ("training"). Nothing in the file is code, and operators of other
 * domains are only names. What a parser would refuse is malformed, even where nobody looks: each
 * message is read through. Only the inside of packed elements, which are weights, is not.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/formats/onnx_work.h"

enum {
    IR_VERSION = 1,
    GRAPH = 7,
    GRAPH_TAG = 0x3a,
    IR_VERSION_MAX = 127,  /* 14 today */
    PROBE_FIELDS = 100000, /* of the top, whose lists are short */
    LABEL_EXTRA = 64,      /* of a path beside names: indexes and separators */
    WHOLE_BITS = 20,       /* sure, but never before a format with a magic */
    CUT_BITS = 12,
};

/* ---- probe ---- */

/* Whether what cannot be read at the start of left begins as a graph does: a file that is cut off. */
static bool
begins_a_graph(struct protobuf *p, struct protobuf_span left)
{
    struct slice bytes;

    return protobuf_peek(p, left, 1, &bytes, NULL) == OK && bytes.length == 1 &&
           (uint8_t)bytes.at[0] == GRAPH_TAG;
}

/* Go over the top of the file by lengths. An ir_version and a graph must be there; until the
 * ir_version was seen nothing may be there that ONNX does not know. */
static unsigned
look_over(struct protobuf *p, struct protobuf_span left)
{
    bool has_ir_version = false, has_graph = false, is_end;
    struct protobuf_field f;

    for (;;) {
        struct protobuf_span before = left;

        if (protobuf_next(p, &left, &f, &is_end, NULL) != OK)
            return has_ir_version && (has_graph || begins_a_graph(p, before)) ? CUT_BITS : 0;
        if (is_end)
            return has_ir_version && has_graph ? WHOLE_BITS : 0;
        if (!onnx_field_is_known(ONNX_MODEL, &f)) {
            if (!has_ir_version)
                return 0;
            continue;
        }
        if (f.number == IR_VERSION)
            has_ir_version = f.value > 0 && f.value <= IR_VERSION_MAX;
        has_graph = has_graph || f.number == GRAPH;
    }
}

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    CLEANUP(protobuf_done) struct protobuf p;
    struct limits limits = limits_default();
    struct protobuf_field first = {0};

    limits.protobuf_fields = PROBE_FIELDS;
    p = protobuf_over(source, &limits);
    if (length == 0)
        return 0;
    first.number = (uint32_t)head[0] >> 3; /* fields above 15 do not come first */
    first.wire = (enum protobuf_wire)(head[0] & 7);
    return onnx_field_is_known(ONNX_MODEL, &first)
               ? look_over(&p, (struct protobuf_span){0, source->size_bytes})
               : 0;
}

/* ---- the model ---- */

static void
onnx_done(struct onnx *o)
{
    protobuf_done(&o->wire);
    builder_done(&o->weights);
    builder_done(&o->constants);
    builder_done(&o->training);
    onnx_about_done(&o->about);
    buf_done(&o->path);
    vec_done(&o->stack);
    vec_done(&o->quantized);
    vec_done(&o->siblings);
    map_done(&o->locations);
    map_done(&o->paths);
}

static void
onnx_begin(struct onnx *o)
{
    size_t depth = o->limits->protobuf_depth;

    builder_begin(&o->weights, o->in, o->limits);
    builder_begin(&o->constants, o->in, o->limits);
    builder_begin(&o->training, o->in, o->limits);
    o->about = onnx_about_with();
    o->path = buf_with_cap((depth + 1) * 4 * (o->limits->name_bytes + LABEL_EXTRA));
    o->stack = vec_of(sizeof(struct onnx_frame), depth + 1);
    o->quantized = vec_of(sizeof(struct slice), o->limits->tensors);
    o->siblings = vec_of(sizeof(struct onnx_sibling), o->limits->tensors);
}

static enum status
read_graph(struct onnx *o, struct protobuf_span span, struct err *err)
{
    if (++o->graphs == 2)
        TRY(inspection_note(o->in, o->limits, FINDING_HEADER_ODD, (struct slice){0}, err,
                            "the graph is given in several parts, which parsers merge"));
    return onnx_walk_graph(o, span, err);
}

static enum status
read_model_field(struct onnx *o, const struct protobuf_field *f, uint64_t *trainings,
                 struct err *err)
{
    struct onnx_about *about = &o->about;

    switch (f->number) {
    case IR_VERSION:
        about->ir_version = f->value;
        about->has_ir_version = true;
        return OK;
    case 2:
        about->producer_name = f->bytes;
        return OK;
    case 3:
        about->producer_version = f->bytes;
        return OK;
    case 4:
        about->domain = f->bytes;
        return OK;
    case 5:
        about->model_version = f->value;
        about->has_model_version = true;
        return OK;
    case 6:
        about->doc_string = f->bytes;
        return OK;
    case GRAPH:
        return read_graph(o, f->bytes, err);
    case 20:
        return onnx_walk_training(o, f->bytes, (*trainings)++, err);
    case 25:
        return onnx_walk_function(o, f->bytes, err);
    default:
        break;
    }
    TRY(onnx_check_field(o, ONNX_MODEL, f, 0, err));
    if (f->number == 8 || f->number == 14)
        onnx_about_add(f->number == 8 ? &about->opsets : &about->properties, f->bytes);
    return OK;
}

/* A file that is cut off ends within its graph, most of the time: keep what is there of it. */
static enum status
read_cut_graph(struct onnx *o, const struct protobuf_field *f, struct err *err)
{
    struct err why = {0};
    enum status status;

    if (f->number != GRAPH || f->wire != PROTOBUF_BYTES)
        return OK;
    status = read_graph(o, f->bytes, &why);
    if (status == OK || status == ERR_MALFORMED || status == ERR_TRUNCATED)
        return OK;
    err_copy(err, &why);
    return status;
}

static enum status
read_model(struct onnx *o, struct err *err)
{
    struct protobuf_span left = {0, o->size_bytes};
    uint64_t trainings = 0;

    for (;;) {
        struct protobuf_field f = {0};
        struct err why = {0};
        bool is_end = false;
        enum status status = onnx_field(o, ONNX_MODEL, &left, &f, &is_end, &why);

        if (status == ERR_TRUNCATED)
            TRY(read_cut_graph(o, &f, err));
        if (status != OK)
            err_copy(err, &why);
        TRY(status);
        if (is_end)
            return OK;
        TRY(read_model_field(o, &f, &trainings, err));
    }
}

/* ---- the end ---- */

/* Make a container; one name for two tensors is against the specification. */
static enum status
finish(struct onnx *o, struct builder *b, const char *path, enum container_kind kind,
       struct err *err)
{
    size_t given = b->tensors.count, kept;

    TRY(builder_finish(b, slice_of(path), kind, err));
    kept = o->in->containers[o->in->container_count - 1].structure.count;
    if (kept < given && o->in->safety < SAFETY_MALFORMED)
        o->in->safety = SAFETY_MALFORMED;
    return OK;
}

/* Mark the tensors that quantized operators take in. */
static enum status
mark_quantized(struct onnx *o, const struct structure *s, uint8_t **ret_marks, struct err *err)
{
    *ret_marks = arena_alloc(&o->in->arena, s->count, 1);
    if (*ret_marks == NULL)
        return arena_fail(&o->in->arena, err);
    for (size_t i = 0; i < o->quantized.count; i++) {
        size_t at = structure_find(s, VEC_AT(&o->quantized, struct slice, i));

        if (at != SIZE_MAX)
            (*ret_marks)[at] = 1;
    }
    return OK;
}

/* The weights are called quantized where most of them are of eight bits or fewer and go into operators
 * that multiply them by scales. */
static enum status
tell_quantized(struct onnx *o, struct err *err)
{
    struct container *c = &o->in->containers[0];
    uint64_t quantized = 0,
             floats = 0; /* elements; each counts less than 2^63 of few files' bytes */
    uint8_t *marks;

    if (o->quantized.count == 0)
        return OK;
    TRY(mark_quantized(o, &c->structure, &marks, err));
    for (size_t i = 0; i < c->structure.count; i++) {
        const struct tensor *t = &c->structure.tensors[i];
        uint64_t *sum = &floats;

        if (dtype_bits(t->dtype) <= 8 && marks[i] != 0)
            sum = &quantized;
        else if (dtype_kind(t->dtype) != DTYPE_KIND_FLOAT)
            continue;
        if (!num_add(*sum, t->elements, sum))
            *sum = UINT64_MAX;
    }
    if (quantized <= floats)
        return OK;
    c->kind = CONTAINER_QUANTIZED;
    return inspection_note(o->in, o->limits, FINDING_QUANTIZED, (struct slice){0}, err,
                           "%llu of the weights' elements are quantized, %llu are not",
                           (unsigned long long)quantized, (unsigned long long)floats);
}

/* What ONNX's own checker refuses of the model as a whole. */
static enum status
check_model(struct onnx *o, struct err *err)
{
    if (o->size_bytes > INT32_MAX)
        TRY(onnx_malformed(o, FINDING_HEADER_MALFORMED, (struct slice){0}, err,
                           "the file is larger than 2 GiB, which no parser of it takes: keep the "
                           "weights as external data"));
    if (o->about.ir_version == 0 || o->about.ir_version > INT32_MAX)
        TRY(onnx_malformed(o, FINDING_HEADER_MALFORMED, (struct slice){0}, err,
                           "the model has no ir_version, without which no reader takes it"));
    if (o->about.opsets.count == 0)
        TRY(inspection_note(o->in, o->limits, FINDING_HEADER_ODD, (struct slice){0}, err,
                            "the model names no operator set"));
    return OK;
}

static enum status
finish_all(struct onnx *o, struct err *err)
{
    struct inspection *in = o->in;
    size_t constants = o->constants.tensors.count, training = o->training.tensors.count;

    TRY(onnx_external_tell(o, err));
    TRY(finish(o, &o->weights, "", CONTAINER_WEIGHTS, err));
    TRY(tell_quantized(o, err));
    if (constants > 0)
        TRY(finish(o, &o->constants, "constants", CONTAINER_WEIGHTS, err));
    if (training > 0)
        TRY(finish(o, &o->training, "training", CONTAINER_OPTIMIZER, err));
    if (in->containers[0].structure.count > 0)
        in->default_container = 0;
    else if (constants > 0)
        in->default_container = 1; /* old exporters wrote every weight as a Constant node */
    else
        TRY(inspection_note(in, o->limits, FINDING_EMPTY, (struct slice){0}, err,
                            "the model has no weights"));
    return onnx_metadata(o, err);
}

static enum status
read_onnx(const struct fileset *files, const struct limits *limits, struct inspection *in,
          struct err *err)
{
    CLEANUP(onnx_done) struct onnx o = {.in = in, .limits = limits, .files = files};
    struct source source;
    struct err why = {0};
    enum status status;

    TRY(files->open(files->context, 0, &source, err));
    o.size_bytes = source.size_bytes;
    o.wire = protobuf_over(&source, limits);
    onnx_begin(&o);
    status = read_model(&o, &why);
    if (status != OK && ((status != ERR_MALFORMED && status != ERR_TRUNCATED) || o.graphs == 0)) {
        err_copy(err, &why);
        return status;
    }
    FAIL_IF(o.graphs == 0, err, MALFORMED, 0, "the model has no graph");
    if (status != OK)
        TRY(onnx_malformed(&o, FINDING_HEADER_MALFORMED, (struct slice){0}, err,
                           "reading ended at a field that cannot be read, and what follows is not "
                           "known: %s",
                           why.text));
    else
        TRY(check_model(&o, err));
    return finish_all(&o, err);
}

const struct format format_onnx = {.name = "onnx", .probe = probe, .read = read_onnx};
