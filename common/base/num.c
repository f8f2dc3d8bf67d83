#include "common/base/num.h"

#include <math.h>
#include <stdlib.h>

bool
num_parse_u64(struct slice text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (text.length == 0 || (text.length > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.at[i];

        if (c < '0' || c > '9')
            return false;
        if (!num_mul(value, 10, &value) || !num_add(value, (uint64_t)(c - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool
num_parse_i64(struct slice text, int64_t *ret_value)
{
    bool is_negative = text.length > 0 && text.at[0] == '-';
    uint64_t magnitude;

    if (!num_parse_u64(is_negative ? slice_from(text, 1) : text, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (is_negative ? 1U : 0U))
        return false;
    *ret_value = is_negative ? (int64_t)(0U - magnitude) : (int64_t)magnitude;
    return true;
}

bool
num_parse_double(struct slice text, double *ret_value)
{
    char copy[512];
    char *end;
    double value;

    if (text.length == 0 || text.length >= sizeof copy)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.at[i];

        /* Only what JSON allows: strtod itself would take hex, "inf" and "nan". */
        if ((c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E')
            return false;
    }
    memcpy(copy, text.at, text.length);
    copy[text.length] = '\0';
    /* The process never calls setlocale, so the decimal point is '.'. */
    value = strtod(copy, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}
