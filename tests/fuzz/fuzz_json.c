/*
 * Any bytes as JSON. What the reader takes, the writer writes, and what the writer writes, the reader
 * takes again and the writer writes alike.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24 };

static void
write_token(struct json_writer *w, const struct json_token *t)
{
    switch (t->kind) {
    case JSON_NULL:
        jw_null(w);
        break;
    case JSON_FALSE:
    case JSON_TRUE:
        jw_bool(w, t->kind == JSON_TRUE);
        break;
    case JSON_NUMBER:
        jw_raw(w, t->text);
        break;
    case JSON_STRING:
        jw_slice(w, t->text);
        break;
    case JSON_ARRAY:
        jw_array(w);
        break;
    case JSON_OBJECT:
        jw_object(w);
        break;
    case JSON_KEY:
        jw_key_slice(w, t->text);
        break;
    case JSON_ARRAY_END:
        jw_array_end(w);
        break;
    case JSON_OBJECT_END:
        jw_object_end(w);
        break;
    case JSON_END:
        break;
    }
}

static enum status
rewrite(struct slice text, struct buf *out)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    CLEANUP(json_done) struct json j;
    struct json_writer w = json_writer_to(out, 0);
    struct limits limits = limits_default();
    struct json_token t;

    json_open(&j, text, &limits, &arena);
    do {
        TRY(json_next(&j, &t, NULL));
        if (t.offset > text.length)
            abort();
        write_token(&w, &t);
    } while (t.kind != JSON_END);
    return buf_check(out, NULL);
}

/* json_skip must judge a text as reading it token by token does. */
static enum status
skip(struct slice text)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    CLEANUP(json_done) struct json j;
    struct limits limits = limits_default();

    json_open(&j, text, &limits, &arena);
    TRY(json_skip(&j, NULL, NULL));
    return json_finish(&j, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_done) struct buf once = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf twice = buf_with_cap(CAP);
    struct slice text = {(const char *)data, size};
    enum status status = rewrite(text, &once);

    if (skip(text) != status)
        abort();
    if (status != OK)
        return 0;
    if (rewrite(buf_slice_of(&once), &twice) != OK ||
        !slice_equal(buf_slice_of(&once), buf_slice_of(&twice)))
        abort();
    return 0;
}
