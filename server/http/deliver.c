/*
 * From a handler's reply to libmicrohttpd's response. What every reply needs is done here and nowhere
 * else: conditions, one range, the headers that all replies carry. A request with several ranges gets
 * the whole (RFC 9110 §14.2 allows that).
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/http/exchange.h"
#include "server/http/problem.h"
#include "server/http/ranges.h"

enum { RAW_BYTES_MAX = 128 * 1024 };

struct part {
    uint64_t offset, length; /* of the body, to be sent */
};

static uint64_t
body_size(const struct reply *r)
{
    switch (r->kind) {
    case REPLY_OWNED:
    case REPLY_BORROWED:
        return r->bytes.length;
    case REPLY_FILE:
    case REPLY_PRODUCED:
        return r->length;
    case REPLY_EMPTY:
    case REPLY_PARKED:
        break;
    }
    return 0;
}

static bool
can_range(const struct reply *r)
{
    if (r->kind == REPLY_PRODUCED)
        return r->producer->seek != NULL && r->length != REPLY_LENGTH_UNKNOWN;
    return r->kind == REPLY_OWNED || r->kind == REPLY_BORROWED || r->kind == REPLY_FILE;
}

/* RFC 9110 §13.2.2: If-Match, then If-None-Match. */
static void
apply_conditions(const struct request *q, struct reply *r)
{
    struct slice quoted = r->etag == NULL ? (struct slice){0} : slice_of(r->etag);
    bool was_sent, matches;

    matches = request_lists_etag(q, "If-Match", quoted, false, &was_sent) ||
              (r->etag == NULL && slice_is(request_header(q, "If-Match"), "*"));
    if (was_sent && !matches) {
        struct err err = {0};

        err_set(&err, ERR_PRECONDITION, 0, "If-Match does not hold: it was changed meanwhile");
        problem_reply(r, &err, q->id);
        return;
    }
    if (r->etag != NULL && request_lists_etag(q, "If-None-Match", quoted, true, &was_sent))
        reply_empty(r, 304);
}

/* An If-Range that does not match asks for the whole (§13.1.5); dates never match. */
static bool
wants_range(const struct request *q, const struct reply *r)
{
    struct slice condition = request_header(q, "If-Range");

    if (request_header(q, "Range").at == NULL || q->is_head || r->status != 200 || !can_range(r))
        return false;
    return condition.at == NULL || (r->etag != NULL && slice_is(condition, r->etag));
}

static void
apply_range(const struct request *q, struct reply *r, struct part *part)
{
    uint64_t size = body_size(r);
    struct err err = {0};

    *part = (struct part){.length = size};
    if (!wants_range(q, r))
        return;
    switch (range_parse(request_header(q, "Range"), size, &part->offset, &part->length)) {
    case RANGE_WHOLE:
        return;
    case RANGE_PART:
        r->status = 206;
        reply_header(r, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, part->offset,
                     part->offset + part->length - 1, size);
        return;
    case RANGE_UNSATISFIABLE:
        err_set(&err, ERR_RANGE, 0, "the range lies outside the %" PRIu64 " bytes", size);
        reply_header(r, "Content-Range", "bytes */%" PRIu64, size);
        problem_reply(r, &err, q->id);
        *part = (struct part){.length = body_size(r)};
        return;
    }
}

/* libmicrohttpd only reads it, but asks for a pointer to what may be written. */
static struct MHD_Response *
respond_bytes(const char *at, size_t length, void (*release)(void *), void *context)
{
    void *bytes = (void *)(uintptr_t)at;

    if (release == NULL)
        return MHD_create_response_from_buffer(length, bytes, MHD_RESPMEM_PERSISTENT);
    return MHD_create_response_from_buffer_with_free_callback_cls(length, bytes, release, context);
}

struct release {
    void (*release)(void *context);
    void *context;
};

static void
release_shared(void *cls)
{
    struct release *shared = cls;

    shared->release(shared->context);
    mem_free(shared);
}

static struct MHD_Response *
respond_shared(struct reply *r, const char *at, size_t length)
{
    struct release *shared = mem_new(1, sizeof *shared);
    struct MHD_Response *response;

    if (shared == NULL)
        return NULL;
    *shared = (struct release){.release = r->release, .context = r->context};
    response = respond_bytes(at, length, release_shared, shared);
    if (response == NULL)
        mem_free(shared);
    else
        r->release = NULL;
    return response;
}

