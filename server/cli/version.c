/* ckptd version: which one this is. */
#include <stdio.h>

#include "server/cli/cli.h"

int
cli_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return printf("ckptd %s\n", CKPTD_VERSION) < 0 ? EXIT_NO : EXIT_DONE;
}
