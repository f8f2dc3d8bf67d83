#include "common/base/utf8.h"

#include "common/base/attr.h"

enum { REPLACEMENT = 0xFFFD };

size_t
utf8_next(struct slice s, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *b = (const uint8_t *)s.at;
    size_t length;
    uint32_t code;

    if (s.length == 0)
        return 0;
    if (b[0] < 0x80) {
        *ret_code = b[0];
        return 1;
    }
    if (b[0] >= 0xC2 && b[0] <= 0xDF)
        length = 2, code = b[0] & 0x1FU;
    else if (b[0] >= 0xE0 && b[0] <= 0xEF)
        length = 3, code = b[0] & 0x0FU;
    else if (b[0] >= 0xF0 && b[0] <= 0xF4)
        length = 4, code = b[0] & 0x07U;
    else
        return 0;
    if (s.length < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xC0U) != 0x80U)
            return 0;
        code = code << 6 | (b[i] & 0x3FU);
    }
    if (code < least[length] || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF)
        return 0;
    *ret_code = code;
    return length;
}

bool
utf8_is_valid(struct slice s)
{
    uint32_t code;

    while (s.length > 0) {
        size_t length = utf8_next(s, &code);

        if (length == 0)
            return false;
        s = slice_from(s, length);
    }
    return true;
}

void
utf8_add(struct buf *b, uint32_t code)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        code = REPLACEMENT;
    if (code < 0x80) {
        buf_char(b, (char)code);
    } else if (code < 0x800) {
        buf_char(b, (char)(0xC0U | code >> 6));
        buf_char(b, (char)(0x80U | (code & 0x3FU)));
    } else if (code < 0x10000) {
        buf_char(b, (char)(0xE0U | code >> 12));
        buf_char(b, (char)(0x80U | (code >> 6 & 0x3FU)));
        buf_char(b, (char)(0x80U | (code & 0x3FU)));
    } else {
        buf_char(b, (char)(0xF0U | code >> 18));
        buf_char(b, (char)(0x80U | (code >> 12 & 0x3FU)));
        buf_char(b, (char)(0x80U | (code >> 6 & 0x3FU)));
        buf_char(b, (char)(0x80U | (code & 0x3FU)));
    }
}

bool
utf8_is_unseemly(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1F},     {0x7F, 0x9F},     {0x061C, 0x061C}, {0x180E, 0x180E}, {0x200B, 0x200F},
        {0x2028, 0x202E}, {0x2060, 0x2069}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

void
utf8_clean(struct buf *b, struct slice s)
{
    uint32_t code;

    while (s.length > 0) {
        size_t length = utf8_next(s, &code);

        if (length == 0) {
            buf_printf(b, "\\x%02x", (unsigned)(uint8_t)s.at[0]);
            length = 1;
        } else if (utf8_is_unseemly(code)) {
            buf_printf(b, "\\u{%x}", (unsigned)code);
        } else {
            buf_add(b, s.at, length);
        }
        s = slice_from(s, length);
    }
}
