#pragma once
/*
 * Inside server/http only. One request and its reply, from the first call of libmicrohttpd's handler
 * until nobody holds it any more: the connection, a task on a pool, a response that is still read
 * from, the list of the parked each hold a reference.
 *
 * A connection's polling thread and one worker meet under x->lock. The worker runs steps; at most
 * one is queued or running. Whoever gave up waiting (the connection is gone, the deadline passed)
 * leaves the step to end by itself; what it made is then thrown away.
 *
 * Locks are taken in this order: httpd's table, an exchange, the park, a pool, libmicrohttpd's own.
 */
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "server/http/gate.h"
#include "server/http/httpd.h"
#include "server/http/router.h"
#include "server/work/ring.h"

enum phase {
    PHASE_ADMIT,   /* a worker authorises it and begins the upload; the body waits */
    PHASE_BODY,    /* its bytes arrive; there may be none */
    PHASE_SWALLOW, /* they arrive for nothing: the reply is known */
    PHASE_WORK,    /* a worker makes the reply, or it is parked */
    PHASE_REPLY,   /* the reply is there */
};

enum step { STEP_ADMIT, STEP_HANDLE, STEP_PUMP, STEP_FILL };

/* A TCP connection, for the reaper. */
struct conn {
    struct conn *previous, *next; /* in httpd's table, under its lock */
    int fd;
    char local[64]; /* the address it came to, without a port; "" until asked for */
    char peer[64];
    char *uri;              /* raw, of the request being read; the polling thread's */
    _Atomic unsigned state; /* enum conn_state */
    _Atomic uint64_t since_ms;
    _Atomic uint64_t window_bytes; /* of a body, since since_ms */
    bool was_quiet;                /* the reaper's: no byte since it looked last */
    uint64_t seen_bytes;
};

enum conn_state {
    CONN_IDLE,   /* between requests */
    CONN_HEADER, /* a request's head is being read */
    CONN_BODY,   /* bytes of a body are awaited */
    CONN_BUSY,   /* it is our turn */
};

struct exchange {
    struct exchange *previous, *next; /* in httpd's table, under its lock */
    struct httpd *httpd;
    struct conn *conn; /* the polling thread's */
    _Atomic unsigned refs;
    struct task task;

    /* Written before any other thread knows of it. */
    struct arena arena;
    struct request request;
    struct gate_output gate;
    struct slice method; /* as sent */
    bool is_counted_upload;
    uint64_t started_us;

    pthread_mutex_t lock;
    /* Under the lock. */
    struct MHD_Connection *connection; /* NULL: gone */
    enum phase phase;
    enum step step;
    bool is_running; /* a step is queued or runs */
    bool is_suspended;
    bool is_head_call_due; /* the next call repeats the first one */
    bool is_abandoned;     /* answered without waiting for the step */
    bool is_queued;        /* libmicrohttpd has the reply */
    uint64_t deadline_ms;  /* of a suspension; 0: none */
    struct MHD_Response *response;
    int status;
    struct buf raw; /* the same reply as bytes for the socket, after a failure in mid-body */
    uint64_t reply_bytes;
    bool must_close;

    /* The body. */
    struct buf body;    /* of BODY_SMALL */
    size_t body_memory; /* counted in httpd->body_memory */
    uint64_t body_received;
    uint64_t pumped_ms; /* when a worker was called last for what the ring holds */
    struct ring ring;   /* of BODY_STREAM, then of a produced reply */
    bool is_body_ended;
    bool is_body_cut;
    bool is_finished; /* upload->finish was called */
    struct err cut;   /* why the body was cut */
    void *upload_state;
    bool has_upload_state;

    /* The worker's, while a step runs. */
    struct reply reply;
    struct err err;

    /* A produced reply, under the lock. */
    struct {
        const struct producer *producer;
        void *context;
        struct slice key;
        uint64_t left; /* bytes still to be made; REPLY_LENGTH_UNKNOWN */
        bool is_ended, has_failed, is_waiting;
    } fill;

    /* Parked: the park's, under its lock. */
    struct exchange *park_previous, *park_next;
    bool is_parked;
    uint64_t park_key_hash;
    uint64_t park_until_ms;
    uint64_t signal_mark; /* the park's count of signals when the handler began */
};

/* How many buckets remember the newest signal: two keys that share one cost a needless wake-up. */
enum { PARK_BUCKETS = 1024, LINGER_MAX = 64 };

struct park {
    pthread_mutex_t lock;
    struct exchange *first;
    unsigned count;
    uint64_t soonest_ms; /* when the reaper looks at them next; UINT64_MAX: not at all */
    uint64_t signals;
    uint64_t newest[PARK_BUCKETS];
};

struct lingering {
    int fd;
    uint64_t until_ms;
};

