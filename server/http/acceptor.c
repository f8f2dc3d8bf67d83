/*
 * New connections are accepted here and handed to libmicrohttpd, which could accept them itself; but
 * when it is told to stop accepting (MHD_quiesce_daemon), 0.9.75 removes the listening socket from its
 * threads' epoll sets from two threads at once, and aborts the process if both find the time. It also
 * takes running out of descriptors for a reason to spin.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/http/exchange.h"

enum { PAUSE_MS = 50 }; /* when there are no descriptors: connections end meanwhile */

/* All that wait. False: there is no room for more. */
static bool
accept_all(struct httpd *h)
{
    for (;;) {
        struct sockaddr_storage address = {0};
        socklen_t length = sizeof address;
        int fd = accept4(h->listen_fd, (struct sockaddr *)&address, &length,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
            return false;
        if (fd < 0 && (errno == EAGAIN || errno == EINVAL))
            return true;
        if (fd < 0)
            continue; /* gone before it was taken */
        /* Refused or not, the descriptor is libmicrohttpd's from here on. */
        (void)MHD_add_connection(h->daemon, fd, (struct sockaddr *)&address, length);
    }
}

static void *
run(void *context)
{
    struct httpd *h = context;
    bool has_room = true;

    for (;;) {
        struct pollfd fds[2] = {{.fd = h->accept_end_fd, .events = POLLIN},
                                {.fd = has_room ? h->listen_fd : -1, .events = POLLIN}};

        if (poll(fds, 2, has_room ? -1 : PAUSE_MS) > 0 && fds[0].revents != 0)
            return NULL;
        has_room = accept_all(h);
    }
}

enum status
acceptor_start(struct httpd *h, struct err *err)
{
    h->accept_end_fd = eventfd(0, EFD_CLOEXEC);
    FAIL_IF(h->accept_end_fd < 0, err, IO, 0, "no eventfd: errno %d", errno);
    FAIL_IF(pthread_create(&h->acceptor, NULL, run, h) != 0, err, BUSY, 0,
            "the system gives no thread to accept connections");
    h->has_acceptor = true;
    (void)pthread_setname_np(h->acceptor, "http-accept");
    return OK;
}

void
acceptor_end(struct httpd *h)
{
    uint64_t one = 1;

    if (h->has_acceptor && write(h->accept_end_fd, &one, sizeof one) == sizeof one)
        (void)pthread_join(h->acceptor, NULL);
    h->has_acceptor = false;
    if (h->accept_end_fd >= 0)
        (void)close(h->accept_end_fd);
    if (h->listen_fd >= 0)
        (void)close(h->listen_fd); /* the kernel refuses connections from here on */
    h->accept_end_fd = h->listen_fd = -1;
}
