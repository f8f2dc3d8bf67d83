#include "tests/api/toy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "server/work/clock.h"

enum { READ_MS = 10000 };

static void
sleep_ms(uint64_t ms)
{
    (void)nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
}

static enum status
hello(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)r;
    (void)err;
    reply_static(ret_reply, 200, "text/plain", slice_of("hello\n"));
    return OK;
}

static enum status
echo(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf body = buf_with_cap(1 << 20);

    (void)err;
    buf_slice(&body, r->body);
    reply_bytes(ret_reply, 200, "application/octet-stream", &body);
    return OK;
}

/* What the router and the query made of the request. */
static enum status
show(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf body = buf_with_cap(1 << 20);

    (void)err;
    buf_printf(&body, "%s as %s\n", r->route->name, r->principal->id);
    for (size_t i = 0; i < r->segment_count; i++)
        buf_printf(&body, "{%.*s}=[%.*s]\n", SLICE_PRINT(r->segments[i].name),
                   SLICE_PRINT(r->segments[i].value));
    for (size_t i = 0; i < r->query_count; i++)
        buf_printf(&body, "?%.*s=[%.*s]\n", SLICE_PRINT(r->query[i].name),
                   SLICE_PRINT(r->query[i].value));
    reply_bytes(ret_reply, 200, "text/plain", &body);
    return OK;
}

static enum status
fail(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)r;
    reply_member_u64(ret_reply, "limit", 7);
    reply_header(ret_reply, "X-Toy", "a\r\nInjected: %s", "yes");
    FAIL(err, LIMIT, 0, "eight \"things\"; the limit is 7");
}

/* 100,000 bytes, each its offset's last two digits; an ETag. */
static const char *
numbers(void)
{
    static char text[100001];

    if (text[0] == '\0')
        for (unsigned i = 0; i < 100000; i += 2) {
            text[i] = (char)('0' + i / 10 % 10);
            text[i + 1] = (char)('0' + i % 10);
        }
    return text;
}

static enum status
file(const struct request *r, struct reply *ret_reply, struct err *err)
{
    int fd = memfd_create("toy", MFD_CLOEXEC);

    (void)r;
    FAIL_IF(fd < 0 || write(fd, numbers(), 100000) != 100000, err, IO, 0, "no file");
    reply_file(ret_reply, "application/octet-stream", fd, 0, 100000);
    reply_etag(ret_reply, slice_of("sha256:abc"));
    return OK;
}

static void
count_release(void *context)
{
    struct toy *toy = context;

    (void)atomic_fetch_add(&toy->released, 1);
}

static enum status
shared(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)err;
    reply_shared(ret_reply, 200, "text/plain", (struct slice){numbers(), 1000}, count_release,
                 r->app);
    reply_etag(ret_reply, slice_of("v1"));
    return OK;
}

static enum status
slow(const struct request *r, struct reply *ret_reply, struct err *err)
{
    struct toy *toy = r->app;
    uint64_t ms;

    TRY(request_query_u64(r, "ms", 100, 0, 60000, &ms, err));
    (void)atomic_fetch_add(&toy->running, 1);
    sleep_ms(ms);
    (void)atomic_fetch_sub(&toy->running, 1);
    return hello(r, ret_reply, err);
}

/* Parked until the key is signalled or the time is over. */
static enum status
wait_for(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf body = buf_with_cap(1 << 10);
    uint64_t ms;

    TRY(request_query_u64(r, "ms", 1000, 0, 60000, &ms, err));
    if (r->wakeups == 0 && !r->is_wait_over) {
        if (request_has_query(r, "early")) /* signalled while the handler still runs */
            httpd_signal(((struct toy *)r->app)->httpd, request_query(r, "key"));
        reply_park(ret_reply, request_query(r, "key"), ms);
        return OK;
    }
    buf_printf(&body, "%s after %u\n", r->is_wait_over ? "over" : "signalled", r->wakeups);
    reply_bytes(ret_reply, 200, "text/plain", &body);
    return OK;
}

struct production {
    struct toy *toy;
    uint64_t at, size, fail_at;
    uint64_t step, pause_ms;
    bool waits;
};

static enum status
produce(void *context, char *buffer, size_t room, size_t *ret_length, enum produced *ret_produced,
        struct err *err)
{
    struct production *p = context;
    size_t length = room < p->step ? room : (size_t)p->step;

    if (length > p->size - p->at)
        length = (size_t)(p->size - p->at);
    if (p->pause_ms > 0)
        sleep_ms(p->pause_ms);
    for (size_t i = 0; i < length; i++, p->at++)
        buffer[i] = numbers()[p->at % 100000];
    *ret_length = length;
    *ret_produced = p->at == p->size ? PRODUCED_END : p->waits ? PRODUCED_WAIT : PRODUCED_MORE;
    FAIL_IF(p->fail_at != 0 && p->at >= p->fail_at, err, IO, p->at, "a toy failure");
    return OK;
}

