#pragma once
/*
 * What the parts of the ONNX reader share: onnx.c begins and ends the work, onnx_walk.c finds the
 * tensors, onnx_tensor.c reads one, onnx_external.c looks after data in other files, onnx_metadata.c
 * tells what else the model says, onnx_field.c knows which fields there are.
 */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/formats/builder.h"
#include "common/formats/protobuf.h"

enum onnx_message {
    ONNX_NONE,
    ONNX_MODEL,
    ONNX_GRAPH,
    ONNX_NODE,
    ONNX_ATTRIBUTE,
    ONNX_TENSOR,
    ONNX_SPARSE,
    ONNX_FUNCTION,
    ONNX_TRAINING,
    ONNX_OPSET,
    ONNX_STRING_ENTRY,
    ONNX_ANNOTATION,
    ONNX_SEGMENT,
    ONNX_VALUE_INFO,
    ONNX_TYPE,
    ONNX_TENSOR_TYPE,
    ONNX_SEQUENCE_TYPE,
    ONNX_MAP_TYPE,
    ONNX_OPAQUE_TYPE,
    ONNX_SHAPE,
    ONNX_DIMENSION,
    ONNX_CONFIGURATION,
    ONNX_NODE_DEVICES,
    ONNX_SHARDING,
    ONNX_DEVICE_GROUP,
    ONNX_SHARDED_DIM,
    ONNX_SIMPLE_DIM,
    ONNX_MESSAGE_COUNT
};

/* A message that is open, on the walk's stack. */
struct onnx_frame {
    enum onnx_message message;
    struct protobuf_span left;
    size_t path_length;               /* of o->path, for what lies in it */
    bool is_main;                     /* the model's own graph */
    uint64_t nodes;                   /* a graph's or a function's, so far */
    uint64_t tensors, graphs, sparse; /* an attribute's lists, so far */
};

/* A file that external data is said to lie in. */
struct onnx_sibling {
    struct slice location;
    const char *refusal; /* why there can be no such file; NULL: there may */
    bool is_there;
    uint32_t file; /* of the set */
    uint64_t size_bytes;
    uint64_t tensors;   /* that are said to lie there */
    struct slice first; /* the first of them */
};

/* What the model says of itself, until the end, when it is told. Texts are only pointed at. */
struct onnx_about {
    uint64_t ir_version, model_version, nodes, functions;
    bool has_ir_version, has_model_version;
    struct protobuf_span producer_name, producer_version, domain, doc_string, graph_name;
    struct vec opsets, properties; /* struct protobuf_span, of one message each */
    struct vec inputs, outputs;
};

struct onnx {
    struct inspection *in;
    const struct limits *limits;
    const struct fileset *files;
    uint64_t size_bytes; /* of the model's file */
    struct protobuf wire;
    struct builder weights, constants, training;
    struct onnx_about about;
    struct buf path;      /* in front of the names of what is being read */
    struct vec stack;     /* struct onnx_frame */
    struct vec quantized; /* struct slice: names that quantized operators take as inputs */
    size_t tensors;       /* begun so far */
    struct vec siblings;  /* struct onnx_sibling */
    struct map locations; /* indexes of siblings */
    struct map paths;     /* indexes of files of the set */
    bool has_paths;
    unsigned graphs;       /* the parts that the model's graph is given in */
    size_t depth;          /* of messages that the stack stands in */
    bool is_training;      /* what is read belongs to a training_info */
    uint32_t told_unknown; /* one bit a message: it has fields that are not known */
    bool told_wire;
};

/* ---- onnx_field.c ---- */

/* The next field of a message that the table knows, of the form it should have; others are passed
 * over, with a finding. */
enum status onnx_field(struct onnx *o, enum onnx_message message, struct protobuf_span *left,
                       struct protobuf_field *ret_field, bool *ret_is_end,
                       struct err *err) MUST_CHECK;

/* Read through a message that says nothing of interest: what a parser refuses is malformed. depth is
 * how many messages it lies in. */
enum status onnx_check(struct onnx *o, enum onnx_message message, struct protobuf_span span,
                       size_t depth, struct err *err) MUST_CHECK;

