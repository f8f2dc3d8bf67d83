/*
 * Opcodes that push a constant without text: None, bools, ints, floats. In protocol 0 numbers are lines
 * of text, spelled as Python's source would spell them; later ones are binary, little-endian but for
 * BINFLOAT.
 */
#include <math.h>

#include "common/base/num.h"
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
        return machine_push(m,
                            machine_bytes(PICKLE_BIGINT, (struct slice){(const char *)b, length}));
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

static enum status
op_long4(struct machine *m)
{
    const uint8_t *b = NULL;
    uint32_t length = 0;

    TRY(machine_signed_length(m, &length));
    TRY(machine_take(m, length, &b));
    return push_long(m, b, length);
}

static bool
is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
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
        unsigned digit = machine_digit(digits.at[i]);
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
    v = machine_bytes(PICKLE_BIGINT, text);
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

const struct machine_op pickle_numbers[] = {
    {'N', op_none},    {0x88, op_newtrue}, {0x89, op_newfalse}, {'I', op_int},    {'J', op_binint},
    {'K', op_binint1}, {'M', op_binint2},  {'L', op_long},      {0x8A, op_long1}, {0x8B, op_long4},
    {'F', op_float},   {'G', op_binfloat}, {0, NULL},
};
