#include "server/store/stmt.h"

#include <assert.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/glob.h"
#include "common/base/num.h"
#include "server/store/sqlite.h"

/* ---- preparing ---- */

static size_t
first_slot(const struct query *query)
{
    return ((uintptr_t)query / sizeof(struct query)) % SQLITE_PREPARED_MAX;
}

/* SQLite takes `$1` for a name and numbers names by first use: remember which of its numbers is ours. */
static enum status
number_params(struct sqlite_prepared *p, struct err *err)
{
    int count = sqlite3_bind_parameter_count(p->handle);

    FAIL_IF(strlen(p->query->params) != (size_t)count || count > SQLITE_PARAMS_MAX, err, STORE, 0,
            "%zu parameters are declared for: %s", strlen(p->query->params), p->query->sql);
    FAIL_IF(strlen(p->query->columns) != (size_t)sqlite3_column_count(p->handle), err, STORE, 0,
            "%zu columns are declared for: %s", strlen(p->query->columns), p->query->sql);
    for (int i = 1; i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(p->handle, i);
        uint64_t ours = 0;

        FAIL_IF(name == NULL || name[0] != '$' || !num_parse_u64(slice_of(name + 1), &ours) ||
                    ours < 1 || ours > (uint64_t)count,
                err, STORE, 0, "a parameter that is no $number: %s", p->query->sql);
        p->param[ours - 1] = (uint8_t)i;
    }
    return OK;
}

static enum status
prepare(struct db *db, const struct query *query, struct sqlite_prepared **ret_prepared,
        struct err *err)
{
    size_t slot = first_slot(query);
    struct sqlite_prepared *p;
    int result;

    for (size_t i = 0;; i++, slot = (slot + 1) % SQLITE_PREPARED_MAX) {
        FAIL_IF(i == SQLITE_PREPARED_MAX, err, STORE, 0, "more queries than there is room for");
        p = &db->prepared[slot];
        if (p->query == NULL || p->query == query)
            break;
    }
    *ret_prepared = p;
    if (p->query == NULL) {
        result = sqlite3_prepare_v3(db->handle, query->sql, -1, SQLITE_PREPARE_PERSISTENT,
                                    &p->handle, NULL);
        if (result != SQLITE_OK)
            return db_fail(db, result, query->sql, err);
        p->query = query;
        TRY(number_params(p, err));
    }
    return OK;
}

/* ---- binding ---- */

static bool
is_of_type(char letter, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:
        return letter == 'I' || letter == 'T' || letter == 'B';
    case VALUE_I64:
        return letter == 'i' || letter == 'I';
    case VALUE_TEXT:
    case VALUE_DIGEST:
        return letter == 't' || letter == 'T';
    case VALUE_BYTES:
        return letter == 'b' || letter == 'B';
    }
    return false;
}

/* SQLite reads a NULL pointer as NULL, not as empty. */
static const char *
start_of(struct slice s)
{
    return s.length == 0 ? "" : s.at;
}

