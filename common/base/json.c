#include "common/base/json.h"

#include <stdlib.h>

#include "common/base/num.h"
#include "common/base/utf8.h"

enum { FEW_KEYS = 8 };

/* What may come next. */
enum state {
    STATE_VALUE,
    STATE_FIRST_KEY,     /* or the object's end */
    STATE_KEY,           /* after a comma */
    STATE_FIRST_ELEMENT, /* or the array's end */
    STATE_COMMA,         /* or the container's end */
    STATE_DONE,
};

void
json_open(struct json *j, struct slice input, const struct limits *limits, struct arena *arena)
{
    *j = (struct json){
        .input = input,
        .arena = arena,
        .tokens_left = limits->json_tokens,
        .depth_max = limits->json_depth < JSON_DEPTH_MAX ? limits->json_depth : JSON_DEPTH_MAX,
        .keys = vec_of(sizeof(struct slice), limits->json_tokens),
        .state = STATE_VALUE,
    };
}

void
json_done(struct json *j)
{
    if (j == NULL)
        return;
    vec_done(&j->keys);
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void
skip_space(struct json *j)
{
    while (j->at < j->input.length && is_space(j->input.at[j->at]))
        j->at++;
}

/* The byte at the cursor; NUL, which is never legal, at the end. */
static char
here(const struct json *j)
{
    return j->at < j->input.length ? j->input.at[j->at] : '\0';
}

static enum status
parse_hex4(struct json *j, uint32_t *ret_code, struct err *err)
{
    uint32_t code = 0;

    FAIL_IF(j->input.length - j->at < 4, err, BAD_JSON, j->at, "a cut-off \\u escape");
    for (int i = 0; i < 4; i++) {
        char c = j->input.at[j->at++];

        code <<= 4;
        if (c >= '0' && c <= '9')
            code |= (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            code |= (uint32_t)((c | 0x20) - 'a' + 10);
        else
            FAIL(err, BAD_JSON, j->at - 1, "a \\u escape that is not four hex digits");
    }
    *ret_code = code;
    return OK;
}

static enum status
parse_unicode_escape(struct json *j, uint32_t *ret_code, struct err *err)
{
    uint64_t start = j->at;
    uint32_t low;

    TRY(parse_hex4(j, ret_code, err));
    FAIL_IF(*ret_code == 0, err, BAD_JSON, start, "a NUL character in a string");
    FAIL_IF(*ret_code >= 0xDC00 && *ret_code <= 0xDFFF, err, BAD_JSON, start, "a lone surrogate");
    if (*ret_code < 0xD800 || *ret_code > 0xDBFF)
        return OK;
    FAIL_IF(j->input.length - j->at < 6 || j->input.at[j->at] != '\\' ||
                j->input.at[j->at + 1] != 'u',
            err, BAD_JSON, start, "a lone surrogate");
    j->at += 2;
    TRY(parse_hex4(j, &low, err));
    FAIL_IF(low < 0xDC00 || low > 0xDFFF, err, BAD_JSON, start, "a lone surrogate");
    *ret_code = 0x10000 + ((*ret_code - 0xD800) << 10) + (low - 0xDC00);
    return OK;
}

static enum status
parse_escape(struct json *j, struct buf *text, struct err *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = here(j);
    const char *found = c == '\0' ? NULL : strchr(from, c);
    uint32_t code;

    if (found != NULL) {
        j->at++;
        buf_char(text, to[found - from]);
        return OK;
    }
    FAIL_IF(c != 'u', err, BAD_JSON, j->at, "an unknown escape in a string");
    j->at++;
    TRY(parse_unicode_escape(j, &code, err));
    utf8_add(text, code);
    return OK;
}

/* Move over a run of plain characters, checking that they are UTF-8. */
static enum status
skip_plain(struct json *j, struct err *err)
{
    const char *input = j->input.at;
    size_t at = j->at, end = j->input.length;

    while (at < end) {
        uint8_t c = (uint8_t)input[at];
        uint32_t code;
        size_t length = 1;

        if (c == '"' || c == '\\') {
            j->at = at;
            return OK;
        }
        FAIL_IF(c < 0x20, err, BAD_JSON, at, "a control character in a string");
        if (c >= 0x80) {
            length = utf8_next(slice_from(j->input, at), &code);
            FAIL_IF(length == 0, err, BAD_JSON, at, "a string that is not UTF-8");
        }
        at += length;
    }
    FAIL(err, BAD_JSON, at, "a string without its closing quote");
}

/* A string with escapes, from its first backslash on: head is what stood before it. */
static enum status
parse_escaped(struct json *j, struct slice head, struct buf *text, struct err *err)
{
    buf_slice(text, head);
    while (here(j) != '"') {
        size_t start;

        if (here(j) == '\\') {
            j->at++;
            TRY(parse_escape(j, text, err));
        }
        start = j->at;
        TRY(skip_plain(j, err));
        buf_slice(text, slice_part(j->input, start, j->at - start));
    }
    return buf_check(text, err);
}

static enum status
parse_string(struct json *j, struct slice *ret_text, struct err *err)
{
    size_t start = ++j->at;
    struct buf text = buf_with_cap(j->input.length);
    enum status status;

    TRY(skip_plain(j, err));
    *ret_text = slice_part(j->input, start, j->at - start);
    if (here(j) == '"') {
        j->at++;
        return OK;
    }
    status = parse_escaped(j, *ret_text, &text, err);
    if (status == OK)
        status = arena_copy(j->arena, buf_slice_of(&text), ret_text, err);
    buf_done(&text);
    if (status == OK)
        j->at++; /* the closing quote */
    return status;
}

static void
skip_digits(struct json *j)
{
    while (here(j) >= '0' && here(j) <= '9')
        j->at++;
}

static enum status
parse_number(struct json *j, struct slice *ret_text, struct err *err)
{
    size_t start = j->at, digits;

    if (here(j) == '-')
        j->at++;
    digits = j->at;
    skip_digits(j);
    FAIL_IF(j->at == digits, err, BAD_JSON, start, "a value was expected");
    FAIL_IF(j->input.at[digits] == '0' && j->at > digits + 1, err, BAD_JSON, start,
            "a number with a leading zero");
    if (here(j) == '.') {
        digits = ++j->at;
        skip_digits(j);
        FAIL_IF(j->at == digits, err, BAD_JSON, start, "a number that ends in its point");
    }
    if (here(j) == 'e' || here(j) == 'E') {
        j->at++;
        if (here(j) == '+' || here(j) == '-')
            j->at++;
        digits = j->at;
        skip_digits(j);
        FAIL_IF(j->at == digits, err, BAD_JSON, start, "a number without its exponent");
    }
    *ret_text = slice_part(j->input, start, j->at - start);
    return OK;
}

static bool
take_word(struct json *j, const char *word)
{
    struct slice rest = slice_from(j->input, j->at);

    if (!slice_starts(rest, slice_of(word)))
        return false;
    j->at += strlen(word);
    return true;
}

static enum status
push(struct json *j, bool is_object, struct err *err)
{
    FAIL_IF(j->depth == j->depth_max, err, LIMIT, j->at, "nested deeper than %zu", j->depth_max);
    j->frames[j->depth].is_object = is_object;
    j->frames[j->depth].is_sorted = true;
    j->frames[j->depth].first_key = j->keys.count;
    j->depth++;
    j->at++;
    j->state = is_object ? STATE_FIRST_KEY : STATE_FIRST_ELEMENT;
    return OK;
}

static enum status
parse_value(struct json *j, struct json_token *t, struct err *err)
{
    char c = here(j);

    j->state = j->depth == 0 ? STATE_DONE : STATE_COMMA;
    if (c == '{' || c == '[') {
        t->kind = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        return push(j, c == '{', err);
    }
    if (c == '"') {
        t->kind = JSON_STRING;
        return parse_string(j, &t->text, err);
    }
    if (take_word(j, "true"))
        t->kind = JSON_TRUE;
    else if (take_word(j, "false"))
        t->kind = JSON_FALSE;
    else if (take_word(j, "null"))
        t->kind = JSON_NULL;
    else {
        FAIL_IF(j->at >= j->input.length, err, BAD_JSON, j->at, "the text ends early");
        t->kind = JSON_NUMBER;
        return parse_number(j, &t->text, err);
    }
    return OK;
}

static int
compare_keys(const void *a, const void *b)
{
    const struct slice *const x = a;
    const struct slice *const y = b;

    return slice_compare(*x, *y);
}

static enum status
remember_key(struct json *j, const struct json_token *t, struct err *err)
{
    struct slice *key;
    size_t first = j->frames[j->depth - 1].first_key;

    TRY(vec_add(&j->keys, &key, "keys", err));
    *key = t->text;
    if (j->keys.count - first > 1) {
        int order = slice_compare(VEC_AT(&j->keys, struct slice, j->keys.count - 2), t->text);

        FAIL_IF(order == 0, err, BAD_JSON, t->offset, "the key \"%.*s\" occurs twice",
                SLICE_PRINT(t->text));
        if (order > 0)
            j->frames[j->depth - 1].is_sorted = false;
    }
    return OK;
}

/* Before an object's end: no key twice. Few keys, as most objects have, are compared each with each;
 * many are sorted first. */
static enum status
check_keys(struct json *j, struct err *err)
{
    size_t first = j->frames[j->depth - 1].first_key, count = j->keys.count - first;
    struct slice *keys = j->keys.items;

    j->keys.count = first;
    if (count < 2 || j->frames[j->depth - 1].is_sorted)
        return OK;
    keys += first;
    if (count > FEW_KEYS)
        qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 1; i < count; i++)
        for (size_t k = count > FEW_KEYS ? i - 1 : 0; k < i; k++)
            FAIL_IF(slice_equal(keys[k], keys[i]), err, BAD_JSON, j->at,
                    "the key \"%.*s\" occurs twice in one object", SLICE_PRINT(keys[i]));
    return OK;
}

static enum status
pop(struct json *j, struct json_token *t, struct err *err)
{
    bool is_object = j->frames[j->depth - 1].is_object;

    if (is_object)
        TRY(check_keys(j, err));
    t->kind = is_object ? JSON_OBJECT_END : JSON_ARRAY_END;
    j->at++;
    j->depth--;
    j->state = j->depth == 0 ? STATE_DONE : STATE_COMMA;
    return OK;
}

static enum status
parse_key(struct json *j, struct json_token *t, struct err *err)
{
    FAIL_IF(here(j) != '"', err, BAD_JSON, j->at, "a key in quotes was expected");
    t->kind = JSON_KEY;
    TRY(parse_string(j, &t->text, err));
    TRY(remember_key(j, t, err));
    skip_space(j);
    FAIL_IF(here(j) != ':', err, BAD_JSON, j->at, "a colon was expected after the key");
    j->at++;
    j->state = STATE_VALUE;
    return OK;
}

static enum status
parse_token(struct json *j, struct json_token *t, struct err *err)
{
    char end = '\0';

    if (j->depth > 0)
        end = j->frames[j->depth - 1].is_object ? '}' : ']';
    switch ((enum state)j->state) {
    case STATE_DONE:
        FAIL_IF(j->at < j->input.length, err, BAD_JSON, j->at, "more text after the end");
        t->kind = JSON_END;
        return OK;
    case STATE_COMMA:
        if (here(j) == end)
            return pop(j, t, err);
        FAIL_IF(here(j) != ',', err, BAD_JSON, j->at, "a comma or '%c' was expected", end);
        j->at++;
        skip_space(j);
        t->offset = j->at;
        return end == '}' ? parse_key(j, t, err) : parse_value(j, t, err);
    case STATE_FIRST_KEY:
        return here(j) == end ? pop(j, t, err) : parse_key(j, t, err);
    case STATE_FIRST_ELEMENT:
        return here(j) == end ? pop(j, t, err) : parse_value(j, t, err);
    case STATE_KEY:
        return parse_key(j, t, err);
    case STATE_VALUE:
        return parse_value(j, t, err);
    }
    FAIL(err, INTERNAL, j->at, "the JSON reader is in no state");
}

enum status
json_next(struct json *j, struct json_token *ret_token, struct err *err)
{
    if (j->has_peeked) {
        j->has_peeked = false;
        *ret_token = j->peeked;
        return OK;
    }
    skip_space(j);
    FAIL_IF(j->tokens_left == 0, err, LIMIT, j->at, "too many JSON values");
    j->tokens_left--;
    *ret_token = (struct json_token){.offset = j->at};
    return parse_token(j, ret_token, err);
}

enum status
json_peek(struct json *j, struct json_token *ret_token, struct err *err)
{
    if (!j->has_peeked) {
        TRY(json_next(j, &j->peeked, err));
        j->has_peeked = true;
    }
    *ret_token = j->peeked;
    return OK;
}

const char *
json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {
        [JSON_NULL] = "null",
        [JSON_FALSE] = "false",
        [JSON_TRUE] = "true",
        [JSON_NUMBER] = "a number",
        [JSON_STRING] = "a string",
        [JSON_ARRAY] = "a list",
        [JSON_OBJECT] = "an object",
        [JSON_KEY] = "a key",
        [JSON_ARRAY_END] = "the end of the list",
        [JSON_OBJECT_END] = "the end of the object",
        [JSON_END] = "the end of the text",
    };

    return names[kind];
}

