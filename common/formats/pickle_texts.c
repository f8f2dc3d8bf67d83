/*
 * Opcodes that push texts and bytes. In protocol 0 they are lines, escaped as in Python's source; later
 * ones tell their length first. All but the escaped are lent from the pickle itself.
 */
#include "common/base/utf8.h"
#include "common/formats/pickle_machine.h"

/* A half of a surrogate pair, as UTF-8 would spell it: ED A0..BF xx. */
static bool
is_surrogate(struct slice s)
{
    const uint8_t *b = (const uint8_t *)s.at;

    return s.length >= 3 && b[0] == 0xED && b[1] >= 0xA0 && b[1] <= 0xBF && (b[2] & 0xC0U) == 0x80;
}

bool
pickle_text_is_valid(struct slice text, bool *ret_has_surrogate)
{
    *ret_has_surrogate = false;
    while (text.length > 0) {
        uint64_t word;
        uint32_t code;
        size_t step;

        if (text.length >= 8) {
            memcpy(&word, text.at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                text = slice_from(text, 8);
                continue;
            }
        }
        step = utf8_next(text, &code);
        if (step == 0 && is_surrogate(text)) {
            *ret_has_surrogate = true;
            step = 3;
        }
        if (step == 0)
            return false;
        text = slice_from(text, step);
    }
    return true;
}

static enum status
push_text(struct machine *m, struct slice text)
{
    bool has_surrogate = false;

    STOP_IF(!pickle_text_is_valid(text, &has_surrogate), m, MALFORMED, "a text that is not UTF-8");
    if (has_surrogate)
        machine_odd(m, PICKLE_ODD_TEXT);
    return machine_push(m, machine_bytes(PICKLE_STR, text));
}

/* Python 2's str: text if the loader can decode it, bytes if it is told so. */
static enum status
push_raw(struct machine *m, struct slice bytes)
{
    struct pickle_value v = machine_bytes(PICKLE_STR, bytes);

    if (!utf8_is_valid(bytes))
        machine_odd(m, PICKLE_ODD_RAW);
    v.is_raw = true;
    return machine_push(m, v);
}

/* Take as many bytes as a length of 1, 4 or 8 bytes before them tells. */
static enum status
counted(struct machine *m, size_t length_bytes, struct slice *ret_bytes)
{
    const uint8_t *b = NULL;
    uint64_t length = 0;

    TRY(machine_take(m, length_bytes, &b));
    for (size_t i = 0; i < length_bytes; i++)
        length |= (uint64_t)b[i] << 8 * i;
    STOP_IF(length > (uint64_t)(m->end - m->at), m, TRUNCATED,
            "%llu bytes are announced, %zu are left", (unsigned long long)length,
            (size_t)(m->end - m->at));
    TRY(machine_take(m, (size_t)length, &b));
    *ret_bytes = (struct slice){.at = (const char *)b, .length = (size_t)length};
    return OK;
}

static enum status
counted_text(struct machine *m, size_t length_bytes)
{
    struct slice text;

    TRY(counted(m, length_bytes, &text));
    return push_text(m, text);
}

static enum status
counted_bytes(struct machine *m, size_t length_bytes, enum pickle_kind kind)
{
    struct slice bytes;
    struct pickle_value v;

    TRY(counted(m, length_bytes, &bytes));
    v = machine_bytes(kind, bytes);
    v.is_unhashable = kind == PICKLE_BYTEARRAY;
    return machine_push(m, v);
}

static enum status
op_short_binunicode(struct machine *m)
{
    return counted_text(m, 1);
}

static enum status
op_binunicode(struct machine *m)
{
    return counted_text(m, 4);
}

static enum status
op_binunicode8(struct machine *m)
{
    return counted_text(m, 8);
}

static enum status
op_short_binbytes(struct machine *m)
{
    return counted_bytes(m, 1, PICKLE_BYTES);
}

static enum status
op_binbytes(struct machine *m)
{
    return counted_bytes(m, 4, PICKLE_BYTES);
}

static enum status
op_binbytes8(struct machine *m)
{
    return counted_bytes(m, 8, PICKLE_BYTES);
}

static enum status
op_bytearray8(struct machine *m)
{
    return counted_bytes(m, 8, PICKLE_BYTEARRAY);
}

static enum status
op_short_binstring(struct machine *m)
{
    struct slice bytes;

    TRY(counted(m, 1, &bytes));
    return push_raw(m, bytes);
}

static enum status
op_binstring(struct machine *m)
{
    const uint8_t *b = NULL;
    uint32_t length = 0;

    TRY(machine_signed_length(m, &length));
    TRY(machine_take(m, length, &b));
    return push_raw(m, (struct slice){.at = (const char *)b, .length = length});
}

