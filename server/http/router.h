#pragma once
/* From a method and a raw path to a row of the table and what its pattern captured. Pure. */
#include <stdbool.h>
#include <stddef.h>

#include "server/http/route.h"

struct router;

/* Compile the table; ERR_BAD_REQUEST names a row that is wrong or twice there. */
enum status router_new(const struct route *routes, size_t count, struct router **ret_router,
                       struct err *err) MUST_CHECK;
void router_free(struct router *router);

struct route_match {
    const struct route *route;
    struct pair *segments;
    size_t segment_count;
    unsigned allowed; /* of a path that exists: one bit a method (1u << METHOD_GET …) */
};

/*
 * ERR_NOT_FOUND, ERR_METHOD (ret_match->allowed is set then), or ERR_BAD_REQUEST for a path that is
 * malformed. is_known_method is false for OPTIONS and for methods that we never heard of: such a
 * path answers ERR_METHOD.
 */
enum status router_match(const struct router *router, bool is_known_method, enum method method,
                         struct slice path, struct arena *arena, struct route_match *ret_match,
                         struct err *err) MUST_CHECK;

/* "GET, HEAD, PUT, OPTIONS" for the bits. */
enum status router_allow(unsigned allowed, struct arena *arena, struct slice *ret_text,
                         struct err *err) MUST_CHECK;
