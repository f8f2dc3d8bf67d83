#pragma once
/*
 * What a child gives up, for good, once it has its descriptors and before it sees a byte of any:
 *
 *     rlimits       memory, processor time, writing files, core dumps, new descriptors, processes
 *     no_new_privs  and not dumpable: nobody traces it, and no set-user-id program helps it
 *     landlock      landlock.h: nothing can be opened, no TCP
 *     seccomp       filter.h: a short list of system calls, death for any other
 *
 * The first two are always there. A kernel may lack the others (Landlock came with 5.13); seccomp is
 * left out under sanitizers, whose own calls it would forbid. What takes time is made once, in the
 * zygote: a child only enters it.
 */
#include <stddef.h>

#include "common/base/err.h"
#include "server/inspector/filter.h"

enum sandbox_layer {
    SANDBOX_RLIMITS = 1,
    SANDBOX_NO_NEW_PRIVS = 2,
    SANDBOX_LANDLOCK = 4,
    SANDBOX_SECCOMP = 8,
    SANDBOX_LEAST = SANDBOX_RLIMITS | SANDBOX_NO_NEW_PRIVS,
    SANDBOX_ALL = SANDBOX_LEAST | SANDBOX_LANDLOCK | SANDBOX_SECCOMP,
};

/* Sanitizers map terabytes, speak on stderr, and make calls of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };
#elif defined(__has_feature)
enum { IS_SANITIZED = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) };
#else
enum { IS_SANITIZED = 0 };
#endif

/* What is ready to be entered. */
struct sandbox {
    uint32_t layers; /* that there are, of enum sandbox_layer */
    uint32_t landlock_abi;
    int ruleset; /* Landlock's; -1: none */
    struct filter filter;
};

struct sandbox_bounds {
    size_t memory_bytes; /* 0: no limit */
    unsigned cpu_seconds;
    unsigned descriptors; /* below which new ones get their numbers; 0: no new ones */
};

/* How far a process has gone. */
struct sandbox_level {
    uint32_t layers;
    uint32_t landlock_abi; /* 0 without that layer */
};

/* answer is the one descriptor that may be written to. Never fails: layers tells what there is. Sets TZ,
 * so that libc need not look for it later. */
void sandbox_make(int answer, struct sandbox *ret_sandbox);
void sandbox_done(struct sandbox *sandbox);

/* Enter those of the wanted layers that there are, in the order above; *level gains them. The calling
 * process may do so in several steps. ERR_INTERNAL: then nothing may be read. */
enum status sandbox_enter(const struct sandbox *sandbox, const struct sandbox_bounds *bounds,
                          uint32_t wanted, struct sandbox_level *level, struct err *err) MUST_CHECK;

/* In words, for people: "rlimits, no_new_privs, landlock 7, seccomp". */
enum { SANDBOX_TEXT_BYTES = 80 };
void sandbox_describe(const struct sandbox_level *level, char *text);

/* The wanted layers that the level lacks, so: "landlock, seccomp". Empty where it lacks none. */
void sandbox_describe_missing(const struct sandbox_level *level, uint32_t wanted, char *text);
