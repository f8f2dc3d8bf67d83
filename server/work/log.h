#pragma once
/*
 * The daemon's log: one JSON object a line, written with a single write(2), so that lines of several
 * threads never mix. ts, level and msg come first, then the fields. Hostile text is escaped; whoever
 * reads the log in a terminal sees no control character.
 *
 *     LOG(log, LOG_INFO, "listening", LOG_TEXT("address", address), LOG_U64("port", port));
 *
 * Any thread may log. A NULL log swallows everything. Never log tokens or query strings.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log_field {
    const char *name;
    enum { LOG_FIELD_TEXT, LOG_FIELD_U64, LOG_FIELD_SECONDS, LOG_FIELD_BOOL } kind;
    struct slice text;
    uint64_t number; /* microseconds of LOG_FIELD_SECONDS */
};

#define LOG_SLICE(name, slice) ((struct log_field){(name), LOG_FIELD_TEXT, (slice), 0})
#define LOG_TEXT(name, text)   LOG_SLICE(name, slice_of(text))
#define LOG_U64(name, value)   ((struct log_field){(name), LOG_FIELD_U64, {0}, (value)})
#define LOG_SECONDS(name, us)  ((struct log_field){(name), LOG_FIELD_SECONDS, {0}, (us)})
#define LOG_YES(name, value)   ((struct log_field){(name), LOG_FIELD_BOOL, {0}, (value) ? 1 : 0})
#define LOG_ERR(err)           LOG_TEXT("error", (err)->text), LOG_TEXT("code", err_name((err)->code))

/* At least one field; LOG_NOTHING where there is none. */
#define LOG_NOTHING ((struct log_field){0})
#define LOG(log, level, msg, ...) \
    log_line((log), (level), (msg), (const struct log_field[]){__VA_ARGS__}, \
             sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

struct log;

/* Write lines of at least this level to fd, which stays the caller's. */
enum status log_open(int fd, enum log_level least, struct log **ret_log,
                     struct err *err) MUST_CHECK;
void log_free(struct log *log);

void log_line(struct log *log, enum log_level level, const char *msg,
              const struct log_field *fields, size_t count);

/* "debug", "info", "warning", "error". */
bool log_level_parse(struct slice text, enum log_level *ret_level);
