/*
 * The polling thread's side of a request. libmicrohttpd calls once with the head, once for each piece
 * of the body, once at its end, and again after each suspension.
 *
 * An answer given at the first call closes the connection, also for a GET: whatever has no body is
 * answered at the last call, so that keep-alive survives. An answer that is known before a body was
 * read is given at once where the body is large or still held back (Expect), and after a short body
 * was read away otherwise. In mid-body libmicrohttpd takes no answer at all: then the reply's bytes go
 * to the socket past it, and the connection is closed.
 */
#include "server/http/dispatch.h"

#include <string.h>
#include <sys/socket.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/http/problem.h"
#include "server/http/query.h"
#include "server/work/clock.h"

enum {
    SWALLOW_BYTES = 64 * 1024,      /* of a refused body are read, for the connection's sake */
    TRUSTED_BODY_BYTES = 16 * 1024, /* of BODY_SMALL are read before anybody is authorised */
    REQUEST_ID_MAX = 64,
};

/* Paths and queries are decoded by ourselves, after splitting. */
size_t
dispatch_unescape(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls;
    (void)connection;
    return strlen(text);
}

static struct conn *
conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info == NULL ? NULL : info->socket_context;
}

/* The request line is there. What is returned would become the request's context. */
void *
dispatch_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct conn *c = conn_of(connection);

    (void)cls;
    if (c == NULL)
        return NULL;
    mem_free(c->uri);
    c->uri = mem_copy(uri, strlen(uri));
    if (atomic_load_explicit(&c->state, memory_order_relaxed) == CONN_IDLE)
        conn_set(c, CONN_HEADER);
    return NULL;
}

struct collect {
    struct exchange *x;
    struct pair *pairs;
    size_t count, cap;
    enum status status;
};

static enum MHD_Result
collect_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_length,
               const char *value, size_t value_length)
{
    struct collect *c = cls;
    struct pair *pair = &c->pairs[c->count];
    struct slice v = {.at = value == NULL ? "" : value, .length = value == NULL ? 0 : value_length};

    (void)kind;
    if (c->count == c->cap) {
        c->count++; /* one too many, for the gate to see */
        return MHD_NO;
    }
    c->status = arena_copy(&c->x->arena, (struct slice){name, name_length}, &pair->name, NULL);
    if (c->status == OK)
        c->status = arena_copy(&c->x->arena, v, &pair->value, NULL);
    if (c->status != OK)
        return MHD_NO;
    c->count++;
    return MHD_YES;
}

/* libmicrohttpd's copies die with the request, a handler may outlive it. */
static enum status
collect_headers(struct exchange *x, struct err *err)
{
    struct collect c = {.x = x, .cap = x->httpd->config.limits.header_count};

    c.pairs = arena_alloc(&x->arena, c.cap + 1, sizeof *c.pairs);
    if (c.pairs == NULL)
        return arena_fail(&x->arena, err);
    (void)MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, collect_header, &c);
    FAIL_IF(c.status != OK, err, NO_MEMORY, 0, "no memory for the headers");
    x->request.headers = c.pairs;
    x->request.header_count = c.count;
    return OK;
}

