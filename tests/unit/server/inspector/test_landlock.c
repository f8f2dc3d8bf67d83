/* Landlock alone, without the filter: what it refuses, and what stays. */
#include "server/inspector/landlock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "common/base/attr.h"
#include "tests/unit/server/inspector/confined.h"

static int ruleset = -1;
static uint32_t abi;

static void
set_up(void)
{
    (void)landlock_make(&ruleset, &abi);
}

static void
tear_down(void)
{
    if (ruleset >= 0)
        (void)close(ruleset);
    ruleset = -1;
}

static bool
confine(void *context)
{
    (void)context;
    return landlock_enter(ruleset, NULL) == OK;
}

static bool
leave_free(void *context)
{
    (void)context;
    return true;
}

static int
open_file(void)
{
#ifdef SYS_open
    return outcome(syscall(SYS_open, "/etc/passwd", O_RDONLY));
#else
    return outcome(open("/etc/passwd", O_RDONLY));
#endif
}

static int
openat_file(void)
{
    return outcome(openat(AT_FDCWD, "/etc/passwd", O_RDONLY));
}

static int
open_directory(void)
{
    return outcome(open("/", O_RDONLY | O_DIRECTORY));
}

static int
write_file(void)
{
    return outcome(open("/dev/null", O_WRONLY));
}

static int
make_file(void)
{
    return outcome(open("/tmp", O_TMPFILE | O_RDWR, 0600));
}

static int
make_directory(void)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/tmp/ckptd-wall-%ld", (long)getpid());
    if (mkdir(path, 0700) != 0)
        return errno;
    (void)rmdir(path);
    return 0;
}

static int
run_program(void)
{
    char name[] = "true";
    char *const arguments[] = {name, NULL}, *const environment[] = {NULL};

    return outcome(execve("/bin/true", arguments, environment));
}

/* To a socket of its own, so that it succeeds where nothing stands against it. */
static int
connect_tcp(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), failed;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    failed = outcome(connect(fd, (const struct sockaddr *)&to, sizeof to));
    return failed == ECONNREFUSED ? 0 : failed; /* nobody is there, but it was tried */
}

static int
bind_tcp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return outcome(bind(fd, (const struct sockaddr *)&at, sizeof at));
}

static int
signal_parent(void)
{
    return outcome(kill(getppid(), 0));
}

static int
trace_parent(void)
{
    /* With no flags and no address: only whether it may. */
    return outcome(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
}

static const struct {
    const char *name;
    int (*act)(void);
    int error;
    uint32_t abi;
    bool is_free; /* whether it succeeds without Landlock, wherever the tests run */
} refused[] = {
    {"open", open_file, EACCES, 1, true},
    {"openat", openat_file, EACCES, 1, true},
    {"open of a directory", open_directory, EACCES, 1, true},
    {"open for writing", write_file, EACCES, 1, true},
    {"a nameless file", make_file, EACCES, 1, true},
    {"mkdir", make_directory, EACCES, 1, true},
    {"execve", run_program, EACCES, 1, true},
    {"connect", connect_tcp, EACCES, 4, true},
    {"bind", bind_tcp, EACCES, 4, true},
    {"kill", signal_parent, EPERM, 6, true},
    {"ptrace", trace_parent, EPERM, 1, false},
};

START_TEST(landlock__refuses)
{
    int status;

    if (refused[_i].is_free) {
        status = do_confined(leave_free, NULL, refused[_i].act);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: it fails anyhow: %x",
                      refused[_i].name, status);
    }
    if (abi < refused[_i].abi)
        return; /* this kernel has no such rule */
    status = do_confined(confine, NULL, refused[_i].act);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == refused[_i].error, "%s: %x",
                  refused[_i].name, status);
}
END_TEST

static int opened = -1;

static int
read_what_is_open(void)
{
    char byte = 0;

    return pread(opened, &byte, 1, 0) == 1 && byte == 'x' ? 0 : EIO;
}

START_TEST(landlock__leaves_what_is_open)
{
    opened = memfd_create("open", MFD_CLOEXEC);
    ck_assert_int_eq(write(opened, "x", 1), 1);
    if (ruleset >= 0)
        ck_assert_int_eq(do_confined(confine, NULL, read_what_is_open), 0);
    (void)close(opened);
}
END_TEST

START_TEST(landlock__is_there_where_the_kernel_says_so)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, 1);

    ck_assert_int_eq(ruleset >= 0, version >= 1);
    ck_assert_uint_eq(abi, version < 1                  ? 0
                           : version < LANDLOCK_ABI_MAX ? version
                                                        : LANDLOCK_ABI_MAX);
}
END_TEST

SUITE(landlock)
{
    return suite_around("landlock", set_up, tear_down, LOOP(landlock__refuses, refused),
                        TEST(landlock__leaves_what_is_open),
                        TEST(landlock__is_there_where_the_kernel_says_so));
}
