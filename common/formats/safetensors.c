/*
 * safetensors: names, dtypes, shapes in a JSON header, then the bytes.
 *
 *     u64 N | N bytes of JSON | the buffer, to the end of the file
 *     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …,
 *      "__metadata__": {"format": "pt"}}
 *
 * Specification: README and tensor.rs of huggingface/safetensors. The rules are the reference's:
 * offsets, sorted, leave no hole and no overlap, begin at 0 and end with the file; a size is what
 * dtype and shape give. Stricter than it in one thing: a name may occur once, where the reference
 * silently keeps one of them. White space before the JSON is against the specification, but the
 * reference takes it: it is a finding.
 */
#include "common/formats/format.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/cursor.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/builder.h"

enum { LENGTH_BYTES = 8 };

/* The header's names of dtypes. F4 counts single elements where PyTorch counts packed pairs. */
static const struct {
    const char *name;
    enum dtype dtype;
    bool is_paired;
} dtypes[] = {
    {"F32", DTYPE_FLOAT32, false},
    {"F16", DTYPE_FLOAT16, false},
    {"BF16", DTYPE_BFLOAT16, false},
    {"F64", DTYPE_FLOAT64, false},
    {"I64", DTYPE_INT64, false},
    {"I32", DTYPE_INT32, false},
    {"I16", DTYPE_INT16, false},
    {"I8", DTYPE_INT8, false},
    {"U8", DTYPE_UINT8, false},
    {"BOOL", DTYPE_BOOL, false},
    {"U16", DTYPE_UINT16, false},
    {"U32", DTYPE_UINT32, false},
    {"U64", DTYPE_UINT64, false},
    {"C64", DTYPE_COMPLEX64, false},
    {"F8_E5M2", DTYPE_FLOAT8_E5M2, false},
    {"F8_E4M3", DTYPE_FLOAT8_E4M3FN, false},
    {"F8_E5M2FNUZ", DTYPE_FLOAT8_E5M2FNUZ, false},
    {"F8_E4M3FNUZ", DTYPE_FLOAT8_E4M3FNUZ, false},
    {"F8_E8M0", DTYPE_FLOAT8_E8M0FNU, false},
    {"F4", DTYPE_FLOAT4_E2M1FN_X2, true},
    {"F6_E2M3", DTYPE_FLOAT6_E2M3FN, false},
    {"F6_E3M2", DTYPE_FLOAT6_E3M2FN, false},
};

/* One entry of the header as it is read. */
struct entry_row {
    bool has_dtype, has_shape, has_offsets;
    size_t dtype; /* index in dtypes */
    struct shape shape;
    uint64_t begin, end;
};

/* What is read into. */
struct reader {
    struct inspection *in;
    const struct limits *limits;
    struct json j;
    struct builder builder;
    struct buf metadata;
    uint64_t buffer_offset; /* of the buffer, in the file */
};

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    uint64_t n = 0;

    if (length < LENGTH_BYTES + 2)
        return 0;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        n |= (uint64_t)head[i] << (8 * i);
    if (n < 2 || n > source->size_bytes - LENGTH_BYTES)
        return 0;
    for (size_t i = LENGTH_BYTES; i < length; i++) {
        if (head[i] == '{')
            return 32; /* the length's zero bytes and the brace */
        if (head[i] != ' ' && head[i] != '\n' && head[i] != '\t' && head[i] != '\r')
            return 0;
    }
    return 0;
}

static enum status
read_dtype(struct reader *r, struct slice name, struct entry_row *row, struct err *err)
{
    struct slice text;

    TRY(json_string(&r->j, "dtype", &text, err));
    for (row->dtype = 0; row->dtype < ARRAY_LENGTH(dtypes); row->dtype++) {
        if (slice_is(text, dtypes[row->dtype].name)) {
            row->has_dtype = true;
            return OK;
        }
    }
    FAIL(err, UNSUPPORTED, r->j.at, "%.*s has the unknown dtype %.*s", SLICE_PRINT(name),
         SLICE_PRINT(text));
}

