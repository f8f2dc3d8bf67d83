#include "common/formats/hdf5_attribute.h"

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/formats/hdf5_dense.h"
#include "common/formats/hdf5_type.h"

/* Flags of an attribute message: its type, its space stand elsewhere. */
enum { SHARED_TYPE = 1, SHARED_SPACE = 2 };

/* A list that is read. */
struct reading {
    struct hdf5_file *f;
    bool (*wants)(struct slice name);
    struct slice subject;
    const struct hdf5_attribute *list;
    size_t count;
};

/* Wanted ones of one object. Keras splits a long list of names into attributes of 64 KiB: a hundred
 * hold more names than any model has layers. */
enum { ATTRIBUTES_MAX = 128 };

const struct hdf5_attribute *
hdf5_attribute_find(const struct hdf5_attribute *list, const char *name)
{
    while (list != NULL && !slice_is(list->name, name))
        list = list->next;
    return list;
}

/* ---- texts ---- */

static struct slice
trimmed(const uint8_t *bytes, size_t length, enum hdf5_text text)
{
    const uint8_t *end = length == 0 ? NULL : memchr(bytes, 0, length);

    if (end != NULL)
        length = (size_t)(end - bytes);
    while (text == HDF5_SPACED_TEXT && length > 0 && bytes[length - 1] == ' ')
        length--;
    return (struct slice){(const char *)bytes, length};
}

/* An element of variable length: its length, its heap, its place there. A heap at address zero is the
 * empty text. */
static enum status
read_variable(struct hdf5_file *f, struct hdf5_finder *finder, struct cursor *c,
              struct slice *ret_text, struct err *err)
{
    uint64_t length = 0, collection, index = 0;
    const uint8_t *bytes;

    TRY(hdf5_file_uint(c, 4, &length, err));
    TRY(hdf5_file_address(f, c, &collection, err));
    TRY(hdf5_file_uint(c, 4, &index, err));
    *ret_text = (struct slice){0};
    if (length == 0 || collection == 0 || collection == HDF5_UNDEFINED)
        return OK;
    TRY(hdf5_heap_object(f, finder, collection, index, length, &bytes, err));
    return arena_copy(&f->in->arena, trimmed(bytes, (size_t)length, HDF5_VARIABLE_TEXT), ret_text,
                      err);
}

static enum status
read_texts(struct hdf5_file *f, struct cursor *c, const struct hdf5_type *type, uint64_t count,
           struct hdf5_attribute *a, struct err *err)
{
    unsigned variable_bytes = 8U + f->offset_bytes;
    size_t each = type->text == HDF5_VARIABLE_TEXT ? variable_bytes : type->size;
    struct hdf5_finder finder = {0};
    struct slice *texts;

    FAIL_IF(count > cursor_left(c) / each, err, TRUNCATED, c->offset,
            "an attribute has more elements than bytes");
    texts = arena_alloc(&f->in->arena, (size_t)count, sizeof *texts);
    if (texts == NULL)
        return arena_fail(&f->in->arena, err);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes;

        if (type->text == HDF5_VARIABLE_TEXT) {
            TRY(read_variable(f, &finder, c, &texts[i], err));
            continue;
        }
        TRY(cursor_bytes(c, each, &bytes, err));
        TRY(arena_copy(&f->in->arena, trimmed(bytes, each, type->text), &texts[i], err));
    }
    a->texts = texts;
    a->count = (size_t)count;
    return OK;
}

/* ---- messages ---- */

struct parts {
    struct slice name;
    struct cursor type, space, data;
    bool is_shared;
};

static enum status
cut(struct cursor *c, size_t length, size_t padded, struct cursor *ret_part, struct err *err)
{
    const uint8_t *bytes;
    uint64_t offset = c->offset;

    TRY(cursor_bytes(c, padded, &bytes, err));
    *ret_part = cursor_over(bytes, length, offset);
    return OK;
}

/* Version 1 fills each part to a multiple of eight bytes; 2 and 3 do not. */
static enum status
read_parts(struct cursor *c, struct parts *p, struct err *err)
{
    uint16_t lengths[3]; /* of name, type, space */
    struct cursor *parts[3], name;
    uint8_t version, flags, encoding;

    TRY(cursor_u8(c, &version, err));
    TRY(cursor_u8(c, &flags, err));
    FAIL_IF(version < 1 || version > 3, err, UNSUPPORTED, c->offset, "an attribute of version %u",
            version);
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        TRY(cursor_u16(c, &lengths[i], err));
    if (version == 3)
        TRY(cursor_u8(c, &encoding, err));
    parts[0] = &name;
    parts[1] = &p->type;
    parts[2] = &p->space;
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        TRY(cut(c, lengths[i], version == 1 ? (lengths[i] + 7U) / 8 * 8 : lengths[i], parts[i],
                err));
    p->name = trimmed(name.at, cursor_left(&name), HDF5_FIXED_TEXT);
    p->data = *c;
    p->is_shared = version > 1 && (flags & (SHARED_TYPE | SHARED_SPACE)) != 0;
    return OK;
}

