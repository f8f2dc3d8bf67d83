#pragma once
/*
 * A row of the table of routes (server/api/routes.c). HEAD comes with GET, OPTIONS by itself.
 *
 * A pattern is segments: literal, {name} for one segment, {name...} last for one or more, joined by
 * "/" when captured. Where several patterns match, the one that is literal first wins. Segments are
 * decoded after they were split; %00, dot segments and empty ones are refused, %2F is unless the row
 * allows it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "server/http/reply.h"
#include "server/http/request.h"

enum { ROUTE_SEGMENTS_MAX = 16 };

typedef enum status handler_function(const struct request *request, struct reply *ret_reply,
                                     struct err *err);

enum route_pool {
    ROUTE_QUERY, /* reads, small checks */
    ROUTE_HEAVY, /* large checks, search, export */
    ROUTE_IO,    /* reserve, hash, write, sync */
    ROUTE_POOL_COUNT,
};

enum route_body {
    BODY_NONE,   /* a body is refused */
    BODY_SMALL,  /* whole, in memory, up to body_cap_bytes; may be empty */
    BODY_STREAM, /* through upload */
};

/*
 * A streamed body. All calls come from workers of the route's pool, one after the other (not always
 * from the same thread); no worker is held while the client is slow. Memory is one bounded ring.
 */
struct upload {
    /*
     * Before a byte of the body is read (a client that sent Expect is still waiting). Return an
     * error, or make a reply (status set), and the body is not read: that is the answer. Otherwise
     * hand out the state of this upload. May not park.
     */
    enum status (*begin)(const struct request *request, void **ret_state, struct reply *ret_reply,
                         struct err *err);
    /* The next bytes; they are yours until the return. An error ends the upload: it is the answer,
     * at once. */
    enum status (*write)(void *state, const void *bytes, size_t length, struct err *err);
    /* The body is whole (its length was as announced). Makes the reply; may park, and is then called
     * again. */
    enum status (*finish)(const struct request *request, void *state, struct reply *ret_reply,
                          struct err *err);
    /* In place of finish: the body was cut, write failed, or the server stops. */
    void (*abort)(void *state, const struct err *why);
    /* The last call of all, if begin handed out a state that is not NULL. */
    void (*free)(void *state);
};

struct route {
    enum method method;
    const char *pattern; /* "/v1/models/{ns}/{model}/versions/{ref}/files/{path...}" */
    const char *name;    /* openapi's operationId; in logs and metrics */
    handler_function *handler;
    const struct upload *upload; /* of BODY_STREAM; handler is then not called */
    enum route_pool pool;
    unsigned scope;        /* enum scope */
    const char *namespace; /* the segment that names the namespace, or NULL */
    enum route_body body;
    size_t body_cap_bytes; /* of BODY_SMALL; of BODY_STREAM, 0 = the server's limit */
    /* The query parameters it knows, separated by spaces. "name+" may be repeated, "meta.*" is any
     * name that begins so. Others, and repeated ones, are 400. */
    const char *query;
    bool allows_slash; /* %2F in a segment */
};
