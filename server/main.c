/* ckptd: a checkpoint registry. The table of verbs; the only file that sees all of them. */
#include <stdio.h>
#include <string.h>

#include "server/cli/cli.h"
#include "server/inspector/inspector.h"
#include "server/serve.h"

static const struct verb verbs[] = {
    {"compat", "would this checkpoint load into that architecture?", cli_compat},
    {"inspect", "read a checkpoint's structure", cli_inspect},
    {"scan", "is a checkpoint safe to load?", cli_scan},
    {"serve", "run the registry", serve},
    {"version", "which version this is", cli_version},
};

static void
print_help(FILE *out)
{
    (void)fputs("ckptd: a checkpoint registry that knows what will load\n\nusage: ckptd VERB …\n\n",
                out);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        (void)fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    (void)fputs("\n`ckptd VERB --help` tells more of each.\n", out);
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], INSPECTOR_VERB) == 0)
        return inspector_zygote();
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0)
        return cli_version(argc, argv);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    cli_complain("there is no verb %s; `ckptd --help` lists them", argv[1]);
    return EXIT_USAGE;
}
