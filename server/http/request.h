#pragma once
/*
 * A request as a handler sees it: gated, routed, decoded, authorised. Everything here is borrowed
 * and lives until the handler's last call for this request has returned. No type of the HTTP library stands here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "server/work/principal.h"

enum method {
    METHOD_GET, /* HEAD too: is_head */
    METHOD_PUT,
    METHOD_POST,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_COUNT,
};

/* A name and its value: a segment, a query parameter, a header. */
struct pair {
    struct slice name;
    struct slice value;
};

struct route;

struct request {
    enum method method;
    bool is_head; /* the reply's body will not be sent */
    const struct route *route;
    const struct principal *principal;
    struct slice id;   /* X-Request-Id */
    struct slice path; /* as sent, neither decoded nor with its query */
    struct slice peer; /* "127.0.0.1", "unix" … */

    const struct pair *segments; /* what the pattern's {names} captured, decoded */
    size_t segment_count;
    const struct pair *query; /* decoded; every name is one that the route's row lists */
    size_t query_count;
    const struct pair *headers; /* as sent */
    size_t header_count;

    bool has_length;   /* Content-Length was given; else the body comes in chunks */
    uint64_t length;   /* of the body, if has_length */
    struct slice body; /* whole, of BODY_SMALL */

    void *app;           /* httpd_config.app */
    struct arena *arena; /* for what the handler needs until its reply is sent */
    unsigned wakeups;    /* times this request was parked and called again */
    bool is_wait_over;   /* the time it was parked for has passed: answer now */
};

/* What {name} captured; the route's pattern has that name, or this is a defect of ours and empty. */
struct slice request_segment(const struct request *r, const char *name);

/* The header's value, name in any case; at == NULL if it was not sent. */
struct slice request_header(const struct request *r, const char *name);

/* The parameter's (first) value; at == NULL if it was not given. "" and absent differ. */
struct slice request_query(const struct request *r, const char *name);
bool request_has_query(const struct request *r, const char *name);

/* Walk the values of a repeatable parameter: begin with *at = 0. */
bool request_query_each(const struct request *r, const char *name, size_t *at,
                        struct slice *ret_value);

/* Typed: the default where it is absent, ERR_BAD_REQUEST naming it where it is wrong. A flag is true
 * when given bare, "1" or "true"; false as "0" or "false". */
enum status request_query_u64(const struct request *r, const char *name, uint64_t otherwise,
                              uint64_t least, uint64_t most, uint64_t *ret_value,
                              struct err *err) MUST_CHECK;
enum status request_query_flag(const struct request *r, const char *name, bool *ret_value,
                               struct err *err) MUST_CHECK;

/* One of the texts of choices (NULL ends them): its index; otherwise where it is absent. */
enum status request_query_choice(const struct request *r, const char *name,
                                 const char *const *choices, size_t otherwise, size_t *ret_choice,
                                 struct err *err) MUST_CHECK;

/*
 * For what changes something under If-Match or If-None-Match: ERR_PRECONDITION unless the request's
 * conditions hold for the current ETag (without quotes; at == NULL: there is nothing yet). For GET
 * the reply's ETag is enough: that is done when the reply is sent.
 */
enum status request_precondition(const struct request *r, struct slice etag,
                                 struct err *err) MUST_CHECK;

/* Do the headers of that name hold the quoted tag? "*" holds every one that is there (at != NULL).
 * Weak comparison ignores W/. */
bool request_lists_etag(const struct request *r, const char *header, struct slice quoted,
                        bool is_weak, bool *ret_was_sent);

/* How well the request's Accept header likes the media type: 0 not at all, to 1000. */
unsigned request_accepts(const struct request *r, const char *media_type);
