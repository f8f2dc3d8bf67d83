/*
 * Opcodes that push a constant: numbers, texts, bytes. In protocol 0 they are lines of text, spelled
 * as Python's source would spell them; later ones are binary, little-endian but for BINFLOAT.
 */
#include <math.h>

#include "common/base/num.h"
#include "common/base/utf8.h"
#include "common/formats/pickle_machine.h"

enum { INT_DIGITS_MAX = 4300 }; /* what Python itself takes: sys.int_info.default_max_str_digits */

static struct pickle_value
of_int(int64_t value)
{
    return (struct pickle_value){.kind = PICKLE_INT, .is.integer = value};
}

static struct pickle_value
of_bool(bool truth)
{
    return (struct pickle_value){.kind = PICKLE_BOOL, .is.truth = truth};
}

static struct pickle_value
of_slice(enum pickle_kind kind, struct slice s)
{
    return (struct pickle_value){
        .kind = (uint8_t)kind, .count = (uint32_t)s.length, .is.bytes = s.at};
}

static enum status
op_none(struct machine *m)
{
    return machine_push(m, (struct pickle_value){.kind = PICKLE_NONE});
}

static enum status
op_newtrue(struct machine *m)
{
    return machine_push(m, of_bool(true));
}

static enum status
op_newfalse(struct machine *m)
{
    return machine_push(m, of_bool(false));
}

static enum status
op_binint(struct machine *m)
{
    uint32_t bits = 0;

    TRY(machine_u32(m, &bits));
    return machine_push(m, of_int((int32_t)bits));
}

static enum status
op_binint1(struct machine *m)
{
    uint8_t value = 0;

    TRY(machine_u8(m, &value));
    return machine_push(m, of_int(value));
}

static enum status
op_binint2(struct machine *m)
{
    const uint8_t *b = NULL;

    TRY(machine_take(m, 2, &b));
    return machine_push(m, of_int(b[0] | b[1] << 8));
}

/* Two's complement of any length; none is 0. */
static enum status
push_long(struct machine *m, const uint8_t *b, size_t length)
{
    uint64_t bits = 0;
    uint8_t sign = length > 0 && b[length - 1] >= 0x80 ? 0xFF : 0;
    bool fits = true;

    for (size_t i = 8; i < length; i++)
        fits = fits && b[i] == sign;
    if (!fits || (length > 8 && (b[7] >= 0x80) != (sign != 0)))
        return machine_push(m, of_slice(PICKLE_BIGINT, (struct slice){(const char *)b, length}));
    for (size_t i = 0; i < 8; i++)
        bits |= (uint64_t)(i < length ? b[i] : sign) << 8 * i;
    return machine_push(m, of_int((int64_t)bits));
}

static enum status
op_long1(struct machine *m)
{
    const uint8_t *b = NULL;
    uint8_t length = 0;

    TRY(machine_u8(m, &length));
    TRY(machine_take(m, length, &b));
    return push_long(m, b, length);
}

/* A length that is signed on the wire. */
static enum status
signed_length(struct machine *m, uint32_t *ret_length)
{
    TRY(machine_u32(m, ret_length));
    STOP_IF(*ret_length > INT32_MAX, m, MALFORMED, "a negative length");
    return OK;
}

