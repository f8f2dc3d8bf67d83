/*
 * One thread that looks at what libmicrohttpd does not: its own inactivity timeout begins anew with
 * every byte, suspended connections have none at all, and 0.9.75 can miss the FIN that comes together
 * with the last data. It also reads away what refused clients still send.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/http/exchange.h"
#include "server/work/clock.h"

enum {
    TICK_MS = 250,
    LINGER_MS = 5000,
    LINGER_TURN_BYTES = 8 << 20, /* of one socket, before the others' turn */
};

void
reaper_wake(struct httpd *h)
{
    uint64_t one = 1;

    if (h->wake_fd >= 0 && write(h->wake_fd, &one, sizeof one) < 0) {
        /* the counter is full: it is awake */
    }
}

void
reaper_linger(struct httpd *h, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    bool is_kept = false;

    if (copy < 0)
        return;
    pthread_mutex_lock(&h->linger_lock);
    if (h->linger_count < LINGER_MAX) {
        h->lingers[h->linger_count++] =
            (struct lingering){.fd = copy, .until_ms = clock_ms() + LINGER_MS};
        is_kept = true;
    }
    pthread_mutex_unlock(&h->linger_lock);
    if (is_kept)
        reaper_wake(h);
    else
        (void)close(copy);
}

/* Read and forget. False: the client is gone, or had its time. */
static bool
drain_socket(const struct lingering *l, uint64_t now)
{
    char sink[16 * 1024];
    size_t taken = 0;

    while (taken < LINGER_TURN_BYTES) {
        ssize_t n = recv(l->fd, sink, sizeof sink, MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n < 0)
            break;
        taken += (size_t)n;
    }
    return now < l->until_ms;
}

/* Polling threads only ever add at the end, so the lock is not held while we read. */
static void
drain_lingers(struct httpd *h, bool all)
{
    struct lingering lingers[LINGER_MAX];
    uint64_t now = clock_ms();
    size_t count, kept = 0;

    pthread_mutex_lock(&h->linger_lock);
    count = h->linger_count;
    memcpy(lingers, h->lingers, count * sizeof lingers[0]);
    pthread_mutex_unlock(&h->linger_lock);
    for (size_t i = 0; i < count; i++) {
        if (!all && drain_socket(&lingers[i], now))
            lingers[kept++] = lingers[i];
        else
            (void)close(lingers[i].fd);
    }
    pthread_mutex_lock(&h->linger_lock);
    memmove(h->lingers + kept, h->lingers + count, (h->linger_count - count) * sizeof lingers[0]);
    memcpy(h->lingers, lingers, kept * sizeof lingers[0]);
    h->linger_count -= count - kept;
    pthread_mutex_unlock(&h->linger_lock);
}