static enum status
seek(void *context, uint64_t offset, struct err *err)
{
    struct production *p = context;

    (void)err;
    p->at = offset;
    return OK;
}

static void
free_production(void *context)
{
    struct production *p = context;

    (void)atomic_fetch_add(&p->toy->released, 1);
    mem_free(p);
}

static const struct producer endless = {.read = produce, .free = free_production};
static const struct producer seekable = {.read = produce, .seek = seek, .free = free_production};

static enum status
produced(const struct request *r, struct reply *ret_reply, struct err *err)
{
    struct production *p = mem_new(1, sizeof *p);
    bool has_length = false;
    enum status status;

    FAIL_IF(p == NULL, err, NO_MEMORY, 0, "no memory");
    p->toy = r->app;
    status = request_query_u64(r, "size", 1000, 0, UINT64_MAX, &p->size, err);
    if (status == OK)
        status = request_query_u64(r, "step", 65536, 1, UINT64_MAX, &p->step, err);
    if (status == OK)
        status = request_query_u64(r, "fail_at", 0, 0, UINT64_MAX, &p->fail_at, err);
    if (status == OK)
        status = request_query_u64(r, "pause", 0, 0, 10000, &p->pause_ms, err);
    if (status == OK)
        status = request_query_flag(r, "length", &has_length, err);
    if (status == OK)
        status = request_query_flag(r, "waits", &p->waits, err);
    reply_produced(ret_reply, 200, "application/octet-stream", has_length ? &seekable : &endless, p,
                   has_length ? p->size : REPLY_LENGTH_UNKNOWN);
    reply_wake_key(ret_reply, slice_of("more"));
    return status;
}

unsigned char
toy_byte(uint64_t offset)
{
    return (unsigned char)(offset * 2654435761u >> 13); /* repeats nowhere near a ring's size */
}

/* An upload that counts, and checks what arrives. */
struct upload_state {
    struct toy *toy;
    uint64_t bytes, fail_at, pause_ms;
    uint64_t wait_ms;
    bool is_checked; /* each byte is toy_byte of its offset */
};

static enum status
upload_begin(const struct request *r, void **ret_state, struct reply *ret_reply, struct err *err)
{
    struct toy *toy = r->app;
    struct upload_state *u;

    FAIL_IF(slice_is(request_segment(r, "name"), "full"), err, NO_SPACE, 0, "no room at all");
    if (slice_is(request_segment(r, "name"), "known")) {
        reply_static(ret_reply, 200, "text/plain", slice_of("known\n"));
        return OK;
    }
    u = mem_new(1, sizeof *u);
    FAIL_IF(u == NULL, err, NO_MEMORY, 0, "no memory");
    *ret_state = u;
    u->toy = toy;
    u->is_checked = slice_is(request_segment(r, "name"), "checked");
    (void)atomic_fetch_add(&toy->begun, 1);
    TRY(request_query_u64(r, "fail_at", 0, 0, UINT64_MAX, &u->fail_at, err));
    TRY(request_query_u64(r, "pause", 0, 0, 10000, &u->pause_ms, err));
    return request_query_u64(r, "wait", 0, 0, 60000, &u->wait_ms, err);
}

static enum status
upload_write(void *state, const void *bytes, size_t length, struct err *err)
{
    struct upload_state *u = state;
    const unsigned char *at = bytes;

    if (u->pause_ms > 0)
        sleep_ms(u->pause_ms);
    for (size_t i = 0; u->is_checked && i < length; i++)
        FAIL_IF(at[i] != toy_byte(u->bytes + i), err, DIGEST_MISMATCH, u->bytes + i,
                "byte %llu is not what was sent", (unsigned long long)(u->bytes + i));
    u->bytes += length;
    (void)atomic_fetch_add(&u->toy->written, length);
    FAIL_IF(u->fail_at != 0 && u->bytes >= u->fail_at, err, NO_SPACE, u->bytes, "the toy is full");
    return OK;
}

static enum status
upload_finish(const struct request *r, void *state, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf body = buf_with_cap(1 << 10);
    struct upload_state *u = state;

    (void)err;
    if (u->wait_ms > 0 && r->wakeups == 0) {
        reply_park(ret_reply, slice_of("upload"), u->wait_ms);
        return OK;
    }
    (void)atomic_fetch_add(&u->toy->finished, 1);
    buf_printf(&body, "%llu bytes%s\n", (unsigned long long)u->bytes,
               r->wakeups > 0 ? ", waited" : "");
    reply_bytes(ret_reply, 201, "text/plain", &body);
    return OK;
}