static enum status
read_message(struct reading *r, struct cursor *body, struct err *err)
{
    struct hdf5_attribute *a;
    struct hdf5_space space;
    struct hdf5_type type;
    struct parts p;

    TRY(read_parts(body, &p, err));
    if (!r->wants(p.name))
        return OK;
    FAIL_IF(r->count++ >= ATTRIBUTES_MAX, err, UNSUPPORTED, body->offset,
            "an object with more than %d lists of names", ATTRIBUTES_MAX);
    FAIL_IF(p.is_shared, err, UNSUPPORTED, body->offset,
            "the attribute %.*s has a type that is kept apart from it", SLICE_PRINT(p.name));
    TRY(hdf5_type_read(&p.type, &type, err));
    TRY(hdf5_type_space(r->f, &p.space, &space, err));
    if (type.text == HDF5_NO_TEXT || space.is_null)
        return OK;
    a = arena_alloc(&r->f->in->arena, 1, sizeof *a);
    if (a == NULL)
        return arena_fail(&r->f->in->arena, err);
    /* First of all the name: reading texts may move the window that it lies in. */
    TRY(arena_copy(&r->f->in->arena, p.name, &a->name, err));
    TRY(read_texts(r->f, &p.data, &type, space.elements, a, err));
    a->next = r->list;
    r->list = a;
    return OK;
}

static enum status
read_forgiving(struct reading *r, struct cursor body, struct err *err)
{
    struct err why = {0};
    enum status status = read_message(r, &body, &why);

    return hdf5_file_forgive(r->f, status, &why, r->subject, err);
}

/* ---- dense storage ---- */

static enum status
read_object(struct reading *r, struct hdf5_heap *heap, const struct hdf5_record *record,
            struct err *err)
{
    CLEANUP(buf_done) struct buf copy = buf_with_cap(r->f->limits->header_bytes);
    struct cursor c;

    FAIL_IF((record->bytes[heap->id_bytes] & HDF5_MESSAGE_SHARED) != 0, err, UNSUPPORTED, 0,
            "an attribute that is kept apart from its object");
    TRY(hdf5_dense_object(heap, record->bytes, &c, err));
    buf_add(&copy, c.at, cursor_left(&c)); /* texts are read through the same window */
    TRY(buf_check(&copy, err));
    c = cursor_over(copy.bytes, copy.length, c.offset);
    return read_message(r, &c, err);
}

static enum status
read_heap(struct reading *r, uint64_t heap_address, uint64_t tree, struct err *err)
{
    CLEANUP(hdf5_dense_done) struct hdf5_heap heap = {0};
    CLEANUP(vec_done)
    struct vec records = vec_of(sizeof(struct hdf5_record), r->f->limits->tensors);

    TRY(hdf5_dense_open(r->f, heap_address, &heap, err));
    FAIL_IF(heap.id_bytes + 1 > sizeof((struct hdf5_record *)0)->bytes, err, MALFORMED, 0,
            "a heap of attributes with ids of %u bytes", heap.id_bytes);
    TRY(hdf5_dense_records(r->f, tree, HDF5_RECORD_ATTRIBUTE, &records, err));
    hdf5_dense_sort(&heap, &records, 0);
    for (size_t i = 0; i < records.count; i++) {
        const struct hdf5_record *record = &VEC_AT(&records, struct hdf5_record, i);
        struct err why = {0};
        enum status status = read_object(r, &heap, record, &why);

        TRY(hdf5_file_forgive(r->f, status, &why, r->subject, err));
    }
    return OK;
}

static enum status
read_info(struct reading *r, struct cursor c, struct err *err)
{
    uint64_t heap, tree;
    uint8_t version, flags;

    TRY(cursor_u8(&c, &version, err));
    FAIL_IF(version != 0, err, UNSUPPORTED, c.offset, "attribute information of version %u",
            version);
    TRY(cursor_u8(&c, &flags, err));
    if ((flags & 1) != 0)
        TRY(hdf5_file_skip(&c, 2, err)); /* the highest creation index */
    TRY(hdf5_file_address(r->f, &c, &heap, err));
    TRY(hdf5_file_address(r->f, &c, &tree, err));
    return heap == HDF5_UNDEFINED ? OK : read_heap(r, heap, tree, err);
}

enum status
hdf5_attribute_read(struct hdf5_file *f, const struct hdf5_header *h,
                    bool (*wants)(struct slice name), struct slice subject,
                    const struct hdf5_attribute **ret_list, struct err *err)
{
    struct reading r = {.f = f, .wants = wants, .subject = subject};

    for (size_t i = 0; i < h->messages.count; i++) {
        const struct hdf5_message *m = &VEC_AT(&h->messages, struct hdf5_message, i);
        struct err why = {0};

        if (m->type == HDF5_ATTRIBUTE) {
            if ((m->flags & HDF5_MESSAGE_SHARED) == 0)
                TRY(read_forgiving(&r, hdf5_header_body(h, m), err));
        } else if (m->type == HDF5_ATTRIBUTE_INFO) {
            enum status status = read_info(&r, hdf5_header_body(h, m), &why);

            TRY(hdf5_file_forgive(f, status, &why, subject, err));
        }
    }
    *ret_list = r.list;
    return OK;
}
