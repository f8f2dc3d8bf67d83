/*
 * The walk to every tensor: graphs hold nodes, nodes attributes, attributes tensors and further
 * graphs. No recursion: what is open stands on a stack. A node's and an attribute's own fields may
 * follow the things that are named after them, so both are read twice: first for their names, then
 * for what they hold.
 *
 * A value is unique in its graph, a node's name need not be. So a constant is named by its node's first
 * output (by the node's name or place where it has none) and its attribute, below the path of the graph
 * that it lies in:
 *
 *     out:value                       Constant node in the main graph
 *     out:then_branch/weight          initializer of a branch of an If
 *     out:then_branch/inner:value     Constant node there
 *     my.domain.Function/out:value    Constant node of a function
 *     0/algorithm/moment              initializer of the first training step
 */
#include "common/base/attr.h"
#include "common/formats/onnx_work.h"

enum { OP_BYTES = 64 };

/* ---- names ---- */

static void
cut_path(struct onnx *o, size_t length)
{
    o->path.length = length;
}

/* The path, as a name that lives on. */
static enum status
take_name(struct onnx *o, size_t cut_to, struct slice *ret_name, struct err *err)
{
    TRY(buf_check(&o->path, err));
    TRY(arena_copy(&o->in->arena, buf_slice_of(&o->path), ret_name, err));
    cut_path(o, cut_to);
    return OK;
}

/* What is longer than a name may be is cut only where it still is too long. */
static enum status
add_text(struct onnx *o, struct protobuf_span span, struct err *err)
{
    struct slice text;

    TRY(protobuf_peek(&o->wire, span, o->limits->name_bytes + 1, &text, err));
    buf_slice(&o->path, text);
    return OK;
}

static struct builder *
constants_of(struct onnx *o)
{
    return o->is_training ? &o->training : &o->constants;
}

static struct builder *
initializers_of(struct onnx *o, const struct onnx_frame *frame)
{
    return frame->is_main ? &o->weights : constants_of(o);
}

static struct onnx_frame *
top_of(struct onnx *o)
{
    return &VEC_AT(&o->stack, struct onnx_frame, o->stack.count - 1);
}

static enum status
push(struct onnx *o, enum onnx_message message, struct protobuf_span span, struct err *err)
{
    struct onnx_frame *frame;

    FAIL_IF(o->stack.count + o->depth >= o->limits->protobuf_depth, err, MALFORMED, span.offset,
            "messages lie more than %zu deep in one another", o->limits->protobuf_depth);
    TRY(vec_add(&o->stack, &frame, "open messages", err));
    *frame = (struct onnx_frame){.message = message, .left = span, .path_length = o->path.length};
    return OK;
}

/* How many messages a part of the top one lies in. */
static size_t
depth_of(const struct onnx *o)
{
    return o->depth + o->stack.count + 1;
}

static enum status
check_depth(const struct onnx *o, struct protobuf_span span, struct err *err)
{
    FAIL_IF(depth_of(o) > o->limits->protobuf_depth, err, MALFORMED, span.offset,
            "messages lie more than %zu deep in one another", o->limits->protobuf_depth);
    return OK;
}

/* ---- tensors ---- */

static enum status
add_initializer(struct onnx *o, const struct onnx_frame *frame, struct protobuf_span span,
                struct err *err)
{
    struct onnx_tensor t = {0};
    struct slice name;

    TRY(onnx_tensor_read(o, &t, span, depth_of(o), err));
    TRY(add_text(o, t.name, err));
    TRY(take_name(o, frame->path_length, &name, err));
    return onnx_tensor_add(o, initializers_of(o, frame), name, &t, err);
}

static enum status
add_sparse_initializer(struct onnx *o, const struct onnx_frame *frame, struct protobuf_span span,
                       struct err *err)
{
    struct onnx_sparse s = {0};
    struct slice name;

