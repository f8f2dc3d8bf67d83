#include "common/formats/numpy_header.h"

#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/base/utf8.h"

#define MAGIC "\x93NUMPY"

enum {
    MAGIC_BYTES = 6,
    DEPTH_MAX = 32, /* of fields within fields */
};

/* ---- tokens of the literal ---- */

enum token_kind { TOKEN_END, TOKEN_MARK, TOKEN_TEXT, TOKEN_NUMBER, TOKEN_NAME };

struct token {
    enum token_kind kind;
    char mark; /* one of ()[]{},: */
    struct slice text;
    uint64_t number;
};

struct lexer {
    struct slice text;
    size_t at;
    uint64_t offset; /* of the text, for messages */
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static enum status
take_text(struct lexer *l, struct token *t, struct err *err)
{
    char quote = l->text.at[l->at++];
    size_t start = l->at;

    for (; l->at < l->text.length; l->at++) {
        if (l->text.at[l->at] == quote) {
            t->kind = TOKEN_TEXT;
            t->text = slice_part(l->text, start, l->at++ - start);
            return OK;
        }
        FAIL_IF(l->text.at[l->at] == '\n', err, MALFORMED, l->offset + l->at,
                "the header has a line break within a text");
        if (l->text.at[l->at] ==
            '\\') /* only names of fields have any, and they are not looked at */
            l->at++;
    }
    FAIL(err, MALFORMED, l->offset + start, "the header has a text without an end");
}

/* Decimal; Python 2 put an L after long ones. */
static enum status
take_number(struct lexer *l, struct token *t, struct err *err)
{
    size_t start = l->at;

    while (l->at < l->text.length && is_digit(l->text.at[l->at]))
        l->at++;
    t->kind = TOKEN_NUMBER;
    FAIL_IF(!num_parse_u64(slice_part(l->text, start, l->at - start), &t->number), err, MALFORMED,
            l->offset + start, "the header has the number %.*s, which is none of a size",
            SLICE_PRINT(slice_part(l->text, start, l->at - start)));
    if (l->at < l->text.length && l->text.at[l->at] == 'L')
        l->at++;
    return OK;
}

static enum status
next(struct lexer *l, struct token *t, struct err *err)
{
    static const char marks[] = "()[]{},:";
    size_t start;
    char c;

    *t = (struct token){.kind = TOKEN_END};
    while (l->at < l->text.length && is_space(l->text.at[l->at]))
        l->at++;
    if (l->at == l->text.length)
        return OK;
    c = l->text.at[l->at];
    start = l->at;
    if (c != '\0' && strchr(marks, c) != NULL) {
        t->kind = TOKEN_MARK;
        t->mark = c;
        l->at++;
        return OK;
    }
    if (c == 'u' && start + 1 < l->text.length &&
        (l->text.at[start + 1] == '\'' || l->text.at[start + 1] == '"')) {
        l->at++; /* Python 2's unicode */
        return take_text(l, t, err);
    }
    if (c == '\'' || c == '"')
        return take_text(l, t, err);
    if (is_digit(c))
        return take_number(l, t, err);
    FAIL_IF(!is_letter(c), err, MALFORMED, l->offset + start,
            "the header is no dict of descr, fortran_order and shape: unexpected character");
    while (l->at < l->text.length && (is_letter(l->text.at[l->at]) || is_digit(l->text.at[l->at])))
        l->at++;
    t->kind = TOKEN_NAME;
    t->text = slice_part(l->text, start, l->at - start);
    return OK;
}

static bool
is_mark(const struct token *t, char mark)
{
    return t->kind == TOKEN_MARK && t->mark == mark;
}

static enum status
unexpected(const struct lexer *l, const char *where, struct err *err)
{
    FAIL(err, MALFORMED, l->offset + l->at, "the header's %s is not what it should be", where);
}

static enum status
expect(struct lexer *l, char mark, const char *where, struct err *err)
{
    struct token t;

    TRY(next(l, &t, err));
    return is_mark(&t, mark) ? OK : unexpected(l, where, err);
}

/* ---- element types ---- */

static const struct {
    char kind;
    uint64_t bytes;
    enum dtype dtype;
} numbers[] = {
    {'b', 1, DTYPE_BOOL},      {'i', 1, DTYPE_INT8},        {'i', 2, DTYPE_INT16},
    {'i', 4, DTYPE_INT32},     {'i', 8, DTYPE_INT64},       {'u', 1, DTYPE_UINT8},
    {'u', 2, DTYPE_UINT16},    {'u', 4, DTYPE_UINT32},      {'u', 8, DTYPE_UINT64},
    {'f', 2, DTYPE_FLOAT16},   {'f', 4, DTYPE_FLOAT32},     {'f', 8, DTYPE_FLOAT64},
    {'c', 8, DTYPE_COMPLEX64}, {'c', 16, DTYPE_COMPLEX128},
};

/* What is known of an element. */
struct element {
    enum dtype dtype;
    bool has_size;
    bool has_objects;
    bool is_strange;
    bool is_big_endian;
    uint64_t bytes;
};

/* Types with a size that PyTorch has not: float128, complex256, datetime64, void … */
static struct element
unknown_element(char kind, uint64_t size)
{
    struct element e = {.dtype = DTYPE_UNKNOWN, .has_size = true, .bytes = size};

    if (kind == 'S' || kind == 'a')
        e.dtype = DTYPE_STRING;
    else if (kind == 'U') {
        e.dtype = DTYPE_STRING;
        e.has_size = num_mul(size, 4, &e.bytes); /* UCS-4 */
    } else if (kind == 'O')
        e.has_objects = true;
    else if (strchr("iufcV", kind) == NULL)
        e.has_size = false;
    return e;
}

/* "<f4", "|b1", "|O", "<M8[ns]" … */
static struct element
known_type(struct slice text)
{
    struct element e = {.dtype = dtype_find(text)};
    struct slice rest = text, size_text;
    bool is_big = text.length > 0 && text.at[0] == '>';
    uint64_t size = 0;
    char kind;

    if (e.dtype != DTYPE_UNKNOWN && dtype_bits(e.dtype) >= 8) { /* "float32" is taken, too */
        e.has_size = true;
        e.bytes = dtype_bits(e.dtype) / 8;
        return e;
    }
    e.dtype = DTYPE_UNKNOWN;
    if (rest.length > 0 && strchr("<>|=", rest.at[0]) != NULL && rest.at[0] != '\0')
        rest = slice_from(rest, 1);
    if (rest.length == 0)
        return e;
    kind = rest.at[0];
    size_text = slice_from(rest, 1);
    if (kind == '?' && size_text.length == 0)
        return (struct element){.dtype = DTYPE_BOOL, .has_size = true, .bytes = 1};
    if (kind == 'O')
        return (struct element){.has_objects = true};
    if ((kind == 'M' || kind == 'm') && slice_starts(size_text, slice_of("8")) &&
        (size_text.length == 1 || size_text.at[1] == '['))
        return (struct element){.has_size = true, .is_big_endian = is_big, .bytes = 8};
    if (kind == '\0' || !num_parse_u64(size_text, &size))
        return e;
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
        if (numbers[i].kind == kind && numbers[i].bytes == size)
            return (struct element){.dtype = numbers[i].dtype,
                                    .has_size = true,
                                    .is_big_endian = is_big && size > 1,
                                    .bytes = size};
    }
    e = unknown_element(kind, size);
    e.is_big_endian = is_big;
    return e;
}

