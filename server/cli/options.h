#pragma once
/*
 * Options of a verb: a table of them, and what a command line gave. Flags may stand anywhere; "--"
 * ends them; --name=value and --name value are the same.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct option_row {
    const char *name;  /* "--json" */
    const char *value; /* what its value is called in the help; NULL: a flag without one */
    const char *help;
};

struct usage {
    const char *line;              /* "ckptd inspect FILE [--json]" */
    const char *about;             /* a paragraph; may be NULL */
    const char *epilogue;          /* exit codes, an example; may be NULL */
    const struct option_row *rows; /* ended by a row without a name */
};

enum { OPTIONS_MAX = 64 };

struct options {
    const char *words[OPTIONS_MAX]; /* what is no option, in order */
    size_t word_count;
    struct {
        const struct option_row *row;
        const char *value; /* NULL for a flag */
    } given[OPTIONS_MAX];
    size_t given_count;
    bool wants_help;
};

/* ERR_BAD_REQUEST, with a text that names the option and what is near it. --help and -h are known to
 * every verb. */
enum status options_parse(const struct usage *usage, int argc, char **argv,
                          struct options *ret_options, struct err *err) MUST_CHECK;

bool options_has(const struct options *o, const char *name);
const char *options_text(const struct options *o, const char *name); /* the last one; or NULL */

/* The i-th value of an option that may be repeated; NULL past the last. */
const char *options_each(const struct options *o, const char *name, size_t i);

/* A number from least to most; otherwise where it was not given. */
enum status options_number(const struct options *o, const char *name, uint64_t otherwise,
                           uint64_t least, uint64_t most, uint64_t *ret_value,
                           struct err *err) MUST_CHECK;

void options_print_help(const struct usage *usage);

/* The usual beginning of a verb: parse, and print help or the complaint. True: go on; false: return
 * *ret_exit. */
bool options_begin(const struct usage *usage, int argc, char **argv, size_t least_words,
                   size_t most_words, struct options *ret_options, int *ret_exit);
