/* Any bytes as a request's target: what the router captures is free of what it promises to refuse. */
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/utf8.h"
#include "server/http/query.h"
#include "server/http/ranges.h"
#include "server/http/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status
handle(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)r;
    (void)ret_reply;
    (void)err;
    return OK;
}

static const struct route routes[] = {
    {METHOD_GET, "/", .name = "root", .handler = handle},
    {METHOD_GET, "/a/{x}/{y}", .name = "two", .handler = handle},
    {METHOD_GET, "/a/{x}/b", .name = "literal", .handler = handle},
    {METHOD_GET, "/t/{rest...}", .name = "tail", .handler = handle},
    {METHOD_GET, "/s/{x}", .name = "slash", .handler = handle, .allows_slash = true},
};

static void
check(struct slice text, bool may_have_slash)
{
    struct slice rest = text;

    if (!utf8_is_valid(text) || text.length == 0)
        abort();
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f ||
            (!may_have_slash && text.at[i] == '/'))
            abort();
    while (rest.at != NULL) {
        struct slice part = slice_cut(&rest, '/');

        if (part.length == 0 || slice_is(part, ".") || slice_is(part, ".."))
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 24);
    struct slice query = {.at = (const char *)data, .length = size}, path;
    struct router *router;
    struct route_match match;
    struct pair *pairs;
    uint64_t offset = 0, length = 0;
    size_t count;

    if (router_new(routes, ARRAY_LENGTH(routes), &router, NULL) != OK)
        abort();
    path = slice_cut(&query, '?');
    if (router_match(router, true, METHOD_GET, path, &arena, &match, NULL) == OK)
        for (size_t i = 0; i < match.segment_count; i++)
            check(match.segments[i].value,
                  match.route->allows_slash || strstr(match.route->pattern, "...") != NULL);
    router_free(router);
    if (query.at != NULL && query_parse(query, 20, &arena, &pairs, &count, NULL) == OK) {
        if (count > 20)
            abort();
        if (query_check(pairs, count, "a", NULL) == OK && count > 1)
            abort(); /* it may be given once */
    }
    if (range_parse((struct slice){(const char *)data, size}, 1000, &offset, &length) ==
            RANGE_PART &&
        (length == 0 || offset >= 1000 || length > 1000 - offset))
        abort();
    (void)etag_listed((struct slice){(const char *)data, size}, slice_of("\"a\""), true);
    return 0;
}
