#pragma once
/*
 * For tests of the sandbox: do something in a process of its own, which is confined first.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/unit.h"

enum { NOT_CONFINED = 255 };

/* memcheck knows neither Landlock nor seccomp, and has calls of its own to make. */
static inline bool
is_in_valgrind(void)
{
    return getenv("CKPTD_VALGRIND") != NULL;
}

/* How a child ended (waitpid's status) that was confined and then did it: by what it returned, which is
 * 0 or errno. */
static inline int
do_confined(bool (*confine)(void *context), void *context, int (*act)(void))
{
    int status;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && confine(context) ? act()
                                                                              : NOT_CONFINED);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

/* What a call left behind, as do_confined takes it. */
static inline int
outcome(long result)
{
    return result < 0 ? errno : 0;
}
