#pragma once
/*
 * The command line: one verb a file, one row a verb in main.c's table. A verb parses its own options
 * with the pieces of options.h, does offline what the server does, with the same functions, and
 * returns the exit code of design.md §10.
 */
#include "common/base/err.h"

enum {
    EXIT_DONE = 0,
    EXIT_NO = 1,      /* compat: the requirement is not met; scan: dangerous; others: unreadable */
    EXIT_UNKNOWN = 2, /* compat: unknown, unreadable checkpoint; scan: a limit was reached */
    EXIT_USAGE = 3,   /* a missing path, a bad manifest, wrong options */
};

struct verb {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
};

int cli_compat(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_scan(int argc, char **argv);
int cli_version(int argc, char **argv);

/* Print "ckptd: <text>" to stderr. */
void cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
