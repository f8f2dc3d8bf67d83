#pragma once
/*
 * The HTTP server. Polling threads parse, gate, route, move bytes and send replies; handlers run on
 * the pools of httpd_config and never on a polling thread (design.md §8).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"
#include "server/http/route.h"
#include "server/work/log.h"
#include "server/work/pool.h"

struct httpd_limits {
    unsigned polling_threads;
    unsigned connections;         /* at once */
    size_t header_count;          /* of one request */
    size_t header_bytes;          /* all names and values */
    size_t uri_bytes;             /* path and query */
    size_t query_count;           /* parameters */
    uint64_t upload_bytes;        /* one streamed body */
    size_t body_memory_bytes;     /* all BODY_SMALL bodies together */
    unsigned uploads;             /* streamed bodies at once */
    size_t ring_bytes;            /* of one streamed body, one produced reply */
    unsigned header_timeout_ms;   /* for a whole header */
    unsigned idle_timeout_s;      /* without a byte */
    unsigned body_window_ms;      /* a body must bring … */
    uint64_t body_window_bytes;   /* … so many bytes in each such window */
    unsigned handler_deadline_ms; /* a handler that takes longer is answered 503 … */
    unsigned finish_deadline_ms;  /* … and an upload's finish, which syncs what was written */
};
struct httpd_limits httpd_limits_default(void);

/* Who asks? Called on a worker, before the handler and before a body is read. ERR_UNAUTHORIZED and
 * the like refuse; ret_reply is for headers such as WWW-Authenticate. The principal lives until the
 * request ends (put it into request->arena). Whether it has the route's scope (403), and may see the
 * route's namespace (404), is then checked here. */
typedef enum status httpd_authorize(const struct request *request, const struct route *route,
                                    const struct principal **ret_principal, struct reply *ret_reply,
                                    struct err *err);

/* What it points to is borrowed until httpd_stop has returned, but for hosts and origins. */
struct httpd_config {
    const char *listen;         /* "127.0.0.1:8420", "[::1]:0", "unix:/run/ckptd.sock" */
    const char *const *hosts;   /* allowed besides loopback's; NULL-terminated, or NULL. With a port
                                 * only that one, else any; "*" is any host. Copied */
    const char *const *origins; /* allowed besides the Host's own; the same */
    const struct route *routes;
    size_t route_count;
    struct pool *pools[ROUTE_POOL_COUNT]; /* freed after httpd_stop */
    httpd_authorize *authorize;           /* NULL: everybody is `local` and may all */
    struct log *log;                      /* may be NULL */
    void *app;                            /* request->app */
    struct httpd_limits limits;           /* all zero: the defaults */
};

struct httpd;

/* Bind, and serve. ERR_BAD_REQUEST for an address or a table of routes that is wrong. */
enum status httpd_start(const struct httpd_config *config, struct httpd **ret_httpd,
                        struct err *err) MUST_CHECK;

/* The port bound; 0 for a Unix socket. */
unsigned httpd_port(const struct httpd *h);

/*
 * Stop: no new connection, new requests get 503, parked ones are called a last time (is_wait_over),
 * uploads and replies under way may go on for drain_ms; then they are cut and h is freed. The pools
 * must still run. Not from one of their threads.
 */
void httpd_stop(struct httpd *h, uint64_t drain_ms);

/* Call again what is parked on this key. Any thread. */
void httpd_signal(struct httpd *h, struct slice key);

/* The principal of a server without authorize. */
extern const struct principal httpd_local_principal;

struct httpd_stats {
    uint64_t requests;    /* since the start */
    uint64_t by_class[6]; /* [2] = replies of 2xx … */
    uint64_t refused;     /* by the gate, before any handler */
    uint64_t reaped;      /* connections cut: too slow, or gone */
    uint64_t body_bytes_in;
    uint64_t body_bytes_out;
    unsigned connections;
    unsigned uploads;
    unsigned in_handlers; /* requests that wait for a worker or are with one */
    unsigned parked;
};
struct httpd_stats httpd_stats(struct httpd *h);

/* Text of a status code: "Not Found". */
const char *httpd_reason(int status);
