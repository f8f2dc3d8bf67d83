/*
 *     message   (tag value)*
 *     tag       varint: field number << 3 | wire type
 *     value     0: varint | 1: 8 bytes | 2: varint length, bytes | 3: fields, tag of type 4 | 5: 4 bytes
 *
 * Specification: protobuf.dev/programming-guides/encoding. Where parsers differ, as in how long a
 * padded tag may be, the strictest is followed: what one of them refuses is malformed here.
 */
#include "common/formats/protobuf.h"

#include "common/base/attr.h"

enum {
    NEAR_BYTES = 4096,                      /* read at once after a jump */
    GAP_BYTES = 1024,                       /* less than a jump */
    FAR_BYTES = 64 << 10,                   /* read at once where fields follow one another */
    VARINT_BYTES = 10,                      /* a varint's, at most */
    TAG_BYTES = 5,                          /* a tag's, and a length's */
    GROUP_DEPTH = 100,                      /* parsers stop there, too */
    FIELD_BYTES = TAG_BYTES + VARINT_BYTES, /* a tag and what must be seen of its value */
};

struct protobuf
protobuf_over(const struct source *source, const struct limits *limits)
{
    return (struct protobuf){
        .window = window_over(source, NEAR_BYTES),
        .fields_left = limits->protobuf_fields,
        .fields_limit = limits->protobuf_fields,
    };
}

void
protobuf_done(struct protobuf *p)
{
    window_done(&p->window);
    *p = (struct protobuf){0};
}

/* Look at n bytes at offset. What lies between two tags may be weights: after a long jump little is read,
 * while fields follow one another more and more. */
static enum status
look(struct protobuf *p, uint64_t offset, size_t n, const uint8_t **ret_bytes, struct err *err)
{
    struct window *w = &p->window;
    uint64_t from_start = offset - w->start; /* huge where it lies before */

    if (from_start > w->length + GAP_BYTES)
        w->ahead = NEAR_BYTES;
    else if ((from_start > w->length || n > w->length - from_start) && w->ahead < FAR_BYTES)
        w->ahead *= 2;
    return window_at(w, offset, n, ret_bytes, err);
}

static void
advance(struct protobuf_span *span, uint64_t n)
{
    span->offset += n;
    span->length -= n;
}

