/* What a child that a file has taken over may try on the daemon's sockets. */
#include "server/inspector/protocol.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "server/inspector/inspector.h"
#include "tests/support/unit.h"

enum { SOON_MS = 10000 };

static void
make_pair(int *pair)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

/* The lowest descriptor that is free. */
static int
next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    return fd;
}

/* A message of one byte with count descriptors. */
static void
send_descriptors(int socket, const int *fds, size_t count)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    char byte = MESSAGE_DATA;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = CMSG_SPACE(count * sizeof *fds)};

    ck_assert_uint_le(count, 4);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(&control.header), fds, count * sizeof *fds);
    ck_assert_int_eq(sendmsg(socket, &message, MSG_NOSIGNAL), 1);
}

START_TEST(protocol__keeps_no_descriptor_that_it_does_not_give)
{
    int pair[2], before, fd;
    const int fds[4] = {0, 1, 2, 0};
    char byte;
    size_t length;

    make_pair(pair);
    before = next_descriptor();
    for (size_t count = 1; count <= 4; count++) {
        send_descriptors(pair[1], fds, count);
        ck_assert_int_eq(protocol_receive(pair[0], &byte, 1, &length, &fd, NULL), OK);
        ck_assert_uint_eq(length, 1);
        if (fd >= 0)
            (void)close(fd);
        ck_assert_int_eq(next_descriptor(), before);
    }
    (void)close(pair[0]);
    (void)close(pair[1]);
}
END_TEST

static pid_t
spawn_zygote(int socket)
{
    char name[] = "ckptd", verb[] = INSPECTOR_VERB;
    char *const arguments[] = {name, verb, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;

    (void)posix_spawn_file_actions_init(&actions);
    ck_assert_int_eq(posix_spawn_file_actions_adddup2(&actions, socket, ZYGOTE_FD), 0);
    ck_assert_int_eq(posix_spawn_file_actions_addclosefrom_np(&actions, ZYGOTE_FD + 1), 0);
    ck_assert_int_eq(posix_spawn(&pid, CKPTD_BINARY, &actions, NULL, arguments, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* Stopped, it cannot end by itself, as one that was taken over would not. */
START_TEST(protocol__a_child_ends_when_nobody_listens)
{
    int zygote[2], job[2], pidfd = -1;
    struct pollfd ended = {.events = POLLIN};
    char message[8];
    size_t length;
    pid_t pid;

    if (getenv("CKPTD_VALGRIND") != NULL)
        return; /* memcheck 3.19 does not know pidfd_send_signal(2) */
    make_pair(zygote);
    make_pair(job);
    pid = spawn_zygote(zygote[1]);
    (void)close(zygote[1]);
    ck_assert_int_eq(protocol_send(zygote[0], "", 1, job[1], NULL), OK);
    (void)close(job[1]);
    ck_assert_int_eq(protocol_receive(job[0], message, sizeof message, &length, &pidfd, NULL), OK);
    ck_assert_int_eq(message[0], MESSAGE_CHILD);
    ck_assert_int_ge(pidfd, 0);
    ck_assert_int_eq(syscall(SYS_pidfd_send_signal, pidfd, SIGSTOP, NULL, 0), 0);
    (void)close(job[0]);
    ended.fd = pidfd;
    ck_assert_int_eq(poll(&ended, 1, SOON_MS), 1);
    (void)close(pidfd);
    (void)close(zygote[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

SUITE(protocol)
{
    return suite_with("protocol", TEST(protocol__keeps_no_descriptor_that_it_does_not_give),
                      TEST(protocol__a_child_ends_when_nobody_listens));
}
