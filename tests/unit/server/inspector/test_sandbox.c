/* The whole of it, in the order in which a child enters it. */
#include "server/inspector/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/base/attr.h"
#include "tests/unit/server/inspector/confined.h"

static struct sandbox sandbox;

static const struct sandbox_bounds bounds = {
    .memory_bytes = IS_SANITIZED ? 0 : (size_t)1 << 30,
    .cpu_seconds = 5,
};

static void
set_up(void)
{
    sandbox_make(STDERR_FILENO, &sandbox);
}

static void
tear_down(void)
{
    sandbox_done(&sandbox);
}

/* context: the layers. */
static bool
confine(void *context)
{
    struct sandbox_level level = {0};
    uint32_t *wanted = context;

    return sandbox_enter(&sandbox, &bounds, *wanted, &level, NULL) == OK &&
           level.layers == (*wanted & sandbox.layers);
}

static uint32_t all = SANDBOX_ALL, least = SANDBOX_LEAST;

static int
limits_hold(void)
{
    static const struct {
        __rlimit_resource_t resource;
        rlim_t most;
    } want[] = {{RLIMIT_CORE, 0},   {RLIMIT_FSIZE, 0}, {RLIMIT_NPROC, 0},
                {RLIMIT_NOFILE, 0}, {RLIMIT_CPU, 5},   {RLIMIT_AS, (rlim_t)1 << 30}};
    struct rlimit limit;

    for (size_t i = 0; i < ARRAY_LENGTH(want); i++)
        if (!(IS_SANITIZED && want[i].resource == RLIMIT_AS) &&
            (getrlimit(want[i].resource, &limit) != 0 || limit.rlim_cur != want[i].most ||
             limit.rlim_max != want[i].most))
            return (int)i + 1;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 100;
    return dup(STDERR_FILENO) < 0 && errno == EMFILE ? 0 : 101;
}

START_TEST(sandbox__sets_limits_and_gives_up_privileges)
{
    if (is_in_valgrind())
        return;
    ck_assert_int_eq(do_confined(confine, &least, limits_hold), 0);
}
END_TEST

static int
open_file(void)
{
    return outcome(openat(AT_FDCWD, "/etc/passwd", O_RDONLY));
}

static int
make_socket(void)
{
    return outcome(socket(AF_INET, SOCK_STREAM, 0));
}

static int
run_program(void)
{
    return outcome(syscall(SYS_execve, "/bin/true", NULL, NULL));
}

static int
make_process(void)
{
    return outcome(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static int (*const escapes[])(void) = {open_file, make_socket, run_program, make_process};

START_TEST(sandbox__lets_nothing_out)
{
    int status;

    if (is_in_valgrind() || (sandbox.layers & SANDBOX_SECCOMP) == 0)
        return; /* what Landlock does alone is in test_landlock.c */
    status = do_confined(confine, &all, escapes[_i]);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%x", status);
}
END_TEST

static int
compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(uint64_t));
}

/* glibc's looks at the machine's memory, once. */
static int
sort_much(void)
{
    size_t count = 1 << 20;
    uint64_t *numbers = calloc(count, sizeof *numbers);

    if (numbers == NULL)
        return ENOMEM;
    for (size_t i = 0; i < count; i++)
        numbers[i] = i * UINT64_C(0x9E3779B97F4A7C15);
    qsort(numbers, count, sizeof *numbers, compare);
    free(numbers);
    return 0;
}

static int
tell_time(void)
{
    struct tm then = {.tm_year = 80, .tm_mday = 1, .tm_isdst = -1};

    return mktime(&then) == (time_t)315532800 ? 0 : EIO; /* 1980 began, as zip counts */
}

START_TEST(sandbox__lets_libc_sort_and_tell_the_time)
{
    if (is_in_valgrind())
        return;
    ck_assert_int_eq(do_confined(confine, &all, sort_much), 0);
    ck_assert_int_eq(do_confined(confine, &all, tell_time), 0);
}
END_TEST

START_TEST(sandbox__is_whole_in_a_plain_build)
{
    if (is_in_valgrind())
        return;
    ck_assert_int_eq((sandbox.layers & SANDBOX_SECCOMP) != 0, !IS_SANITIZED);
    ck_assert_int_eq((sandbox.layers & SANDBOX_LANDLOCK) != 0, sandbox.landlock_abi > 0);
    ck_assert_uint_eq(sandbox.layers & SANDBOX_LEAST, SANDBOX_LEAST);
}
END_TEST

static const struct {
    struct sandbox_level level;
    const char *has, *lacks;
} texts[] = {
    {{SANDBOX_ALL, 7}, "rlimits, no_new_privs, landlock 7, seccomp", ""},
    {{SANDBOX_LEAST, 0}, "rlimits, no_new_privs", "landlock, seccomp"},
    {{SANDBOX_LEAST | SANDBOX_LANDLOCK, 1}, "rlimits, no_new_privs, landlock 1", "seccomp"},
    {{SANDBOX_LEAST | SANDBOX_SECCOMP, 0}, "rlimits, no_new_privs, seccomp", "landlock"},
    {{0, 0}, "", "rlimits, no_new_privs, landlock, seccomp"},
};

START_TEST(sandbox__is_told_in_words)
{
    char text[SANDBOX_TEXT_BYTES];

    sandbox_describe(&texts[_i].level, text);
    ck_assert_str_eq(text, texts[_i].has);
    sandbox_describe_missing(&texts[_i].level, SANDBOX_ALL, text);
    ck_assert_str_eq(text, texts[_i].lacks);
}
END_TEST

SUITE(sandbox)
{
    return suite_around(
        "sandbox", set_up, tear_down, TEST(sandbox__sets_limits_and_gives_up_privileges),
        LOOP(sandbox__lets_nothing_out, escapes), TEST(sandbox__lets_libc_sort_and_tell_the_time),
        TEST(sandbox__is_whole_in_a_plain_build), LOOP(sandbox__is_told_in_words, texts));
}