static void
upload_abort(void *state, const struct err *why)
{
    struct upload_state *u = state;

    (void)why;
    (void)atomic_fetch_add(&u->toy->aborted, 1);
}

static void
upload_free(void *state)
{
    struct upload_state *u = state;

    (void)atomic_fetch_add(&u->toy->freed, 1);
    mem_free(u);
}

static const struct upload counting = {
    .begin = upload_begin,
    .write = upload_write,
    .finish = upload_finish,
    .abort = upload_abort,
    .free = upload_free,
};

static const struct route routes[] = {
    {.method = METHOD_GET, .pattern = "/hello", .name = "hello", .handler = hello},
    {.method = METHOD_GET, .pattern = "/file", .name = "file", .handler = file, .pool = ROUTE_IO},
    {.method = METHOD_GET, .pattern = "/shared", .name = "shared", .handler = shared},
    {.method = METHOD_GET, .pattern = "/fail", .name = "fail", .handler = fail},
    {.method = METHOD_GET, .pattern = "/slow", .name = "slow", .handler = slow, .query = "ms"},
    {.method = METHOD_GET,
     .pattern = "/wait",
     .name = "wait",
     .handler = wait_for,
     .query = "key ms early"},
    {.method = METHOD_GET,
     .pattern = "/produced",
     .name = "produced",
     .handler = produced,
     .pool = ROUTE_HEAVY,
     .query = "size step fail_at pause length waits"},
    {.method = METHOD_GET,
     .pattern = "/show/{one}/{rest...}",
     .name = "show",
     .handler = show,
     .scope = SCOPE_READ,
     .namespace = "one",
     .query = "a b+ meta.*"},
    {.method = METHOD_GET,
     .pattern = "/slash/{one}",
     .name = "slash",
     .handler = show,
     .allows_slash = true},
    {.method = METHOD_POST,
     .pattern = "/echo",
     .name = "echo",
     .handler = echo,
     .scope = SCOPE_WRITE,
     .body = BODY_SMALL,
     .body_cap_bytes = 200000},
    {.method = METHOD_DELETE, .pattern = "/hello", .name = "bye", .handler = hello},
    {.method = METHOD_PUT,
     .pattern = "/upload/{name}",
     .name = "upload",
     .scope = SCOPE_WRITE,
     .upload = &counting,
     .pool = ROUTE_IO,
     .body = BODY_STREAM,
     .query = "fail_at pause wait"},
    {.method = METHOD_PUT,
     .pattern = "/small-upload",
     .name = "small-upload",
     .upload = &counting,
     .pool = ROUTE_IO,
     .body = BODY_STREAM,
     .body_cap_bytes = 100000},
};

static void
must(enum status status, const struct err *err)
{
    if (status == OK)
        return;
    (void)fprintf(stderr, "toy: %s\n", err->text);
    abort();
}

static void
start(struct toy *toy, struct httpd_limits limits, unsigned threads, size_t queue,
      httpd_authorize *authorize)
{
    static const char *const names[ROUTE_POOL_COUNT] = {"query", "heavy", "io"};
    const char *const hosts[] = {"toys.example", "ports.example:8420", NULL};
    const char *const origins[] = {"https://console.example", NULL};
    struct httpd_config config = {
        .hosts = hosts,
        .origins = origins,
        .listen = "127.0.0.1:0",
        .routes = routes,
        .route_count = ARRAY_LENGTH(routes),
        .app = toy,
        .authorize = authorize,
        .limits = limits,
    };
    struct err err = {0};

    *toy = (struct toy){0};
    (void)numbers();
    for (size_t i = 0; i < ROUTE_POOL_COUNT; i++) {
        must(pool_start(names[i], threads, queue, &toy->pools[i], &err), &err);
        config.pools[i] = toy->pools[i];
    }
    if (getenv("TOY_LOG") != NULL)
        must(log_open(2, LOG_DEBUG, &toy->log, &err), &err);
    config.log = toy->log;
    if (getenv("TOY_LISTEN") != NULL)
        config.listen = getenv("TOY_LISTEN");
    must(httpd_start(&config, &toy->httpd, &err), &err);
}

void
toy_start(struct toy *toy, struct httpd_limits limits, unsigned threads, size_t queue)
{
    start(toy, limits, threads, queue, NULL);
}

void
toy_start_guarded(struct toy *toy, httpd_authorize *authorize)
{
    start(toy, (struct httpd_limits){0}, 2, 64, authorize);
}

void
toy_stop(struct toy *toy, uint64_t drain_ms)
{
    httpd_stop(toy->httpd, drain_ms);
    for (size_t i = 0; i < ROUTE_POOL_COUNT; i++)
        pool_free(toy->pools[i]);
    log_free(toy->log);
}