    TRY(onnx_sparse_read(o, &s, span, depth_of(o), err));
    TRY(add_text(o, s.values.name, err)); /* the values' name is the whole one's */
    TRY(take_name(o, frame->path_length, &name, err));
    return onnx_sparse_add(o, initializers_of(o, frame), name, &s, err);
}

/* ---- attributes ---- */

/* What the first reading of an attribute finds. */
struct attribute {
    struct protobuf_span name;
    struct onnx_tensor t;
    struct onnx_sparse sparse;
    bool has_more; /* lists of tensors, or graphs */
};

static enum status
scan_attribute(struct onnx *o, struct attribute *a, struct protobuf_span left, size_t depth,
               struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_ATTRIBUTE, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        switch (f.number) {
        case 1:
            a->name = f.bytes;
            break;
        case 5:
            TRY(onnx_tensor_read(o, &a->t, f.bytes, depth, err));
            break;
        case 22:
            TRY(onnx_sparse_read(o, &a->sparse, f.bytes, depth, err));
            break;
        case 6:
        case 10:
        case 11:
        case 23:
            a->has_more = true;
            break;
        default:
            TRY(onnx_check_field(o, ONNX_ATTRIBUTE, &f, depth - 1, err));
        }
    }
}

/* An attribute of the top frame: its own tensor, and a frame of its own where it holds more. */
static enum status
open_attribute(struct onnx *o, const struct onnx_frame *frame, struct protobuf_span span,
               struct err *err)
{
    size_t path_length = frame->path_length;
    struct attribute a = {0};
    struct slice name;

    TRY(scan_attribute(o, &a, span, depth_of(o) + 1, err));
    if (!a.t.is_there && !a.sparse.is_there && !a.has_more)
        return OK;
    buf_char(&o->path, ':');
    TRY(add_text(o, a.name, err));
    if (a.t.is_there || a.sparse.is_there) {
        TRY(take_name(o, o->path.length, &name, err));
        if (a.t.is_there)
            TRY(onnx_tensor_add(o, constants_of(o), name, &a.t, err));
        if (a.sparse.is_there)
            TRY(onnx_sparse_add(o, constants_of(o), name, &a.sparse, err));
    }
    if (a.has_more)
        return push(o, ONNX_ATTRIBUTE, span, err);
    cut_path(o, path_length);
    return OK;
}

static enum status
add_listed_tensor(struct onnx *o, struct onnx_frame *frame, struct protobuf_span span,
                  struct err *err)
{
    struct onnx_tensor t = {0};
    struct slice name;

    TRY(onnx_tensor_read(o, &t, span, depth_of(o), err));
    buf_printf(&o->path, "[%llu]", (unsigned long long)frame->tensors++);
    TRY(take_name(o, frame->path_length, &name, err));
    return onnx_tensor_add(o, constants_of(o), name, &t, err);
}

static enum status
add_listed_sparse(struct onnx *o, struct onnx_frame *frame, struct protobuf_span span,
                  struct err *err)
{
    struct onnx_sparse s = {0};
    struct slice name;

    TRY(onnx_sparse_read(o, &s, span, depth_of(o), err));
    buf_printf(&o->path, "[%llu]", (unsigned long long)frame->sparse++);
    TRY(take_name(o, frame->path_length, &name, err));
    return onnx_sparse_add(o, constants_of(o), name, &s, err);
}

static enum status
step_attribute(struct onnx *o, struct onnx_frame *frame, const struct protobuf_field *f,
               struct err *err)
{
    switch (f->number) {
    case 6:
        buf_char(&o->path, '/');
        return push(o, ONNX_GRAPH, f->bytes, err);
    case 10:
        return add_listed_tensor(o, frame, f->bytes, err);
    case 11:
        buf_printf(&o->path, "[%llu]/", (unsigned long long)frame->graphs++);
        return push(o, ONNX_GRAPH, f->bytes, err);
    case 23:
        return add_listed_sparse(o, frame, f->bytes, err);
    default:
        return OK; /* scan_attribute read it */
    }
}

/* ---- nodes ---- */