static enum status
read_shape(struct reader *r, struct slice name, struct entry_row *row, struct err *err)
{
    uint64_t dims[TENSOR_RANK_MAX];
    uint64_t *kept;
    bool is_end;

    TRY(json_array(&r->j, "shape", err));
    for (row->shape.rank = 0;; row->shape.rank++) {
        TRY(json_element(&r->j, &is_end, err));
        if (is_end)
            break;
        FAIL_IF(row->shape.rank == r->limits->rank || row->shape.rank == TENSOR_RANK_MAX, err,
                LIMIT, r->j.at, "%.*s has more than %zu dimensions", SLICE_PRINT(name),
                r->limits->rank);
        TRY(json_u64(&r->j, "a dimension", &dims[row->shape.rank], err));
    }
    kept = arena_alloc(&r->in->arena, row->shape.rank, sizeof *kept);
    if (kept == NULL)
        return arena_fail(&r->in->arena, err);
    memcpy(kept, dims, row->shape.rank * sizeof *kept);
    row->shape.dims = kept;
    row->has_shape = true;
    return OK;
}

static enum status
read_offsets(struct reader *r, struct entry_row *row, struct err *err)
{
    bool is_end;

    TRY(json_array(&r->j, "data_offsets", err));
    TRY(json_u64(&r->j, "data_offsets", &row->begin, err));
    TRY(json_u64(&r->j, "data_offsets", &row->end, err));
    TRY(json_element(&r->j, &is_end, err));
    FAIL_IF(!is_end, err, MALFORMED, r->j.at, "data_offsets are not two numbers");
    row->has_offsets = true;
    return OK;
}

/* Half the last dimension of a type that PyTorch packs in pairs. */
static enum status
pair_up(struct reader *r, struct slice name, struct shape *shape, struct err *err)
{
    uint64_t *dims = arena_alloc(&r->in->arena, shape->rank, sizeof *dims);

    if (dims == NULL)
        return arena_fail(&r->in->arena, err);
    FAIL_IF(shape->rank == 0 || shape->dims[shape->rank - 1] % 2 != 0, err, MALFORMED, 0,
            "%.*s has an odd number of 4-bit elements in a row", SLICE_PRINT(name));
    memcpy(dims, shape->dims, shape->rank * sizeof *dims);
    dims[shape->rank - 1] /= 2;
    shape->dims = dims;
    return OK;
}

/* What the reference checks of one tensor: end not before begin, and the size it should have. */
static enum status
check_size(struct slice name, const struct entry_row *row, struct err *err)
{
    unsigned bits = dtypes[row->dtype].is_paired ? 4 : dtype_bits(dtypes[row->dtype].dtype);
    uint64_t elements, all_bits;

    FAIL_IF(row->end < row->begin, err, MALFORMED, 0, "%.*s ends before it begins",
            SLICE_PRINT(name));
    FAIL_IF(!shape_elements(row->shape, &elements) || !num_mul(elements, bits, &all_bits), err,
            MALFORMED, 0, "the shape of %.*s overflows", SLICE_PRINT(name));
    FAIL_IF(all_bits % 8 != 0, err, MALFORMED, 0, "%.*s does not fill whole bytes",
            SLICE_PRINT(name));
    FAIL_IF(all_bits / 8 != row->end - row->begin, err, MALFORMED, 0,
            "%.*s has %llu bytes, but its shape and dtype need %llu", SLICE_PRINT(name),
            (unsigned long long)(row->end - row->begin), (unsigned long long)(all_bits / 8));
    return OK;
}

static enum status
add_tensor(struct reader *r, struct slice name, struct entry_row *row, struct err *err)
{
    struct built_tensor t = {0};

    FAIL_IF(!row->has_dtype || !row->has_shape || !row->has_offsets, err, MALFORMED, r->j.at,
            "%.*s lacks dtype, shape or data_offsets", SLICE_PRINT(name));
    TRY(check_size(name, row, err));
    if (dtypes[row->dtype].is_paired)
        TRY(pair_up(r, name, &row->shape, err));
    TRY(arena_copy(&r->in->arena, name, &t.tensor.name, err));
    t.tensor.dtype = dtypes[row->dtype].dtype;
    t.tensor.shape = row->shape;
    t.place = (struct place){
        .has_bytes = true,
        .offset = row->begin, /* of the buffer, until check_offsets */
        .stored_bytes = row->end - row->begin,
        .storage_bytes = row->end - row->begin,
    };
    return builder_tensor(&r->builder, &t, err);
}

