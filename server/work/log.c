#include "server/work/log.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/json_writer.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "server/work/clock.h"

enum { LINE_BYTES_MAX = 16 * 1024, TEXT_BYTES_MAX = 2048 };

struct log {
    int fd;
    enum log_level least;
};

static const char level_names[][8] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARNING] = "warning",
    [LOG_ERROR] = "error",
};

enum status
log_open(int fd, enum log_level least, struct log **ret_log, struct err *err)
{
    struct log *log = mem_new(1, sizeof *log);

    FAIL_IF(log == NULL, err, NO_MEMORY, 0, "no memory for the log");
    *log = (struct log){.fd = fd, .least = least};
    *ret_log = log;
    return OK;
}

void
log_free(struct log *log)
{
    mem_free(log);
}

/* JSON's own escapes leave DEL, C1 and bidi controls as they are; a terminal must not see them. */
static void
add_text(struct json_writer *w, struct slice text)
{
    CLEANUP(buf_done) struct buf clean = buf_with_cap(4 * TEXT_BYTES_MAX);

    if (text.length > TEXT_BYTES_MAX)
        text.length = TEXT_BYTES_MAX;
    utf8_clean(&clean, text);
    jw_slice(w, buf_slice_of(&clean));
}

static void
add_field(struct json_writer *w, const struct log_field *field)
{
    jw_key(w, field->name);
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        add_text(w, field->text);
        return;
    case LOG_FIELD_U64:
        jw_u64(w, field->number);
        return;
    case LOG_FIELD_SECONDS: {
        CLEANUP(buf_done) struct buf seconds = buf_with_cap(64);

        buf_printf(&seconds, "%llu.%06llu", (unsigned long long)(field->number / 1000000),
                   (unsigned long long)(field->number % 1000000));
        jw_raw(w, buf_slice_of(&seconds));
        return;
    }
    case LOG_FIELD_BOOL:
        jw_bool(w, field->number != 0);
        return;
    }
}

static void
write_whole(int fd, struct slice line)
{
    while (line.length > 0) {
        ssize_t n = write(fd, line.at, line.length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* there is nobody to tell */
        line = slice_from(line, (size_t)n);
    }
}

void
log_line(struct log *log, enum log_level level, const char *msg, const struct log_field *fields,
         size_t count)
{
    CLEANUP(buf_done) struct buf line = buf_with_cap(LINE_BYTES_MAX);
    CLEANUP(buf_done) struct buf now = buf_with_cap(64);
    struct json_writer w = json_writer_to(&line, 0);

    if (log == NULL || level < log->least)
        return;
    clock_rfc3339(&now, clock_wall_us());
    jw_object(&w);
    jw_pair_slice(&w, "ts", buf_slice_of(&now));
    jw_pair_text(&w, "level", level_names[level]);
    jw_pair_text(&w, "msg", msg);
    for (size_t i = 0; i < count; i++)
        if (fields[i].name != NULL)
            add_field(&w, &fields[i]);
    jw_object_end(&w);
    buf_char(&line, '\n');
    if (buf_check(&line, NULL) == OK)
        write_whole(log->fd, buf_slice_of(&line));
    else
        write_whole(log->fd,
                    slice_of("{\"level\":\"error\",\"msg\":\"a log line was too long\"}\n"));
}

bool
log_level_parse(struct slice text, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LENGTH(level_names); i++)
        if (slice_is(text, level_names[i])) {
            *ret_level = (enum log_level)i;
            return true;
        }
    return false;
}