/* The body's part, taken out of the reply. */
static struct MHD_Response *
respond(struct exchange *x, struct reply *r, struct part part, struct err *err)
{
    size_t length = (size_t)part.length;
    const char *at = r->bytes.at == NULL ? "" : r->bytes.at + part.offset;
    struct MHD_Response *response = NULL;

    switch (r->kind) {
    case REPLY_EMPTY:
    case REPLY_PARKED:
        return respond_bytes("", 0, NULL, NULL);
    case REPLY_OWNED:
        response = respond_bytes(at, length, mem_free, r->owned);
        if (response != NULL)
            r->owned = NULL;
        return response;
    case REPLY_BORROWED:
        if (r->release != NULL)
            return respond_shared(r, at, length);
        return respond_bytes(at, length, NULL, NULL);
    case REPLY_FILE:
        response =
            MHD_create_response_from_fd_at_offset64(part.length, r->fd, r->offset + part.offset);
        if (response != NULL)
            r->kind = REPLY_EMPTY; /* the descriptor is the response's now */
        return response;
    case REPLY_PRODUCED:
        if (fill_begin(x, r, part.offset, part.length, &response, err) != OK)
            return NULL;
        return response;
    }
    return NULL;
}

static void
put(struct MHD_Response *response, const char *name, const char *value)
{
    (void)MHD_add_response_header(response, name, value); /* without memory it is left out */
}

static void
put_headers(const struct exchange *x, const struct reply *r, bool ranges,
            struct MHD_Response *response)
{
    bool has_cache_control = false;

    for (size_t i = 0; i < r->header_count; i++) {
        put(response, r->headers[i].name, r->headers[i].value);
        has_cache_control |= slice_is(slice_of(r->headers[i].name), "Cache-Control");
    }
    if (r->media_type != NULL)
        put(response, "Content-Type", r->media_type);
    if (r->etag != NULL)
        put(response, "ETag", r->etag);
    if (!has_cache_control)
        put(response, "Cache-Control",
            r->etag != NULL && r->status < 400 ? "no-cache" : "no-store");
    if (ranges)
        put(response, "Accept-Ranges", "bytes");
    put(response, "X-Content-Type-Options", "nosniff");
    if (x->request.id.at != NULL)
        put(response, "X-Request-Id", x->request.id.at);
    if (x->must_close || atomic_load(&x->httpd->is_draining))
        put(response, "Connection", "close");
}

void
deliver(struct exchange *x, struct reply *r, const struct err *failure,
        struct MHD_Response **ret_response, int *ret_status, uint64_t *ret_bytes)
{
    struct err err = {0};
    struct part part;
    bool ranges;

    if (failure != NULL)
        problem_reply(r, failure, x->request.id);
    else if (r->failed == OK && r->status == 0)
        err_set(&err, ERR_INTERNAL, 0, "the handler made no reply");
    else if (r->failed != OK)
        err_set(&err, r->failed, 0, "the reply could not be made");
    if (err.code != OK)
        problem_reply(r, &err, x->request.id);
    ranges =
        r->status == 200 && (r->kind == REPLY_FILE || r->kind == REPLY_PRODUCED) && can_range(r);
    if (x->request.method == METHOD_GET && r->status == 200)
        apply_conditions(&x->request, r);
    apply_range(&x->request, r, &part);
    *ret_response = respond(x, r, part, &err);
    if (*ret_response == NULL) {
        err_set(&err, ERR_NO_MEMORY, 0, "no memory for the reply");
        problem_reply(r, &err, x->request.id);
        part = (struct part){.length = body_size(r)};
        *ret_response = respond(x, r, part, &err);
    }
    *ret_status = r->status;
    *ret_bytes = part.length == REPLY_LENGTH_UNKNOWN ? 0 : part.length;
    if (*ret_response != NULL)
        put_headers(x, r, ranges, *ret_response);
}

void
deliver_raw(const struct exchange *x, const struct reply *r, struct buf *ret_raw)
{
    buf_done(ret_raw);
    *ret_raw = buf_with_cap(RAW_BYTES_MAX);
    buf_printf(ret_raw, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n", r->status,
               httpd_reason(r->status), r->bytes.length);
    for (size_t i = 0; i < r->header_count; i++)
        buf_printf(ret_raw, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
    buf_printf(ret_raw, "Content-Type: %s\r\nCache-Control: no-store\r\n", r->media_type);
    buf_printf(ret_raw, "X-Request-Id: %.*s\r\n\r\n", SLICE_PRINT(x->request.id));
    buf_slice(ret_raw, r->bytes);
}