static int
bind(sqlite3_stmt *handle, int at, const struct value *v)
{
    struct digest_text hex;

    switch (v->kind) {
    case VALUE_NULL:
        return sqlite3_bind_null(handle, at);
    case VALUE_I64:
        return sqlite3_bind_int64(handle, at, v->number);
    case VALUE_TEXT:
        return sqlite3_bind_text64(handle, at, start_of(v->bytes), v->bytes.length, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case VALUE_BYTES:
        return sqlite3_bind_blob64(handle, at, start_of(v->bytes), v->bytes.length, SQLITE_STATIC);
    case VALUE_DIGEST:
        hex = digest_text(v->digest);
        return sqlite3_bind_text64(handle, at, hex.hex, DIGEST_HEX, SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    return SQLITE_MISUSE;
}

enum status
stmt_begin(struct stmt *s, struct db *db, const struct query *query, const struct value *values,
           size_t count, struct err *err)
{
    struct sqlite_prepared *p;

    TRY(prepare(db, query, &p, err));
    FAIL_IF(p == NULL, err, INTERNAL, 0, "not prepared: %s", query->sql);
    FAIL_IF(p->is_in_use, err, STORE, 0, "begun twice at once: %s", query->sql);
    FAIL_IF(strlen(query->params) != count, err, STORE, 0, "%zu values are given for: %s", count,
            query->sql);
    p->is_in_use = true;
    *s = (struct stmt){.db = db, .query = query, .prepared = p};
    for (size_t i = 0; i < count; i++) {
        int result;

        FAIL_IF(!is_of_type(query->params[i], &values[i]), err, STORE, 0,
                "the value for $%zu is of another type: %s", i + 1, query->sql);
        result = bind(p->handle, p->param[i], &values[i]);
        if (result != SQLITE_OK)
            return db_fail(db, result, query->sql, err);
    }
    return OK;
}

void
stmt_done(struct stmt *s)
{
    struct sqlite_prepared *p = s == NULL ? NULL : s->prepared;

    if (p == NULL)
        return;
    (void)sqlite3_reset(p->handle);
    (void)sqlite3_clear_bindings(p->handle);
    p->is_in_use = false;
    s->prepared = NULL;
}

/* ---- rows ---- */

static sqlite3_stmt *
handle_of(const struct stmt *s)
{
    return ((const struct sqlite_prepared *)s->prepared)->handle;
}

static bool
column_fits(char letter, int type)
{
    switch (letter) {
    case 'i':
        return type == SQLITE_INTEGER;
    case 't':
        return type == SQLITE_TEXT;
    case 'b':
        return type == SQLITE_BLOB;
    case 'I':
        return type == SQLITE_INTEGER || type == SQLITE_NULL;
    case 'T':
        return type == SQLITE_TEXT || type == SQLITE_NULL;
    case 'B':
        return type == SQLITE_BLOB || type == SQLITE_NULL;
    default:
        return false;
    }
}

enum status
stmt_row(struct stmt *s, bool *ret_has_row, struct err *err)
{
    int result = sqlite3_step(handle_of(s));

    *ret_has_row = false;
    if (result == SQLITE_DONE)
        return OK;
    if (result != SQLITE_ROW)
        return db_fail(s->db, result, s->query->sql, err);
    for (int i = 0; s->query->columns[i] != '\0'; i++)
        FAIL_IF(!column_fits(s->query->columns[i], sqlite3_column_type(handle_of(s), i)), err,
                STORE, 0, "column %d is of another type: %s", i, s->query->sql);
    *ret_has_row = true;
    return OK;
}

int64_t
stmt_i64(const struct stmt *s, int column)
{
    assert(s->query->columns[column] == 'i' || s->query->columns[column] == 'I');
    return sqlite3_column_int64(handle_of(s), column);
}

uint64_t
stmt_u64(const struct stmt *s, int column)
{
    int64_t number = stmt_i64(s, column);

    return number < 0 ? 0 : (uint64_t)number;
}

struct slice
stmt_text(const struct stmt *s, int column)
{
    struct slice text = {0};

    assert(s->query->columns[column] != 'i' && s->query->columns[column] != 'I');
    text.at = sqlite3_column_blob(handle_of(s), column); /* before its length, as SQLite asks */
    text.length = text.at == NULL ? 0 : (size_t)sqlite3_column_bytes(handle_of(s), column);
    return text;
}

bool
stmt_is_null(const struct stmt *s, int column)
{
    return sqlite3_column_type(handle_of(s), column) == SQLITE_NULL;
}

enum status
stmt_copy(const struct stmt *s, int column, struct arena *arena, struct slice *ret_text,
          struct err *err)
{
    return arena_copy(arena, stmt_text(s, column), ret_text, err);
}

enum status
stmt_digest(const struct stmt *s, int column, struct digest *ret_digest, struct err *err)
{
    *ret_digest = (struct digest){0};
    FAIL_IF(!stmt_is_null(s, column) && !digest_parse(stmt_text(s, column), ret_digest), err, STORE,
            0, "column %d is no digest: %s", column, s->query->sql);
    return OK;
}

/* ---- whole statements ---- */

enum status
stmt_run(struct db *db, const struct query *query, const struct value *values, size_t count,
         struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, query, values, count, err));
    TRY(stmt_row(&s, &has_row, err));
    FAIL_IF(has_row, err, STORE, 0, "a row where none was expected: %s", query->sql);
    return OK;
}

enum status
stmt_number(struct db *db, const struct query *query, const struct value *values, size_t count,
            int64_t *ret_number, bool *ret_found, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row, has_more;

    TRY(stmt_begin(&s, db, query, values, count, err));
    TRY(stmt_row(&s, &has_row, err));
    if (has_row) {
        *ret_number = stmt_i64(&s, 0);
        TRY(stmt_row(&s, &has_more, err)); /* runs it to its end */
        FAIL_IF(has_more, err, STORE, 0, "more rows than one: %s", query->sql);
    }
    if (ret_found != NULL)
        *ret_found = has_row;
    else
        FAIL_IF(!has_row, err, STORE, 0, "no row where one must be: %s", query->sql);
    return OK;
}

int64_t
stmt_saturate(uint64_t number)
{
    return number > INT64_MAX ? INT64_MAX : (int64_t)number;
}

bool
stmt_is_visible(struct slice name, struct slice patterns)
{
    while (patterns.at != NULL && patterns.length > 0)
        if (glob_match(slice_cut(&patterns, '\n'), name))
            return true;
    return false;
}

/* A principal without patterns sees nothing: a text without lines, which is not NULL. */
enum status
stmt_patterns(const struct principal *who, struct arena *arena, struct value *ret_patterns,
              struct err *err)
{
    size_t length = 0;
    char *text, *at;

    *ret_patterns = NOTHING;
    if (who->patterns == NULL)
        return OK;
    for (size_t i = 0; i < who->pattern_count; i++)
        length += strlen(who->patterns[i]) + 1;
    text = arena_alloc(arena, length + 1, 1);
    if (text == NULL)
        return arena_fail(arena, err);
    at = text;
    for (size_t i = 0; i < who->pattern_count; i++) {
        size_t bytes = strlen(who->patterns[i]);

        memcpy(at, who->patterns[i], bytes);
        at[bytes] = '\n';
        at += bytes + 1;
    }
    *ret_patterns = TEXT(((struct slice){text, length}));
    return OK;
}

int64_t
stmt_later(int64_t now_us, uint64_t us)
{
    int64_t later;

    return __builtin_add_overflow(now_us, stmt_saturate(us), &later) ? INT64_MAX : later;
}

enum status
stmt_rows(const struct vec *rows, struct arena *arena, void *ret_rows, size_t *ret_count,
          struct err *err)
{
    void *copy = NULL;

    if (rows->count > 0) {
        copy = arena_alloc(arena, rows->count, rows->size);
        if (copy == NULL)
            return arena_fail(arena, err);
        memcpy(copy, rows->items, rows->count * rows->size);
    }
    memcpy(ret_rows, &copy, sizeof copy);
    *ret_count = rows->count;
    return OK;
}