static enum status
read_entry(struct reader *r, struct slice name, struct err *err)
{
    struct entry_row row = {0};
    struct slice key;
    bool is_end;

    TRY(json_object(&r->j, "a tensor's entry", err));
    for (;;) {
        TRY(json_key(&r->j, &key, &is_end, err));
        if (is_end)
            break;
        if (slice_is(key, "dtype"))
            TRY(read_dtype(r, name, &row, err));
        else if (slice_is(key, "shape"))
            TRY(read_shape(r, name, &row, err));
        else if (slice_is(key, "data_offsets"))
            TRY(read_offsets(r, &row, err));
        else {
            TRY(inspection_note(r->in, r->limits, FINDING_HEADER_UNKNOWN, name, err,
                                "its entry has the unknown member %.*s", SLICE_PRINT(key)));
            TRY(json_skip(&r->j, NULL, err));
        }
    }
    return add_tensor(r, name, &row, err);
}

/* Strings only; kept as a JSON object as long as they fit. */
static enum status
read_metadata(struct reader *r, struct err *err)
{
    struct json_writer w = json_writer_to(&r->metadata, 0);
    struct slice key, value;
    struct json_token t;
    bool is_end;

    TRY(json_peek(&r->j, &t, err));
    if (t.kind == JSON_NULL)
        return json_next(&r->j, &t, err);
    TRY(json_object(&r->j, "__metadata__", err));
    jw_object(&w);
    for (;;) {
        TRY(json_key(&r->j, &key, &is_end, err));
        if (is_end)
            break;
        TRY(json_string(&r->j, "a value of __metadata__", &value, err));
        if (key.length + value.length + r->metadata.length > r->limits->metadata_bytes / 2)
            continue; /* it says less, but what it says is whole */
        jw_key_slice(&w, key);
        jw_slice(&w, value);
    }
    jw_object_end(&w);
    TRY(buf_check(&r->metadata, err));
    return arena_copy(&r->in->arena, buf_slice_of(&r->metadata), &r->in->metadata, err);
}

static enum status
read_header(struct reader *r, struct slice text, struct err *err)
{
    struct slice key;
    bool is_end;

    if (text.at[0] != '{')
        TRY(inspection_note(r->in, r->limits, FINDING_HEADER_SPACE, (struct slice){0}, err,
                            "the header begins with white space, which the specification forbids"));
    TRY(json_object(&r->j, "the header", err));
    for (;;) {
        TRY(json_key(&r->j, &key, &is_end, err));
        if (is_end)
            return json_finish(&r->j, err);
        if (slice_is(key, "__metadata__"))
            TRY(read_metadata(r, err));
        else
            TRY(read_entry(r, key, err));
    }
}

static int
compare_begins(const void *a, const void *b)
{
    const struct built_tensor *const x = *(const struct built_tensor *const *)a;
    const struct built_tensor *const y = *(const struct built_tensor *const *)b;

    if (x->place.offset != y->place.offset)
        return x->place.offset < y->place.offset ? -1 : 1;
    return (x->place.stored_bytes > y->place.stored_bytes) -
           (x->place.stored_bytes < y->place.stored_bytes);
}

/* Sorted, the ranges must tile the buffer: no hole, no overlap, nothing after the last. Then make the
 * offsets the file's. */
