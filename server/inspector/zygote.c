/* The zygote: takes job sockets, forks a child for each, reaps, and tells how they ended. It opens
 * nothing, has one thread, and dies with the daemon. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "server/inspector/child.h"
#include "server/inspector/inspector.h"
#include "server/inspector/protocol.h"
#include "server/inspector/sandbox.h"

enum { CHILDREN_MAX = 256 };

struct running {
    pid_t pid; /* 0: a free row */
    int socket;
    bool is_killed;
};

struct zygote {
    int signals; /* a signalfd for SIGCHLD */
    struct sandbox sandbox;
    struct running running[CHILDREN_MAX];
};

static struct running *
free_row(struct zygote *z)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        if (z->running[i].pid == 0)
            return &z->running[i];
    return NULL;
}

/* In the child: nothing of the zygote stays open, and it dies when the zygote does. */
static _Noreturn void
become_child(struct zygote *z, int socket, pid_t zygote)
{
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != zygote)
        _exit(EXIT_FAILURE);
    (void)close(z->signals);
    for (size_t i = 0; i < CHILDREN_MAX; i++)
        if (z->running[i].pid != 0)
            (void)close(z->running[i].socket);
    if (dup2(socket, ZYGOTE_FD) < 0) /* closes the zygote's own; the filter knows this number */
        _exit(EXIT_FAILURE);
    (void)close(socket);
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    child_main(ZYGOTE_FD, &z->sandbox);
}

static void
start_child(struct zygote *z, int socket)
{
    struct running *row = free_row(z);
    pid_t self = getpid(), pid;
    int pidfd;

    pid = row == NULL ? -1 : fork();
    if (pid == 0)
        become_child(z, socket, self);
    if (pid < 0) {
        (void)close(socket); /* the daemon sees the end and says that it is busy */
        return;
    }
    *row = (struct running){.pid = pid, .socket = socket};
    /* The child cannot have been reaped yet, so this is the right process. */
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0) {
        IGNORE(protocol_say(socket, MESSAGE_CHILD, NULL, 0, pidfd, NULL));
        (void)close(pidfd);
    }
}

static void
reap(struct zygote *z)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)!read(z->signals, &info, sizeof info);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < CHILDREN_MAX; i++) {
            struct running *row = &z->running[i];

            if (row->pid != pid)
                continue;
            IGNORE(protocol_say(row->socket, MESSAGE_EXIT, &(struct job_exit){status},
                                sizeof(struct job_exit), -1, NULL));
            (void)close(row->socket);
            row->pid = 0;
        }
    }
}

/* False at the daemon's end. */
static bool
take_job(struct zygote *z)
{
    char byte;
    size_t length;
    int socket;

    if (protocol_receive(ZYGOTE_FD, &byte, 1, &length, &socket, NULL) != OK || length == 0)
        return false;
    if (socket >= 0)
        start_child(z, socket);
    return true;
}

/* The daemon has its answer, or does not wait for one any more: the child must go, even one that a file has
 * taken over. It is not reaped yet, so the number is still its own. */
static void
kill_unwanted(struct zygote *z, const struct pollfd *fds)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        struct running *row = &z->running[i];

        if (row->pid == 0 || fds[i].fd != row->socket || (fds[i].revents & POLLHUP) == 0)
            continue;
        (void)kill(row->pid, SIGKILL);
        row->is_killed = true;
    }
}

/* One row of poll's for each child, as kill_unwanted reads them. */
static void
watch(const struct zygote *z, struct pollfd *fds)
{
    for (size_t i = 0; i < CHILDREN_MAX; i++) {
        const struct running *row = &z->running[i];

        fds[i] = (struct pollfd){.fd = row->pid == 0 || row->is_killed ? -1 : row->socket};
    }
}

/* A set's files come to a child as descriptors, one for each: as many as the system grants. */
static void
raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int
inspector_zygote(void)
{
    struct zygote z = {0};
    struct pollfd fds[2 + CHILDREN_MAX] = {{.fd = ZYGOTE_FD, .events = POLLIN}, {.events = POLLIN}};
    sigset_t mask;

    raise_descriptors();
    /* Ctrl-C at the terminal is the daemon's to handle: it lets running jobs end. */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGCHLD);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    z.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (z.signals < 0)
        return EXIT_FAILURE;
    fds[1].fd = z.signals;
    sandbox_make(ZYGOTE_FD, &z.sandbox);
    for (;;) {
        watch(&z, fds + 2);
        if (poll(fds, ARRAY_LENGTH(fds), -1) < 0) {
            if (errno != EINTR)
                return EXIT_FAILURE;
            continue;
        }
        kill_unwanted(&z, fds + 2);
        if ((fds[1].revents & POLLIN) != 0)
            reap(&z);
        if (fds[0].revents != 0 && !take_job(&z))
            return EXIT_SUCCESS;
    }
}
