#include "common/formats/pickle_stream.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/utf8.h"
#include "common/formats/pickle_shape.h"

enum {
    FIRST_READ = 512,        /* most pickles of the old formats are this short */
    LARGEST_READ = 16 << 10, /* what is read beyond a hole is moved: each hole costs that much */
    HOLE_BYTES_MIN = 4 << 10,
    HOLE_TEXT_MIN =
        64 << 10, /* texts are names and descriptions: kept as long as they may be these */
    TEXT_HEAD_MAX = 32 << 10,
    CHUNK_BYTES = 16 << 10,
    SIGN_BYTES_MAX = 64,
    OPCODE_FRAME = 0x95,
    OPCODE_BINSTRING = 'T', /* whose count is signed */
    OPCODE_BINBYTES = 'B',
    OPCODE_BINBYTES8 = 0x8E,
    OPCODE_BYTEARRAY8 = 0x96,
    OPCODE_BINUNICODE = 'X',
    OPCODE_BINUNICODE8 = 0x8D,
};

/* What stands in the source instead of so many bytes of the pickle. */
struct hole {
    size_t at; /* in the pickle's bytes, of its sign */
    size_t sign_length;
    struct pickle_range range;
};

struct scan {
    struct pickle_stream *s;
    uint64_t next;    /* in the source, of what is read next: what is read ends s->bytes */
    uint64_t end;     /* of what may be read */
    size_t cap_bytes; /* of s->bytes */
    size_t
        text_head; /* of a long text this much stays, that it is seen to be longer than any name */
    size_t at;     /* in s->bytes, what is looked at */
    bool is_over;  /* nothing more is to be looked at */
    bool has_stop;
    size_t frame_size;  /* in s->bytes, where the open frame's size stands */
    uint64_t frame_end; /* in the source; 0: none is open */
};

void
pickle_stream_done(struct pickle_stream *s)
{
    mem_free(s->bytes);
    vec_done(&s->holes);
    *s = (struct pickle_stream){0};
}

static enum status
make_room(struct pickle_stream *s, size_t length, size_t cap_bytes, struct err *err)
{
    size_t capacity = s->capacity == 0 ? FIRST_READ : s->capacity;
    char *bytes;

    if (length <= s->capacity)
        return OK;
    while (capacity < length)
        capacity *= 2;
    if (capacity > cap_bytes && length <= cap_bytes)
        capacity = cap_bytes;
    bytes = mem_resize(s->bytes, capacity, 1);
    FAIL_IF(bytes == NULL, err, NO_MEMORY, 0, "out of memory");
    s->bytes = bytes;
    s->capacity = capacity;
    return OK;
}

/* Read on; nothing where the source ends. */
static enum status
read_on(struct scan *c, struct err *err)
{
    struct pickle_stream *s = c->s;
    size_t want = s->length < FIRST_READ     ? FIRST_READ
                  : s->length > LARGEST_READ ? LARGEST_READ
                                             : s->length;

    if (want > c->end - c->next)
        want = (size_t)(c->end - c->next);
    if (want > c->cap_bytes - s->length)
        want = c->cap_bytes - s->length;
    s->is_over_limit = want == 0 && c->next < c->end;
    TRY(make_room(s, s->length + want, c->cap_bytes, err));
    if (want > 0)
        TRY(source_read(s->source, c->next, s->bytes + s->length, want, err));
    s->length += want;
    c->next += want;
    c->is_over = want == 0;
    return OK;
}

/* See to it that count bytes from at on are there; else the scan is over. */
static enum status
need(struct scan *c, uint64_t count, struct err *err)
{
    while (!c->is_over && c->s->length - c->at < count)
        TRY(read_on(c, err));
    return OK;
}

static uint64_t
number_at(const struct scan *c, size_t at, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = size; i-- > 0;)
        value = value << 8 | (uint8_t)c->s->bytes[at + i];
    return value;
}

static void
put_number(struct scan *c, size_t at, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        c->s->bytes[at + i] = (char)(uint8_t)(value >> 8 * i);
}

/* The offset in the source of what is looked at. */
static uint64_t
here(const struct scan *c)
{
    return c->next - (c->s->length - c->at);
}

static enum status
skip_line(struct scan *c, struct err *err)
{
    size_t seen = 0;

    while (!c->is_over) {
        size_t left = c->s->length - c->at - seen;
        const char *found = left == 0 ? NULL : memchr(c->s->bytes + c->at + seen, '\n', left);

        if (found != NULL) {
            c->at = (size_t)(found - c->s->bytes) + 1;
            return OK;
        }
        seen += left;
        TRY(read_on(c, err));
    }
    return OK;
}

/* A frame's size is that of what is in memory, without the holes in it. */
static void
open_frame(struct scan *c)
{
    uint64_t size = number_at(c, c->at, 8), end;

    c->frame_size = c->at;
    c->frame_end = 0;
    if (num_add(here(c) + 8, size, &end))
        c->frame_end = end;
}

