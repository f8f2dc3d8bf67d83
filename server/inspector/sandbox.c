#include "server/inspector/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "server/inspector/landlock.h"

static const struct {
    enum sandbox_layer layer;
    const char *name;
} names[] = {
    {SANDBOX_RLIMITS, "rlimits"},
    {SANDBOX_NO_NEW_PRIVS, "no_new_privs"},
    {SANDBOX_LANDLOCK, "landlock"},
    {SANDBOX_SECCOMP, "seccomp"},
};

static int
compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

/* What libc would ask the system for in the middle of a file, asked for while it may. The first large
 * qsort(3) wants to know how much memory there is, and glibc keeps the answer; its copy on the stack
 * ends at 1 KiB. libzip turns each member's time into a time_t, for which mktime(3) looks at
 * /etc/localtime again and again, but not where TZ says what it said before: nobody here wants to know
 * the local time. The process is a zygote, of one thread. */
static void
warm_libc(void)
{
    uint64_t numbers[256];

    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        numbers[i] = ARRAY_LENGTH(numbers) - i;
    qsort(numbers, ARRAY_LENGTH(numbers), sizeof numbers[0], compare_numbers);
    (void)setenv("TZ", "UTC0", 1); /* NOLINT(concurrency-mt-unsafe) */
    tzset();                       /* NOLINT(concurrency-mt-unsafe) */
}

void
sandbox_make(int answer, struct sandbox *ret_sandbox)
{
    *ret_sandbox = (struct sandbox){.layers = SANDBOX_LEAST, .ruleset = -1};
    if (landlock_make(&ret_sandbox->ruleset, &ret_sandbox->landlock_abi))
        ret_sandbox->layers |= SANDBOX_LANDLOCK;
    if (!IS_SANITIZED && filter_make(answer, &ret_sandbox->filter))
        ret_sandbox->layers |= SANDBOX_SECCOMP;
    warm_libc();
}

void
sandbox_done(struct sandbox *sandbox)
{
    if (sandbox->ruleset >= 0)
        (void)close(sandbox->ruleset);
    filter_done(&sandbox->filter);
    *sandbox = (struct sandbox){.ruleset = -1};
}

static enum status
set_limits(const struct sandbox_bounds *bounds, struct err *err)
{
    const struct {
        __rlimit_resource_t resource;
        rlim_t value;
    } limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, 0},
        {RLIMIT_NPROC, 0}, /* root is above it: seccomp holds that one */
        {RLIMIT_NOFILE, bounds->descriptors},
        {RLIMIT_CPU, bounds->cpu_seconds},
        {RLIMIT_AS, bounds->memory_bytes == 0 ? RLIM_INFINITY : bounds->memory_bytes},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        struct rlimit both = {limits[i].value, limits[i].value};

        FAIL_IF(setrlimit(limits[i].resource, &both) != 0, err, INTERNAL, 0,
                "a resource limit cannot be set (error %d)", errno);
    }
    return OK;
}

static enum status
give_up_privileges(struct err *err)
{
    FAIL_IF(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0, err, INTERNAL, 0,
            "no_new_privs cannot be set (error %d)", errno);
    FAIL_IF(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0, err, INTERNAL, 0,
            "it cannot be made undumpable (error %d)", errno);
    return OK;
}

enum status
sandbox_enter(const struct sandbox *sandbox, const struct sandbox_bounds *bounds, uint32_t wanted,
              struct sandbox_level *level, struct err *err)
{
    uint32_t layers = wanted & sandbox->layers;

    if ((layers & SANDBOX_RLIMITS) != 0)
        TRY(set_limits(bounds, err));
    if ((layers & SANDBOX_NO_NEW_PRIVS) != 0)
        TRY(give_up_privileges(err));
    if ((layers & SANDBOX_LANDLOCK) != 0) {
        TRY(landlock_enter(sandbox->ruleset, err));
        level->landlock_abi = sandbox->landlock_abi;
    }
    if ((layers & SANDBOX_SECCOMP) != 0)
        TRY(filter_enter(&sandbox->filter, err));
    level->layers |= layers;
    return OK;
}

static void
add_name(char *text, const char *name, uint32_t version)
{
    size_t length = strlen(text);

    (void)snprintf(text + length, SANDBOX_TEXT_BYTES - length, "%s%s", length > 0 ? ", " : "",
                   name);
    length = strlen(text);
    if (version > 0)
        (void)snprintf(text + length, SANDBOX_TEXT_BYTES - length, " %u", version);
}

void
sandbox_describe(const struct sandbox_level *level, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if ((level->layers & names[i].layer) != 0)
            add_name(text, names[i].name,
                     names[i].layer == SANDBOX_LANDLOCK ? level->landlock_abi : 0);
}

void
sandbox_describe_missing(const struct sandbox_level *level, uint32_t wanted, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if ((wanted & ~level->layers & names[i].layer) != 0)
            add_name(text, names[i].name, 0);
}
