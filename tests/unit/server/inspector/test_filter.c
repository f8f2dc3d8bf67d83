/* The filter alone, without Landlock: what it ends the process for, and what a reader may do. */
#include "server/inspector/filter.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "common/base/attr.h"
#include "server/inspector/sandbox.h"
#include "tests/unit/server/inspector/confined.h"

enum { PAGE_BYTES = 4096 };

static struct filter filter;
static int answer[2] = {-1, -1}; /* the first may be written to */
static int file = -1;
static void *page;

static void
set_up(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, answer), 0);
    ck_assert(filter_make(answer[0], &filter) || is_in_valgrind());
    file = memfd_create("file", MFD_CLOEXEC);
    ck_assert_int_eq(write(file, "x", 1), 1);
    page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
}

static void
tear_down(void)
{
    (void)munmap(page, PAGE_BYTES);
    (void)close(file);
    (void)close(answer[0]);
    (void)close(answer[1]);
    filter_done(&filter);
}

static bool
confine(void *context)
{
    (void)context;
    return filter_enter(&filter, NULL) == OK;
}

/* libc's own wrappers may take another way to the same end: these are the calls themselves. */
#define CALL(name, ...) \
    static int call_##name(void) \
    { \
        return outcome(syscall(SYS_##name, __VA_ARGS__)); \
    }

static char buffer[PAGE_BYTES];
static char *const nothing[] = {NULL};

#ifdef SYS_open
CALL(open, "/etc/passwd", O_RDONLY)
CALL(fork, 0)
CALL(vfork, 0)
CALL(stat, "/etc/passwd", buffer)
#endif
CALL(openat, AT_FDCWD, "/etc/passwd", O_RDONLY)
CALL(openat2, AT_FDCWD, "/etc/passwd", buffer, 24)
CALL(newfstatat, AT_FDCWD, "/etc/passwd", buffer, 0)
CALL(statx, AT_FDCWD, "/etc/passwd", 0, 0, buffer)
CALL(readlinkat, AT_FDCWD, "/proc/self/exe", buffer, sizeof buffer)
CALL(unlinkat, AT_FDCWD, "/nothing/there", 0)
CALL(socket, AF_INET, SOCK_STREAM, 0)
CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, buffer)
CALL(connect, answer[0], buffer, 16)
CALL(bind, answer[0], buffer, 16)
CALL(execve, "/bin/true", nothing, nothing)
CALL(execveat, AT_FDCWD, "/bin/true", nothing, nothing, 0)
CALL(clone, SIGCHLD, 0, 0, 0, 0)
CALL(clone3, buffer, 64)
CALL(ptrace, PTRACE_TRACEME, 0, 0, 0)
CALL(process_vm_readv, getppid(), 0, 0, 0, 0, 0)
CALL(kill, 1, 0)
CALL(tgkill, 1, 1, 0)
CALL(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0)
CALL(seccomp, 0, 0, 0)
CALL(getpid, 0)
CALL(read, file, buffer, 1)
CALL(write, answer[0], "x", 1)
CALL(pwrite64, file, "x", 1, 0)
CALL(fstat, file, buffer)
CALL(dup, file)
CALL(fcntl, file, F_GETFD, 0)
CALL(ioctl, file, 0, 0)
CALL(recvmsg, answer[0], buffer, MSG_DONTWAIT)
CALL(sendto, answer[0], "x", 1, 0, 0, 0)
CALL(io_uring_setup, 1, buffer)
CALL(bpf, 0, buffer, 16)
CALL(userfaultfd, 0)
CALL(memfd_create, "more", 0)
CALL(setrlimit, 0, buffer)
CALL(mount, "none", "/nothing", "tmpfs", 0, 0)
CALL(unshare, 0)
CALL(chroot, "/")
CALL(shmget, 0, PAGE_BYTES, 0600)

static int
map_code(void)
{
    return outcome(mmap(NULL, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0) == MAP_FAILED
                       ? -1
                       : 0);
}

static int
map_file(void)
{
    return outcome(mmap(NULL, 1, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED ? -1 : 0);
}

static int
map_shared(void)
{
    return outcome(
        mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1
                                                                                           : 0);
}

static int
make_code(void)
{
    return outcome(mprotect(page, PAGE_BYTES, PROT_READ | PROT_EXEC));
}

static int
send_elsewhere(void)
{
    struct msghdr message = {0};

    return outcome(syscall(SYS_sendmsg, answer[1], &message, MSG_DONTWAIT));
}

static int
move_waiters(void)
{
    return outcome(syscall(SYS_futex, page, FUTEX_REQUEUE, 1, 1, buffer, 0));
}

/* The same number, called as a 32-bit program of this processor would: getpid. */
static int
call_as_x32(void)
{
#ifdef __x86_64__
    return outcome(syscall(0x40000000 | SYS_pread64, file, buffer, 1, 0));
#else
    return outcome(syscall(SYS_getpid));
#endif
}

static int
abort_loudly(void)
{
    abort();
}

#define ROW(name) \
    { \
#name, call_##name \
    }

static const struct {
    const char *name;
    int (*act)(void);
} forbidden[] = {
#ifdef SYS_open
    ROW(open),
    ROW(fork),
    ROW(vfork),
    ROW(stat),
#endif
    ROW(openat),
    ROW(openat2),
    ROW(newfstatat),
    ROW(statx),
    ROW(readlinkat),
    ROW(unlinkat),
    ROW(socket),
    ROW(socketpair),
    ROW(connect),
    ROW(bind),
    ROW(execve),
    ROW(execveat),
    ROW(clone),
    ROW(clone3),
    ROW(ptrace),
    ROW(process_vm_readv),
    ROW(kill),
    ROW(tgkill),
    ROW(prctl),
    ROW(seccomp),
    ROW(getpid),
    ROW(read),
    ROW(write),
    ROW(pwrite64),
    ROW(fstat),
    ROW(dup),
    ROW(fcntl),
    ROW(ioctl),
    ROW(recvmsg),
    ROW(sendto),
    ROW(io_uring_setup),
    ROW(bpf),
    ROW(userfaultfd),
    ROW(memfd_create),
    ROW(setrlimit),
    ROW(mount),
    ROW(unshare),
    ROW(chroot),
    ROW(shmget),
    {"mmap of code", map_code},
    {"mmap of a file", map_file},
    {"mmap of shared memory", map_shared},
    {"mprotect to code", make_code},
    {"sendmsg elsewhere", send_elsewhere},
    {"futex to requeue", move_waiters},
    {"another machine's call", call_as_x32},
    {"abort", abort_loudly},
};

START_TEST(filter__ends_who_calls)
{
    int status;

    if (is_in_valgrind())
        return; /* it has calls of its own to make */
    status = do_confined(confine, NULL, forbidden[_i].act);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s: %x", forbidden[_i].name,
                  status);
}
END_TEST

/* All that a reader does, and memory in every way that malloc gets and returns it. */
static int
read_and_answer(void)
{
    struct iovec part = {.iov_base = buffer, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct timespec now;
    uint8_t *more;
    size_t bytes = 1;

    if (pread(file, buffer, 1, 0) != 1 || clock_gettime(CLOCK_MONOTONIC, &now) != 0 ||
        syscall(SYS_getrandom, buffer + 1, 8, 0) != 8 ||
        syscall(SYS_futex, page, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0) != 0)
        return EIO;
    more = malloc(bytes);
    for (; more != NULL && bytes < ((size_t)64 << 20); bytes *= 2) {
        uint8_t *larger = realloc(more, bytes * 2);

        if (larger == NULL)
            break;
        larger[bytes] = 1;
        more = larger;
    }
    free(more);
    if (more == NULL || bytes < ((size_t)64 << 20))
        return ENOMEM;
    return outcome(syscall(SYS_sendmsg, answer[0], &message, MSG_NOSIGNAL));
}

START_TEST(filter__lets_a_reader_do_its_work)
{
    char byte = 0;

    if (IS_SANITIZED || is_in_valgrind())
        return; /* they have calls of their own to make */
    ck_assert_int_eq(do_confined(confine, NULL, read_and_answer), 0);
    ck_assert_int_eq(recv(answer[1], &byte, 1, MSG_DONTWAIT), 1);
    ck_assert_int_eq(byte, 'x');
}
END_TEST

START_TEST(filter__is_made_once_and_entered_often)
{
    if (IS_SANITIZED || is_in_valgrind())
        return; /* they have calls of their own to make */
    ck_assert_uint_gt(filter.count, 20);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(do_confined(confine, NULL, read_and_answer), 0);
}
END_TEST

SUITE(filter)
{
    return suite_around("filter", set_up, tear_down, LOOP(filter__ends_who_calls, forbidden),
                        TEST(filter__lets_a_reader_do_its_work),
                        TEST(filter__is_made_once_and_entered_often));
}