/* numpy.dtype takes much that no dtype is ever written as, and some of it has objects: "object",
 * "2O", "i4,O", or an O that is spelled \x4f. */
static struct element
read_type(struct slice text)
{
    struct element e = known_type(text);

    e.is_strange = !e.has_size && !e.has_objects;
    return e;
}

/* ---- structured types ---- */

/* What is open: a list of fields; a field, (name, type[, shape]); an array as a type, (type, shape). */
enum frame_kind { FRAME_FIELDS, FRAME_FIELD, FRAME_ARRAY };

struct frame {
    enum frame_kind kind;
    unsigned at;        /* items that are there */
    bool wants_comma;   /* before the next */
    struct element sum; /* of what is there */
};

struct structured {
    struct lexer *l;
    struct frame open[DEPTH_MAX];
    size_t depth;
    struct element whole; /* once nothing is open */
};

static enum status
push(struct structured *s, enum frame_kind kind, struct err *err)
{
    FAIL_IF(s->depth == DEPTH_MAX, err, MALFORMED, s->l->offset + s->l->at,
            "the header's descr is nested deeper than %d", DEPTH_MAX);
    s->open[s->depth++] = (struct frame){.kind = kind, .sum.has_size = true};
    return OK;
}

/* A type is complete: it belongs to what is open. */
static enum status
deliver(struct structured *s, struct element e, struct err *err)
{
    struct frame *f;

    if (s->depth == 0) {
        s->whole = e;
        return OK;
    }
    f = &s->open[s->depth - 1];
    FAIL_IF(!num_add(f->sum.bytes, e.bytes, &f->sum.bytes), err, MALFORMED, s->l->offset,
            "the header's descr overflows");
    f->sum.has_size &= e.has_size;
    f->sum.has_objects |= e.has_objects;
    f->sum.is_strange |= e.is_strange;
    f->at++;
    f->wants_comma = true;
    return OK;
}

