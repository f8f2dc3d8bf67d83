#include "server/inspector/sandbox.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/base/attr.h"

enum status
sandbox_enter(const struct sandbox *sandbox, struct err *err)
{
    const struct {
        __rlimit_resource_t resource;
        rlim_t value;
    } limits[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, 0},
        {RLIMIT_CPU, sandbox->cpu_seconds},
        {RLIMIT_AS, sandbox->memory_bytes == 0 ? RLIM_INFINITY : sandbox->memory_bytes},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        struct rlimit both = {limits[i].value, limits[i].value};

        FAIL_IF(setrlimit(limits[i].resource, &both) != 0, err, INTERNAL, 0,
                "a resource limit cannot be set (error %d)", errno);
    }
    FAIL_IF(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0, err, INTERNAL, 0,
            "no_new_privs cannot be set (error %d)", errno);
    FAIL_IF(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0, err, INTERNAL, 0,
            "it cannot be made undumpable (error %d)", errno);
    return OK;
}

const char *
sandbox_describe(void)
{
    return "rlimits, no_new_privs";
}
