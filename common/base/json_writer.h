#pragma once
/*
 * JSON, written straight into a buffer: commas, quotes and escapes come by themselves. Failures are
 * the buffer's: ask buf_check at the end. Text that is not UTF-8 is written with U+FFFD for each bad
 * byte, so that the output always is JSON. With an indent, each key and each element stands on a line
 * of its own, but for the elements of a flat array.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

struct json_writer {
    struct buf *out;
    unsigned indent; /* spaces a level; 0 = all on one line */
    unsigned depth;
    bool has_item;  /* a comma is due before the next */
    bool after_key; /* the next is a key's value */
    bool is_flat;   /* inside a list of scalars: no line breaks */
};

struct json_writer json_writer_to(struct buf *out, unsigned indent);

void jw_object(struct json_writer *w);
void jw_object_end(struct json_writer *w);
void jw_array(struct json_writer *w);
void jw_array_end(struct json_writer *w);
void jw_flat_array(struct json_writer *w); /* of scalars, on one line; ended by jw_array_end */

void jw_key(struct json_writer *w, const char *key);
void jw_key_slice(struct json_writer *w, struct slice key);

void jw_null(struct json_writer *w);
void jw_bool(struct json_writer *w, bool value);
void jw_u64(struct json_writer *w, uint64_t value);
void jw_i64(struct json_writer *w, int64_t value);
void jw_double(struct json_writer *w,
               double value); /* the shortest that reads back; null for inf, nan */
void jw_text(struct json_writer *w, const char *text); /* NULL is null */
void jw_slice(struct json_writer *w, struct slice text);
void jw_raw(struct json_writer *w, struct slice json); /* one whole value, written as it is */

/* The usual pairs. */
void jw_pair_text(struct json_writer *w, const char *key, const char *text);
void jw_pair_slice(struct json_writer *w, const char *key, struct slice text);
void jw_pair_u64(struct json_writer *w, const char *key, uint64_t value);
void jw_pair_bool(struct json_writer *w, const char *key, bool value);

/* Append text as a JSON string, quotes included. */
void json_quote(struct buf *out, struct slice text);