/* The client closed its side and all that it sent was read: nothing will ever come. */
static bool
is_gone(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    char byte;
    ssize_t n;

    if (poll(&p, 1, 0) <= 0 || (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0)
        return false;
    n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void
cut(struct httpd *h, struct conn *c, bool tells)
{
    static const char slow[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    if (tells)
        (void)send(c->fd, slow, sizeof slow - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(c->fd, SHUT_RDWR);
    (void)atomic_fetch_add(&h->reaped, 1);
}

/* Under the table's lock, so the descriptor is still this connection's. */
static void
look_at(struct httpd *h, struct conn *c, uint64_t now)
{
    const struct httpd_limits *limits = &h->config.limits;
    uint64_t since = atomic_load_explicit(&c->since_ms, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&c->window_bytes, memory_order_relaxed);
    uint64_t age = now > since ? now - since : 0;
    unsigned state = atomic_load_explicit(&c->state, memory_order_acquire);
    bool is_quiet = state == CONN_BODY && c->was_quiet && bytes == c->seen_bytes;

    c->was_quiet = state == CONN_BODY;
    c->seen_bytes = bytes;
    if (state == CONN_HEADER && age > limits->header_timeout_ms)
        cut(h, c, false);
    else if (state == CONN_IDLE && age > (uint64_t)limits->idle_timeout_s * 1000)
        cut(h, c, false);
    else if (is_quiet && is_gone(c->fd))
        cut(h, c, false);
    else if (state == CONN_BODY && age > limits->body_window_ms) {
        if (bytes < limits->body_window_bytes)
            cut(h, c, true);
        else {
            atomic_store_explicit(&c->window_bytes, 0, memory_order_relaxed);
            atomic_store_explicit(&c->since_ms, now, memory_order_relaxed);
        }
    } else if (state == CONN_IDLE && atomic_load(&h->is_draining))
        cut(h, c, false);
}

/* A suspension is over its deadline: answer without what is still at work. */
static void
give_up(struct exchange *x, uint64_t now)
{
    struct err err = {0};

    pthread_mutex_lock(&x->lock);
    if (x->is_suspended && x->deadline_ms != 0 && x->deadline_ms < now) {
        if (x->phase == PHASE_REPLY) { /* of a produced body */
            x->fill.has_failed = true;
            exchange_resume(x);
        } else if (x->phase == PHASE_BODY) { /* the ring stays full */
            err_set(&err, ERR_BUSY, 0, "storing took too long; try again");
            exchange_refuse(x, &err);
            stream_cut(x, &err);
            x->is_abandoned = true;
        } else {
            err_set(&err, ERR_BUSY, 0, "no answer was ready in time; try again");
            exchange_refuse(x, &err);
            x->is_abandoned = true;
        }
    }
    pthread_mutex_unlock(&x->lock);
}

static void
look(struct httpd *h)
{
    uint64_t now = clock_ms();

    pthread_mutex_lock(&h->table_lock);
    for (struct conn *c = h->conns; c != NULL; c = c->next)
        look_at(h, c, now);
    for (struct exchange *x = h->exchanges; x != NULL; x = x->next)
        give_up(x, now);
    pthread_mutex_unlock(&h->table_lock);
}

/* Sleep until something lingers, wakes us, or it is time to look; for ever with no connection. */
static void
sleep_until(struct httpd *h, uint64_t look_ms, uint64_t park_ms)
{
    struct pollfd fds[1 + LINGER_MAX] = {{.fd = h->wake_fd, .events = POLLIN}};
    nfds_t count = 1;
    uint64_t now = clock_ms(), until = look_ms < park_ms ? look_ms : park_ms, ignored;
    int timeout;

    pthread_mutex_lock(&h->linger_lock);
    for (size_t i = 0; i < h->linger_count; i++)
        fds[count++] = (struct pollfd){.fd = h->lingers[i].fd, .events = POLLIN | POLLRDHUP};
    pthread_mutex_unlock(&h->linger_lock);
    if (count == 1 && atomic_load(&h->connections) == 0 && park_ms == UINT64_MAX)
        timeout = -1;
    else
        timeout = until > now ? (int)(until - now) : 0;
    if (poll(fds, count, timeout) > 0 && (fds[0].revents & POLLIN) != 0 &&
        read(h->wake_fd, &ignored, sizeof ignored) < 0) {
        /* somebody else read it: there is nobody else */
    }
}

static void *
run(void *context)
{
    struct httpd *h = context;
    uint64_t look_ms = clock_ms() + TICK_MS;

    while (!atomic_load(&h->is_reaper_ending)) {
        uint64_t park_ms = park_expire(h, atomic_load(&h->is_draining));

        sleep_until(h, look_ms, park_ms);
        drain_lingers(h, false);
        if (clock_ms() >= look_ms) {
            look(h);
            look_ms = clock_ms() + TICK_MS;
        }
    }
    drain_lingers(h, true);
    return NULL;
}

enum status
reaper_start(struct httpd *h, struct err *err)
{
    (void)pthread_mutex_init(&h->linger_lock, NULL);
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    FAIL_IF(h->wake_fd < 0, err, IO, 0, "no eventfd: errno %d", errno);
    FAIL_IF(pthread_create(&h->reaper, NULL, run, h) != 0, err, BUSY, 0,
            "the system gives no thread for the reaper");
    h->has_reaper = true;
    (void)pthread_setname_np(h->reaper, "http-reaper");
    return OK;
}

void
reaper_end(struct httpd *h)
{
    if (!h->has_reaper)
        return;
    atomic_store(&h->is_reaper_ending, true);
    reaper_wake(h);
    (void)pthread_join(h->reaper, NULL);
    h->has_reaper = false;
}
