#include "server/store/db.h"

#include <stdio.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/store/sqlite.h"
#include "server/work/clock.h"

enum {
    APPLICATION_ID = 0x434b5054, /* "CKPT" */
    PROGRESS_STEPS = 4000,       /* of SQLite's machine between two looks at the clock */
};

/* ---- errors ---- */

static bool
leaves_doubt(int primary)
{
    return primary == SQLITE_IOERR || primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
}

enum status
db_fail(struct db *db, int result, const char *what, struct err *err)
{
    int primary = result & 0xff;
    const char *reason = sqlite3_errmsg(db->handle);

    if (db->mode == DB_WRITER && leaves_doubt(primary)) {
        err_set(&db->suspect, ERR_STORE_SUSPECT, 0, "%s failed: %s (%d)", what, reason, result);
        err_copy(err, &db->suspect);
        return ERR_STORE_SUSPECT;
    }
    switch (primary) {
    case SQLITE_FULL:
        FAIL(err, NO_SPACE, 0, "the database's disk is full");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        FAIL(err, BUSY, 0, "another process is writing to the database");
    case SQLITE_INTERRUPT:
        FAIL(err, TIMEOUT, 0, "the query took longer than it may");
    case SQLITE_NOMEM:
        FAIL(err, NO_MEMORY, 0, "no memory for a query");
    case SQLITE_TOOBIG:
        FAIL(err, LIMIT, 0, "too large for one row of the database");
    default:
        FAIL(err, STORE, 0, "%s failed: %s (%d)", what, reason, result);
    }
}

bool
db_is_suspect(const struct db *db, struct err *err)
{
    if (db->suspect.code == OK)
        return false;
    err_copy(err, &db->suspect);
    return true;
}

/* ---- small statements ---- */

enum status
db_script(struct db *db, const char *sql, struct err *err)
{
    int result = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    if (result != SQLITE_OK)
        return db_fail(db, result, "a statement", err);
    return OK;
}

/* The first column of a pragma's answer, as a number or as a text that must be the one given. */
static enum status
ask(struct db *db, const char *sql, int64_t *ret_number, const char *must_be, struct err *err)
{
    sqlite3_stmt *handle = NULL;
    int result = sqlite3_prepare_v2(db->handle, sql, -1, &handle, NULL);
    bool is_it = true;

    if (result == SQLITE_OK)
        result = sqlite3_step(handle);
    if (result == SQLITE_ROW && ret_number != NULL)
        *ret_number = sqlite3_column_int64(handle, 0);
    if (result == SQLITE_ROW && must_be != NULL)
        is_it = strcmp((const char *)sqlite3_column_text(handle, 0), must_be) == 0;
    if (result != SQLITE_ROW) {
        enum status status = db_fail(db, result, sql, err);

        (void)sqlite3_finalize(handle);
        return status;
    }
    (void)sqlite3_finalize(handle);
    FAIL_IF(!is_it, err, STORE, 0, "the database does not answer \"%s\" to %s", must_be, sql);
    return OK;
}

/* ---- opening ---- */

/* A principal's namespaces: the second argument is globs, one a line; NULL means all. Portable SQL has
 * no glob; each engine gives its queries this function. */
static void
visible(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct slice name, patterns;
    bool is_visible;

    (void)count;
    if (sqlite3_value_type(values[1]) == SQLITE_NULL) {
        sqlite3_result_int(context, 1);
        return;
    }
    name.at = (const char *)sqlite3_value_text(values[0]);
    name.length = (size_t)sqlite3_value_bytes(values[0]);
    patterns.at = (const char *)sqlite3_value_text(values[1]);
    patterns.length = (size_t)sqlite3_value_bytes(values[1]);
    is_visible = stmt_is_visible(name, patterns);
    sqlite3_result_int(context, is_visible ? 1 : 0);
}

static int
is_overdue(void *context)
{
    const struct db *db = context;

    return db->deadline_ms != 0 && clock_ms() > db->deadline_ms;
}

static int
note_log(void *context, sqlite3 *handle, const char *name, int pages)
{
    struct db *db = context;

    (void)handle;
    (void)name;
    db->log_pages = (uint64_t)pages;
    return SQLITE_OK;
}

/* What SQLite's own advice on hostile files and applications asks for, and what Debian leaves off. */
static enum status
harden(struct db *db, struct err *err)
{
    static const struct {
        int option;
        int value;
    } options[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(options); i++) {
        int is_now = -1;
        int result = sqlite3_db_config(db->handle, options[i].option, options[i].value, &is_now);

        FAIL_IF(result != SQLITE_OK || is_now != options[i].value, err, STORE, 0,
                "this SQLite does not take its configuration %d", options[i].option);
    }
    return OK;
}

/* Before anything is changed: is the file new, or one of ours? */
static enum status
check_identity(struct db *db, struct err *err)
{
    struct err trouble = {0};
    int64_t id = 0, tables = 0;
    enum status status = ask(db, "PRAGMA application_id", &id, NULL, &trouble);

    if (status == OK)
        status = ask(db, "SELECT count(*) FROM sqlite_schema", &tables, NULL, &trouble);
    db->suspect = (struct err){0}; /* nothing was written yet */
    FAIL_IF(status != OK, err, CONFLICT, 0, "ckptd.db cannot be read: %s", trouble.text);
    FAIL_IF(id != APPLICATION_ID && (id != 0 || tables != 0), err, CONFLICT, 0,
            "ckptd.db is another program's database");
    return OK;
}

