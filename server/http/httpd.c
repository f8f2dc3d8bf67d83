/* Start and stop; the rest is dispatch.c on the polling threads and steps.c on the workers. */
#include "server/http/httpd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/http/dispatch.h"
#include "server/http/listen.h"
#include "server/work/clock.h"

enum {
    CONNECTION_POOL_BYTES = 128 * 1024, /* body pieces are half of it; touched lazily */
    STOP_LOOK_MS = 5,
    CUT_WAIT_MS = 2000,
};

const struct principal httpd_local_principal = {
    .id = "local",
    .scopes = SCOPE_READ | SCOPE_WRITE | SCOPE_DELETE | SCOPE_ADMIN,
};

struct httpd_limits
httpd_limits_default(void)
{
    return (struct httpd_limits){
        .polling_threads = 2,
        .connections = 4096,
        .header_count = 64,
        .header_bytes = 16 * 1024,
        .uri_bytes = 16 * 1024,
        .query_count = 256,
        .upload_bytes = (uint64_t)1 << 42,
        .body_memory_bytes = 256 << 20,
        .uploads = 1024,
        .ring_bytes = 1 << 20,
        .header_timeout_ms = 10 * 1000,
        .idle_timeout_s = 60,
        .body_window_ms = 30 * 1000,
        .body_window_bytes = 30 * 1024,
        .handler_deadline_ms = 120 * 1000,
        .finish_deadline_ms = 15 * 60 * 1000,
    };
}

/* libmicrohttpd tells of clients that went away and the like. */
static void __attribute__((format(printf, 2, 0)))
log_library(void *cls, const char *format, va_list arguments)
{
    struct httpd *h = cls;
    char text[400];

    (void)vsnprintf(text, sizeof text, format, arguments);
    LOG(h->config.log, LOG_DEBUG, "libmicrohttpd", LOG_TEXT("text", text));
}

static enum status
start_daemon(struct httpd *h, struct err *err)
{
    const struct httpd_limits *limits = &h->config.limits;
    unsigned threads = limits->polling_threads;
    struct MHD_OptionItem pool[] = {
        {threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t)threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };

    /* clang-format off */
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
            MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET,
        0, NULL, NULL, dispatch_request, h,
        MHD_OPTION_EXTERNAL_LOGGER, log_library, h, /* must be the first */
        MHD_OPTION_STRICT_FOR_CLIENT, 0, /* the gate is stricter, and answers with a problem */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_POOL_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, limits->connections,
        MHD_OPTION_CONNECTION_TIMEOUT, limits->idle_timeout_s,
        MHD_OPTION_NOTIFY_COMPLETED, dispatch_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, conn_notify, h,
        MHD_OPTION_URI_LOG_CALLBACK, dispatch_uri, h,
        MHD_OPTION_UNESCAPE_CALLBACK, dispatch_unescape, h,
        MHD_OPTION_ARRAY, pool,
        MHD_OPTION_END);
    /* clang-format on */
    FAIL_IF(h->daemon == NULL, err, BUSY, 0, "the HTTP server's threads did not start");
    return OK;
}

static void
free_texts(char **texts)
{
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
        mem_free(texts[i]);
    mem_free(texts);
}

static void
free_httpd(struct httpd *h)
{
    if (h == NULL)
        return;
    acceptor_end(h);
    reaper_end(h);
    if (h->wake_fd >= 0)
        (void)close(h->wake_fd);
    if (h->unix_path != NULL)
        (void)unlink(h->unix_path);
    mem_free(h->unix_path);
    free_texts(h->hosts);
    free_texts(h->origins);
    router_free(h->router);
    (void)pthread_mutex_destroy(&h->table_lock);
    (void)pthread_mutex_destroy(&h->linger_lock);
    (void)pthread_mutex_destroy(&h->park.lock);
    mem_free(h);
}

static void
free_httpd_at(struct httpd **h)
{
    free_httpd(*h);
}

/* A NULL-terminated list of our own; NULL for NULL. */
static enum status
copy_texts(const char *const *texts, char ***ret_copy, struct err *err)
{
    size_t count = 0;

    if (texts == NULL)
        return OK;
    while (texts[count] != NULL)
        count++;
    *ret_copy = mem_new(count + 1, sizeof **ret_copy);
    FAIL_IF(*ret_copy == NULL, err, NO_MEMORY, 0, "no memory for the HTTP server");
    for (size_t i = 0; i < count; i++) {
        (*ret_copy)[i] = mem_copy(texts[i], strlen(texts[i]));
        FAIL_IF((*ret_copy)[i] == NULL, err, NO_MEMORY, 0, "no memory for the HTTP server");
    }
    return OK;
}