int
toy_connect(const struct toy *toy)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)httpd_port(toy->httpd)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    return fd;
}

bool
toy_send(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

/* More bytes; false at the end, or when none come. */
static bool
reader_more(struct reader *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    ssize_t n;

    if (r->capacity - r->length < 65536) {
        r->capacity = r->capacity * 2 + (1 << 17);
        r->bytes = mem_resize(r->bytes, r->capacity, 1);
    }
    if (poll(&p, 1, READ_MS) <= 0)
        return false;
    n = recv(r->fd, r->bytes + r->length, r->capacity - r->length - 1, 0);
    if (n <= 0)
        return false;
    r->length += (size_t)n;
    r->bytes[r->length] = '\0';
    return true;
}

static void
reader_drop(struct reader *r, size_t length)
{
    memmove(r->bytes, r->bytes + length, r->length - length + 1);
    r->length -= length;
}

const char *
response_header(const struct response *r, const char *name, char value[256])
{
    size_t length = strlen(name);

    value[0] = '\0';
    for (const char *line = strchr(r->head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        line += length + 1;
        while (*line == ' ')
            line++;
        length = strcspn(line, "\r\n");
        if (length > 255)
            length = 255;
        memcpy(value, line, length);
        value[length] = '\0';
        return value;
    }
    return value;
}

static bool
read_head(struct reader *r, struct response *ret_response)
{
    char *end;

    for (;;) {
        while (r->length == 0 || (end = strstr(r->bytes, "\r\n\r\n")) == NULL)
            if (!reader_more(r))
                return false;
        if (strncmp(r->bytes, "HTTP/1.1 100", 12) != 0)
            break;
        r->continues++;
        reader_drop(r, (size_t)(end + 4 - r->bytes));
    }
    ret_response->head = mem_copy(r->bytes, (size_t)(end + 4 - r->bytes));
    ret_response->status = (int)strtoul(r->bytes + 9, NULL, 10);
    reader_drop(r, (size_t)(end + 4 - r->bytes));
    return true;
}

static bool
read_chunked(struct reader *r, struct buf *body)
{
    for (;;) {
        char *end = NULL;
        unsigned long length;

        while (r->length == 0 || (end = strstr(r->bytes, "\r\n")) == NULL)
            if (!reader_more(r))
                return false;
        length = strtoul(r->bytes, NULL, 16);
        reader_drop(r, (size_t)(end + 2 - r->bytes));
        while (r->length < length + 2)
            if (!reader_more(r))
                return false;
        buf_add(body, r->bytes, length);
        reader_drop(r, length + 2);
        if (length == 0)
            return true;
    }
}

bool
reader_next(struct reader *r, bool is_head, struct response *ret_response)
{
    struct buf body = buf_with_cap(SIZE_MAX / 2);
    char value[256];
    bool is_whole = true;

    *ret_response = (struct response){0};
    if (!read_head(r, ret_response))
        return false;
    if (is_head || ret_response->status == 204 || ret_response->status == 304) {
    } else if (strcmp(response_header(ret_response, "Transfer-Encoding", value), "chunked") == 0) {
        is_whole = read_chunked(r, &body);
    } else {
        size_t length = strtoul(response_header(ret_response, "Content-Length", value), NULL, 10);

        while (is_whole && r->length < length)
            is_whole = reader_more(r);
        if (is_whole) {
            buf_add(&body, r->bytes, length);
            if (length > 0)
                reader_drop(r, length);
        }
    }
    ret_response->body_length = body.length;
    ret_response->body = buf_take(&body);
    if (ret_response->body == NULL)
        ret_response->body = mem_copy("", 0);
    if (!is_whole)
        ret_response->status = -ret_response->status;
    return is_whole;
}

bool
reader_ended(struct reader *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    char byte;

    return r->length == 0 && poll(&p, 1, READ_MS) > 0 && recv(r->fd, &byte, 1, 0) <= 0;
}

void
reader_done(struct reader *r)
{
    mem_free(r->bytes);
    if (r->fd >= 0)
        (void)close(r->fd);
    *r = (struct reader){.fd = -1};
}

void
response_done(struct response *r)
{
    mem_free(r->head);
    mem_free(r->body);
    *r = (struct response){0};
}

struct response
toy_ask(const struct toy *toy, const char *request)
{
    struct reader reader = {.fd = toy_connect(toy)};
    struct response response = {0};

    if (toy_send(reader.fd, request, strlen(request)))
        (void)reader_next(&reader, strncmp(request, "HEAD", 4) == 0, &response);
    reader_done(&reader);
    return response;
}
