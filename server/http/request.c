#include "server/http/request.h"

#include <strings.h>

#include "common/base/num.h"
#include "server/http/ranges.h"

struct slice
request_segment(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->segment_count; i++)
        if (slice_is(r->segments[i].name, name))
            return r->segments[i].value;
    return slice_of("");
}

static bool
is_named(struct slice have, const char *name)
{
    size_t length = strlen(name);

    return have.length == length && (length == 0 || strncasecmp(have.at, name, length) == 0);
}

struct slice
request_header(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (is_named(r->headers[i].name, name))
            return r->headers[i].value;
    return (struct slice){0};
}

struct slice
request_query(const struct request *r, const char *name)
{
    size_t at = 0;
    struct slice value = {0};

    (void)request_query_each(r, name, &at, &value);
    return value;
}

bool
request_has_query(const struct request *r, const char *name)
{
    return request_query(r, name).at != NULL;
}

bool
request_query_each(const struct request *r, const char *name, size_t *at, struct slice *ret_value)
{
    for (; *at < r->query_count; (*at)++)
        if (slice_is(r->query[*at].name, name)) {
            *ret_value = r->query[(*at)++].value;
            return true;
        }
    return false;
}

enum status
request_query_u64(const struct request *r, const char *name, uint64_t otherwise, uint64_t least,
                  uint64_t most, uint64_t *ret_value, struct err *err)
{
    struct slice text = request_query(r, name);

    *ret_value = otherwise;
    if (text.at == NULL)
        return OK;
    FAIL_IF(!num_parse_u64(text, ret_value) || *ret_value < least || *ret_value > most, err,
            BAD_REQUEST, 0, "%s is \"%.*s\", but must be a whole number from %llu to %llu", name,
            text.length > 40 ? 40 : (int)text.length, text.at, (unsigned long long)least,
            (unsigned long long)most);
    return OK;
}

enum status
request_query_flag(const struct request *r, const char *name, bool *ret_value, struct err *err)
{
    struct slice text = request_query(r, name);

    *ret_value =
        text.at != NULL && (text.length == 0 || slice_is(text, "1") || slice_is(text, "true"));
    FAIL_IF(text.at != NULL && !*ret_value && !slice_is(text, "0") && !slice_is(text, "false"), err,
            BAD_REQUEST, 0, "%s must be true or false", name);
    return OK;
}

enum status
request_query_choice(const struct request *r, const char *name, const char *const *choices,
                     size_t otherwise, size_t *ret_choice, struct err *err)
{
    struct slice text = request_query(r, name);
    char list[200] = "";
    size_t length = 0;

    *ret_choice = otherwise;
    if (text.at == NULL)
        return OK;
    for (size_t i = 0; choices[i] != NULL; i++) {
        size_t more = strlen(choices[i]);

        if (slice_is(text, choices[i])) {
            *ret_choice = i;
            return OK;
        }
        if (length + more + 3 < sizeof list) {
            if (length > 0) {
                list[length++] = ',';
                list[length++] = ' ';
            }
            memcpy(list + length, choices[i], more + 1);
            length += more;
        }
    }
    FAIL(err, BAD_REQUEST, 0, "%s is \"%.*s\", but must be one of: %s", name,
         text.length > 40 ? 40 : (int)text.length, text.at, list);
}

/* Every header of that name is part of one list (RFC 9110 §5.3). */
bool
request_lists_etag(const struct request *r, const char *header, struct slice quoted, bool is_weak,
                   bool *ret_was_sent)
{
    *ret_was_sent = false;
    for (size_t i = 0; i < r->header_count; i++) {
        struct slice value = r->headers[i].value;

        if (!is_named(r->headers[i].name, header))
            continue;
        *ret_was_sent = true;
        if (slice_is(value, "*") ? quoted.at != NULL
                                 : quoted.at != NULL && etag_listed(value, quoted, is_weak))
            return true;
    }
    return false;
}

enum status
request_precondition(const struct request *r, struct slice etag, struct err *err)
{
    struct slice quoted = {0};
    bool was_sent, matches;

    if (etag.at != NULL)
        TRY(arena_printf(r->arena, &quoted, err, "\"%.*s\"", SLICE_PRINT(etag)));
    matches = request_lists_etag(r, "If-Match", quoted, false, &was_sent);
    FAIL_IF(was_sent && !matches, err, PRECONDITION, 0, "If-Match does not hold: %s",
            etag.at == NULL ? "there is nothing yet" : "it was changed meanwhile");
    matches = request_lists_etag(r, "If-None-Match", quoted, true, &was_sent);
    FAIL_IF(was_sent && matches, err, PRECONDITION, 0, "If-None-Match does not hold: it is there");
    return OK;
}

/* "q=0.25" among the parameters, in thousandths; 1000 where it is absent or malformed. */
static unsigned
quality(struct slice parameters)
{
    while (parameters.at != NULL) {
        struct slice p = slice_cut(&parameters, ';');
        unsigned value = 0, scale = 100;

        while (p.length > 0 && p.at[0] == ' ')
            p = slice_from(p, 1);
        if (p.length < 3 || (p.at[0] | 0x20) != 'q' || p.at[1] != '=')
            continue;
        if (p.at[2] == '1')
            return 1000;
        for (size_t i = 4; i < p.length && p.at[i] >= '0' && p.at[i] <= '9'; i++) {
            value += (unsigned)(p.at[i] - '0') * scale;
            scale /= 10;
        }
        return value;
    }
    return 1000;
}

/* How exactly one range of media types covers the type: 0 not, 1 all, 2 type, 3 type and subtype. */
static unsigned
exactness(struct slice range, struct slice type)
{
    struct slice major = slice_cut(&type, '/');

    while (range.length > 0 && range.at[0] == ' ')
        range = slice_from(range, 1);
    while (range.length > 0 && range.at[range.length - 1] == ' ')
        range.length--;
    if (slice_is(range, "*/*"))
        return 1;
    if (major.length == 0 || range.length <= major.length || range.at[major.length] != '/' ||
        strncasecmp(range.at, major.at, major.length) != 0)
        return 0;
    range = slice_from(range, major.length + 1);
    if (slice_is(range, "*"))
        return 2;
    if (type.length == 0 || range.length != type.length)
        return 0;
    return strncasecmp(range.at, type.at, type.length) == 0 ? 3 : 0;
}

unsigned
request_accepts(const struct request *r, const char *media_type)
{
    struct slice rest = request_header(r, "Accept"), charset = slice_of(media_type);
    struct slice type = slice_cut(&charset, ';');
    unsigned best = 0, result = 0;

    if (rest.at == NULL)
        return 1000;
    while (rest.at != NULL) {
        struct slice parameters = slice_cut(&rest, ',');
        struct slice range = slice_cut(&parameters, ';');
        unsigned exact = exactness(range, type);

        if (exact > best) {
            best = exact;
            result = quality(parameters);
        }
    }
    return result;
}