static enum status
close(struct structured *s, char mark, struct err *err)
{
    struct frame f = s->open[s->depth - 1];
    bool is_whole = f.kind == FRAME_FIELDS  ? mark == ']'
                    : f.kind == FRAME_FIELD ? mark == ')' && f.at >= 2
                                            : mark == ')' && f.at == 2;

    if (!is_whole)
        return unexpected(s->l, "descr", err);
    s->depth--;
    return deliver(s, f.sum, err);
}

/* A shape: multiply what it is the shape of. t is its first token. */
static enum status
take_times(struct structured *s, const struct token *first, struct err *err)
{
    struct element *e = &s->open[s->depth - 1].sum;
    struct token t = *first;
    bool is_tuple = is_mark(&t, '('), wants_comma = false;

    if (is_tuple)
        TRY(next(s->l, &t, err));
    for (; !(is_tuple && is_mark(&t, ')')); wants_comma = !wants_comma) {
        if (wants_comma ? !is_mark(&t, ',') : t.kind != TOKEN_NUMBER)
            return unexpected(s->l, "descr", err);
        FAIL_IF(!wants_comma && !num_mul(e->bytes, t.number, &e->bytes), err, MALFORMED,
                s->l->offset, "the header's descr overflows");
        if (!is_tuple)
            break;
        TRY(next(s->l, &t, err));
    }
    s->open[s->depth - 1].at++;
    s->open[s->depth - 1].wants_comma = true;
    return OK;
}

/* A field's name, or (title, name). t is its first token. */
static enum status
take_name(struct structured *s, const struct token *t, struct err *err)
{
    struct token part;

    if (is_mark(t, '(')) {
        TRY(next(s->l, &part, err));
        TRY(expect(s->l, ',', "descr", err));
        if (part.kind != TOKEN_TEXT)
            return unexpected(s->l, "descr", err);
        TRY(next(s->l, &part, err));
        TRY(expect(s->l, ')', "descr", err));
        t = &part;
    }
    if (t->kind != TOKEN_TEXT)
        return unexpected(s->l, "descr", err);
    s->open[s->depth - 1].at++;
    s->open[s->depth - 1].wants_comma = true;
    return OK;
}