/* One escape of a bytes literal, after its backslash. An unknown one stands for itself. */
static bool
unescape(struct slice *in, char *out, size_t *length)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char c;
    const char *known;
    unsigned value = 0;

    if (in->length == 0)
        return false;
    c = in->at[0];
    known = memchr(from, c, sizeof from - 1);
    if (known != NULL) {
        out[(*length)++] = to[known - from];
        *in = slice_from(*in, 1);
    } else if (c >= '0' && c <= '7') {
        for (unsigned i = 0; i < 3 && in->length > 0 && machine_digit(in->at[0]) < 8; i++) {
            value = value * 8 + machine_digit(in->at[0]);
            *in = slice_from(*in, 1);
        }
        out[(*length)++] = (char)(value & 0xFF);
    } else if (c == 'x') {
        if (in->length < 3 || machine_digit(in->at[1]) > 15 || machine_digit(in->at[2]) > 15)
            return false;
        out[(*length)++] = (char)(machine_digit(in->at[1]) << 4 | machine_digit(in->at[2]));
        *in = slice_from(*in, 3);
    } else
        out[(*length)++] = '\\';
    return true;
}

/* STRING: a bytes literal as Python 2's repr writes it. */
static enum status
op_string(struct machine *m)
{
    struct slice line, in;
    char *out = NULL;
    size_t length = 0;

    TRY(pickle_line(m, &line));
    STOP_IF(line.length < 2 || (line.at[0] != '\'' && line.at[0] != '"') ||
                line.at[0] != line.at[line.length - 1],
            m, MALFORMED, "a string without its quotes");
    in = slice_part(line, 1, line.length - 2);
    if (in.length == 0 || memchr(in.at, '\\', in.length) == NULL)
        return push_raw(m, in);
    TRY(pickle_new(m, in.length, 1, &out));
    while (in.length > 0) {
        char c = in.at[0];

        in = slice_from(in, 1);
        if (c != '\\')
            out[length++] = c;
        else
            STOP_IF(!unescape(&in, out, &length), m, MALFORMED, "a string with a broken escape");
    }
    return push_raw(m, (struct slice){.at = out, .length = length});
}

/* UTF-8 of a code point, surrogates as they are; 4 bytes at most. */
static size_t
put_code(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0U | code >> 6);
        out[1] = (char)(0x80U | (code & 0x3FU));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0U | code >> 12);
        out[1] = (char)(0x80U | (code >> 6 & 0x3FU));
        out[2] = (char)(0x80U | (code & 0x3FU));
        return 3;
    }
    out[0] = (char)(0xF0U | code >> 18);
    out[1] = (char)(0x80U | (code >> 12 & 0x3FU));
    out[2] = (char)(0x80U | (code >> 6 & 0x3FU));
    out[3] = (char)(0x80U | (code & 0x3FU));
    return 4;
}

/* The number of a \uXXXX or \UXXXXXXXX whose letter is at the text's start. */
static bool
take_code(struct slice *in, uint32_t *ret_code)
{
    size_t digits = in->at[0] == 'u' ? 4 : 8;
    uint32_t code = 0;

    if (in->length < 1 + digits)
        return false;
    for (size_t i = 1; i <= digits; i++) {
        unsigned digit = machine_digit(in->at[i]);

        if (digit > 15)
            return false;
        code = code << 4 | digit;
    }
    *in = slice_from(*in, 1 + digits);
    *ret_code = code;
    return code <= 0x10FFFF;
}

/* UNICODE: latin-1, with \uXXXX and \UXXXXXXXX ("raw-unicode-escape"). A backslash before anything
 * else stands for itself, and keeps the next character from being looked at. */
static enum status
op_unicode(struct machine *m)
{
    struct slice in;
    char *out = NULL;
    size_t length = 0;

    TRY(pickle_line(m, &in));
    TRY(pickle_new(m, 2 * in.length, 1, &out));
    while (in.length > 0) {
        uint32_t code = (uint8_t)in.at[0];

        in = slice_from(in, 1);
        if (code == '\\' && in.length > 0 && (in.at[0] | 0x20) == 'u') {
            STOP_IF(!take_code(&in, &code), m, MALFORMED, "a text with a broken escape");
        } else if (code == '\\' && in.length > 0) {
            out[length++] = '\\';
            code = (uint8_t)in.at[0];
            in = slice_from(in, 1);
        }
        length += put_code(out + length, code);
    }
    return push_text(m, (struct slice){.at = out, .length = length});
}

const struct machine_op pickle_texts[] = {
    {'S', op_string},       {'T', op_binstring},   {'U', op_short_binstring},
    {'V', op_unicode},      {'X', op_binunicode},  {0x8C, op_short_binunicode},
    {0x8D, op_binunicode8}, {'B', op_binbytes},    {'C', op_short_binbytes},
    {0x8E, op_binbytes8},   {0x96, op_bytearray8}, {0, NULL},
};