static enum status
expect(struct json *j, enum json_kind kind, const char *what, struct json_token *t, struct err *err)
{
    TRY(json_next(j, t, err));
    FAIL_IF(t->kind != kind, err, BAD_JSON, t->offset, "%s must be %s, not %s", what,
            json_kind_name(kind), json_kind_name(t->kind));
    return OK;
}

enum status
json_object(struct json *j, const char *what, struct err *err)
{
    struct json_token t;

    return expect(j, JSON_OBJECT, what, &t, err);
}

enum status
json_array(struct json *j, const char *what, struct err *err)
{
    struct json_token t;

    return expect(j, JSON_ARRAY, what, &t, err);
}

enum status
json_string(struct json *j, const char *what, struct slice *ret_text, struct err *err)
{
    struct json_token t;

    TRY(expect(j, JSON_STRING, what, &t, err));
    *ret_text = t.text;
    return OK;
}

enum status
json_bool(struct json *j, const char *what, bool *ret_value, struct err *err)
{
    struct json_token t;

    TRY(json_next(j, &t, err));
    FAIL_IF(t.kind != JSON_TRUE && t.kind != JSON_FALSE, err, BAD_JSON, t.offset,
            "%s must be true or false, not %s", what, json_kind_name(t.kind));
    *ret_value = t.kind == JSON_TRUE;
    return OK;
}

