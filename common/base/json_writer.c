#include "common/base/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/utf8.h"

struct json_writer
json_writer_to(struct buf *out, unsigned indent)
{
    return (struct json_writer){.out = out, .indent = indent};
}

static void
new_line(struct json_writer *w)
{
    buf_char(w->out, '\n');
    for (unsigned i = 0; i < w->depth * w->indent; i++)
        buf_char(w->out, ' ');
}

/* Before each key and each value that has none. */
static void
begin_item(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->has_item)
        buf_text(w->out, w->indent > 0 && w->is_flat ? ", " : ",");
    if (w->indent > 0 && w->depth > 0 && !w->is_flat)
        new_line(w);
    w->has_item = true;
}

static void
open(struct json_writer *w, char bracket)
{
    begin_item(w);
    buf_char(w->out, bracket);
    w->depth++;
    w->has_item = false;
}

static void
close(struct json_writer *w, char bracket)
{
    w->depth--;
    if (w->indent > 0 && w->has_item && !w->is_flat)
        new_line(w);
    buf_char(w->out, bracket);
    w->has_item = true;
    w->is_flat = false;
}

void
jw_object(struct json_writer *w)
{
    open(w, '{');
}

void
jw_object_end(struct json_writer *w)
{
    close(w, '}');
}

void
jw_array(struct json_writer *w)
{
    open(w, '[');
}

void
jw_flat_array(struct json_writer *w)
{
    open(w, '[');
    w->is_flat = true;
}

void
jw_array_end(struct json_writer *w)
{
    close(w, ']');
}

void
json_quote(struct buf *out, struct slice text)
{
    static const char hex[] = "0123456789abcdef";
    uint32_t code;

    buf_char(out, '"');
    while (text.length > 0) {
        size_t length = utf8_next(text, &code);

        if (length == 0) {
            utf8_add(out, UINT32_MAX);
            length = 1;
        } else if (code == '"' || code == '\\') {
            buf_char(out, '\\');
            buf_char(out, (char)code);
        } else if (code == '\n') {
            buf_text(out, "\\n");
        } else if (code < 0x20 || code == 0x7F) {
            buf_text(out, "\\u00");
            buf_char(out, hex[code >> 4]);
            buf_char(out, hex[code & 15]);
        } else {
            size_t plain = length;

            /* The common case in one piece: a run of plain ASCII. */
            while (plain < text.length && text.at[plain] > 0x1F && text.at[plain] < 0x7F &&
                   text.at[plain] != '"' && text.at[plain] != '\\')
                plain++;
            buf_add(out, text.at, plain);
            length = plain;
        }
        text = slice_from(text, length);
    }
    buf_char(out, '"');
}

void
jw_key_slice(struct json_writer *w, struct slice key)
{
    begin_item(w);
    json_quote(w->out, key);
    buf_text(w->out, w->indent > 0 ? ": " : ":");
    w->after_key = true;
}

void
jw_key(struct json_writer *w, const char *key)
{
    jw_key_slice(w, slice_of(key));
}

void
jw_null(struct json_writer *w)
{
    begin_item(w);
    buf_text(w->out, "null");
}

void
jw_bool(struct json_writer *w, bool value)
{
    begin_item(w);
    buf_text(w->out, value ? "true" : "false");
}

void
jw_u64(struct json_writer *w, uint64_t value)
{
    begin_item(w);
    buf_u64(w->out, value);
}

void
jw_i64(struct json_writer *w, int64_t value)
{
    begin_item(w);
    if (value < 0)
        buf_char(w->out, '-');
    buf_u64(w->out, value < 0 ? 0U - (uint64_t)value : (uint64_t)value);
}

void
jw_double(struct json_writer *w, double value)
{
    char text[40];

    begin_item(w);
    if (!isfinite(value)) {
        buf_text(w->out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        double back;

        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        back = strtod(text, NULL);
        if (memcmp(&back, &value, sizeof value) == 0)
            break;
    }
    buf_text(w->out, text);
    if (strpbrk(text, ".e") == NULL)
        buf_text(w->out, ".0");
}

void
jw_slice(struct json_writer *w, struct slice text)
{
    begin_item(w);
    json_quote(w->out, text);
}

void
jw_text(struct json_writer *w, const char *text)
{
    if (text == NULL)
        jw_null(w);
    else
        jw_slice(w, slice_of(text));
}

void
jw_raw(struct json_writer *w, struct slice json)
{
    begin_item(w);
    buf_slice(w->out, json);
}

void
jw_pair_text(struct json_writer *w, const char *key, const char *text)
{
    jw_key(w, key);
    jw_text(w, text);
}

void
jw_pair_slice(struct json_writer *w, const char *key, struct slice text)
{
    jw_key(w, key);
    jw_slice(w, text);
}

void
jw_pair_u64(struct json_writer *w, const char *key, uint64_t value)
{
    jw_key(w, key);
    jw_u64(w, value);
}

void
jw_pair_bool(struct json_writer *w, const char *key, bool value)
{
    jw_key(w, key);
    jw_bool(w, value);
}
