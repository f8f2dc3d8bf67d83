#include "server/http/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/slice.h"

enum { BACKLOG = 1024, SOCKET_FLAGS = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK };

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static void
close_at(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static enum status
bind_and_listen(const union address *address, socklen_t length, const char *text, int *ret_fd,
                struct err *err)
{
    CLEANUP(close_at) int fd = socket(address->any.sa_family, SOCKET_FLAGS, 0);
    int one = 1;

    FAIL_IF(fd < 0, err, IO, 0, "no socket for %s: errno %d", text, errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &address->any, length) != 0) {
        FAIL_IF(errno == EADDRINUSE, err, CONFLICT, 0, "%s is in use by another process", text);
        FAIL(err, IO, 0, "cannot bind %s: errno %d", text, errno);
    }
    FAIL_IF(listen(fd, BACKLOG) != 0, err, IO, 0, "cannot listen on %s: errno %d", text, errno);
    *ret_fd = fd;
    fd = -1;
    return OK;
}

static enum status
listen_unix(const char *path, int *ret_fd, char **ret_path, struct err *err)
{
    union address address = {.un = {.sun_family = AF_UNIX}};
    size_t length = strlen(path);
    struct stat status;

    FAIL_IF(length == 0 || length >= sizeof address.un.sun_path, err, BAD_REQUEST, 0,
            "a socket's path has 1 to %zu bytes", sizeof address.un.sun_path - 1);
    memcpy(address.un.sun_path, path, length);
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
        (void)unlink(path);
    TRY(bind_and_listen(&address, sizeof address.un, path, ret_fd, err));
    *ret_path = mem_copy(path, length);
    return OK;
}

/* The last colon parts host and port; an IPv6 address stands in brackets. */
static enum status
parse_inet(const char *text, union address *ret_address, socklen_t *ret_length, struct err *err)
{
    const char *colon = strrchr(text, ':');
    char host[64] = "127.0.0.1";
    struct slice name = {.at = text, .length = colon == NULL ? 0 : (size_t)(colon - text)};
    uint64_t port = 0;

    FAIL_IF(colon == NULL || !num_parse_u64(slice_of(colon + 1), &port) || port > 65535, err,
            BAD_REQUEST, 0, "\"%s\" is not an address of the form HOST:PORT", text);
    if (name.length >= 2 && name.at[0] == '[' && name.at[name.length - 1] == ']')
        name = slice_part(name, 1, name.length - 2);
    FAIL_IF(name.length >= sizeof host, err, BAD_REQUEST, 0, "\"%s\" is not an address", text);
    if (!slice_is(name, "localhost")) {
        memcpy(host, name.at, name.length);
        host[name.length] = '\0';
    }
    *ret_address = (union address){0};
    if (inet_pton(AF_INET, host, &ret_address->in.sin_addr) == 1) {
        ret_address->in.sin_family = AF_INET;
        ret_address->in.sin_port = htons((uint16_t)port);
        *ret_length = sizeof ret_address->in;
        return OK;
    }
    FAIL_IF(inet_pton(AF_INET6, host, &ret_address->in6.sin6_addr) != 1, err, BAD_REQUEST, 0,
            "\"%s\" is not a numeric address", text);
    ret_address->in6.sin6_family = AF_INET6;
    ret_address->in6.sin6_port = htons((uint16_t)port);
    *ret_length = sizeof ret_address->in6;
    return OK;
}

enum status
listen_on(const char *address, int *ret_fd, unsigned *ret_port, char **ret_path, struct err *err)
{
    union address parsed, bound = {0};
    socklen_t length = 0, bound_length = sizeof bound;

    *ret_fd = -1;
    *ret_port = 0;
    *ret_path = NULL;
    if (slice_starts(slice_of(address), slice_of("unix:")))
        return listen_unix(address + sizeof "unix:" - 1, ret_fd, ret_path, err);
    TRY(parse_inet(address, &parsed, &length, err));
    TRY(bind_and_listen(&parsed, length, address, ret_fd, err));
    if (getsockname(*ret_fd, &bound.any, &bound_length) == 0)
        *ret_port =
            ntohs(bound.any.sa_family == AF_INET6 ? bound.in6.sin6_port : bound.in.sin_port);
    return OK;
}
