#include "common/formats/torch_bytes.h"

#include "common/base/attr.h"

enum {
    ENCODED_BYTES_MAX = 4 << 20, /* of a text in a hole: a stream's pickles come first */
    OBJECT_PICKLE = 3,
};

static const uint8_t magic[] = {0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19};

static const char magic_text[] = "119547037146038801333356";

bool
torch_bytes_is_magic(struct pickle_value v)
{
    if (v.kind != PICKLE_BIGINT)
        return false;
    if (v.is_raw)
        return v.count == sizeof magic_text - 1 && memcmp(v.is.bytes, magic_text, v.count) == 0;
    return v.count == sizeof magic && memcmp(v.is.bytes, magic, sizeof magic) == 0;
}

bool
torch_bytes_may_be_magic(struct pickle_value v)
{
    return v.kind == PICKLE_BIGINT || v.kind >= PICKLE_GLOBAL;
}

/* ---- bytes ---- */

struct memory {
    struct slice bytes;
    struct source source;
};

static enum status
of_memory(struct slice bytes, struct arena *arena, struct torch_bytes *ret_nested, struct err *err)
{
    struct memory *m = arena_alloc(arena, 1, sizeof *m);

    if (m == NULL)
        return arena_fail(arena, err);
    m->bytes = bytes;
    m->source = source_of_bytes(&m->bytes);
    *ret_nested = (struct torch_bytes){.source = &m->source, .range = {0, bytes.length}};
    return OK;
}

/* What encode(text, "latin1") gives, which is how protocol 2 writes bytes, in place; false where there
 * are other letters. A letter that is cut off at the end is left out. */
static bool
encode_latin1(char *bytes, size_t *length)
{
    size_t count = 0;

    for (size_t i = 0; i < *length; i++) {
        uint8_t c = (uint8_t)bytes[i];

        if (c >= 0x80) {
            if ((c & 0xFEU) != 0xC2U)
                return false;
            if (++i == *length)
                break;
            c = (uint8_t)((unsigned)c << 6 | ((uint8_t)bytes[i] & 0x3FU));
        }
        bytes[count++] = (char)c;
    }
    *length = count;
    return true;
}

/* A text, whole or, where it is a hole, its beginning. */
static enum status
read_text(const struct pickle *p, struct slice text, struct arena *arena, struct slice *ret_text,
          struct err *err)
{
    struct pickle_range range;
    bool is_hole = false;
    size_t length;
    char *copy;

    if (!pickle_stream_find(p->stream, text, &range, &is_hole) || !is_hole)
        return arena_copy(arena, text, ret_text, err);
    length = range.length < ENCODED_BYTES_MAX ? (size_t)range.length : ENCODED_BYTES_MAX;
    copy = arena_alloc(arena, length, 1);
    if (copy == NULL)
        return arena_fail(arena, err);
    TRY(source_read(p->stream->source, range.offset, copy, length, err));
    *ret_text = (struct slice){copy, length};
    return OK;
}

enum status
torch_bytes_find(const struct pickle *p, struct pickle_value v, struct arena *arena,
                 struct torch_bytes *ret_nested, bool *ret_is_found, struct err *err)
{
    struct pickle_range range;
    struct slice bytes;
    bool is_hole;

    if (pickle_is_call(v, "io", "BytesIO") || pickle_is_call(v, "_io", "BytesIO"))
        v = pickle_argument(v, 0);
    *ret_is_found = pickle_bytes(v, &bytes);
    if (*ret_is_found && pickle_stream_find(p->stream, bytes, &range, &is_hole)) {
        *ret_nested = (struct torch_bytes){p->stream->source, range, true};
        return OK;
    }
    if (*ret_is_found)
        return of_memory(bytes, arena, ret_nested, err);
    if (!pickle_is_call(v, "_codecs", "encode") || pickle_argument(v, 0).kind != PICKLE_STR)
        return OK;
    (void)pickle_text(pickle_argument(v, 0), &bytes);
    TRY(read_text(p, bytes, arena, &bytes, err));
    *ret_is_found = encode_latin1((char *)(uintptr_t)bytes.at, &bytes.length);
    return *ret_is_found ? of_memory(bytes, arena, ret_nested, err) : OK;
}

