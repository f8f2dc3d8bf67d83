#include "server/http/query.h"

#include <string.h>

#include "common/base/utf8.h"

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum status
query_decode(struct slice raw, bool is_form, const char *what, struct arena *arena,
             struct slice *ret_text, struct err *err)
{
    char *text = arena_alloc(arena, raw.length + 1, 1);
    size_t length = 0;

    if (text == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < raw.length; i++) {
        char c = raw.at[i];

        if (c == '%') {
            int high = i + 2 < raw.length ? hex_digit(raw.at[i + 1]) : -1;
            int low = i + 2 < raw.length ? hex_digit(raw.at[i + 2]) : -1;

            FAIL_IF(high < 0 || low < 0, err, BAD_REQUEST, i,
                    "%s has a %% that two hex digits do not follow", what);
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && is_form)
            c = ' ';
        FAIL_IF((unsigned char)c < 0x20 || c == 0x7f, err, BAD_REQUEST, i,
                "%s has a control character", what);
        text[length++] = c;
    }
    *ret_text = (struct slice){.at = text, .length = length};
    FAIL_IF(!utf8_is_valid(*ret_text), err, BAD_REQUEST, 0, "%s is not UTF-8", what);
    return OK;
}

static size_t
count_pairs(struct slice raw)
{
    size_t count = 1;

    for (size_t i = 0; i < raw.length; i++)
        count += raw.at[i] == '&';
    return count;
}

enum status
query_parse(struct slice raw, size_t cap, struct arena *arena, struct pair **ret_pairs,
            size_t *ret_count, struct err *err)
{
    size_t most = count_pairs(raw), count = 0;
    struct pair *pairs;

    *ret_pairs = NULL;
    *ret_count = 0;
    if (raw.length == 0)
        return OK;
    FAIL_IF(most > cap, err, LIMIT, 0, "more than %zu query parameters", cap);
    pairs = arena_alloc(arena, most, sizeof *pairs);
    if (pairs == NULL)
        return arena_fail(arena, err);
    for (struct slice rest = raw; rest.at != NULL;) {
        struct slice value = slice_cut(&rest, '&');
        struct slice name;

        if (value.length == 0)
            continue;
        name = slice_cut(&value, '=');
        if (value.at == NULL)
            value = slice_of("");
        TRY(query_decode(name, true, "a query parameter's name", arena, &pairs[count].name, err));
        TRY(query_decode(value, true, "a query parameter's value", arena, &pairs[count].value,
                         err));
        count++;
    }
    *ret_pairs = pairs;
    *ret_count = count;
    return OK;
}

/* Does one word of a row's list cover the name? */
static bool
word_covers(struct slice word, struct slice name, bool *ret_repeats)
{
    *ret_repeats = false;
    if (slice_ends(word, slice_of(".*"))) {
        struct slice prefix = slice_part(word, 0, word.length - 1);

        return slice_starts(name, prefix) && name.length > prefix.length;
    }
    if (slice_ends(word, slice_of("+"))) {
        *ret_repeats = true;
        word.length--;
    }
    return slice_equal(word, name);
}

static bool
is_known(const char *known, struct slice name, bool *ret_repeats)
{
    for (struct slice rest = slice_of(known); rest.at != NULL;) {
        struct slice word = slice_cut(&rest, ' ');

        if (word.length > 0 && word_covers(word, name, ret_repeats))
            return true;
    }
    return false;
}

enum status
query_check(const struct pair *pairs, size_t count, const char *known, struct err *err)
{
    bool repeats;

    for (size_t i = 0; i < count; i++) {
        if (!is_known(known == NULL ? "" : known, pairs[i].name, &repeats)) {
            FAIL_IF(known == NULL || *known == '\0', err, BAD_REQUEST, 0,
                    "unknown query parameter \"%.64s\"; none is taken here", pairs[i].name.at);
            FAIL(err, BAD_REQUEST, 0, "unknown query parameter \"%.64s\"; known here: %s",
                 pairs[i].name.at, known);
        }
        for (size_t j = 0; j < i && !repeats; j++)
            FAIL_IF(slice_equal(pairs[j].name, pairs[i].name), err, BAD_REQUEST, 0,
                    "the query parameter \"%.64s\" is given more than once", pairs[i].name.at);
    }
    return OK;
}
