#include "common/base/natural.h"

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The length of the run of digits at that place. */
static size_t
digits_at(struct slice s, size_t at)
{
    size_t end = at;

    while (end < s.length && is_digit(s.at[end]))
        end++;
    return end - at;
}

static size_t
zeros_of(struct slice s)
{
    size_t zeros = 0;

    while (zeros < s.length && s.at[zeros] == '0')
        zeros++;
    return zeros;
}

/* Compare two runs of digits as numbers of any length: the longer is the larger, leading zeros
 * aside. */
static int
compare_numbers(struct slice a, struct slice b)
{
    struct slice x = slice_from(a, zeros_of(a)), y = slice_from(b, zeros_of(b));

    if (x.length != y.length)
        return x.length < y.length ? -1 : 1;
    return slice_compare(x, y);
}

/* Where the names begin to differ, or where the digits begin in which they do. */
static size_t
shared_tokens(struct slice a, struct slice b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    size_t i = 0;

    while (i < shorter && a.at[i] == b.at[i])
        i++;
    while (i > 0 && is_digit(a.at[i - 1]))
        i--;
    return i;
}

int
natural_compare(struct slice a, struct slice b)
{
    size_t i = shared_tokens(a, b), j = i;

    while (i < a.length && j < b.length) {
        size_t m = digits_at(a, i), n = digits_at(b, j);

        if (m > 0 && n > 0) {
            int order = compare_numbers(slice_part(a, i, m), slice_part(b, j, n));

            if (order != 0)
                return order;
            i += m;
            j += n;
        } else {
            if (a.at[i] != b.at[j])
                return (unsigned char)a.at[i] < (unsigned char)b.at[j] ? -1 : 1;
            i++;
            j++;
        }
    }
    if (i < a.length || j < b.length)
        return i < a.length ? 1 : -1;

    /* Equal but for leading zeros: any total order will do, the shorter first. */
    if (a.length != b.length)
        return a.length < b.length ? -1 : 1;
    return slice_compare(a, b);
}
