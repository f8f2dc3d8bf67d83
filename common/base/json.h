#pragma once
/*
 * JSON (RFC 8259), read one token after the other and never as a tree: a hostile 64 MiB body costs
 * its own bytes and little more. Stricter than the RFC where readers would disagree: a key may occur
 * once in its object, text is valid UTF-8 without NUL, surrogates come in pairs.
 *
 *     TRY(json_object(&j, "an entry", err));
 *     for (;;) {
 *         TRY(json_key(&j, &key, &is_end, err));
 *         if (is_end)
 *             break;
 *         if (slice_is(key, "shape"))
 *             ...
 *         else
 *             TRY(json_skip(&j, NULL, err));
 *     }
 *
 * Errors are ERR_BAD_JSON with the byte's offset, ERR_LIMIT, or ERR_NO_MEMORY. Not for more than one
 * thread at once.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/slice.h"
#include "common/base/vec.h"

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,  /* its beginning */
    JSON_OBJECT, /* its beginning */
    JSON_KEY,
    JSON_ARRAY_END,
    JSON_OBJECT_END,
    JSON_END, /* of the whole text; given again and again */
};

struct json_token {
    enum json_kind kind;
    struct slice text; /* string or key: unescaped; number: as spelled. In the input or the arena */
    uint64_t offset;   /* of its first byte */
};

enum { JSON_DEPTH_MAX = 64 };

struct json {
    struct slice input;
    size_t at;
    struct arena *arena;
    size_t tokens_left;
    size_t depth_max;
    size_t depth;
    struct {
        bool is_object;
        bool is_sorted;   /* the keys so far ascend, so none can be repeated */
        size_t first_key; /* of this object, in keys */
    } frames[JSON_DEPTH_MAX];
    int state;
    struct vec keys; /* struct slice, of all open objects */
    struct json_token peeked;
    bool has_peeked;
};

/* Read input, which must outlive j; unescaped text goes to the arena. */
void json_open(struct json *j, struct slice input, const struct limits *limits,
               struct arena *arena);
void json_done(struct json *j);

/* The next token, whatever it is; json_peek leaves it to be read again. */
enum status json_next(struct json *j, struct json_token *ret_token, struct err *err) MUST_CHECK;
enum status json_peek(struct json *j, struct json_token *ret_token, struct err *err) MUST_CHECK;

/* The next token, which must begin an object, begin an array, be a string and so on; what is said of
 * the value in the message is what. */
enum status json_object(struct json *j, const char *what, struct err *err) MUST_CHECK;
enum status json_array(struct json *j, const char *what, struct err *err) MUST_CHECK;
enum status json_string(struct json *j, const char *what, struct slice *ret_text,
                        struct err *err) MUST_CHECK;
enum status json_bool(struct json *j, const char *what, bool *ret_value,
                      struct err *err) MUST_CHECK;
enum status json_u64(struct json *j, const char *what, uint64_t *ret_value,
                     struct err *err) MUST_CHECK;
enum status json_i64(struct json *j, const char *what, int64_t *ret_value,
                     struct err *err) MUST_CHECK;
enum status json_double(struct json *j, const char *what, double *ret_value,
                        struct err *err) MUST_CHECK;

/* In an object: the next key, or its end. In an array: whether another element follows, which is
 * then still to be read, or its end. */
enum status json_key(struct json *j, struct slice *ret_key, bool *ret_is_end,
                     struct err *err) MUST_CHECK;
enum status json_element(struct json *j, bool *ret_is_end, struct err *err) MUST_CHECK;

/* Read a whole value. ret_raw, which may be NULL, is its text in the input. */
enum status json_skip(struct json *j, struct slice *ret_raw, struct err *err) MUST_CHECK;

/* Nothing but white space may be left. */
enum status json_finish(struct json *j, struct err *err) MUST_CHECK;

/* What a kind is called in a message: "a string", "the end of the array". */
const char *json_kind_name(enum json_kind kind);
