#include "server/store/migrate.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "server/store/stmt.h"
#include "server/work/clock.h"

static const struct query VERSION = {"PRAGMA user_version", "", "i"};

static enum status
applied_version(struct db *db, int64_t *ret_version, struct err *err)
{
    return stmt_number(db, &VERSION, NO_VALUES, ret_version, NULL, err);
}

static const struct query FIND = {"SELECT name, sha256 FROM migration WHERE version = $1", "i",
                                  "tt"};

/* One that was applied must be the one that we have under its number. */
static enum status
check_applied(struct db *db, const struct migration *m, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    struct digest ours, theirs;
    bool found;

    TRY(hash_bytes(m->text, m->length, &ours, err));
    TRY(stmt_begin(&s, db, &FIND, VALUES(I64(m->version)), err));
    TRY(stmt_row(&s, &found, err));
    FAIL_IF(!found, err, CONFLICT, 0, "the database says nothing of its migration %s", m->name);
    TRY(stmt_digest(&s, 1, &theirs, err));
    FAIL_IF(!slice_is(stmt_text(&s, 0), m->name) || !digest_equal(&ours, &theirs), err, CONFLICT, 0,
            "the database was made by another migration %d (%.*s) than this ckptd's (%s)",
            m->version, SLICE_PRINT(stmt_text(&s, 0)), m->name);
    return OK;
}

static const struct query NOTE = {
    "INSERT INTO migration (version, name, sha256, applied_at) VALUES ($1, $2, $3, $4)", "itti",
    ""};

static enum status
note_applied(struct db *db, const struct migration *m, struct err *err)
{
    struct digest digest;
    char number[64];

    TRY(hash_bytes(m->text, m->length, &digest, err));
    TRY(stmt_run(db, &NOTE,
                 VALUES(I64(m->version), WORD(m->name), DIGEST(&digest), I64(clock_wall_us())),
                 err));
    (void)snprintf(number, sizeof number, "PRAGMA user_version=%d", m->version);
    return db_script(db, number, err);
}

static enum status
apply(struct db *db, const struct migration *m, struct err *err)
{
    CLEANUP(mem_free_at) char *text = mem_copy(m->text, m->length);
    struct err trouble = {0};
    enum status status;

    FAIL_IF(text == NULL, err, NO_MEMORY, 0, "no memory for a migration");
    status = db_script(db, text, &trouble);
    if (status != OK) {
        err_set(err, status, 0, "migration %s: %s", m->name, trouble.text);
        return status;
    }
    return note_applied(db, m, err);
}

/* Another process may migrate at the same time: what is applied is asked within the transaction. */
static enum status
step(struct db *db, const struct migration *migrations, size_t count, bool *ret_more,
     struct err *err)
{
    int64_t at = 0;

    TRY(applied_version(db, &at, err));
    FAIL_IF(at < 0 || (size_t)at > count, err, CONFLICT, 0,
            "the database is of a newer ckptd: it has migration %lld, this one knows %zu",
            (long long)at, count);
    for (int64_t i = 0; i < at; i++)
        TRY(check_applied(db, &migrations[i], err));
    *ret_more = (size_t)at < count;
    if (!*ret_more)
        return OK;
    FAIL_IF(migrations[at].version != at + 1, err, INTERNAL, 0, "migration %lld is missing",
            (long long)at + 1);
    return apply(db, &migrations[at], err);
}

enum status
migrate_run(struct db *db, const struct migration *migrations, size_t count, struct err *err)
{
    bool has_more = true;

    while (has_more) {
        enum status status;

        TRY(db_begin_write(db, err));
        status = step(db, migrations, count, &has_more, err);
        if (status != OK) {
            db_rollback(db);
            return status;
        }
        TRY(db_commit(db, err));
    }
    return OK;
}