enum status
httpd_start(const struct httpd_config *config, struct httpd **ret_httpd, struct err *err)
{
    CLEANUP(free_httpd_at) struct httpd *h = mem_new(1, sizeof *h);

    FAIL_IF(h == NULL, err, NO_MEMORY, 0, "no memory for the HTTP server");
    h->listen_fd = h->wake_fd = h->accept_end_fd = -1;
    (void)pthread_mutex_init(&h->table_lock, NULL);
    (void)pthread_mutex_init(&h->linger_lock, NULL);
    park_init(&h->park);
    h->config = *config;
    if (h->config.limits.polling_threads == 0)
        h->config.limits = httpd_limits_default();
    h->rules = (struct gate_rules){
        .header_count = h->config.limits.header_count,
        .header_bytes = h->config.limits.header_bytes,
        .uri_bytes = h->config.limits.uri_bytes,
    };
    TRY(copy_texts(config->hosts, &h->hosts, err));
    TRY(copy_texts(config->origins, &h->origins, err));
    h->rules.hosts = (const char *const *)h->hosts;
    h->rules.origins = (const char *const *)h->origins;
    if (getrandom(&h->id_seed, sizeof h->id_seed, 0) != sizeof h->id_seed)
        h->id_seed = (uint64_t)clock_wall_us();
    TRY(router_new(config->routes, config->route_count, &h->router, err));
    TRY(listen_on(config->listen, &h->listen_fd, &h->port, &h->unix_path, err));
    TRY(reaper_start(h, err));
    TRY(start_daemon(h, err));
    if (acceptor_start(h, err) != OK) {
        MHD_stop_daemon(h->daemon);
        return ERR_BUSY;
    }
    *ret_httpd = TAKE(h);
    return OK;
}

static void
sleep_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* How many exchanges there are; of those, how many still have a connection. */
static size_t
count_exchanges(struct httpd *h, size_t *ret_connected)
{
    size_t count = 0;

    *ret_connected = 0;
    pthread_mutex_lock(&h->table_lock);
    for (struct exchange *x = h->exchanges; x != NULL; x = x->next) {
        count++;
        pthread_mutex_lock(&x->lock);
        *ret_connected += x->connection != NULL;
        pthread_mutex_unlock(&x->lock);
    }
    pthread_mutex_unlock(&h->table_lock);
    return count;
}

static void
wait_for_connections(struct httpd *h, uint64_t ms)
{
    uint64_t until = clock_ms() + ms;
    size_t connected;

    while (count_exchanges(h, &connected), connected > 0 && clock_ms() < until)
        sleep_ms(STOP_LOOK_MS);
}

/* Nothing may be suspended when libmicrohttpd stops: what is, goes on and finds that it must end. */
static void
cut_all(struct httpd *h)
{
    pthread_mutex_lock(&h->table_lock);
    for (struct exchange *x = h->exchanges; x != NULL; x = x->next) {
        pthread_mutex_lock(&x->lock);
        if (x->is_suspended)
            exchange_resume(x);
        pthread_mutex_unlock(&x->lock);
    }
    for (struct conn *c = h->conns; c != NULL; c = c->next)
        (void)shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&h->table_lock);
}

void
httpd_stop(struct httpd *h, uint64_t drain_ms)
{
    size_t connected;

    if (h == NULL)
        return;
    atomic_store(&h->is_draining, true);
    acceptor_end(h);
    reaper_wake(h);
    wait_for_connections(h, drain_ms);
    atomic_store(&h->is_stopping, true);
    cut_all(h);
    wait_for_connections(h, CUT_WAIT_MS);
    MHD_stop_daemon(h->daemon);
    while (count_exchanges(h, &connected) > 0)
        sleep_ms(STOP_LOOK_MS); /* workers end what they are at */
    free_httpd(h);
}

unsigned
httpd_port(const struct httpd *h)
{
    return h->port;
}

void
httpd_signal(struct httpd *h, struct slice key)
{
    park_signal(h, key);
}

struct httpd_stats
httpd_stats(struct httpd *h)
{
    struct httpd_stats s = {
        .requests = h->requests,
        .refused = h->refused,
        .reaped = h->reaped,
        .body_bytes_in = h->bytes_in,
        .body_bytes_out = h->bytes_out,
        .connections = h->connections,
        .uploads = h->uploads,
        .in_handlers = h->in_handlers,
    };

    for (size_t i = 0; i < ARRAY_LENGTH(s.by_class); i++)
        s.by_class[i] = h->by_class[i];
    pthread_mutex_lock(&h->park.lock);
    s.parked = h->park.count;
    pthread_mutex_unlock(&h->park.lock);
    return s;
}

const char *
httpd_reason(int status)
{
    const char *reason = MHD_get_reason_phrase_for((unsigned)status);

    return reason == NULL ? "Unknown" : reason;
}