/* The same for the field just read, where it is a message or packed. */
enum status onnx_check_field(struct onnx *o, enum onnx_message message,
                             const struct protobuf_field *f, size_t depth,
                             struct err *err) MUST_CHECK;

/* For probes: whether the table knows the field, in that form. */
bool onnx_field_is_known(enum onnx_message message, const struct protobuf_field *f);

/* Note it, and lower the safety. */
enum status onnx_malformed(struct onnx *o, enum finding_id id, struct slice subject,
                           struct err *err, const char *message, ...) MUST_CHECK
    __attribute__((format(printf, 5, 6)));

/* A copy of a text of the file, at most cap bytes of it. */
enum status onnx_text(struct onnx *o, struct protobuf_span span, size_t cap, struct slice *ret_text,
                      struct err *err) MUST_CHECK;

/* ---- onnx_tensor.c ---- */

enum { ONNX_TENSOR_FIELDS = 12 }; /* more than the number of any field that holds elements */

struct onnx_dims {
    bool has_negative, has_too_many;
    uint32_t rank;
    uint64_t dims[TENSOR_RANK_MAX];
};

/* A TensorProto as its fields are met; parts of one are put together in it. All-zero is an empty one. */
struct onnx_tensor {
    bool is_there, has_segment, has_raw, is_external;
    bool has_location, has_offset, has_length, has_key_twice;
    int32_t data_type;
    struct onnx_dims dims;
    struct protobuf_span name, raw, location, offset, length;
    /* Of each field of elements: how many it holds at least and at most. To count packed varints
     * would mean to read them. */
    uint64_t least[ONNX_TENSOR_FIELDS], most[ONNX_TENSOR_FIELDS];
};

/* A SparseTensorProto, the same way. */
struct onnx_sparse {
    bool is_there;
    struct onnx_dims dims;
    struct onnx_tensor values, indices;
};

/* Read a part of one. */
enum status onnx_tensor_read(struct onnx *o, struct onnx_tensor *t, struct protobuf_span span,
                             size_t depth, struct err *err) MUST_CHECK;
enum status onnx_sparse_read(struct onnx *o, struct onnx_sparse *s, struct protobuf_span span,
                             size_t depth, struct err *err) MUST_CHECK;

/* Hand a whole one to a builder. What is wrong with it is noted; one whose shape cannot be is left
 * out. */
enum status onnx_tensor_add(struct onnx *o, struct builder *b, struct slice name,
                            const struct onnx_tensor *t, struct err *err) MUST_CHECK;
enum status onnx_sparse_add(struct onnx *o, struct builder *b, struct slice name,
                            const struct onnx_sparse *s, struct err *err) MUST_CHECK;

/* PyTorch's name of a TensorProto.DataType, DTYPE_UNKNOWN where there is none. */
enum dtype onnx_dtype(uint64_t data_type);

/* ---- onnx_external.c ---- */

/* Find where the bytes of an external tensor lie, which should be bytes of them. */
enum status onnx_external_place(struct onnx *o, const struct onnx_tensor *t, struct slice name,
                                uint64_t bytes, struct place *ret_place,
                                struct err *err) MUST_CHECK;

/* At the end: one finding for each file that is missing or cannot be, and for tensors that lie partly
 * over one another. */
enum status onnx_external_tell(struct onnx *o, struct err *err) MUST_CHECK;

/* ---- onnx_walk.c ---- */

enum status onnx_walk_graph(struct onnx *o, struct protobuf_span span, struct err *err) MUST_CHECK;
enum status onnx_walk_function(struct onnx *o, struct protobuf_span span,
                               struct err *err) MUST_CHECK;
enum status onnx_walk_training(struct onnx *o, struct protobuf_span span, uint64_t index,
                               struct err *err) MUST_CHECK;

/* ---- onnx_metadata.c ---- */

struct onnx_about onnx_about_with(void);
void onnx_about_done(struct onnx_about *about);

/* Remember a message of a list that is told at the end; beyond a bound it is not told. */
void onnx_about_add(struct vec *list, struct protobuf_span span);

/* Make in->metadata of it. The weights' container must be there: inputs that are initializers are not
 * told. */
enum status onnx_metadata(struct onnx *o, struct err *err) MUST_CHECK;