static enum status
prepare_writer(struct db *db, struct err *err)
{
    char identify[64];

    TRY(check_identity(db, err));
    TRY(ask(db, "PRAGMA journal_mode=WAL", NULL, "wal", err));
    (void)snprintf(identify, sizeof identify, "PRAGMA application_id=%d", APPLICATION_ID);
    TRY(db_script(db, identify, err));
    (void)sqlite3_wal_hook(db->handle, note_log, db);
    return db_script(db,
                     "PRAGMA synchronous=FULL; PRAGMA cell_size_check=1; PRAGMA mmap_size=0;"
                     "PRAGMA cache_size=-2048; PRAGMA journal_size_limit=67108864",
                     err);
}

static enum status
prepare_reader(struct db *db, struct err *err)
{
    sqlite3_progress_handler(db->handle, PROGRESS_STEPS, is_overdue, db);
    return db_script(db,
                     "PRAGMA query_only=1; PRAGMA cell_size_check=1; PRAGMA mmap_size=0;"
                     "PRAGMA cache_size=-1024",
                     err);
}

static void
free_db_at(struct db **db)
{
    db_free(*db);
}

enum status
db_open(const char *path, enum db_mode mode, unsigned busy_ms, struct db **ret_db, struct err *err)
{
    CLEANUP(free_db_at) struct db *db = mem_new(1, sizeof *db);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int result;

    FAIL_IF(db == NULL, err, NO_MEMORY, 0, "no memory for the database");
    db->mode = mode;
    flags |= mode == DB_WRITER ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    result = sqlite3_open_v2(path, &db->handle, flags, NULL);
    FAIL_IF(db->handle == NULL, err, NO_MEMORY, 0, "no memory for the database");
    if (result != SQLITE_OK)
        FAIL(err, IO, 0, "%s cannot be opened: %s", path, sqlite3_errmsg(db->handle));
    db->busy_ms = (int)busy_ms;
    (void)sqlite3_busy_timeout(db->handle, db->busy_ms);
    TRY(harden(db, err));
    result = sqlite3_create_function_v2(db->handle, "ckptd_visible", 2,
                                        SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                        NULL, visible, NULL, NULL, NULL);
    if (result != SQLITE_OK)
        return db_fail(db, result, "opening", err);
    TRY(mode == DB_WRITER ? prepare_writer(db, err) : prepare_reader(db, err));
    *ret_db = TAKE(db);
    return OK;
}

void
db_free(struct db *db)
{
    if (db == NULL)
        return;
    for (size_t i = 0; i < SQLITE_PREPARED_MAX; i++)
        (void)sqlite3_finalize(db->prepared[i].handle);
    (void)sqlite3_close(db->handle);
    mem_free(db);
}

/* ---- transactions ---- */

enum status
db_begin_write(struct db *db, struct err *err)
{
    return db_script(db, "BEGIN IMMEDIATE", err);
}

enum status
db_begin_read(struct db *db, unsigned limit_ms, struct err *err)
{
    db->deadline_ms = clock_ms() + limit_ms;
    return db_script(db, "BEGIN", err);
}

enum status
db_commit(struct db *db, struct err *err)
{
    int result = sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL);
    enum status status;

    db->deadline_ms = 0;
    if (result == SQLITE_OK)
        return OK;
    status = db_fail(db, result, "a commit", err);
    db_rollback(db);
    return status;
}

void
db_rollback(struct db *db)
{
    db->deadline_ms = 0;
    if (db_in_transaction(db))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

enum status
db_savepoint(struct db *db, struct err *err)
{
    return db_script(db, "SAVEPOINT one", err);
}

enum status
db_release(struct db *db, struct err *err)
{
    return db_script(db, "RELEASE one", err);
}

void
db_undo(struct db *db)
{
    if (db_in_transaction(db) &&
        sqlite3_exec(db->handle, "ROLLBACK TO one; RELEASE one", NULL, NULL, NULL) != SQLITE_OK)
        db_rollback(db);
}

bool
db_in_transaction(struct db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
}

/* ---- the log, and copies ---- */

uint64_t
db_log_pages(const struct db *db)
{
    return db->log_pages;
}

void
db_checkpoint(struct db *db, bool whole)
{
    int mode = whole ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    int result;

    /* Nobody waits for a reader to end: the log can grow meanwhile. */
    (void)sqlite3_busy_timeout(db->handle, 0);
    result = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, NULL, NULL);
    (void)sqlite3_busy_timeout(db->handle, db->busy_ms);
    if (result == SQLITE_OK && whole)
        db->log_pages = 0;
    if (leaves_doubt(result & 0xff))
        err_set(&db->suspect, ERR_STORE_SUSPECT, 0, "moving the log into the database failed: %s",
                sqlite3_errmsg(db->handle));
}

static const struct query COPY = {"VACUUM INTO $1", "t", ""};

enum status
db_copy_to(struct db *db, const char *path, struct err *err)
{
    return stmt_run(db, &COPY, VALUES(WORD(path)), err);
}
