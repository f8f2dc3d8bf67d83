/*
 * Some dozens of rows are looked through one by one: a path is split once, and a row mostly fails at
 * its second segment. Of the rows that match, the one wins that is literal at the first segment where
 * they differ; a tail comes last.
 */
#include "server/http/router.h"

#include <string.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/http/query.h"

enum {
    PATH_SEGMENTS_MAX = 64, /* of a request's path; a tail may hold many */
};

enum segment_kind { LITERAL, CAPTURE, TAIL }; /* better ones first */

struct segment {
    enum segment_kind kind;
    struct slice text; /* the literal, or the capture's name */
};

struct row {
    const struct route *route;
    struct segment segments[ROUTE_SEGMENTS_MAX];
    size_t count;
    bool has_trailing_slash;
};

struct router {
    size_t count;
    struct row rows[];
};

struct path {
    struct slice raw[PATH_SEGMENTS_MAX];
    size_t count;
    bool has_trailing_slash;
};

static enum status
compile_segment(struct slice text, bool is_last, struct segment *ret_segment, struct err *err)
{
    bool is_capture = slice_starts(text, slice_of("{")) && slice_ends(text, slice_of("}"));

    *ret_segment = (struct segment){.kind = LITERAL, .text = text};
    if (!is_capture)
        return OK;
    ret_segment->kind = CAPTURE;
    ret_segment->text = slice_part(text, 1, text.length - 2);
    if (slice_ends(ret_segment->text, slice_of("..."))) {
        FAIL_IF(!is_last, err, BAD_REQUEST, 0, "{name...} is not the last segment");
        ret_segment->kind = TAIL;
        ret_segment->text.length -= 3;
    }
    FAIL_IF(ret_segment->text.length == 0, err, BAD_REQUEST, 0, "a capture without a name");
    return OK;
}

static enum status
compile(const struct route *route, struct row *ret_row, struct err *err)
{
    struct slice rest = slice_of(route->pattern);

    FAIL_IF(rest.length == 0 || rest.at[0] != '/', err, BAD_REQUEST, 0,
            "the pattern \"%s\" does not begin with a slash", route->pattern);
    FAIL_IF(route->body == BODY_STREAM ? route->upload == NULL : route->handler == NULL, err,
            BAD_REQUEST, 0, "the route %s has no handler", route->pattern);
    *ret_row = (struct row){.route = route};
    rest = slice_from(rest, 1);
    if (rest.length == 0)
        return OK; /* "/": no segment */
    while (rest.at != NULL) {
        struct slice text = slice_cut(&rest, '/');

        if (text.length == 0 && rest.at == NULL) {
            ret_row->has_trailing_slash = true;
            return OK;
        }
        FAIL_IF(ret_row->count == ROUTE_SEGMENTS_MAX, err, BAD_REQUEST, 0,
                "the pattern \"%s\" has more than %d segments", route->pattern, ROUTE_SEGMENTS_MAX);
        TRY(compile_segment(text, rest.at == NULL, &ret_row->segments[ret_row->count++], err));
    }
    return OK;
}

/* Two rows that no path could tell apart. */
static bool
is_same(const struct row *a, const struct row *b)
{
    if (a->count != b->count || a->route->method != b->route->method ||
        a->has_trailing_slash != b->has_trailing_slash)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->segments[i].kind != b->segments[i].kind)
            return false;
        if (a->segments[i].kind == LITERAL &&
            !slice_equal(a->segments[i].text, b->segments[i].text))
            return false;
    }
    return true;
}

static void
free_router_at(struct router **router)
{
    router_free(*router);
}

void
router_free(struct router *router)
{
    mem_free(router);
}

enum status
router_new(const struct route *routes, size_t count, struct router **ret_router, struct err *err)
{
    CLEANUP(free_router_at)
    struct router *router = mem_new(1, sizeof *router + count * sizeof router->rows[0]);

    FAIL_IF(router == NULL, err, NO_MEMORY, 0, "no memory for the table of routes");
    for (router->count = 0; router->count < count; router->count++) {
        struct row *row = &router->rows[router->count];

        TRY(compile(&routes[router->count], row, err));
        for (size_t i = 0; i < router->count; i++)
            FAIL_IF(is_same(&router->rows[i], row), err, BAD_REQUEST, 0,
                    "the route %s stands twice in the table", row->route->pattern);
    }
    *ret_router = TAKE(router);
    return OK;
}

static enum status
split(struct slice path, struct path *ret_path, struct err *err)
{
    struct slice rest;

    *ret_path = (struct path){0};
    FAIL_IF(path.length == 0 || path.at[0] != '/', err, BAD_REQUEST, 0,
            "the path does not begin with a slash");
    rest = slice_from(path, 1);
    if (rest.length == 0)
        return OK;
    while (rest.at != NULL) {
        struct slice segment = slice_cut(&rest, '/');

        if (segment.length == 0 && rest.at == NULL) {
            ret_path->has_trailing_slash = true;
            return OK;
        }
        FAIL_IF(segment.length == 0, err, BAD_REQUEST, 0, "the path has an empty segment");
        FAIL_IF(ret_path->count == PATH_SEGMENTS_MAX, err, BAD_REQUEST, 0,
                "the path has more than %d segments", PATH_SEGMENTS_MAX);
        ret_path->raw[ret_path->count++] = segment;
    }
    return OK;
}