static bool
is_sane_id(struct slice id)
{
    for (size_t i = 0; i < id.length; i++) {
        char c = id.at[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return id.length > 0 && id.length <= REQUEST_ID_MAX;
}

/* The client's, if it is one; else numbers that look random (the finaliser of splitmix64). */
static enum status
name_request(struct exchange *x, struct err *err)
{
    struct httpd *h = x->httpd;
    struct slice sent = request_header(&x->request, "X-Request-Id");
    uint64_t n;

    if (is_sane_id(sent)) {
        x->request.id = sent;
        return OK;
    }
    n = h->id_seed +
        atomic_fetch_add_explicit(&h->id_count, 1, memory_order_relaxed) * 0x9e3779b97f4a7c15u;
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9u;
    n = (n ^ n >> 27) * 0x94d049bb133111ebu;
    return arena_printf(&x->arena, &x->request.id, err, "%016llx",
                        (unsigned long long)(n ^ n >> 31));
}

static enum status
pass_gate(struct exchange *x, const char *method, const char *version, struct err *err)
{
    struct gate_input in = {.method = slice_of(method), .version = slice_of(version)};
    struct slice uri, query;

    /* What the log tells of a refused request, too. */
    TRY(arena_copy(&x->arena, in.method, &x->method, err));
    TRY(arena_copy(&x->arena, slice_of(x->conn->peer), &x->request.peer, err));
    TRY(collect_headers(x, err));
    TRY(name_request(x, err));
    FAIL_IF(x->conn->uri == NULL, err, NO_MEMORY, 0, "no memory for the URI");
    TRY(arena_copy(&x->arena, slice_of(x->conn->uri), &uri, err));
    mem_free(TAKE(x->conn->uri));
    query = uri;
    x->request.path = slice_cut(&query, '?');
    conn_ask_local(x->conn);
    in.uri = uri;
    in.local = slice_of(x->conn->local);
    in.headers = x->request.headers;
    in.header_count = x->request.header_count;
    TRY(gate_check(&x->httpd->rules, &in, &x->gate, err));
    x->request.path = x->gate.path;
    x->request.method = x->gate.method;
    x->request.is_head = x->gate.is_head;
    x->request.has_length = x->gate.has_length;
    x->request.length = x->gate.length;
    return OK;
}

/* OPTIONS and 405 say what the path allows. */
static enum status
answer_allow(struct exchange *x, unsigned allowed, struct reply *reply, struct err *err)
{
    struct slice allow;

    TRY(router_allow(allowed, &x->arena, &allow, err));
    reply_header(reply, "Allow", "%s", allow.at);
    return OK;
}

static enum status
find_route(struct exchange *x, struct reply *reply, struct err *err)
{
    struct route_match match = {0};
    enum status status;

    if (x->gate.is_options && slice_is(x->gate.path, "*")) {
        reply_empty(reply, 204);
        return answer_allow(x, (1u << METHOD_COUNT) - 1, reply, err);
    }
    status = router_match(x->httpd->router, x->gate.is_known_method, x->gate.method, x->gate.path,
                          &x->arena, &match, err);
    if (status == ERR_METHOD) {
        TRY(answer_allow(x, match.allowed, reply, err));
        if (x->gate.is_options) {
            reply_empty(reply, 204);
            *err = (struct err){0};
            return OK;
        }
    }
    TRY(status);
    x->request.route = match.route;
    x->request.segments = match.segments;
    x->request.segment_count = match.segment_count;
    return OK;
}

static enum status
check_body(struct exchange *x, struct err *err)
{
    const struct route *route = x->request.route;
    struct httpd *h = x->httpd;
    uint64_t cap = route->body_cap_bytes;

    FAIL_IF(route->body == BODY_NONE && x->gate.has_body, err, BAD_REQUEST, 0,
            "this request takes no body");
    if (route->body == BODY_STREAM) {
        FAIL_IF(!x->gate.has_length && !x->gate.has_body, err, LENGTH_REQUIRED, 0,
                "neither Content-Length nor Transfer-Encoding: chunked");
        if (cap == 0)
            cap = h->config.limits.upload_bytes;
    }
    FAIL_IF(route->body != BODY_NONE && x->gate.length > cap, err, BODY_TOO_LARGE, 0,
            "a body of %llu bytes; the limit here is %llu", (unsigned long long)x->gate.length,
            (unsigned long long)cap);
    if (route->body == BODY_STREAM) {
        x->is_counted_upload = true;
        FAIL_IF(atomic_fetch_add(&h->uploads, 1) >= h->config.limits.uploads, err, BUSY, 0,
                "%u uploads are under way, the limit; try again", h->config.limits.uploads);
    }
    return OK;
}

/* Everything that is known from the head alone. OK with reply->status set: that is the answer. */
static enum status
look_at_head(struct exchange *x, struct reply *reply, struct err *err)
{
    struct pair *pairs;

    FAIL_IF(atomic_load(&x->httpd->is_draining), err, DRAINING, 0,
            "the server is stopping; try again in a moment");
    TRY(find_route(x, reply, err));
    if (reply->status != 0)
        return OK;
    TRY(query_parse(x->gate.query, x->httpd->config.limits.query_count, &x->arena, &pairs,
                    &x->request.query_count, err));
    x->request.query = pairs;
    TRY(query_check(x->request.query, x->request.query_count, x->request.route->query, err));
    return check_body(x, err);
}

/* Under the lock, which is let go of meanwhile: libmicrohttpd takes the response's own lock here, and
 * holds it when it calls fill.c. */
static enum MHD_Result
queue_reply(struct exchange *x)
{
    struct MHD_Connection *connection = x->connection;
    struct MHD_Response *response = x->response;
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    conn_set(x->conn, CONN_BUSY);
    x->response = NULL;
    x->is_queued = true;
    pthread_mutex_unlock(&x->lock);
    result = MHD_queue_response(connection, (unsigned)x->status, response);
    MHD_destroy_response(response);
    pthread_mutex_lock(&x->lock);
    return result;
}

/* Under the lock: the reply is known, and no byte of the body was read. */
static enum MHD_Result
reply_to_head(struct exchange *x, bool is_well_framed)
{
    if (is_well_framed && !x->must_close &&
        (!x->gate.has_body ||
         (x->gate.has_length && x->gate.length <= SWALLOW_BYTES && !x->gate.expects_continue))) {
        x->phase = PHASE_SWALLOW;
        conn_set(x->conn, x->gate.has_body ? CONN_BODY : CONN_BUSY);
        return MHD_YES;
    }
    reaper_linger(x->httpd, x->conn->fd);
    return queue_reply(x);
}

/* Under the lock: have a worker do the step while the connection waits. */
static enum MHD_Result
hand_over(struct exchange *x, enum phase phase, enum step step)
{
    struct err err = {0};

    x->phase = phase;
    if (exchange_queue(x, step, &err) != OK) {
        exchange_refuse(x, &err);
        return phase == PHASE_ADMIT ? reply_to_head(x, true) : queue_reply(x);
    }
    x->is_head_call_due = phase == PHASE_ADMIT;
    return exchange_suspend(x, clock_ms() + x->httpd->config.limits.handler_deadline_ms) ? MHD_YES
                                                                                         : MHD_NO;
}

static void
set_reply(struct exchange *x, struct reply *reply, const struct err *failure)
{
    struct MHD_Response *response;
    uint64_t bytes;
    int status;

    deliver(x, reply, failure, &response, &status, &bytes);
    if (response != NULL)
        exchange_answer(x, response, status, bytes);
}

static bool
needs_admission(const struct exchange *x)
{
    const struct route *route = x->request.route;

    if (route->body == BODY_STREAM)
        return true;
    return route->body == BODY_SMALL && x->httpd->config.authorize != NULL && x->gate.has_body &&
           (!x->gate.has_length || x->gate.length > TRUSTED_BODY_BYTES);
}

static enum MHD_Result
first_call(struct httpd *h, struct MHD_Connection *connection, const char *method,
           const char *version, void **con_cls)
{
    struct conn *conn = conn_of(connection);
    struct exchange *x = conn == NULL ? NULL : exchange_new(h, conn, connection);
    struct reply reply = {0};
    struct err err = {0};
    enum MHD_Result result;
    bool is_through;

    if (x == NULL)
        return MHD_NO; /* no memory */
    *con_cls = x;
    (void)atomic_fetch_add(&h->requests, 1);
    conn_set(conn, CONN_BUSY);
    pthread_mutex_lock(&x->lock);
    x->phase = PHASE_ADMIT;
    is_through = pass_gate(x, method, version, &err) == OK;
    if (!is_through)
        (void)atomic_fetch_add(&h->refused, 1);
    if (!is_through || look_at_head(x, &reply, &err) != OK || reply.status != 0) {
        x->must_close = !is_through;
        set_reply(x, &reply, err.code == OK ? NULL : &err);
        result = reply_to_head(x, is_through);
    } else if (needs_admission(x))
        result = hand_over(x, PHASE_ADMIT, STEP_ADMIT);
    else {
        x->phase = PHASE_BODY;
        conn_set(conn, x->gate.has_body ? CONN_BODY : CONN_BUSY);
        result = MHD_YES;
    }
    pthread_mutex_unlock(&x->lock);
    reply_done(&reply);
    return result;
}

/* Under the lock: the same call as the first one, after a worker looked at the head. */
static enum MHD_Result
second_head_call(struct exchange *x)
{
    x->is_head_call_due = false;
    if (x->phase == PHASE_BODY) {
        conn_set(x->conn, x->gate.has_body ? CONN_BODY : CONN_BUSY);
        return MHD_YES;
    }
    return reply_to_head(x, true);
}

/* Under the lock: the reply is there, but the body is not at its end. */
static enum MHD_Result
reply_in_body(struct exchange *x)
{
    struct slice raw = buf_slice_of(&x->raw);

    if (buf_check(&x->raw, NULL) == OK && raw.length > 0) {
        (void)send(x->conn->fd, raw.at, raw.length, MSG_DONTWAIT | MSG_NOSIGNAL);
        reaper_linger(x->httpd, x->conn->fd);
    }
    return MHD_NO;
}

/* Under the lock. A whole body in memory; all of them together have a limit, too. */
static enum status
keep_small(struct exchange *x, const char *bytes, size_t length, struct err *err)
{
    struct httpd *h = x->httpd;
    size_t cap = x->request.route->body_cap_bytes;

    FAIL_IF(length > cap || x->body.length > cap - length, err, BODY_TOO_LARGE, 0,
            "the body has more than %zu bytes, the limit here", cap);
    x->body_memory += length;
    FAIL_IF(atomic_fetch_add(&h->body_memory, length) > h->config.limits.body_memory_bytes, err,
            BUSY, 0, "too many large requests at once; try again");
    if (x->body.cap_bytes == 0)
        x->body = buf_with_cap(cap);
    buf_add(&x->body, bytes, length);
    return buf_check(&x->body, err);
}

/* Under the lock. */
static enum MHD_Result
body_call(struct exchange *x, const char *bytes, size_t *length)
{
    struct err err = {0};
    size_t taken = *length;

    (void)atomic_fetch_add_explicit(&x->conn->window_bytes, taken, memory_order_relaxed);
    if (x->phase == PHASE_SWALLOW) {
        *length = 0;
        return MHD_YES;
    }
    if (x->phase == PHASE_BODY && x->request.route->body == BODY_STREAM)
        (void)stream_take(x, bytes, *length, &taken); /* a failure made the reply */
    else if (x->phase == PHASE_BODY && keep_small(x, bytes, *length, &err) != OK)
        exchange_refuse(x, &err);
    if (x->phase != PHASE_BODY) {
        *length = 0;
        return reply_in_body(x);
    }
    (void)atomic_fetch_add_explicit(&x->httpd->bytes_in, taken, memory_order_relaxed);
    *length -= taken;
    if (*length == 0)
        return MHD_YES;
    return exchange_suspend(x, clock_ms() + x->httpd->config.limits.handler_deadline_ms) ? MHD_YES
                                                                                         : MHD_NO;
}

/* Under the lock: there is no body, or it is whole. */
static enum MHD_Result
last_call(struct exchange *x)
{
    if (x->phase == PHASE_SWALLOW || x->phase == PHASE_REPLY)
        return queue_reply(x);
    if (x->phase != PHASE_BODY)
        return MHD_NO; /* resumed without a reply: the server stops */
    if (x->request.route->body == BODY_STREAM) {
        x->phase = PHASE_WORK;
        stream_ended(x);
        return exchange_suspend(x, clock_ms() + x->httpd->config.limits.finish_deadline_ms)
                   ? MHD_YES
                   : MHD_NO;
    }
    x->request.body = buf_slice_of(&x->body);
    return hand_over(x, PHASE_WORK, STEP_HANDLE);
}

enum MHD_Result
dispatch_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                 const char *version, const char *upload_data, size_t *upload_data_size,
                 void **con_cls)
{
    struct exchange *x = *con_cls;
    enum MHD_Result result;

    (void)url; /* dispatch_uri saw it raw */
    if (x == NULL)
        return first_call(cls, connection, method, version, con_cls);
    pthread_mutex_lock(&x->lock);
    if (x->is_head_call_due)
        result = second_head_call(x);
    else if (*upload_data_size > 0)
        result = body_call(x, upload_data, upload_data_size);
    else
        result = last_call(x);
    pthread_mutex_unlock(&x->lock);
    return result;
}

static void
write_log(struct exchange *x, enum MHD_RequestTerminationCode code)
{
    const char *route = x->request.route == NULL ? "" : x->request.route->name;

    LOG(x->httpd->config.log, LOG_INFO, "request", LOG_SLICE("request_id", x->request.id),
        LOG_SLICE("peer", x->request.peer), LOG_SLICE("method", x->method),
        LOG_SLICE("path", x->request.path), LOG_TEXT("route", route),
        LOG_U64("code", (uint64_t)x->status), LOG_U64("bytes_in", x->body_received),
        LOG_U64("bytes", x->reply_bytes), LOG_SECONDS("dur_s", clock_us() - x->started_us),
        LOG_YES("whole", code == MHD_REQUEST_TERMINATED_COMPLETED_OK));
}

/* The connection forgets the request: sent, or cut. The only place where it is let go. */
void
dispatch_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                   enum MHD_RequestTerminationCode code)
{
    struct httpd *h = cls;
    struct exchange *x = *con_cls;
    struct err cut = {0};

    (void)connection;
    *con_cls = NULL;
    if (x == NULL)
        return;
    err_set(&cut, ERR_TRUNCATED, x->body_received, "the connection ended in mid-body");
    pthread_mutex_lock(&x->lock);
    conn_set(x->conn, CONN_IDLE);
    x->connection = NULL;
    x->conn = NULL;
    x->is_suspended = false;
    if (x->response != NULL)
        MHD_destroy_response(x->response); /* never queued */
    x->response = NULL;
    park_remove(&h->park, x);
    stream_cut(x, &cut);
    if (x->is_finished && x->has_upload_state && !x->is_running)
        exchange_continue(x, STEP_PUMP); /* it was parked: its state is to be freed */
    if (x->body.length > x->body_received)
        x->body_received = x->body.length;
    (void)atomic_fetch_add(&h->by_class[x->status / 100 % 6], 1);
    (void)atomic_fetch_add(&h->bytes_out, x->reply_bytes);
    write_log(x, code);
    pthread_mutex_unlock(&x->lock);
    exchange_unref(x);
}
