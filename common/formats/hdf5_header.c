#include "common/formats/hdf5_header.h"

#include "common/base/mem.h"
#include "common/base/num.h"

enum {
    CHUNKS_MAX = 1024,     /* of one header; writers make a handful */
    OLD_MESSAGE_BYTES = 8, /* what stands before a message's body, in version 1 */
    NEW_MESSAGE_BYTES = 4, /* and in version 2, without the creation order */
    OLD_PREFIX_BYTES = 16,
    SIGNATURE_BYTES = 4,
    CHECKSUM_BYTES = 4,
};

/* Flags of a version 2 header. */
enum { SIZE_WIDTH = 3, ORDER_TRACKED = 4, PHASE_STORED = 16, TIMES_STORED = 32 };

struct chunk {
    uint64_t address, length;
};

/* A header on its way. */
struct reading {
    struct hdf5_file *f;
    struct hdf5_header *h;
    bool is_new;    /* version 2 */
    bool has_order; /* each message has a creation order */
};

void
hdf5_header_done(struct hdf5_header *h)
{
    mem_free(h->bytes);
    vec_done(&h->messages);
    vec_done(&h->chunks);
    *h = (struct hdf5_header){0};
}

/* Append a chunk's bytes to the header's; *ret_at is where they went. */
static enum status
load(struct reading *r, uint64_t address, uint64_t length, size_t *ret_at, struct err *err)
{
    struct hdf5_header *h = r->h;
    const uint8_t *bytes;

    FAIL_IF(length > r->f->limits->header_bytes - h->length, err, LIMIT, 0,
            "an object header of more than %zu bytes", r->f->limits->header_bytes);
    TRY(hdf5_file_at(r->f, address, length, &bytes, err));
    if (h->length + length > h->capacity) {
        size_t capacity = (h->length + (size_t)length) * 2;
        uint8_t *grown = mem_resize(h->bytes, capacity, 1);

        FAIL_IF(grown == NULL, err, NO_MEMORY, 0, "out of memory");
        h->bytes = grown;
        h->capacity = capacity;
    }
    if (length > 0)
        memcpy(h->bytes + h->length, bytes, (size_t)length);
    *ret_at = h->length;
    h->length += (size_t)length;
    return OK;
}

static enum status
add_chunk(struct reading *r, uint64_t address, uint64_t length, struct err *err)
{
    struct chunk *chunk;

    for (size_t i = 0; i < r->h->chunks.count; i++)
        FAIL_IF(VEC_AT(&r->h->chunks, struct chunk, i).address == address, err, MALFORMED, 0,
                "an object header goes round in a circle");
    TRY(vec_add(&r->h->chunks, &chunk, "chunks of one object header", err));
    *chunk = (struct chunk){address, length};
    return OK;
}

static enum status
read_continuation(struct reading *r, const struct hdf5_message *m, struct err *err)
{
    struct cursor c = hdf5_header_body(r->h, m);
    uint64_t address, length;

    TRY(hdf5_file_address(r->f, &c, &address, err));
    TRY(hdf5_file_length(r->f, &c, &length, err));
    return add_chunk(r, address, length, err);
}

static enum status
read_message_head(const struct reading *r, struct cursor *c, struct hdf5_message *m,
                  uint16_t *ret_length, struct err *err)
{
    uint16_t type = 0;
    uint8_t byte;

    if (r->is_new) {
        TRY(cursor_u8(c, &byte, err));
        type = byte;
    } else
        TRY(cursor_u16(c, &type, err));
    TRY(cursor_u16(c, ret_length, err));
    TRY(cursor_u8(c, &byte, err));
    m->type = type;
    m->flags = byte;
    if (!r->is_new)
        return hdf5_file_skip(c, 3, err);
    return r->has_order ? hdf5_file_skip(c, 2, err) : OK;
}

/* The messages of a chunk's part from at on. What is too short for a message is a gap. */
static enum status
read_messages(struct reading *r, size_t at, size_t length, uint64_t offset, struct err *err)
{
    size_t head = r->is_new ? NEW_MESSAGE_BYTES + (r->has_order ? 2U : 0U) : OLD_MESSAGE_BYTES;
    struct cursor c;

    if (length == 0)
        return OK;
    c = cursor_over(r->h->bytes + at, length, offset);
    while (cursor_left(&c) >= head) {
        struct hdf5_message m = {0}, *kept;
        const uint8_t *body;
        uint16_t body_length;

        TRY(read_message_head(r, &c, &m, &body_length, err));
        m.at = at + length - cursor_left(&c);
        m.length = body_length;
        m.offset = c.offset;
        TRY(cursor_bytes(&c, body_length, &body, err));
        if (m.type == HDF5_CONTINUATION) {
            TRY(read_continuation(r, &m, err));
            continue;
        }
        TRY(vec_add(&r->h->messages, &kept, "messages in one object header", err));
        *kept = m;
    }
    return OK;
}

static enum status
read_old(struct reading *r, uint64_t address, struct err *err)
{
    struct cursor c;
    uint32_t length;
    size_t at;

    TRY(hdf5_file_cursor(r->f, address, OLD_PREFIX_BYTES, &c, err));
    TRY(hdf5_file_skip(&c, 8, err)); /* version, number of messages, references */
    TRY(cursor_u32(&c, &length, err));
    TRY(add_chunk(r, address, length, err));
    TRY(load(r, address + OLD_PREFIX_BYTES, length, &at, err));
    return read_messages(r, at, length, r->f->base + address + OLD_PREFIX_BYTES, err);
}

