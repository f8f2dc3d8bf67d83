#include <stdarg.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "common/formats/onnx_work.h"

enum form {
    FORM_UNKNOWN,
    FORM_NUMBER, /* a varint */
    FORM_I32,
    FORM_BYTES,
    FORM_MESSAGE,
    FORM_NUMBERS, /* these three may be packed, or not, or both in turn */
    FORM_I32S,
    FORM_I64S,
};

enum {
    FIELD_NUMBERS = 27,    /* above the largest of the table */
    PACKED_LOOK_BYTES = 64 /* packed numbers of so many bytes are looked through */
};

static const struct {
    uint8_t form;
    uint8_t child;
} table[ONNX_MESSAGE_COUNT][FIELD_NUMBERS] = {
#define ONNX_FIELD(message, number, form, child) \
    [ONNX_##message][number] = {FORM_##form, ONNX_##child},
#include "common/formats/onnx_field_table.h"
#undef ONNX_FIELD
};

static const char *const names[ONNX_MESSAGE_COUNT] = {
    [ONNX_NONE] = "message",
    [ONNX_MODEL] = "ModelProto",
    [ONNX_GRAPH] = "GraphProto",
    [ONNX_NODE] = "NodeProto",
    [ONNX_ATTRIBUTE] = "AttributeProto",
    [ONNX_TENSOR] = "TensorProto",
    [ONNX_SPARSE] = "SparseTensorProto",
    [ONNX_FUNCTION] = "FunctionProto",
    [ONNX_TRAINING] = "TrainingInfoProto",
    [ONNX_OPSET] = "OperatorSetIdProto",
    [ONNX_STRING_ENTRY] = "StringStringEntryProto",
    [ONNX_ANNOTATION] = "TensorAnnotation",
    [ONNX_SEGMENT] = "TensorProto.Segment",
    [ONNX_VALUE_INFO] = "ValueInfoProto",
    [ONNX_TYPE] = "TypeProto",
    [ONNX_TENSOR_TYPE] = "TypeProto.Tensor",
    [ONNX_SEQUENCE_TYPE] = "TypeProto.Sequence",
    [ONNX_MAP_TYPE] = "TypeProto.Map",
    [ONNX_OPAQUE_TYPE] = "TypeProto.Opaque",
    [ONNX_SHAPE] = "TensorShapeProto",
    [ONNX_DIMENSION] = "TensorShapeProto.Dimension",
    [ONNX_CONFIGURATION] = "DeviceConfigurationProto",
    [ONNX_NODE_DEVICES] = "NodeDeviceConfigurationProto",
    [ONNX_SHARDING] = "ShardingSpecProto",
    [ONNX_DEVICE_GROUP] = "IntIntListEntryProto",
    [ONNX_SHARDED_DIM] = "ShardedDimProto",
    [ONNX_SIMPLE_DIM] = "SimpleShardedDimProto",
};

static enum form
form_of(enum onnx_message message, uint32_t number)
{
    return number < FIELD_NUMBERS ? (enum form)table[message][number].form : FORM_UNKNOWN;
}

static bool
has_form(enum form form, enum protobuf_wire wire)
{
    switch (form) {
    case FORM_UNKNOWN:
        return false;
    case FORM_NUMBER:
        return wire == PROTOBUF_VARINT;
    case FORM_I32:
        return wire == PROTOBUF_I32;
    case FORM_BYTES:
    case FORM_MESSAGE:
        return wire == PROTOBUF_BYTES;
    case FORM_NUMBERS:
        return wire == PROTOBUF_VARINT || wire == PROTOBUF_BYTES;
    case FORM_I32S:
        return wire == PROTOBUF_I32 || wire == PROTOBUF_BYTES;
    case FORM_I64S:
        return wire == PROTOBUF_I64 || wire == PROTOBUF_BYTES;
    }
    return false;
}

bool
onnx_field_is_known(enum onnx_message message, const struct protobuf_field *f)
{
    return has_form(form_of(message, f->number), f->wire);
}

enum status
onnx_malformed(struct onnx *o, enum finding_id id, struct slice subject, struct err *err,
               const char *message, ...)
{
    char text[320];
    va_list arguments;
    int length;

    if (o->in->safety < SAFETY_MALFORMED)
        o->in->safety = SAFETY_MALFORMED;
    if (o->in->finding_count >= o->limits->findings) {
        o->in->findings_dropped++; /* as inspection_note, without making a text of it */
        return OK;
    }
    va_start(arguments, message);
    length = vsnprintf(text, sizeof text, message, arguments);
    va_end(arguments);
    FAIL_IF(length < 0, err, INTERNAL, 0, "a message that cannot be formatted");
    return inspection_note(o->in, o->limits, id, subject, err, "%s", text);
}

/* A field that is passed over: parsers keep it, and nobody looks. */
static enum status
pass_over(struct onnx *o, enum onnx_message message, const struct protobuf_field *f,
          struct err *err)
{
    uint32_t bit = (uint32_t)1 << message;

    if (form_of(message, f->number) != FORM_UNKNOWN && !o->told_wire) {
        o->told_wire = true;
        return onnx_malformed(o, FINDING_HEADER_MALFORMED, slice_of(names[message]), err,
                              "its field %u has the wire type %d, which is not that field's: some "
                              "parsers pass over it, others refuse the file",
                              f->number, (int)f->wire);
    }
    if (form_of(message, f->number) != FORM_UNKNOWN || (o->told_unknown & bit) != 0)
        return OK;
    o->told_unknown |= bit;
    return inspection_note(
        o->in, o->limits, FINDING_HEADER_ODD, slice_of(names[message]), err,
        "it has a field %u, which ONNX does not know: nobody reads what is in it", f->number);
}

enum status
onnx_field(struct onnx *o, enum onnx_message message, struct protobuf_span *left,
           struct protobuf_field *ret_field, bool *ret_is_end, struct err *err)
{
    for (;;) {
        TRY(protobuf_next(&o->wire, left, ret_field, ret_is_end, err));
        if (*ret_is_end || onnx_field_is_known(message, ret_field))
            return OK;
        TRY(pass_over(o, message, ret_field, err));
    }
}

/* Packed numbers: whole ones. Long runs are weights, of which only the end is looked at. */
static enum status
check_packed(struct onnx *o, enum form form, struct protobuf_span span, struct err *err)
{
    uint64_t width = form == FORM_I32S ? 4 : 8, value;
    struct slice last;

    if (form != FORM_NUMBERS) {
        FAIL_IF(span.length % width != 0, err, MALFORMED, span.offset,
                "%llu bytes of packed numbers of %llu bytes each", (unsigned long long)span.length,
                (unsigned long long)width);
        return OK;
    }
    if (span.length > PACKED_LOOK_BYTES) {
        TRY(protobuf_peek(&o->wire, (struct protobuf_span){span.offset + span.length - 1, 1}, 1,
                          &last, err));
        FAIL_IF(((uint8_t)last.at[0] & 0x80) != 0, err, MALFORMED, span.offset + span.length,
                "packed numbers end within one");
        return OK;
    }
    while (span.length > 0)
        TRY(protobuf_varint(&o->wire, &span, &value, err));
    return OK;
}

/* A field that is no message. */
static enum status
check_leaf(struct onnx *o, enum form form, const struct protobuf_field *f, struct err *err)
{
    if (f->wire != PROTOBUF_BYTES || form == FORM_BYTES)
        return OK;
    return check_packed(o, form, f->bytes, err);
}

struct open_message {
    enum onnx_message message;
    struct protobuf_span left;
};

static enum status
open_message(struct onnx *o, struct vec *open, enum onnx_message message, struct protobuf_span span,
             size_t depth, struct err *err)
{
    struct open_message *next;

    FAIL_IF(depth + open->count > o->limits->protobuf_depth, err, MALFORMED, span.offset,
            "messages lie more than %zu deep in one another", o->limits->protobuf_depth);
    TRY(vec_add(open, &next, "open messages", err));
    *next = (struct open_message){message, span};
    return OK;
}

enum status
onnx_check(struct onnx *o, enum onnx_message message, struct protobuf_span span, size_t depth,
           struct err *err)
{
    CLEANUP(vec_done)
    struct vec open = vec_of(sizeof(struct open_message), o->limits->protobuf_depth + 1);
    struct protobuf_field f;
    bool is_end;

    TRY(open_message(o, &open, message, span, depth, err));
    while (open.count > 0) {
        struct open_message *top = &VEC_AT(&open, struct open_message, open.count - 1);
        enum onnx_message in = top->message;

        TRY(onnx_field(o, in, &top->left, &f, &is_end, err));
        if (is_end)
            open.count--;
        else if (form_of(in, f.number) == FORM_MESSAGE)
            TRY(open_message(o, &open, (enum onnx_message)table[in][f.number].child, f.bytes, depth,
                             err));
        else
            TRY(check_leaf(o, form_of(in, f.number), &f, err));
    }
    return OK;
}

enum status
onnx_check_field(struct onnx *o, enum onnx_message message, const struct protobuf_field *f,
                 size_t depth, struct err *err)
{
    enum form form = form_of(message, f->number);

    if (form == FORM_MESSAGE)
        return onnx_check(o, (enum onnx_message)table[message][f->number].child, f->bytes,
                          depth + 1, err);
    return check_leaf(o, form, f, err);
}

enum status
onnx_text(struct onnx *o, struct protobuf_span span, size_t cap, struct slice *ret_text,
          struct err *err)
{
    struct slice bytes;

    TRY(protobuf_peek(&o->wire, span, cap, &bytes, err));
    return arena_copy(&o->in->arena, bytes, ret_text, err);
}