/* Bytes of a chunk of text up to where its last character begins, which the next chunk may end. */
static size_t
whole_characters(const char *chunk, size_t length)
{
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        uint8_t b = (uint8_t)chunk[length - back];

        if ((b & 0xC0U) != 0x80)
            return b < 0x80 ? length : length - back;
    }
    return length;
}

/* Whether the next length bytes are UTF-8. Loaders refuse a text that is not, so all of it is looked at. */
static enum status
is_text(const struct scan *c, uint64_t length, bool *ret_is_text, struct err *err)
{
    char chunk[CHUNK_BYTES];
    uint64_t at = here(c), end = at + length;
    size_t left_over = 0;

    *ret_is_text = true;
    while (at < end && *ret_is_text) {
        size_t room = sizeof chunk - left_over, take = end - at < room ? (size_t)(end - at) : room;
        size_t filled = left_over + take, whole;

        TRY(source_read(c->s->source, at, chunk + left_over, take, err));
        at += take;
        whole = at == end ? filled : whole_characters(chunk, filled);
        *ret_is_text = utf8_is_valid((struct slice){chunk, whole});
        left_over = filled - whole;
        memmove(chunk, chunk + whole, left_over);
    }
    return OK;
}

/* Leave length bytes out, but for head of them. at is where they begin, the count of their length just
 * before. */
static enum status
make_hole(struct scan *c, uint64_t length, size_t head, unsigned count_size, struct err *err)
{
    struct pickle_stream *s = c->s;
    uint64_t offset = here(c);
    char mark[SIGN_BYTES_MAX];
    size_t mark_length, sign_length, ahead;
    struct hole *hole;

    TRY(need(c, head, err));
    head = whole_characters(s->bytes + c->at, head);
    mark_length =
        (size_t)snprintf(mark, sizeof mark, "[%" PRIu64 " bytes at %" PRIu64 "]", length, offset);
    sign_length = head + mark_length;
    TRY(vec_add(&s->holes, &hole, "long runs of bytes in a pickle", err));
    *hole = (struct hole){c->at, sign_length, {offset, length}};
    if (c->frame_end > offset)
        put_number(c, c->frame_size, 8, number_at(c, c->frame_size, 8) - (length - sign_length));
    put_number(c, c->at - count_size, count_size, sign_length);
    /* What was read beyond them stays. */
    ahead = s->length - c->at > length ? s->length - c->at - (size_t)length : 0;
    if (ahead == 0) {
        s->length = c->at + head;
        c->next = offset + length;
        TRY(make_room(s, c->at + sign_length, c->cap_bytes, err));
    } else
        memmove(s->bytes + c->at + sign_length, s->bytes + c->at + length, ahead);
    memcpy(s->bytes + c->at + head, mark, mark_length);
    c->at += sign_length;
    s->length = c->at + ahead;
    return OK;
}

/* Runs of this opcode's bytes are left out from this length on; SIZE_MAX: never. */
static size_t
hole_min(uint8_t opcode)
{
    switch (opcode) {
    case OPCODE_BINSTRING:
    case OPCODE_BINBYTES:
    case OPCODE_BINBYTES8:
    case OPCODE_BYTEARRAY8:
        return HOLE_BYTES_MIN;
    case OPCODE_BINUNICODE:
    case OPCODE_BINUNICODE8:
        return HOLE_TEXT_MIN;
    default:
        return SIZE_MAX;
    }
}

static bool
is_text_opcode(uint8_t opcode)
{
    return opcode == OPCODE_BINUNICODE || opcode == OPCODE_BINUNICODE8;
}

/* Whether the next length bytes are to be left out. What reaches over its frame's end, and a text that is
 * none, is left for the machine to find. */
static enum status
wants_hole(const struct scan *c, uint8_t opcode, uint64_t length, bool *ret_wants, struct err *err)
{
    size_t head = is_text_opcode(opcode) ? c->text_head : 0;

    *ret_wants = length >= hole_min(opcode) &&
                 (c->frame_end <= here(c) || c->frame_end - here(c) >= length) &&
                 c->cap_bytes - c->at > head + SIGN_BYTES_MAX;
    return *ret_wants && head > 0 ? is_text(c, length, ret_wants, err) : OK;
}

static enum status
skip_counted(struct scan *c, uint8_t opcode, unsigned count_size, struct err *err)
{
    uint64_t length;
    bool is_hole = false;

    TRY(need(c, count_size, err));
    if (c->is_over)
        return OK;
    length = number_at(c, c->at, count_size);
    c->at += count_size;
    if (length > c->end - here(c) || (opcode == OPCODE_BINSTRING && length > INT32_MAX)) {
        c->is_over = true; /* the machine refuses it; all that there is would not help it */
        return OK;
    }
    TRY(wants_hole(c, opcode, length, &is_hole, err));
    if (is_hole)
        return make_hole(c, length, is_text_opcode(opcode) ? c->text_head : 0, count_size, err);
    TRY(need(c, length, err));
    if (!c->is_over)
        c->at += (size_t)length;
    return OK;
}

