#include "server/http/ranges.h"

#include "common/base/num.h"

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice
trimmed(struct slice s)
{
    while (s.length > 0 && is_blank(s.at[0]))
        s = slice_from(s, 1);
    while (s.length > 0 && is_blank(s.at[s.length - 1]))
        s.length--;
    return s;
}

/* Digits only, leading zeros allowed, saturating: positions beyond any file are legal (§14.1.2). */
static bool
parse_position(struct slice s, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (s.length == 0)
        return false;
    for (size_t i = 0; i < s.length; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        if (!num_mul(value, 10, &value) || !num_add(value, (uint64_t)(s.at[i] - '0'), &value))
            value = UINT64_MAX / 10; /* stays large through the next digits */
    }
    *ret_value = value;
    return true;
}

static bool
starts_with_unit(struct slice s)
{
    static const char unit[] = "bytes";

    if (s.length < sizeof unit - 1)
        return false;
    for (size_t i = 0; i < sizeof unit - 1; i++)
        if ((s.at[i] | 0x20) != unit[i])
            return false;
    return true;
}

enum range
range_parse(struct slice header, uint64_t size, uint64_t *ret_offset, uint64_t *ret_length)
{
    struct slice last = trimmed(header), first;
    uint64_t from, to;

    if (!starts_with_unit(last))
        return RANGE_WHOLE;
    last = trimmed(slice_from(last, sizeof "bytes" - 1));
    if (last.length == 0 || last.at[0] != '=')
        return RANGE_WHOLE;
    last = trimmed(slice_from(last, 1));
    first = slice_cut(&last, '-');
    if (last.at == NULL)
        return RANGE_WHOLE;
    first = trimmed(first);
    last = trimmed(last);
    if (first.length == 0) { /* the last so many bytes */
        if (!parse_position(last, &to))
            return RANGE_WHOLE;
        if (to == 0 || size == 0)
            return RANGE_UNSATISFIABLE;
        *ret_length = to < size ? to : size;
        *ret_offset = size - *ret_length;
        return RANGE_PART;
    }
    if (!parse_position(first, &from))
        return RANGE_WHOLE;
    to = UINT64_MAX;
    if (last.length > 0 && (!parse_position(last, &to) || to < from))
        return RANGE_WHOLE;
    if (from >= size)
        return RANGE_UNSATISFIABLE;
    *ret_offset = from;
    *ret_length = (to < size - 1 ? to : size - 1) - from + 1;
    return RANGE_PART;
}

/* Cut one entity tag off the list's start; empty where there is none. */
static struct slice
cut_etag(struct slice *rest, bool *ret_is_weak)
{
    struct slice s = trimmed(*rest), tag = {0};

    *ret_is_weak = slice_starts(s, slice_of("W/"));
    if (*ret_is_weak)
        s = slice_from(s, 2);
    *rest = (struct slice){0};
    if (s.length < 2 || s.at[0] != '"')
        return tag;
    for (size_t i = 1; i < s.length; i++)
        if (s.at[i] == '"') {
            tag = slice_part(s, 0, i + 1);
            s = trimmed(slice_from(s, i + 1));
            if (s.length > 0 && s.at[0] != ',')
                return (struct slice){0};
            *rest = s.length > 0 ? slice_from(s, 1) : (struct slice){0};
            return tag;
        }
    return tag;
}

bool
etag_listed(struct slice header, struct slice quoted, bool is_weak)
{
    struct slice rest = trimmed(header);

    if (slice_is(rest, "*"))
        return true;
    while (rest.length > 0) {
        bool tag_is_weak;
        struct slice tag = cut_etag(&rest, &tag_is_weak);

        if (tag.length == 0)
            return false;
        if (slice_equal(tag, quoted) && (is_weak || !tag_is_weak))
            return true;
    }
    return false;
}