static enum status
op_long4(struct machine *m)
{
    const uint8_t *b = NULL;
    uint32_t length = 0;

    TRY(signed_length(m, &length));
    TRY(machine_take(m, length, &b));
    return push_long(m, b, length);
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static unsigned
digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

/* Cut a sign and a base's prefix off the text. The loaders also read a leading 0 as octal, or refuse
 * it, as it comes. */
static unsigned
cut_base(struct slice *text)
{
    unsigned base = 10;

    if (text->length >= 2 && text->at[0] == '0') {
        char letter = (char)(text->at[1] | 0x20);

        base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
        if (base != 10)
            *text = slice_from(*text, 2);
        else
            base = 8;
    }
    return base;
}

/* int(text, 0). An int beyond 64 bits has *ret_is_big; a spelling that no pickler writes is odd. */
static bool
parse_int(struct slice text, int64_t *ret_value, bool *ret_is_big, bool *ret_is_odd)
{
    struct slice digits = text;
    bool is_negative;
    uint64_t magnitude = 0;
    unsigned base;

    *ret_is_big = false;
    while (digits.length > 0 && is_space(digits.at[0]))
        digits = slice_from(digits, 1);
    while (digits.length > 0 && is_space(digits.at[digits.length - 1]))
        digits.length--;
    is_negative = digits.length > 0 && digits.at[0] == '-';
    if (is_negative || (digits.length > 0 && digits.at[0] == '+'))
        digits = slice_from(digits, 1);
    base = cut_base(&digits);
    if (digits.length == 0 || digits.length > INT_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < digits.length; i++) {
        unsigned digit = digit_of(digits.at[i]);
        bool is_joint = digits.at[i] == '_' && i + 1 < digits.length && digits.at[i + 1] != '_';

        if (!is_joint && digit >= base)
            return false;
        if (is_joint || *ret_is_big)
            continue;
        *ret_is_big = !num_mul(magnitude, base, &magnitude) ||
                      !num_add(magnitude, digit, &magnitude) ||
                      magnitude > (uint64_t)INT64_MAX + (is_negative ? 1U : 0U);
    }
    *ret_value = is_negative ? (int64_t)(0U - magnitude) : (int64_t)magnitude;
    *ret_is_odd = base != 10 || digits.length + is_negative != text.length ||
                  memchr(digits.at, '_', digits.length) != NULL;
    return true;
}

static enum status
push_int_text(struct machine *m, struct slice text)
{
    int64_t value = 0;
    bool is_big = false, is_odd = false;
    struct pickle_value v;

    STOP_IF(!parse_int(text, &value, &is_big, &is_odd), m, MALFORMED, "an int that is no number");
    if (is_odd)
        machine_odd(m, PICKLE_ODD_NUMBER);
    if (!is_big)
        return machine_push(m, of_int(value));
    v = of_slice(PICKLE_BIGINT, text);
    v.is_raw = true;
    return machine_push(m, v);
}

static enum status
op_int(struct machine *m)
{
    struct slice line;

    TRY(pickle_line(m, &line));
    if (slice_is(line, "00") || slice_is(line, "01"))
        return machine_push(m, of_bool(line.at[1] == '1'));
    return push_int_text(m, line);
}

static enum status
op_long(struct machine *m)
{
    struct slice line;

    TRY(pickle_line(m, &line));
    if (line.length > 0 && line.at[line.length - 1] == 'L')
        line.length--;
    return push_int_text(m, line);
}

static bool
is_word(struct slice text, const char *word)
{
    size_t length = strlen(word);

    if (text.length != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((text.at[i] | 0x20) != word[i])
            return false;
    return true;
}

static bool
parse_float(struct slice text, double *ret_value)
{
    bool is_negative = text.length > 0 && text.at[0] == '-';
    bool has_sign = is_negative || (text.length > 0 && text.at[0] == '+');
    struct slice magnitude = has_sign ? slice_from(text, 1) : text;
    double value;

    if (magnitude.length == 0 || magnitude.at[0] == '-' || magnitude.at[0] == '+')
        return false;
    if (is_word(magnitude, "inf") || is_word(magnitude, "infinity"))
        value = (double)INFINITY;
    else if (is_word(magnitude, "nan"))
        value = (double)NAN;
    else if (!num_parse_double(magnitude, &value))
        return false;
    *ret_value = is_negative ? -value : value;
    return true;
}

static enum status
op_float(struct machine *m)
{
    struct slice line;
    double value = 0;

    TRY(pickle_line(m, &line));
    STOP_IF(!parse_float(line, &value), m, MALFORMED, "a float that is no number");
    return machine_push(m, (struct pickle_value){.kind = PICKLE_FLOAT, .is.real = value});
}

static enum status
op_binfloat(struct machine *m)
{
    const uint8_t *b = NULL;
    uint64_t bits = 0;
    struct pickle_value v = {.kind = PICKLE_FLOAT};

    TRY(machine_take(m, 8, &b));
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | b[i];
    memcpy(&v.is.real, &bits, sizeof bits);
    return machine_push(m, v);
}

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
    return machine_push(m, of_slice(PICKLE_STR, text));
}

/* Python 2's str: text if the loader can decode it, bytes if it is told so. */
static enum status
push_raw(struct machine *m, struct slice bytes)
{
    struct pickle_value v = of_slice(PICKLE_STR, bytes);

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
    v = of_slice(kind, bytes);
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

    TRY(signed_length(m, &length));
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
        for (unsigned i = 0; i < 3 && in->length > 0 && digit_of(in->at[0]) < 8; i++) {
            value = value * 8 + digit_of(in->at[0]);
            *in = slice_from(*in, 1);
        }
        out[(*length)++] = (char)(value & 0xFF);
    } else if (c == 'x') {
        if (in->length < 3 || digit_of(in->at[1]) > 15 || digit_of(in->at[2]) > 15)
            return false;
        out[(*length)++] = (char)(digit_of(in->at[1]) << 4 | digit_of(in->at[2]));
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
        unsigned digit = digit_of(in->at[i]);

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

const struct machine_op pickle_literals[] = {
    {'N', op_none},         {0x88, op_newtrue},    {0x89, op_newfalse},
    {'I', op_int},          {'J', op_binint},      {'K', op_binint1},
    {'M', op_binint2},      {'L', op_long},        {0x8A, op_long1},
    {0x8B, op_long4},       {'F', op_float},       {'G', op_binfloat},
    {'S', op_string},       {'T', op_binstring},   {'U', op_short_binstring},
    {'V', op_unicode},      {'X', op_binunicode},  {0x8C, op_short_binunicode},
    {0x8D, op_binunicode8}, {'B', op_binbytes},    {'C', op_short_binbytes},
    {0x8E, op_binbytes8},   {0x96, op_bytearray8}, {0, NULL},
};
