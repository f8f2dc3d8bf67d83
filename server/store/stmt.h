#pragma once
/*
 * Queries with their types: private to server/store. A query is a static const struct query directly
 * above the function that uses it; its text runs on every engine, its parameters are $1, $2 … by
 * number, and a letter for each parameter and column says its type:
 *
 *     i integer    t text (UTF-8)    b bytes    capital: or NULL
 *
 *     static const struct query FIND = {"SELECT id FROM model WHERE name = $1", "t", "i"};
 *     CLEANUP(stmt_done) struct stmt s = {0};
 *     TRY(stmt_begin(&s, db, &FIND, VALUES(TEXT(name)), err));
 *     TRY(stmt_row(&s, &found, err));
 *     if (found) id = stmt_i64(&s, 0);
 *
 * Statements are prepared once a connection and kept; one query cannot be begun twice at once.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/slice.h"
#include "common/base/vec.h"
#include "server/store/db.h"
#include "server/work/principal.h"

struct query {
    const char *sql;
    const char *params;
    const char *columns;
};

struct value {
    enum { VALUE_NULL, VALUE_I64, VALUE_TEXT, VALUE_BYTES, VALUE_DIGEST } kind;
    int64_t number;
    struct slice bytes;
    const struct digest *digest; /* bound as lower-case hex */
};

#define I64(n)     ((struct value){.kind = VALUE_I64, .number = (n)})
#define U64(n)     I64(stmt_saturate(n))
#define TEXT(s)    ((struct value){.kind = VALUE_TEXT, .bytes = (s)})
#define WORD(text) TEXT(slice_of(text))
#define BYTES(s)   ((struct value){.kind = VALUE_BYTES, .bytes = (s)})
#define DIGEST(d)  ((struct value){.kind = VALUE_DIGEST, .digest = (d)})
#define NOTHING    ((struct value){.kind = VALUE_NULL})
#define VALUES(...) \
    (const struct value[]){__VA_ARGS__}, \
        sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value)
#define NO_VALUES NULL, 0

struct stmt {
    struct db *db;
    const struct query *query;
    void *prepared; /* the engine's */
};

/* Bind the values to $1, $2 …; they must live until stmt_done. */
enum status stmt_begin(struct stmt *s, struct db *db, const struct query *query,
                       const struct value *values, size_t count, struct err *err) MUST_CHECK;

/* The next row; *ret_has_row false at the end. ERR_STORE: a column's type is not the declared one. */
enum status stmt_row(struct stmt *s, bool *ret_has_row, struct err *err) MUST_CHECK;
void stmt_done(struct stmt *s);

/* Columns of the row, from 0; texts and bytes are borrowed until the next row. NULL reads as 0, empty. */
int64_t stmt_i64(const struct stmt *s, int column);
uint64_t stmt_u64(const struct stmt *s, int column); /* 0 for what is negative */
struct slice stmt_text(const struct stmt *s, int column);
bool stmt_is_null(const struct stmt *s, int column);

/* The same, copied into the arena; a digest from its hex, zeros for NULL. */
enum status stmt_copy(const struct stmt *s, int column, struct arena *arena, struct slice *ret_text,
                      struct err *err) MUST_CHECK;
enum status stmt_digest(const struct stmt *s, int column, struct digest *ret_digest,
                        struct err *err) MUST_CHECK;

/* A whole statement that gives no row. */
enum status stmt_run(struct db *db, const struct query *query, const struct value *values,
                     size_t count, struct err *err) MUST_CHECK;

/* A whole statement that gives at most one row of one integer; *ret_found may be asked for by NULL
 * where a missing row is a defect (ERR_STORE). */
enum status stmt_number(struct db *db, const struct query *query, const struct value *values,
                        size_t count, int64_t *ret_number, bool *ret_found,
                        struct err *err) MUST_CHECK;

/* Unsigned numbers are kept up to INT64_MAX. */
int64_t stmt_saturate(uint64_t number);

/* Whether a glob of patterns, one a line, matches the name: what the SQL function ckptd_visible does. */
bool stmt_is_visible(struct slice name, struct slice patterns);

/* A principal's patterns as that function wants them; NOTHING (all) or a text in the arena. */
enum status stmt_patterns(const struct principal *who, struct arena *arena,
                          struct value *ret_patterns, struct err *err) MUST_CHECK;

/* now + us, at most the end of time. */
int64_t stmt_later(int64_t now_us, uint64_t us);

/* Move rows that were gathered into the arena. */
enum status stmt_rows(const struct vec *rows, struct arena *arena, void *ret_rows,
                      size_t *ret_count, struct err *err) MUST_CHECK;
