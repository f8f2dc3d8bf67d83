#include "server/inspector/protocol.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Room for the ancillary data of one descriptor, aligned as the kernel wants it. */
union one_fd {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static enum status
send_parts(int socket, struct iovec *parts, size_t count, int fd, struct err *err)
{
    union one_fd control = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;

    if (fd >= 0) {
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    FAIL_IF(sent < 0, err, IO, 0, "the other side of the inspector's socket is gone (error %d)",
            errno);
    return OK;
}

static struct iovec
part(const void *bytes, size_t length)
{
    union {
        const void *in;
        void *out;
    } at = {.in = bytes}; /* sendmsg only reads */

    return (struct iovec){.iov_base = at.out, .iov_len = length};
}

enum status
protocol_send(int socket, const void *bytes, size_t length, int fd, struct err *err)
{
    struct iovec one = part(bytes, length);

    return send_parts(socket, &one, 1, fd, err);
}

enum status
protocol_say(int socket, enum message type, const void *body, size_t length, int fd,
             struct err *err)
{
    uint8_t first = (uint8_t)type;
    struct iovec parts[] = {part(&first, 1), part(body, length)};

    return send_parts(socket, parts, length > 0 ? 2 : 1, fd, err);
}

static int
attached_fd(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

enum status
protocol_receive(int socket, void *buffer, size_t room, size_t *ret_length, int *ret_fd,
                 struct err *err)
{
    union one_fd control = {0};
    struct iovec one = {.iov_base = buffer, .iov_len = room};
    struct msghdr message = {.msg_iov = &one,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             /* Not CMSG_SPACE, whose padding holds a second descriptor: a hostile
                              * child could leave one open here with each message. */
                             .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t got;

    *ret_fd = -1;
    do
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == ECONNRESET || errno == EPIPE))
        got = 0;
    FAIL_IF(got < 0, err, IO, 0, "reading the inspector's socket failed (error %d)", errno);
    *ret_fd = attached_fd(&message);
    *ret_length = (size_t)got;
    return OK;
}