/* Literals are compared as they were sent: none of ours needs an escape. */
static bool
covers(const struct row *row, const struct path *path)
{
    for (size_t i = 0; i < row->count; i++) {
        if (row->segments[i].kind == TAIL)
            return path->count > i;
        if (i >= path->count)
            return false;
        if (row->segments[i].kind == LITERAL && !slice_equal(row->segments[i].text, path->raw[i]))
            return false;
    }
    return row->count == path->count;
}

/* Negative if a is the better one: literal before capture before tail. */
static int
compare(const struct row *a, const struct row *b)
{
    size_t shared = a->count < b->count ? a->count : b->count;

    for (size_t i = 0; i < shared; i++)
        if (a->segments[i].kind != b->segments[i].kind)
            return a->segments[i].kind < b->segments[i].kind ? -1 : 1;
    return 0;
}

static bool
is_dots(struct slice s)
{
    return slice_is(s, ".") || slice_is(s, "..");
}

static enum status
check_segment(struct slice text, bool allows_slash, struct err *err)
{
    struct slice rest = text;

    FAIL_IF(!allows_slash && text.length > 0 && memchr(text.at, '/', text.length) != NULL, err,
            BAD_REQUEST, 0, "%%2F does not belong into this path");
    while (rest.at != NULL) {
        struct slice part = slice_cut(&rest, '/');

        FAIL_IF(part.length == 0, err, BAD_REQUEST, 0, "the path has an empty segment");
        FAIL_IF(is_dots(part), err, BAD_REQUEST, 0, "the path has a dot segment");
    }
    return OK;
}

/* Malformed wherever it leads: what does not decode, and dot segments in any spelling. */
static enum status
check_path(const struct path *path, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < path->count; i++) {
        struct slice text;

        TRY(query_decode(path->raw[i], false, "the path", arena, &text, err));
        FAIL_IF(is_dots(text), err, BAD_REQUEST, 0, "the path has a dot segment");
    }
    return OK;
}

static enum status
decode_tail(const struct path *path, size_t from, bool allows_slash, struct arena *arena,
            struct slice *ret_text, struct err *err)
{
    struct slice text = {0};

    for (size_t i = from; i < path->count; i++) {
        struct slice part;

        TRY(query_decode(path->raw[i], false, "the path", arena, &part, err));
        TRY(check_segment(part, allows_slash, err));
        if (i == from)
            text = part;
        else
            TRY(arena_printf(arena, &text, err, "%.*s/%.*s", SLICE_PRINT(text), SLICE_PRINT(part)));
    }
    *ret_text = text;
    return OK;
}

static enum status
capture(const struct row *row, const struct path *path, struct arena *arena,
        struct route_match *ret_match, struct err *err)
{
    bool allows_slash = row->route->allows_slash;

    ret_match->segments = arena_alloc(arena, row->count + 1, sizeof(struct pair));
    if (ret_match->segments == NULL)
        return arena_fail(arena, err);
    for (size_t i = 0; i < row->count; i++) {
        struct pair *pair = &ret_match->segments[ret_match->segment_count];

        if (row->segments[i].kind == LITERAL)
            continue;
        pair->name = row->segments[i].text;
        if (row->segments[i].kind == TAIL)
            TRY(decode_tail(path, i, allows_slash, arena, &pair->value, err));
        else {
            TRY(query_decode(path->raw[i], false, "the path", arena, &pair->value, err));
            TRY(check_segment(pair->value, allows_slash, err));
        }
        ret_match->segment_count++;
    }
    return OK;
}

enum status
router_match(const struct router *router, bool is_known_method, enum method method,
             struct slice path, struct arena *arena, struct route_match *ret_match, struct err *err)
{
    const struct row *best = NULL;      /* of any method */
    const struct row *best_mine = NULL; /* of this method */
    bool has_other_slash = false;
    struct path parts;

    *ret_match = (struct route_match){0};
    TRY(split(path, &parts, err));
    TRY(check_path(&parts, arena, err));
    for (size_t i = 0; i < router->count; i++) {
        const struct row *row = &router->rows[i];

        if (!covers(row, &parts))
            continue;
        if (row->has_trailing_slash != parts.has_trailing_slash) {
            has_other_slash = true;
            continue;
        }
        ret_match->allowed |= 1u << row->route->method;
        if (best == NULL || compare(row, best) < 0)
            best = row;
        if (is_known_method && row->route->method == method &&
            (best_mine == NULL || compare(row, best_mine) < 0))
            best_mine = row;
    }
    FAIL_IF(best == NULL && has_other_slash, err, NOT_FOUND, 0,
            "there is nothing at this path, but there is %s a slash at its end",
            parts.has_trailing_slash ? "without" : "with");
    FAIL_IF(best == NULL, err, NOT_FOUND, 0, "there is nothing at this path");
    FAIL_IF(best_mine == NULL, err, METHOD, 0, "this resource does not have that method");
    ret_match->route = best_mine->route;
    return capture(best_mine, &parts, arena, ret_match, err);
}

enum status
router_allow(unsigned allowed, struct arena *arena, struct slice *ret_text, struct err *err)
{
    static const char *const names[METHOD_COUNT] = {
        [METHOD_GET] = "GET, HEAD", [METHOD_PUT] = "PUT",       [METHOD_POST] = "POST",
        [METHOD_PATCH] = "PATCH",   [METHOD_DELETE] = "DELETE",
    };
    struct slice text = slice_of("");

    for (unsigned m = 0; m < METHOD_COUNT; m++)
        if ((allowed & 1u << m) != 0)
            TRY(arena_printf(arena, &text, err, "%.*s%s, ", SLICE_PRINT(text), names[m]));
    return arena_printf(arena, ret_text, err, "%.*sOPTIONS", SLICE_PRINT(text));
}