struct httpd {
    struct httpd_config config; /* limits filled in */
    struct gate_rules rules;
    char **hosts, **origins; /* the rules' */
    struct router *router;
    struct MHD_Daemon *daemon;
    int listen_fd;
    unsigned port;
    char *unix_path;
    pthread_t acceptor;
    bool has_acceptor;
    int accept_end_fd; /* an eventfd: the acceptor should end */
    uint64_t id_seed;
    _Atomic uint64_t id_count;
    _Atomic bool is_draining; /* new requests are refused */
    _Atomic bool is_stopping; /* nothing may be suspended any more */

    pthread_mutex_t table_lock;
    struct conn *conns;
    struct exchange *exchanges;

    struct park park;

    pthread_t reaper;
    bool has_reaper;
    int wake_fd; /* an eventfd: the reaper should look */
    _Atomic bool is_reaper_ending;
    pthread_mutex_t linger_lock;
    struct lingering lingers[LINGER_MAX];
    size_t linger_count;

    _Atomic uint64_t requests, by_class[6], refused, reaped, bytes_in, bytes_out;
    _Atomic unsigned connections, uploads, in_handlers;
    _Atomic size_t body_memory;
};

/* exchange.c: life, and the two sides' meeting. */
struct exchange *exchange_new(struct httpd *h, struct conn *conn,
                              struct MHD_Connection *connection);
void exchange_ref(struct exchange *x);
void exchange_unref(struct exchange *x);

/* Under x->lock. Stop reading from the connection until exchange_resume, or the deadline. False while
 * the server stops: then cut it. */
bool exchange_suspend(struct exchange *x, uint64_t deadline_ms);
void exchange_resume(struct exchange *x);

/* Under x->lock. Have the pool run the step; exchange_queue may find the queue full, then x->err
 * says so. */
enum status exchange_queue(struct exchange *x, enum step step, struct err *err) MUST_CHECK;
void exchange_continue(struct exchange *x, enum step step);

/* Under x->lock. This is the reply (the response is taken over); the connection goes on. */
void exchange_answer(struct exchange *x, struct MHD_Response *response, int status, uint64_t bytes);

/* Under x->lock, by anybody but a running step. The reply is this error. */
void exchange_refuse(struct exchange *x, const struct err *err);

/* steps.c: what workers do. */
void steps_run(struct task *task);
void steps_call(struct exchange *x); /* the handler, or the upload's finish */

/* stream.c: the body's way from the polling thread to upload->write. Under x->lock, both. Fewer bytes
 * than given are taken where the ring is full: suspend. An error was made the reply already. */
enum status stream_take(struct exchange *x, const char *bytes, size_t length, size_t *ret_taken);
void stream_cut(struct exchange *x, const struct err *why); /* no more will come */
void stream_ended(struct exchange *x);                      /* the body is whole */
void stream_pump(struct exchange *x);                       /* a step */

/* fill.c: a produced body's way from producer->read to the polling thread. length may be unknown. */
enum status fill_begin(struct exchange *x, struct reply *r, uint64_t offset, uint64_t length,
                       struct MHD_Response **ret_response, struct err *err) MUST_CHECK;
void fill_step(struct exchange *x);
void fill_wake(struct exchange *x); /* under x->lock: ask the producer again */
void fill_done(struct exchange *x);

/* deliver.c: from struct reply to libmicrohttpd's response; conditions and ranges on the way. */
void deliver(struct exchange *x, struct reply *r, const struct err *failure,
             struct MHD_Response **ret_response, int *ret_status, uint64_t *ret_bytes);
/* The reply's head and body as they go onto the wire; only for bodies in memory. */
void deliver_raw(const struct exchange *x, const struct reply *r, struct buf *ret_raw);

/* park.c */
void park_init(struct park *p);
uint64_t park_mark(struct park *p);
/* Under x->lock. False: a signal came since the mark, so ask again at once. */
bool park_add(struct park *p, struct exchange *x, struct slice key, uint64_t wait_ms);
/* Under x->lock. */
void park_remove(struct park *p, struct exchange *x);
void park_signal(struct httpd *h, struct slice key);
/* Wake those whose time is over, or all. The time to look again, or UINT64_MAX. */
uint64_t park_expire(struct httpd *h, bool all);

/* acceptor.c. Its end closes the listening socket, too. */
enum status acceptor_start(struct httpd *h, struct err *err) MUST_CHECK;
void acceptor_end(struct httpd *h);

/* reaper.c */
enum status reaper_start(struct httpd *h, struct err *err) MUST_CHECK;
void reaper_end(struct httpd *h);
void reaper_wake(struct httpd *h);
/* Read and forget what the client still sends, so that it gets to see the answer: a socket closed
 * with bytes unread is reset, and the answer lost. */
void reaper_linger(struct httpd *h, int fd);

/* conn.c */
void conn_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                 enum MHD_ConnectionNotificationCode code);
void conn_set(struct conn *c, enum conn_state state);
void conn_ask_local(struct conn *c);