/* What the first reading of a node finds. */
struct node {
    struct protobuf_span output, name, op_type;
    bool has_attributes;
};

static enum status
scan_node(struct onnx *o, struct node *n, struct protobuf_span left, struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_NODE, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        switch (f.number) {
        case 2:
            if (n->output.length == 0) /* outputs that nobody wants have no name */
                n->output = f.bytes;
            break;
        case 3:
            n->name = f.bytes;
            break;
        case 4:
            n->op_type = f.bytes;
            break;
        case 5:
            n->has_attributes = true;
            break;
        default:
            TRY(onnx_check_field(o, ONNX_NODE, &f, depth_of(o), err));
        }
    }
}

/* Operators, of ONNX and of ONNX Runtime, whose inputs hold weights of few bits. */
static const char *const quantized_ops[] = {
    "DequantizeLinear",
    "MatMulNBits",
    "MatMulBnb4",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "ConvInteger",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
    "GatherBlockQuantized",
    "QAttention",
    "QEmbedLayerNormalization",
    "QGemm",
    "QMoE",
};

static bool
is_quantized_op(struct slice op)
{
    if (slice_starts(op, slice_of("QLinear")))
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(quantized_ops); i++)
        if (slice_is(op, quantized_ops[i]))
            return true;
    return false;
}

/* Remember what a quantized operator takes in; beyond the limit it is forgotten, as it only serves to
 * tell a kind. */
static enum status
keep_inputs(struct onnx *o, struct protobuf_span left, struct err *err)
{
    struct protobuf_field f;
    struct slice *input;
    bool is_end;

    for (;;) {
        TRY(protobuf_next(&o->wire, &left, &f, &is_end, err));
        if (is_end)
            return OK;
        if (f.number != 1 || f.wire != PROTOBUF_BYTES || f.bytes.length == 0 ||
            o->quantized.count == o->quantized.cap)
            continue;
        TRY(vec_add(&o->quantized, &input, "inputs", err));
        TRY(onnx_text(o, f.bytes, o->limits->name_bytes, input, err));
    }
}

static enum status
add_label(struct onnx *o, const struct node *n, uint64_t index, struct err *err)
{
    if (n->output.length > 0)
        return add_text(o, n->output, err);
    if (n->name.length > 0)
        return add_text(o, n->name, err);
    TRY(add_text(o, n->op_type, err));
    buf_printf(&o->path, "_%llu", (unsigned long long)index);
    return OK;
}

static enum status
open_node(struct onnx *o, struct onnx_frame *frame, struct protobuf_span span, struct err *err)
{
    uint64_t index = frame->is_main ? o->about.nodes++ : frame->nodes++;
    struct node n = {0};
    struct slice op;

    TRY(check_depth(o, span, err));
    TRY(scan_node(o, &n, span, err));
    TRY(protobuf_peek(&o->wire, n.op_type, OP_BYTES, &op, err));
    if (is_quantized_op(op))
        TRY(keep_inputs(o, span, err));
    if (!n.has_attributes)
        return OK;
    TRY(add_label(o, &n, index, err));
    return push(o, ONNX_NODE, span, err);
}

static enum status
step_node(struct onnx *o, const struct onnx_frame *frame, const struct protobuf_field *f,
          struct err *err)
{
    return f->number == 5 ? open_attribute(o, frame, f->bytes, err) : OK;
}

/* ---- graphs and functions ---- */

static enum status
step_graph(struct onnx *o, struct onnx_frame *frame, const struct protobuf_field *f,
           struct err *err)
{
    switch (f->number) {
    case 1:
        return open_node(o, frame, f->bytes, err);
    case 2:
        if (frame->is_main)
            o->about.graph_name = f->bytes;
        return OK;
    case 5:
        return add_initializer(o, frame, f->bytes, err);
    case 15:
        return add_sparse_initializer(o, frame, f->bytes, err);
    default:
        break;
    }
    TRY(onnx_check_field(o, ONNX_GRAPH, f, depth_of(o) - 1, err));
    if (frame->is_main && (f->number == 11 || f->number == 12))
        onnx_about_add(f->number == 11 ? &o->about.inputs : &o->about.outputs, f->bytes);
    return OK;
}

