#pragma once
/*
 * The filter of system calls (seccomp): a list of what a reader needs to read what is open, to get
 * memory, and to answer. Any other call ends the process at once by SIGSYS, the next process's file
 * unread. So does a library that gives up (abort): it ends all the same.
 *
 *     pread64                              of what is open: nobody can open more
 *     sendmsg                              on descriptor ANSWER only, the job's socket
 *     mmap, mprotect, munmap, mremap, brk, madvise
 *                                          memory of its own: anonymous, private, never executable
 *     futex                                to wait and to wake: locks inside libraries
 *     clock_gettime, gettimeofday, getrandom, close, rt_sigreturn, exit, exit_group
 *
 * A filter sees numbers, never what they point to: what is said in sendmsg is the reader's, and the
 * daemon trusts none of it. It could attach its own descriptors, which the daemon closes unread, or
 * name an address, which a connected SOCK_SEQPACKET socket ignores.
 *
 * There is no read, write, lseek, fstat or recvmsg in it: readers see a struct source, whose size is
 * known before, and nothing is heard once the sandbox is entered.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct sock_filter;

/* A program of the kernel's small machine. */
struct filter {
    struct sock_filter *code;
    uint16_t count;
};

/* Make it once: it takes longer to make than to enter. False where libseccomp or the kernel cannot.
 * It allows sendmsg on that descriptor. */
bool filter_make(int answer, struct filter *ret_filter);
void filter_done(struct filter *filter);

/* For the calling process, which must have set no_new_privs, for good. ERR_INTERNAL. */
enum status filter_enter(const struct filter *filter, struct err *err) MUST_CHECK;
