#include "server/cli/options.h"

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "server/cli/cli.h"

static const struct option_row *
find_row(const struct usage *usage, struct slice name)
{
    for (const struct option_row *row = usage->rows; row->name != NULL; row++)
        if (slice_is(name, row->name))
            return row;
    return NULL;
}

/* The option that was probably meant: one that begins with what was given, or the other way. */
static const char *
near(const struct usage *usage, struct slice name)
{
    for (const struct option_row *row = usage->rows; row->name != NULL; row++)
        if (slice_starts(slice_of(row->name), name) || slice_starts(name, slice_of(row->name)))
            return row->name;
    return NULL;
}

static enum status
unknown(const struct usage *usage, struct slice name, struct err *err)
{
    const char *meant = near(usage, name);

    FAIL_IF(meant != NULL, err, BAD_REQUEST, 0, "unknown option %.*s; did you mean %s?",
            SLICE_PRINT(name), meant);
    FAIL(err, BAD_REQUEST, 0, "unknown option %.*s", SLICE_PRINT(name));
}

/* One option at argv[*at]; moves *at over its value. */
static enum status
take_option(const struct usage *usage, int argc, char **argv, int *at, struct options *o,
            struct err *err)
{
    struct slice rest = slice_of(argv[*at]);
    struct slice name = slice_cut(&rest, '=');
    const struct option_row *row = find_row(usage, name);
    const char *value = rest.at;

    if (row == NULL)
        return unknown(usage, name, err);
    FAIL_IF(o->given_count == OPTIONS_MAX, err, BAD_REQUEST, 0, "more than %d options",
            OPTIONS_MAX);
    FAIL_IF(row->value == NULL && value != NULL, err, BAD_REQUEST, 0, "%s takes no value",
            row->name);
    if (row->value != NULL && value == NULL) {
        FAIL_IF(*at + 1 >= argc, err, BAD_REQUEST, 0, "%s needs a value: %s %s", row->name,
                row->name, row->value);
        value = argv[++*at];
    }
    o->given[o->given_count].row = row;
    o->given[o->given_count++].value = value;
    return OK;
}

enum status
options_parse(const struct usage *usage, int argc, char **argv, struct options *ret_options,
              struct err *err)
{
    struct options o = {0};
    bool only_words = false;

    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            o.wants_help = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            TRY(take_option(usage, argc, argv, &i, &o, err));
        } else {
            FAIL_IF(o.word_count == OPTIONS_MAX, err, BAD_REQUEST, 0, "more than %d arguments",
                    OPTIONS_MAX);
            o.words[o.word_count++] = argv[i];
        }
    }
    *ret_options = o;
    return OK;
}

const char *
options_each(const struct options *o, const char *name, size_t i)
{
    for (size_t k = 0; k < o->given_count; k++)
        if (strcmp(o->given[k].row->name, name) == 0 && i-- == 0)
            return o->given[k].value == NULL ? "" : o->given[k].value;
    return NULL;
}

bool
options_has(const struct options *o, const char *name)
{
    return options_each(o, name, 0) != NULL;
}

const char *
options_text(const struct options *o, const char *name)
{
    const char *last = NULL, *value;

    for (size_t i = 0; (value = options_each(o, name, i)) != NULL; i++)
        last = value;
    return last;
}

enum status
options_number(const struct options *o, const char *name, uint64_t otherwise, uint64_t least,
               uint64_t most, uint64_t *ret_value, struct err *err)
{
    const char *text = options_text(o, name);

    *ret_value = otherwise;
    if (text == NULL)
        return OK;
    FAIL_IF(!num_parse_u64(slice_of(text), ret_value) || *ret_value < least || *ret_value > most,
            err, BAD_REQUEST, 0, "%s must be a whole number from %llu to %llu, not %s", name,
            (unsigned long long)least, (unsigned long long)most, text);
    return OK;
}

void
options_print_help(const struct usage *usage)
{
    (void)printf("usage: %s\n", usage->line);
    if (usage->about != NULL)
        (void)printf("\n%s\n", usage->about);
    (void)printf("\n");
    for (const struct option_row *row = usage->rows; row->name != NULL; row++) {
        char head[64];

        (void)snprintf(head, sizeof head, "%s%s%s", row->name, row->value == NULL ? "" : " ",
                       row->value == NULL ? "" : row->value);
        (void)printf("  %-26s %s\n", head, row->help);
    }
    (void)printf("  %-26s %s\n", "--help", "this text");
    if (usage->epilogue != NULL)
        (void)printf("\n%s\n", usage->epilogue);
}

bool
options_begin(const struct usage *usage, int argc, char **argv, size_t least_words,
              size_t most_words, struct options *ret_options, int *ret_exit)
{
    struct err err = {0};

    *ret_exit = EXIT_USAGE;
    if (options_parse(usage, argc, argv, ret_options, &err) != OK) {
        cli_complain("%s\nusage: %s", err.text, usage->line);
        return false;
    }
    if (ret_options->wants_help) {
        options_print_help(usage);
        *ret_exit = EXIT_DONE;
        return false;
    }
    if (ret_options->word_count < least_words || ret_options->word_count > most_words) {
        cli_complain("%s\nusage: %s",
                     ret_options->word_count < least_words ? "an argument is missing"
                                                           : "too many arguments",
                     usage->line);
        return false;
    }
    return true;
}