static enum status
check_offsets(struct reader *r, uint64_t buffer_bytes, struct err *err)
{
    struct built_tensor *tensors = r->builder.tensors.items;
    size_t count = r->builder.tensors.count;
    CLEANUP(mem_free_at) struct built_tensor **sorted = mem_new(count, sizeof *sorted);
    uint64_t at = 0;

    FAIL_IF(sorted == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < count; i++)
        sorted[i] = &tensors[i];
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_begins);
    for (size_t i = 0; i < count; i++) {
        struct place *p = &sorted[i]->place;

        FAIL_IF(p->offset != at, err, MALFORMED, 0,
                "%.*s begins at %llu of the buffer where %llu was expected: there is %s",
                SLICE_PRINT(sorted[i]->tensor.name), (unsigned long long)p->offset,
                (unsigned long long)at, p->offset > at ? "a hole before it" : "an overlap");
        at += p->stored_bytes;
        p->offset += r->buffer_offset;
    }
    FAIL_IF(at > buffer_bytes, err, TRUNCATED, r->buffer_offset + buffer_bytes,
            "the file is cut off: the tensors need %llu bytes, %llu are there",
            (unsigned long long)at, (unsigned long long)buffer_bytes);
    FAIL_IF(at < buffer_bytes, err, MALFORMED, r->buffer_offset + at,
            "%llu bytes follow the last tensor", (unsigned long long)(buffer_bytes - at));
    return OK;
}

static enum status
read_length(const struct source *source, const struct limits *limits, uint64_t *ret_length,
            struct err *err)
{
    uint8_t bytes[LENGTH_BYTES];
    struct cursor c;

    TRY(source_read(source, 0, bytes, sizeof bytes, err));
    c = cursor_over(bytes, sizeof bytes, 0);
    TRY(cursor_u64(&c, ret_length, err));
    FAIL_IF(*ret_length > source->size_bytes - sizeof bytes, err, TRUNCATED, source->size_bytes,
            "the header has %llu bytes, but only %llu are there", (unsigned long long)*ret_length,
            (unsigned long long)(source->size_bytes - sizeof bytes));
    FAIL_IF(*ret_length > limits->header_bytes, err, LIMIT, 0,
            "a header of %llu bytes; the limit is %zu", (unsigned long long)*ret_length,
            limits->header_bytes);
    return OK;
}

static void
reader_done(struct reader *r)
{
    json_done(&r->j);
    builder_done(&r->builder);
    buf_done(&r->metadata);
}

/* To whoever reads a file, broken JSON is a malformed file. */
static enum status
as_malformed(enum status status, const struct err *why, struct err *err)
{
    FAIL_IF(status == ERR_BAD_JSON, err, MALFORMED, LENGTH_BYTES + why->offset,
            "the header is not what it should be: %s", why->text);
    err_copy(err, why);
    return status;
}

static enum status
read_safetensors(const struct fileset *files, const struct limits *limits, struct inspection *in,
                 struct err *err)
{
    CLEANUP(mem_free_at) char *header = NULL;
    CLEANUP(reader_done) struct reader r = {.in = in, .limits = limits};
    struct source source;
    struct err why = {0};
    uint64_t length;
    enum status status;

    TRY(files->open(files->context, 0, &source, err));
    TRY(read_length(&source, limits, &length, err));
    header = mem_new((size_t)length + 1, 1);
    FAIL_IF(header == NULL, err, NO_MEMORY, 0, "no memory for a header of %llu bytes",
            (unsigned long long)length);
    TRY(source_read(&source, LENGTH_BYTES, header, (size_t)length, err));

    builder_begin(&r.builder, in, limits);
    r.metadata = buf_with_cap(limits->metadata_bytes);
    r.buffer_offset = LENGTH_BYTES + length;
    json_open(&r.j, (struct slice){header, (size_t)length}, limits, &in->arena);
    status = read_header(&r, (struct slice){header, (size_t)length}, &why);
    if (status != OK)
        return as_malformed(status, &why, err);
    TRY(check_offsets(&r, source.size_bytes - r.buffer_offset, err));
    TRY(builder_finish(&r.builder, (struct slice){0}, CONTAINER_WEIGHTS, err));
    if (in->containers[0].structure.count > 0)
        in->default_container = 0;
    return OK;
}

const struct format format_safetensors = {
    .name = "safetensors", .probe = probe, .read = read_safetensors};
