#include "common/formats/set_name.h"

#include "common/base/attr.h"

enum { DIGITS_MAX = 7 };

struct slice
set_name_folder(struct slice path)
{
    while (path.length > 0 && path.at[path.length - 1] != '/')
        path.length--;
    return path;
}

struct slice
set_name_base(struct slice path)
{
    return slice_from(path, set_name_folder(path).length);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number at the text's start; returns its digits, 0 where there is none or too long a one. */
static size_t
leading_number(struct slice text, uint32_t *ret_number)
{
    size_t n = 0;

    *ret_number = 0;
    while (n < text.length && is_digit(text.at[n])) {
        if (n == DIGITS_MAX)
            return 0;
        *ret_number = *ret_number * 10 + (uint32_t)(text.at[n++] - '0');
    }
    return n;
}

static size_t
find_last(struct slice text, struct slice word)
{
    for (size_t i = text.length; i-- > 0;) {
        if (slice_starts(slice_from(text, i), word))
            return i;
    }
    return SIZE_MAX;
}

/* "shard-00003-model-" before the number is a rank, which is cut off: "shard-". */
static void
take_rank(struct set_number *n)
{
    const struct slice word = slice_of("shard-"), end = slice_of("-model-");
    struct slice folder = set_name_folder(n->before);
    struct slice base = slice_from(n->before, folder.length);
    uint32_t rank;
    size_t digits;

    if (!slice_starts(base, word))
        return;
    digits = leading_number(slice_from(base, word.length), &rank);
    if (digits == 0 || rank == 0 || !slice_equal(slice_from(base, word.length + digits), end))
        return;
    n->rank = rank;
    n->before.length = folder.length + word.length;
}

bool
set_name_number(struct slice path, struct set_number *ret_number)
{
    const struct slice word = slice_of("-of-");
    size_t at = find_last(path, word), start = at, digits;
    struct slice rest;

    *ret_number = (struct set_number){0};
    if (at == SIZE_MAX || at < set_name_folder(path).length)
        return false;
    rest = slice_from(path, at + word.length);
    digits = leading_number(rest, &ret_number->total);
    if (digits == 0)
        return false;
    ret_number->after = slice_from(rest, digits);
    while (start > 0 && is_digit(path.at[start - 1]))
        start--;
    digits = leading_number(slice_part(path, start, at - start), &ret_number->number);
    if (digits == 0 || start == 0 || ret_number->number > ret_number->total)
        return false;
    ret_number->before = slice_part(path, 0, start);
    take_rank(ret_number);
    return true;
}

bool
set_name_after(struct slice name, const char *word, uint32_t *ret_number)
{
    size_t at = find_last(name, slice_of(word));

    return at != SIZE_MAX && leading_number(slice_from(name, at + strlen(word)), ret_number) > 0;
}

bool
set_name_is_state(struct slice path)
{
    static const char *const names[] = {
        "optimizer.",         "optim.",   "optimizer_",     "rng_state",
        "scheduler.",         "scaler.",  "training_args.", "random_states",
        "custom_checkpoint_", "sampler.", "lr_scheduler.",
    };
    struct slice base = set_name_base(path);

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (slice_starts(base, slice_of(names[i])))
            return true;
    }
    return false;
}

bool
set_name_is_plain(struct slice path)
{
    if (path.length == 0 || path.at[path.length - 1] == '/')
        return false;
    for (size_t i = 0; i < path.length; i++) {
        unsigned char c = (unsigned char)path.at[i];

        if (c < ' ' || c == 0x7f || c == '\\' || (c == ':' && i == 1))
            return false;
    }
    while (path.at != NULL) {
        struct slice segment = slice_cut(&path, '/');

        if (segment.length == 0 || slice_is(segment, ".") || slice_is(segment, ".."))
            return false;
    }
    return true;
}