/* ---- storages ---- */

/* The storage that a stream's fourth pickle is. */
static enum status
read_object(struct torch_reader *r, const struct torch_bytes *n, uint64_t *offset, size_t i,
            struct slice subject, struct torch_storage *s, bool *ret_goes_on, struct err *err)
{
    CLEANUP(pickle_stream_done) struct pickle_stream stream = {0};
    struct pickle p;

    *ret_goes_on = false;
    TRY(pickle_stream_read(&stream, n->source, *offset, n->range.offset + n->range.length,
                           r->nested_bytes_left, r->limits, err));
    r->nested_bytes_left -= stream.length;
    TRY(pickle_stream_run(&stream, r->budget, r->scratch, &p, err));
    *offset = stream.end;
    if (!p.has_stop || (i == 0 && !torch_bytes_is_magic(p.root)))
        return OK;
    *ret_goes_on = true;
    if (i == OBJECT_PICKLE)
        return torch_storage_of_id(r, p.root, subject, s, ret_goes_on, err);
    return OK;
}

/* The count that stands before a storage's bytes must be what the object says, or torch.load refuses. */
static enum status
has_count(const struct torch_bytes *n, uint64_t offset, uint64_t elements, bool *ret_has,
          struct err *err)
{
    uint8_t head[TORCH_LEGACY_COUNT_BYTES];
    uint64_t count = 0;

    *ret_has = true;
    if (n->range.offset + n->range.length - offset < sizeof head)
        return OK; /* cut off, which is another finding */
    TRY(source_read(n->source, offset, head, sizeof head, err));
    for (size_t i = sizeof head; i-- > 0;)
        count = count << 8 | head[i];
    *ret_has = count == elements;
    return OK;
}

enum status
torch_bytes_storage(struct torch_reader *r, struct pickle_value v, struct slice subject,
                    struct torch_storage *ret_storage, bool *ret_is_storage, struct err *err)
{
    struct torch_storage s = {0};
    struct torch_bytes n = {0};
    bool goes_on = false;
    uint64_t offset;

    *ret_is_storage = false;
    if (r->pickle == NULL || r->pickle->stream == NULL ||
        !pickle_is_call(v, "torch.storage", "_load_from_bytes"))
        return OK;
    TRY(torch_bytes_find(r->pickle, pickle_argument(v, 0), r->scratch, &n, &goes_on, err));
    offset = n.range.offset;
    for (size_t i = 0; i < TORCH_LEGACY_PICKLES && goes_on; i++)
        TRY(read_object(r, &n, &offset, i, subject, &s, &goes_on, err));
    if (goes_on)
        TRY(has_count(&n, offset, s.elements, &goes_on, err));
    if (!goes_on)
        return OK;
    s.key = (struct slice){0}; /* it went with its pickle */
    s.number = (v.is.call->offset + 1) | UINT64_C(1) << 61;
    s.place = (struct place){.offset = offset + TORCH_LEGACY_COUNT_BYTES,
                             .stored_bytes = s.bytes,
                             .storage_bytes = s.bytes};
    /* Of an encoded text only the beginning was looked at; its bytes are not in the file as they are. */
    s.has_bytes = n.is_in_file;
    if (n.is_in_file &&
        (n.range.offset + n.range.length - offset < TORCH_LEGACY_COUNT_BYTES ||
         n.range.offset + n.range.length - offset - TORCH_LEGACY_COUNT_BYTES < s.bytes)) {
        s.has_bytes = false;
        TRY(inspection_note(r->in, r->limits, FINDING_STORAGE_SHORT, subject, err,
                            "its storage, a checkpoint within the pickle, is cut off"));
    }
    *ret_storage = s;
    *ret_is_storage = true;
    return OK;
}