/* A varint of at most most bytes, at the start of bytes of which there are n; 0: there is none. */
static size_t
decode(const uint8_t *bytes, size_t n, size_t most, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n && i < most; i++) {
        value |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if ((bytes[i] & 0x80) == 0) {
            if (i == VARINT_BYTES - 1 && bytes[i] > 1)
                return 0; /* more than 64 bits */
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

static enum status
no_varint(const struct protobuf_span *left, size_t most, struct err *err)
{
    FAIL_IF(left->length < most, err, TRUNCATED, left->offset,
            "a message ends within a number at %llu", (unsigned long long)left->offset);
    FAIL(err, MALFORMED, left->offset, "the number at %llu is longer than it may be",
         (unsigned long long)left->offset);
}

enum status
protobuf_varint(struct protobuf *p, struct protobuf_span *left, uint64_t *ret_value,
                struct err *err)
{
    size_t n = left->length < VARINT_BYTES ? (size_t)left->length : VARINT_BYTES, used;
    const uint8_t *bytes;

    TRY(look(p, left->offset, n, &bytes, err));
    used = decode(bytes, n, VARINT_BYTES, ret_value);
    if (used == 0)
        return no_varint(left, VARINT_BYTES, err);
    advance(left, used);
    return OK;
}

static uint64_t
little_endian(const uint8_t *bytes, size_t n)
{
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* The value of a field whose tag was just read; bytes are the n that follow the tag. */
static enum status
read_value(struct protobuf_span *left, const uint8_t *bytes, size_t n, struct protobuf_field *f,
           struct err *err)
{
    size_t width = f->wire == PROTOBUF_I64 ? 8 : 4;
    size_t most = f->wire == PROTOBUF_VARINT ? VARINT_BYTES : TAG_BYTES, used;

    switch (f->wire) {
    case PROTOBUF_I64:
    case PROTOBUF_I32:
        FAIL_IF(n < width, err, TRUNCATED, left->offset, "a message ends within field %u",
                f->number);
        f->value = little_endian(bytes, width);
        advance(left, width);
        return OK;
    case PROTOBUF_VARINT:
    case PROTOBUF_BYTES:
        used = decode(bytes, n, most, &f->value);
        if (used == 0)
            return no_varint(left, most, err);
        advance(left, used);
        if (f->wire == PROTOBUF_VARINT)
            return OK;
        f->bytes = *left; /* where the length is wrong: what is there */
        FAIL_IF(f->value > left->length, err, TRUNCATED, left->offset,
                "field %u has %llu bytes, but its message ends after %llu", f->number,
                (unsigned long long)f->value, (unsigned long long)left->length);
        f->bytes = (struct protobuf_span){left->offset, f->value};
        advance(left, f->value);
        return OK;
    case PROTOBUF_GROUP:
    case PROTOBUF_GROUP_END:
        return OK;
    }
    FAIL(err, MALFORMED, left->offset, "field %u has the unknown wire type %d", f->number,
         (int)f->wire);
}

/* One tag and its value; of groups the tags only. */
static enum status
read_field(struct protobuf *p, struct protobuf_span *left, struct protobuf_field *f,
           struct err *err)
{
    size_t n = left->length < FIELD_BYTES ? (size_t)left->length : FIELD_BYTES, used;
    uint64_t tag, at = left->offset;
    const uint8_t *bytes;

    FAIL_IF(p->fields_left == 0, err, LIMIT, at, "more than %llu fields",
            (unsigned long long)p->fields_limit);
    p->fields_left--;
    TRY(look(p, at, n, &bytes, err));
    used = decode(bytes, n, TAG_BYTES, &tag);
    if (used == 0)
        return no_varint(left, TAG_BYTES, err);
    FAIL_IF(tag > UINT32_MAX || tag >> 3 == 0, err, MALFORMED, at,
            "the tag at %llu has no field number that there can be", (unsigned long long)at);
    *f = (struct protobuf_field){.number = (uint32_t)(tag >> 3),
                                 .wire = (enum protobuf_wire)(tag & 7)};
    advance(left, used);
    return read_value(left, bytes + used, n - used, f, err);
}

/* From after a group's first tag to after its last. */
static enum status
skip_group(struct protobuf *p, struct protobuf_span *left, struct protobuf_field *group,
           struct err *err)
{
    uint32_t open[GROUP_DEPTH] = {group->number};
    uint64_t start = left->offset;
    struct protobuf_field f;
    size_t depth = 1;

    while (depth > 0) {
        FAIL_IF(left->length == 0, err, TRUNCATED, left->offset,
                "a message ends within the group %u", open[depth - 1]);
        TRY(read_field(p, left, &f, err));
        if (f.wire == PROTOBUF_GROUP) {
            FAIL_IF(depth == GROUP_DEPTH, err, MALFORMED, left->offset,
                    "groups lie more than %d deep in one another", GROUP_DEPTH);
            open[depth++] = f.number;
        } else if (f.wire == PROTOBUF_GROUP_END) {
            FAIL_IF(f.number != open[depth - 1], err, MALFORMED, left->offset,
                    "the group %u is ended as %u", open[depth - 1], f.number);
            depth--;
        }
    }
    group->bytes = (struct protobuf_span){start, left->offset - start};
    return OK;
}

enum status
protobuf_next(struct protobuf *p, struct protobuf_span *left, struct protobuf_field *ret_field,
              bool *ret_is_end, struct err *err)
{
    *ret_is_end = left->length == 0;
    if (*ret_is_end)
        return OK;
    TRY(read_field(p, left, ret_field, err));
    FAIL_IF(ret_field->wire == PROTOBUF_GROUP_END, err, MALFORMED, left->offset,
            "the group %u ends without a beginning", ret_field->number);
    if (ret_field->wire == PROTOBUF_GROUP)
        return skip_group(p, left, ret_field, err);
    return OK;
}

enum status
protobuf_peek(struct protobuf *p, struct protobuf_span span, size_t cap, struct slice *ret_bytes,
              struct err *err)
{
    size_t n = span.length < cap ? (size_t)span.length : cap;
    const uint8_t *bytes;

    *ret_bytes = (struct slice){0};
    if (n == 0)
        return OK; /* nothing may be anywhere: no reason to jump there */
    TRY(look(p, span.offset, n, &bytes, err));
    *ret_bytes = (struct slice){(const char *)bytes, n};
    return OK;
}
