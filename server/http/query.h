#pragma once
/* Percent-decoding, and the query as names and values. Pure. */
#include "common/base/arena.h"
#include "common/base/err.h"
#include "server/http/request.h"

/* %XX decoded; '+' too becomes a space if is_form. ERR_BAD_REQUEST for a '%' without two hex digits,
 * for control characters and for what is not UTF-8; what is the thing's name in the message. */
enum status query_decode(struct slice raw, bool is_form, const char *what, struct arena *arena,
                         struct slice *ret_text, struct err *err) MUST_CHECK;

/* "a=1&b&a=%41": three pairs; a value without '=' is empty. ERR_LIMIT beyond cap pairs. */
enum status query_parse(struct slice raw, size_t cap, struct arena *arena, struct pair **ret_pairs,
                        size_t *ret_count, struct err *err) MUST_CHECK;

/* Hold the pairs against a row's list (see struct route): unknown and wrongly repeated names are
 * ERR_BAD_REQUEST. known may be NULL: none. */
enum status query_check(const struct pair *pairs, size_t count, const char *known,
                        struct err *err) MUST_CHECK;