static enum status
take_type(struct structured *s, const struct token *t, struct err *err)
{
    if (t->kind == TOKEN_TEXT)
        return deliver(s, read_type(t->text), err);
    if (is_mark(t, '['))
        return push(s, FRAME_FIELDS, err);
    if (is_mark(t, '('))
        return push(s, FRAME_ARRAY, err);
    return unexpected(s->l, "descr", err);
}

/* One token within what is open. */
static enum status
step(struct structured *s, struct err *err)
{
    struct frame *f = &s->open[s->depth - 1];
    struct token t;

    TRY(next(s->l, &t, err));
    if (is_mark(&t, ')') || is_mark(&t, ']'))
        return close(s, t.mark, err);
    if (f->wants_comma) {
        f->wants_comma = false;
        return is_mark(&t, ',') ? OK : unexpected(s->l, "descr", err);
    }
    if (f->kind == FRAME_FIELDS)
        return is_mark(&t, '(') ? push(s, FRAME_FIELD, err) : unexpected(s->l, "descr", err);
    if (f->kind == FRAME_FIELD && f->at == 0)
        return take_name(s, &t, err);
    if (f->at == (f->kind == FRAME_FIELD ? 1U : 0U))
        return take_type(s, &t, err);
    if (f->at == (f->kind == FRAME_FIELD ? 2U : 1U))
        return take_times(s, &t, err);
    return unexpected(s->l, "descr", err);
}

static enum status
read_descr(struct lexer *l, struct numpy_header *h, struct err *err)
{
    struct structured s = {.l = l};
    struct token t;
    size_t start;

    TRY(next(l, &t, err));
    start = l->at - (t.kind == TOKEN_MARK ? 1 : 0);
    h->descr = t.text;
    TRY(take_type(&s, &t, err));
    if (s.depth > 0) {
        while (s.depth > 0)
            TRY(step(&s, err));
        s.whole.dtype = DTYPE_UNKNOWN; /* several in one, in whatever byte order */
        h->descr = slice_part(l->text, start, l->at - start);
    }
    h->dtype = s.whole.dtype;
    h->has_size = s.whole.has_size;
    h->has_objects = s.whole.has_objects;
    h->is_strange = s.whole.is_strange;
    h->is_big_endian = s.whole.is_big_endian;
    h->item_bytes = s.whole.bytes;
    return OK;
}

/* ---- the dict ---- */

/* (), (3,), (3, 4): one number in brackets is no tuple in Python. */
static enum status
read_shape(struct lexer *l, struct numpy_header *h, struct err *err)
{
    bool has_comma = false, wants_comma = false;
    struct token t;

    TRY(expect(l, '(', "shape", err));
    for (;; wants_comma = !wants_comma) {
        TRY(next(l, &t, err));
        if (is_mark(&t, ')'))
            break;
        if (wants_comma ? !is_mark(&t, ',') : t.kind != TOKEN_NUMBER)
            return unexpected(l, "shape", err);
        has_comma |= wants_comma;
        if (wants_comma)
            continue;
        FAIL_IF(h->rank == TENSOR_RANK_MAX, err, MALFORMED, l->offset + l->at,
                "the array has more than %d dimensions", TENSOR_RANK_MAX);
        h->dims[h->rank++] = t.number;
    }
    return h->rank == 1 && !has_comma ? unexpected(l, "shape", err) : OK;
}

static enum status
read_order(struct lexer *l, struct numpy_header *h, struct err *err)
{
    struct token t;

    TRY(next(l, &t, err));
    h->is_fortran = t.kind == TOKEN_NAME && slice_is(t.text, "True");
    if (t.kind != TOKEN_NAME || (!h->is_fortran && !slice_is(t.text, "False")))
        return unexpected(l, "fortran_order", err);
    return OK;
}

enum key { KEY_DESCR, KEY_ORDER, KEY_SHAPE, KEY_COUNT };