static enum status
step_function(struct onnx *o, struct onnx_frame *frame, const struct protobuf_field *f,
              struct err *err)
{
    if (f->number == 7)
        return open_node(o, frame, f->bytes, err);
    if (f->number == 11)
        return open_attribute(o, frame, f->bytes, err);
    return onnx_check_field(o, ONNX_FUNCTION, f, depth_of(o) - 1, err);
}

static enum status
step(struct onnx *o, struct err *err)
{
    struct onnx_frame *frame = top_of(o);
    struct protobuf_field f;
    bool is_end;

    cut_path(o, frame->path_length);
    TRY(onnx_field(o, frame->message, &frame->left, &f, &is_end, err));
    if (is_end) {
        o->stack.count--;
        return OK;
    }
    switch ((int)frame->message) {
    case ONNX_GRAPH:
        return step_graph(o, frame, &f, err);
    case ONNX_NODE:
        return step_node(o, frame, &f, err);
    case ONNX_ATTRIBUTE:
        return step_attribute(o, frame, &f, err);
    default:
        return step_function(o, frame, &f, err);
    }
}

static enum status
walk(struct onnx *o, struct err *err)
{
    while (o->stack.count > 0)
        TRY(step(o, err));
    return OK;
}

enum status
onnx_walk_graph(struct onnx *o, struct protobuf_span span, struct err *err)
{
    buf_clear(&o->path);
    TRY(push(o, ONNX_GRAPH, span, err));
    top_of(o)->is_main = true;
    return walk(o, err);
}

/* "domain.Name/", and an overload's name where there is one. */
static enum status
name_function(struct onnx *o, struct protobuf_span left, struct err *err)
{
    struct protobuf_span name = {0}, domain = {0}, overload = {0};
    struct protobuf_field f;
    bool is_end;

    for (;;) {
        TRY(onnx_field(o, ONNX_FUNCTION, &left, &f, &is_end, err));
        if (is_end)
            break;
        if (f.number == 1)
            name = f.bytes;
        else if (f.number == 10)
            domain = f.bytes;
        else if (f.number == 13)
            overload = f.bytes;
    }
    buf_clear(&o->path);
    TRY(add_text(o, domain, err));
    if (domain.length > 0)
        buf_char(&o->path, '.');
    TRY(add_text(o, name, err));
    if (overload.length > 0)
        buf_char(&o->path, '.');
    TRY(add_text(o, overload, err));
    buf_char(&o->path, '/');
    return OK;
}

enum status
onnx_walk_function(struct onnx *o, struct protobuf_span span, struct err *err)
{
    o->about.functions++;
    TRY(name_function(o, span, err));
    TRY(push(o, ONNX_FUNCTION, span, err));
    return walk(o, err);
}

static enum status
walk_training_graph(struct onnx *o, struct protobuf_span span, uint64_t index, const char *part,
                    struct err *err)
{
    buf_clear(&o->path);
    buf_printf(&o->path, "%llu/%s/", (unsigned long long)index, part);
    TRY(push(o, ONNX_GRAPH, span, err));
    return walk(o, err);
}

enum status
onnx_walk_training(struct onnx *o, struct protobuf_span span, uint64_t index, struct err *err)
{
    struct protobuf_field f;
    bool is_end;

    o->is_training = true;
    o->depth++;
    for (;;) {
        TRY(onnx_field(o, ONNX_TRAINING, &span, &f, &is_end, err));
        if (is_end)
            break;
        if (f.number == 1)
            TRY(walk_training_graph(o, f.bytes, index, "initialization", err));
        else if (f.number == 2)
            TRY(walk_training_graph(o, f.bytes, index, "algorithm", err));
        else
            TRY(onnx_check_field(o, ONNX_TRAINING, &f, o->depth, err));
    }
    o->depth--;
    o->is_training = false;
    return OK;
}
