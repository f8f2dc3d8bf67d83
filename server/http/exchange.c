#include "server/http/exchange.h"

#include "common/base/mem.h"
#include "server/http/problem.h"
#include "server/work/clock.h"

enum { EXCHANGE_ARENA_BYTES = 32 << 20 };

struct exchange *
exchange_new(struct httpd *h, struct conn *conn, struct MHD_Connection *connection)
{
    struct exchange *x = mem_new(1, sizeof *x);

    if (x == NULL)
        return NULL;
    (void)pthread_mutex_init(&x->lock, NULL);
    x->refs = 1;
    x->httpd = h;
    x->conn = conn;
    x->connection = connection;
    x->task.run = steps_run;
    x->started_us = clock_us();
    x->arena = arena_with_cap(EXCHANGE_ARENA_BYTES);
    x->request.arena = &x->arena;
    x->request.app = h->config.app;
    x->request.peer = slice_of("");
    pthread_mutex_lock(&h->table_lock);
    x->next = h->exchanges;
    if (h->exchanges != NULL)
        h->exchanges->previous = x;
    h->exchanges = x;
    pthread_mutex_unlock(&h->table_lock);
    return x;
}

void
exchange_ref(struct exchange *x)
{
    (void)atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
}

/* Before the client can know of the reply, so that it may begin the next one at once. */
static void
uncount_upload(struct exchange *x)
{
    if (x->is_counted_upload)
        (void)atomic_fetch_sub(&x->httpd->uploads, 1);
    x->is_counted_upload = false;
}

void
exchange_unref(struct exchange *x)
{
    struct httpd *h = x->httpd;

    if (atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) > 1)
        return;
    fill_done(x);
    reply_done(&x->reply);
    ring_done(&x->ring);
    buf_done(&x->body);
    buf_done(&x->raw);
    arena_done(&x->arena);
    if (x->response != NULL)
        MHD_destroy_response(x->response);
    (void)atomic_fetch_sub(&h->body_memory, x->body_memory);
    uncount_upload(x);
    pthread_mutex_lock(&h->table_lock);
    if (x->previous != NULL)
        x->previous->next = x->next;
    else
        h->exchanges = x->next;
    if (x->next != NULL)
        x->next->previous = x->previous;
    pthread_mutex_unlock(
        &h->table_lock); /* h may be gone from here on: httpd_stop waits for this */
    mem_free(x);
}

bool
exchange_suspend(struct exchange *x, uint64_t deadline_ms)
{
    if (atomic_load(&x->httpd->is_stopping))
        return false;
    x->is_suspended = true;
    x->deadline_ms = deadline_ms;
    conn_set(x->conn, CONN_BUSY);
    MHD_suspend_connection(x->connection);
    return true;
}

void
exchange_resume(struct exchange *x)
{
    if (!x->is_suspended)
        return;
    x->is_suspended = false;
    x->deadline_ms = 0;
    if (x->phase == PHASE_BODY)
        conn_set(x->conn, CONN_BODY);
    MHD_resume_connection(x->connection);
}

static void
start(struct exchange *x, enum step step)
{
    x->step = step;
    x->is_running = true;
    exchange_ref(x);
    (void)atomic_fetch_add(&x->httpd->in_handlers, 1);
}

static struct pool *
pool_of(const struct exchange *x)
{
    return x->httpd->config.pools[x->request.route->pool];
}

enum status
exchange_queue(struct exchange *x, enum step step, struct err *err)
{
    enum status status;

    start(x, step);
    status = pool_submit(pool_of(x), &x->task, err);
    if (status != OK) {
        x->is_running = false;
        (void)atomic_fetch_sub(&x->httpd->in_handlers, 1);
        (void)atomic_fetch_sub(&x->refs, 1); /* never the last: the caller holds one */
    }
    return status;
}

void
exchange_continue(struct exchange *x, enum step step)
{
    start(x, step);
    pool_continue(pool_of(x), &x->task);
}

void
exchange_answer(struct exchange *x, struct MHD_Response *response, int status, uint64_t bytes)
{
    if (x->connection == NULL || x->is_abandoned || x->response != NULL || x->is_queued) {
        MHD_destroy_response(response);
        return;
    }
    x->response = response;
    x->status = status;
    x->reply_bytes = bytes;
    x->phase = PHASE_REPLY;
    uncount_upload(x);
    exchange_resume(x);
}

void
exchange_refuse(struct exchange *x, const struct err *err)
{
    struct reply reply = {0};
    struct MHD_Response *response;
    uint64_t bytes;
    int status;

    problem_reply(&reply, err, x->request.id);
    if (x->phase == PHASE_BODY)
        deliver_raw(x, &reply, &x->raw);
    deliver(x, &reply, NULL, &response, &status, &bytes);
    reply_done(&reply);
    if (response == NULL)
        x->must_close = true; /* not even memory for that */
    else
        exchange_answer(x, response, status, bytes);
}