static const struct {
    const char *name;
    enum status (*read)(struct lexer *l, struct numpy_header *h, struct err *err);
} keys[KEY_COUNT] = {
    [KEY_DESCR] = {"descr", read_descr},
    [KEY_ORDER] = {"fortran_order", read_order},
    [KEY_SHAPE] = {"shape", read_shape},
};

static enum status
read_pair(struct lexer *l, const struct token *name, bool *seen, struct numpy_header *h,
          struct err *err)
{
    size_t i = 0;

    while (i < KEY_COUNT && !(name->kind == TOKEN_TEXT && slice_is(name->text, keys[i].name)))
        i++;
    FAIL_IF(i == KEY_COUNT, err, MALFORMED, l->offset + l->at,
            "the header has a key besides descr, fortran_order and shape");
    FAIL_IF(seen[i], err, MALFORMED, l->offset + l->at, "the header has the key %s twice",
            keys[i].name);
    seen[i] = true;
    TRY(expect(l, ':', "dict", err));
    return keys[i].read(l, h, err);
}

static enum status
read_dict(struct lexer *l, struct numpy_header *h, struct err *err)
{
    bool seen[KEY_COUNT] = {false}, wants_comma = false;
    struct token t;

    TRY(expect(l, '{', "dict", err));
    for (;; wants_comma = !wants_comma) {
        TRY(next(l, &t, err));
        if (is_mark(&t, '}'))
            break;
        if (!wants_comma)
            TRY(read_pair(l, &t, seen, h, err));
        else if (!is_mark(&t, ','))
            return unexpected(l, "dict", err);
    }
    for (size_t i = 0; i < KEY_COUNT; i++)
        FAIL_IF(!seen[i], err, MALFORMED, l->offset, "the header lacks the key %s", keys[i].name);
    TRY(next(l, &t, err));
    return t.kind == TOKEN_END ? OK : unexpected(l, "end", err);
}

/* ---- the whole ---- */

bool
numpy_header_begins(const uint8_t *bytes, size_t length)
{
    return length >= MAGIC_BYTES && memcmp(bytes, MAGIC, MAGIC_BYTES) == 0;
}

enum status
numpy_header_size(const uint8_t *bytes, size_t length, size_t *ret_bytes, struct err *err)
{
    size_t start, literal;

    FAIL_IF(!numpy_header_begins(bytes, length), err, MALFORMED, 0, "no NumPy array begins here");
    FAIL_IF(length < MAGIC_BYTES + 2, err, TRUNCATED, length, "the array's header is cut off");
    FAIL_IF(bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0, err, UNSUPPORTED, MAGIC_BYTES,
            "version %u.%u of the .npy format is not known: 1.0, 2.0 and 3.0 are read", bytes[6],
            bytes[7]);
    start = bytes[6] == 1 ? 10 : 12;
    FAIL_IF(length < start, err, TRUNCATED, length, "the array's header is cut off");
    literal = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (start == 12)
        literal |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    FAIL_IF(literal > NUMPY_LITERAL_MAX, err, LIMIT, MAGIC_BYTES + 2,
            "the array's header has %zu bytes, and NumPy takes at most %d: save it anew", literal,
            NUMPY_LITERAL_MAX);
    *ret_bytes = start + literal;
    return OK;
}

enum status
numpy_header_read(const uint8_t *bytes, size_t length, struct numpy_header *ret, struct err *err)
{
    struct lexer l = {0};
    size_t whole;

    *ret = (struct numpy_header){0};
    TRY(numpy_header_size(bytes, length, &whole, err));
    FAIL_IF(length < whole, err, TRUNCATED, length, "the array's header is cut off");
    l.offset = bytes[6] == 1 ? 10 : 12;
    l.text = (struct slice){(const char *)bytes + l.offset, whole - (size_t)l.offset};
    FAIL_IF(bytes[6] == 3 && !utf8_is_valid(l.text), err, MALFORMED, l.offset,
            "the array's header is not UTF-8, as version 3.0 has it");
    ret->data_offset = whole;
    return read_dict(&l, ret, err);
}