/* What stands before the first message of version 2: how long it is, how long the messages are. */
static enum status
read_new_prefix(struct reading *r, uint64_t address, size_t *ret_prefix, uint64_t *ret_length,
                struct err *err)
{
    enum { PREFIX_MAX = 6 + 16 + 4 + 8 };
    uint64_t room = r->f->source->size_bytes - r->f->base - address;
    struct cursor c;
    uint8_t flags;

    TRY(hdf5_file_cursor(r->f, address, room < PREFIX_MAX ? room : PREFIX_MAX, &c, err));
    TRY(hdf5_file_signature(&c, "OHDR", 2, err));
    TRY(cursor_u8(&c, &flags, err));
    if ((flags & TIMES_STORED) != 0)
        TRY(hdf5_file_skip(&c, 16, err));
    if ((flags & PHASE_STORED) != 0)
        TRY(hdf5_file_skip(&c, 4, err));
    TRY(hdf5_file_uint(&c, 1U << (flags & SIZE_WIDTH), ret_length, err));
    r->has_order = (flags & ORDER_TRACKED) != 0;
    *ret_prefix = (size_t)(c.offset - r->f->base - address);
    return OK;
}

static enum status
read_new(struct reading *r, uint64_t address, struct err *err)
{
    uint64_t length, whole;
    size_t prefix, at;

    TRY(read_new_prefix(r, address, &prefix, &length, err));
    FAIL_IF(!num_add(length, prefix + CHECKSUM_BYTES, &whole), err, MALFORMED, r->f->base + address,
            "the size of an object header overflows");
    TRY(add_chunk(r, address, whole, err));
    TRY(load(r, address, whole, &at, err));
    TRY(hdf5_file_check(r->h->bytes + at, (size_t)whole, "an object header", r->f->base + address,
                        err));
    return read_messages(r, at + prefix, (size_t)length, r->f->base + address + prefix, err);
}

static enum status
read_further(struct reading *r, struct chunk chunk, struct err *err)
{
    uint64_t offset = r->f->base + chunk.address;
    struct cursor c;
    size_t at;

    TRY(load(r, chunk.address, chunk.length, &at, err));
    if (!r->is_new)
        return read_messages(r, at, (size_t)chunk.length, offset, err);
    c = cursor_over(r->h->bytes + at, (size_t)chunk.length, offset);
    FAIL_IF(chunk.length < SIGNATURE_BYTES + CHECKSUM_BYTES || memcmp(c.at, "OCHK", 4) != 0, err,
            MALFORMED, offset, "an object header's continuation is not where it should be");
    TRY(hdf5_file_check(c.at, (size_t)chunk.length, "an object header's continuation", offset,
                        err));
    return read_messages(r, at + SIGNATURE_BYTES,
                         (size_t)chunk.length - SIGNATURE_BYTES - CHECKSUM_BYTES,
                         offset + SIGNATURE_BYTES, err);
}

static void
clear(struct hdf5_file *f, struct hdf5_header *h)
{
    if (h->messages.size == 0) {
        h->messages = vec_of(sizeof(struct hdf5_message), f->limits->tensors);
        h->chunks = vec_of(sizeof(struct chunk), CHUNKS_MAX);
    }
    h->messages.count = h->chunks.count = 0;
    h->length = 0;
}

enum status
hdf5_header_read(struct hdf5_file *f, uint64_t address, struct hdf5_header *h, struct err *err)
{
    struct reading r = {.f = f, .h = h};
    const uint8_t *first;

    clear(f, h);
    TRY(hdf5_file_at(f, address, SIGNATURE_BYTES, &first, err));
    r.is_new = first[0] == 'O';
    FAIL_IF(!r.is_new && first[0] != 1, err, MALFORMED, f->base + address,
            "there is no object header at byte %llu", (unsigned long long)(f->base + address));
    if (r.is_new)
        TRY(read_new(&r, address, err));
    else
        TRY(read_old(&r, address, err));
    for (size_t i = 1; i < h->chunks.count; i++)
        TRY(read_further(&r, VEC_AT(&h->chunks, struct chunk, i), err));
    return OK;
}

const struct hdf5_message *
hdf5_header_find(const struct hdf5_header *h, enum hdf5_message_type type)
{
    for (size_t i = 0; i < h->messages.count; i++) {
        const struct hdf5_message *m = &VEC_AT(&h->messages, struct hdf5_message, i);

        if (m->type == (unsigned)type)
            return m;
    }
    return NULL;
}

struct cursor
hdf5_header_body(const struct hdf5_header *h, const struct hdf5_message *m)
{
    return cursor_over(h->bytes + m->at, m->length, m->offset);
}

enum status
hdf5_header_shared(const struct hdf5_file *f, struct cursor *body, uint64_t *ret_address,
                   struct err *err)
{
    uint8_t version, where;

    TRY(cursor_u8(body, &version, err));
    TRY(cursor_u8(body, &where, err));
    FAIL_IF(version < 1 || version > 3 || (version == 3 && where != 2), err, UNSUPPORTED,
            body->offset, "a message that is kept apart from its object (version %u, place %u)",
            version, where);
    if (version == 1)
        TRY(hdf5_file_skip(body, 6, err));
    return hdf5_file_address(f, body, ret_address, err);
}
