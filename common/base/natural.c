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
zeros_at(struct slice s, size_t at, size_t digits)
{
    size_t zeros = 0;

    while (zeros < digits && s.at[at + zeros] == '0')
        zeros++;
    return zeros;
}

/* Compare two runs of digits as numbers of any length: the longer is the larger, leading zeros
 * aside. */
static int
compare_numbers(struct slice a, struct slice b)
{
    size_t zeros_a = zeros_at(a, 0, a.length), zeros_b = zeros_at(b, 0, b.length);
    struct slice x = slice_from(a, zeros_a), y = slice_from(b, zeros_b);

    if (x.length != y.length)
        return x.length < y.length ? -1 : 1;
    return slice_compare(x, y);
}

int
natural_compare(struct slice a, struct slice b)
{
    size_t i = 0, j = 0;

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
