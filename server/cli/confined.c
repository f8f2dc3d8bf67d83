#include "server/cli/confined.h"

#include <sys/resource.h>

/* A set's files are all open at once in the one who reads them. */
static void
raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

enum status
confined_start(const struct limits *limits, struct inspector **ret_inspector, struct err *err)
{
    struct inspector_config config = inspector_config_default();

    raise_descriptors();
    config.executable = NULL;
    config.limits = *limits;
    return inspector_start(&config, ret_inspector, err);
}

void
confined_done(struct inspector **inspector)
{
    inspector_free(*inspector);
}
