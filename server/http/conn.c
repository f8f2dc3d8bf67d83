/* Connections, as the reaper sees them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "server/http/exchange.h"
#include "server/work/clock.h"

void
conn_set(struct conn *c, enum conn_state state)
{
    atomic_store_explicit(&c->window_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&c->since_ms, clock_ms(), memory_order_relaxed);
    atomic_store_explicit(&c->state, state, memory_order_release);
}

/* The numeric address, "unix" for a socket without one. */
static void
print_address(const struct sockaddr *address, char *text, size_t size)
{
    const void *raw = NULL;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    int family = address == NULL ? AF_UNIX : address->sa_family;

    if (family == AF_INET) {
        memcpy(&in, address, sizeof in);
        raw = &in.sin_addr;
    } else if (family == AF_INET6) {
        memcpy(&in6, address, sizeof in6);
        raw = &in6.sin6_addr;
    }
    if (raw == NULL || inet_ntop(family, raw, text, (socklen_t)size) == NULL)
        memcpy(text, "unix", sizeof "unix");
}

void
conn_ask_local(struct conn *c)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;

    if (c->local[0] == '\0' && getsockname(c->fd, (struct sockaddr *)&address, &length) == 0)
        print_address((const struct sockaddr *)&address, c->local, sizeof c->local);
}

static struct conn *
conn_new(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info;
    struct conn *c = mem_new(1, sizeof *c);

    if (c == NULL)
        return NULL;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    c->fd = info == NULL ? -1 : info->connect_fd;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    print_address(info == NULL ? NULL : info->client_addr, c->peer, sizeof c->peer);
    conn_set(c, CONN_HEADER);
    return c;
}

void
conn_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
            enum MHD_ConnectionNotificationCode code)
{
    struct httpd *h = cls;
    struct conn *c;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = conn_new(connection);
        *socket_context = c;
        if (c == NULL)
            return; /* its requests are refused */
        pthread_mutex_lock(&h->table_lock);
        c->next = h->conns;
        if (h->conns != NULL)
            h->conns->previous = c;
        h->conns = c;
        pthread_mutex_unlock(&h->table_lock);
        if (atomic_fetch_add(&h->connections, 1) == 0)
            reaper_wake(h);
        return;
    }
    c = *socket_context;
    *socket_context = NULL;
    if (c == NULL)
        return;
    pthread_mutex_lock(&h->table_lock);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        h->conns = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    pthread_mutex_unlock(&h->table_lock);
    (void)atomic_fetch_sub(&h->connections, 1);
    mem_free(c->uri);
    mem_free(c);
}