static enum status
skip_fixed(struct scan *c, uint8_t opcode, size_t length, struct err *err)
{
    TRY(need(c, length, err));
    if (c->is_over)
        return OK;
    if (opcode == OPCODE_FRAME)
        open_frame(c);
    c->at += length;
    return OK;
}

static enum status
skip_argument(struct scan *c, uint8_t opcode, struct err *err)
{
    switch (pickle_shape_of(opcode)) {
    case PICKLE_NO_OPCODE:
        c->is_over = true;
        return OK;
    case PICKLE_END:
        c->has_stop = true;
        c->is_over = true;
        return OK;
    case PICKLE_NOTHING:
        return OK;
    case PICKLE_BYTES_1:
    case PICKLE_GET_1:
        return skip_fixed(c, opcode, 1, err);
    case PICKLE_BYTES_2:
        return skip_fixed(c, opcode, 2, err);
    case PICKLE_BYTES_4:
    case PICKLE_GET_4:
        return skip_fixed(c, opcode, 4, err);
    case PICKLE_BYTES_8:
        return skip_fixed(c, opcode, 8, err);
    case PICKLE_TWO_LINES:
        TRY(skip_line(c, err));
        return skip_line(c, err);
    case PICKLE_LINE:
    case PICKLE_GET_LINE:
        return skip_line(c, err);
    case PICKLE_COUNTED_1:
        return skip_counted(c, opcode, 1, err);
    case PICKLE_COUNTED_4:
        return skip_counted(c, opcode, 4, err);
    case PICKLE_COUNTED_8:
        return skip_counted(c, opcode, 8, err);
    }
    return OK;
}

static enum status
skip_opcode(struct scan *c, struct err *err)
{
    TRY(need(c, 1, err));
    if (c->is_over)
        return OK;
    return skip_argument(c, (uint8_t)c->s->bytes[c->at++], err);
}

enum status
pickle_stream_read(struct pickle_stream *ret, const struct source *source, uint64_t offset,
                   uint64_t end, size_t cap_bytes, const struct limits *limits, struct err *err)
{
    struct scan c = {.s = ret, .next = offset, .end = end, .cap_bytes = cap_bytes};

    c.text_head = limits->name_bytes < TEXT_HEAD_MAX ? limits->name_bytes + 4 : TEXT_HEAD_MAX;

    *ret = (struct pickle_stream){.source = source, .offset = offset};
    ret->holes = vec_of(sizeof(struct hole), limits->pickle_nodes);
    FAIL_IF(offset > end || end > source->size_bytes, err, TRUNCATED, source->size_bytes,
            "a pickle is expected at offset %llu, but the file ends at %llu",
            (unsigned long long)offset, (unsigned long long)source->size_bytes);
    while (!c.is_over)
        TRY(skip_opcode(&c, err));
    /* Of what has no end all that was read is shown to the machine. */
    if (!c.has_stop)
        c.at = ret->length;
    ret->end = here(&c);
    ret->length = c.at;
    return OK;
}

enum status
pickle_stream_run(const struct pickle_stream *s, struct pickle_budget *budget, struct arena *arena,
                  struct pickle *ret, struct err *err)
{
    TRY(pickle_run((struct slice){s->bytes, s->length}, budget, arena, ret, err));
    ret->stream = s;
    if (s->is_over_limit && !ret->has_stop) {
        ret->problem = (struct err){0};
        err_set(&ret->problem, ERR_LIMIT, s->length, "a pickle of more than %zu bytes", s->length);
    }
    return OK;
}

/* The last hole at or before a byte; SIZE_MAX for none. */
static size_t
hole_before(const struct pickle_stream *s, uint64_t at)
{
    size_t low = 0, high = s->holes.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (VEC_AT(&s->holes, struct hole, middle).at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? SIZE_MAX : low - 1;
}

uint64_t
pickle_stream_offset(const struct pickle_stream *s, uint64_t at)
{
    const struct hole *hole;
    size_t i;

    if (s == NULL)
        return at;
    i = hole_before(s, at);
    if (i == SIZE_MAX)
        return s->offset + at;
    hole = &VEC_AT(&s->holes, struct hole, i);
    if (at < hole->at + hole->sign_length)
        return hole->range.offset;
    return hole->range.offset + hole->range.length + (at - hole->at - hole->sign_length);
}

bool
pickle_stream_find(const struct pickle_stream *s, struct slice bytes,
                   struct pickle_range *ret_range, bool *ret_is_hole)
{
    uintptr_t start = s == NULL ? 0 : (uintptr_t)s->bytes, at = (uintptr_t)bytes.at;
    size_t i;

    *ret_is_hole = false;
    if (s == NULL || bytes.at == NULL || at < start || at - start > s->length ||
        bytes.length > s->length - (at - start))
        return false;
    i = hole_before(s, at - start);
    if (i != SIZE_MAX && VEC_AT(&s->holes, struct hole, i).at == at - start) {
        *ret_range = VEC_AT(&s->holes, struct hole, i).range;
        *ret_is_hole = true;
        return true;
    }
    *ret_range = (struct pickle_range){pickle_stream_offset(s, at - start), bytes.length};
    return true;
}