enum status
json_u64(struct json *j, const char *what, uint64_t *ret_value, struct err *err)
{
    struct json_token t;

    TRY(expect(j, JSON_NUMBER, what, &t, err));
    FAIL_IF(!num_parse_u64(t.text, ret_value), err, BAD_JSON, t.offset,
            "%s must be a whole number from 0 to 2^64-1, not %.*s", what, SLICE_PRINT(t.text));
    return OK;
}

enum status
json_i64(struct json *j, const char *what, int64_t *ret_value, struct err *err)
{
    struct json_token t;

    TRY(expect(j, JSON_NUMBER, what, &t, err));
    FAIL_IF(!num_parse_i64(t.text, ret_value), err, BAD_JSON, t.offset,
            "%s must be a whole number of 64 bits, not %.*s", what, SLICE_PRINT(t.text));
    return OK;
}

enum status
json_double(struct json *j, const char *what, double *ret_value, struct err *err)
{
    struct json_token t;

    TRY(expect(j, JSON_NUMBER, what, &t, err));
    FAIL_IF(!num_parse_double(t.text, ret_value), err, BAD_JSON, t.offset,
            "%s is not a number that can be held: %.*s", what, SLICE_PRINT(t.text));
    return OK;
}

enum status
json_key(struct json *j, struct slice *ret_key, bool *ret_is_end, struct err *err)
{
    struct json_token t;

    TRY(json_next(j, &t, err));
    *ret_is_end = t.kind == JSON_OBJECT_END;
    *ret_key = t.text;
    return OK;
}

enum status
json_element(struct json *j, bool *ret_is_end, struct err *err)
{
    struct json_token t;

    TRY(json_peek(j, &t, err));
    *ret_is_end = t.kind == JSON_ARRAY_END;
    if (*ret_is_end)
        j->has_peeked = false;
    return OK;
}

enum status
json_skip(struct json *j, struct slice *ret_raw, struct err *err)
{
    struct json_token t;
    size_t start, depth;

    TRY(json_next(j, &t, err));
    start = (size_t)t.offset;
    if (t.kind == JSON_OBJECT || t.kind == JSON_ARRAY)
        for (depth = j->depth - 1; j->depth > depth;)
            TRY(json_next(j, &t, err));
    if (ret_raw != NULL)
        *ret_raw = slice_part(j->input, start, j->at - start);
    return OK;
}

enum status
json_finish(struct json *j, struct err *err)
{
    struct json_token t;

    TRY(json_next(j, &t, err));
    FAIL_IF(t.kind != JSON_END, err, BAD_JSON, t.offset, "more text after the end");
    return OK;
}
