#include "server/store/writer.h"

#include <pthread.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "server/store/sqlite.h"
#include "server/store/stmt.h"
#include "tests/support/folder.h"
#include "tests/support/unit.h"

struct fixture {
    struct folder folder;
    struct db *db; /* the writer's, to look into */
    struct writer *writer;
};

static struct fixture
fixture_open(void)
{
    struct fixture f = {.folder = folder_make()};
    char path[512];

    (void)snprintf(path, sizeof path, "%s/ckptd.db", f.folder.path);
    ck_assert_int_eq(db_open(path, DB_WRITER, 100, &f.db, NULL), OK);
    ck_assert_int_eq(db_script(f.db, "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT", NULL), OK);
    ck_assert_int_eq(writer_start(f.db, f.folder.path, 0, &f.writer, NULL), OK);
    return f;
}

static void
fixture_done(struct fixture *f)
{
    writer_free(f->writer);
    folder_done(&f->folder);
}

#define FIXTURE(f) CLEANUP(fixture_done) struct fixture f = fixture_open()

struct job {
    int64_t number;
    enum status after; /* what to return when the row is in */
    unsigned runs;
};

static enum status
put(struct db *db, void *context, struct err *err)
{
    static const struct query PUT = {"INSERT INTO a VALUES ($1)", "i", ""};
    struct job *job = context;

    job->runs++;
    TRY(stmt_run(db, &PUT, VALUES(I64(job->number)), err));
    FAIL_IF(job->after != OK, err, CONFLICT, 0, "not wanted");
    return OK;
}

static enum status
count(struct db *db, void *context, struct err *err)
{
    static const struct query COUNT = {"SELECT count(*) FROM a", "", "i"};

    return stmt_number(db, &COUNT, NO_VALUES, context, NULL, err);
}

static int64_t
rows(struct fixture *f)
{
    int64_t number = -1;

    ck_assert_int_eq(writer_run_alone(f->writer, count, &number, NULL), OK);
    return number;
}

START_TEST(writer__undoes_a_request_that_fails)
{
    FIXTURE(f);
    struct job good = {.number = 1}, bad = {.number = 2, .after = ERR_CONFLICT};
    struct err err = {0};

    ck_assert_int_eq(writer_run(f.writer, put, &good, NULL), OK);
    ck_assert_int_eq(writer_run(f.writer, put, &bad, &err), ERR_CONFLICT);
    ck_assert_str_eq(err.text, "not wanted");
    ck_assert_int_eq(rows(&f), 1);
}
END_TEST

/* Many threads: half of their requests fail, and none of these touches its neighbours. */
enum { THREADS = 12, ROUNDS = 40 };

struct submitter {
    struct fixture *f;
    int64_t first;
    unsigned wrong;
};

static void *
submit(void *context)
{
    struct submitter *s = context;

    for (int64_t i = 0; i < ROUNDS; i++) {
        struct job job = {.number = s->first + i, .after = i % 2 == 0 ? OK : ERR_CONFLICT};

        s->wrong += writer_run(s->f->writer, put, &job, NULL) != job.after;
    }
    return NULL;
}

START_TEST(writer__puts_many_requests_into_one_transaction)
{
    FIXTURE(f);
    struct submitter submitters[THREADS];
    pthread_t threads[THREADS];
    struct store_stats stats = {0};

    for (int i = 0; i < THREADS; i++) {
        submitters[i] = (struct submitter){.f = &f, .first = i * 1000};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit, &submitters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(submitters[i].wrong, 0);
    }
    ck_assert_int_eq(rows(&f), THREADS * ROUNDS / 2);
    writer_stats(f.writer, &stats);
    ck_assert_uint_eq(stats.writes, THREADS * ROUNDS / 2);
    ck_assert_uint_lt(stats.commits, stats.writes);
}
END_TEST

/* Ends the whole transaction, as SQLite itself does after some errors. */
static enum status
spoil(struct db *db, void *context, struct err *err)
{
    unsigned *runs = context;

    ++*runs;
    db_rollback(db);
    FAIL(err, STORE, 0, "spoilt");
}

struct spoiler {
    struct fixture *f;
    unsigned wrong;
};

static void *
spoil_many(void *context)
{
    struct spoiler *s = context;

    for (int i = 0; i < ROUNDS; i++) {
        unsigned runs = 0;

        s->wrong += writer_run(s->f->writer, spoil, &runs, NULL) != ERR_STORE || runs == 0;
    }
    return NULL;
}

START_TEST(writer__runs_the_others_again_when_one_spoils_the_transaction)
{
    FIXTURE(f);
    struct submitter submitters[THREADS];
    struct spoiler spoiler = {.f = &f};
    pthread_t threads[THREADS], spoiling;

    ck_assert_int_eq(pthread_create(&spoiling, NULL, spoil_many, &spoiler), 0);
    for (int i = 0; i < THREADS; i++) {
        submitters[i] = (struct submitter){.f = &f, .first = i * 1000};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, submit, &submitters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(submitters[i].wrong, 0);
    }
    ck_assert_int_eq(pthread_join(spoiling, NULL), 0);
    ck_assert_uint_eq(spoiler.wrong, 0);
    ck_assert_int_eq(rows(&f), THREADS * ROUNDS / 2);
}
END_TEST

static enum status
fail_on_the_disk(struct db *db, void *context, struct err *err)
{
    (void)context;
    return db_fail(db, SQLITE_IOERR_FSYNC, "a sync", err);
}

START_TEST(writer__acknowledges_nothing_once_the_disk_has_failed)
{
    FIXTURE(f);
    struct job job = {.number = 1};
    struct err err = {0};

    ck_assert_int_eq(writer_run(f.writer, fail_on_the_disk, NULL, NULL), ERR_STORE_SUSPECT);
    ck_assert_int_eq(writer_run(f.writer, put, &job, &err), ERR_STORE_SUSPECT);
    ck_assert_uint_eq(job.runs, 0);
    ck_assert(writer_is_suspect(f.writer, NULL));
}
END_TEST

static enum status
fail_with(struct db *db, void *context, struct err *err)
{
    const int *result = context;

    return db_fail(db, *result, "a statement", err);
}

/* What SQLite says, what we say, and whether nobody knows what is on the disk then. */
static const struct {
    int result;
    enum status status;
    bool is_suspect;
} results[] = {
    {SQLITE_IOERR_WRITE, ERR_STORE_SUSPECT, true},
    {SQLITE_CORRUPT, ERR_STORE_SUSPECT, true},
    {SQLITE_NOTADB, ERR_STORE_SUSPECT, true},
    {SQLITE_FULL, ERR_NO_SPACE, false},
    {SQLITE_BUSY, ERR_BUSY, false},
    {SQLITE_NOMEM, ERR_NO_MEMORY, false},
    {SQLITE_CONSTRAINT, ERR_STORE, false},
    {SQLITE_TOOBIG, ERR_LIMIT, false},
};

START_TEST(writer__tells_the_database_errors_apart)
{
    FIXTURE(f);
    int result = results[_i].result;

    ck_assert_int_eq(writer_run(f.writer, fail_with, &result, NULL), results[_i].status);
    ck_assert(writer_is_suspect(f.writer, NULL) == results[_i].is_suspect);
}
END_TEST

START_TEST(writer__waits_for_another_process_and_says_busy)
{
    FIXTURE(f);
    struct job job = {.number = 1};
    struct db *other = NULL;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/ckptd.db", f.folder.path);
    ck_assert_int_eq(db_open(path, DB_WRITER, 100, &other, NULL), OK);
    ck_assert_int_eq(db_begin_write(other, NULL), OK);
    ck_assert_int_eq(writer_run(f.writer, put, &job, NULL), ERR_BUSY);
    db_rollback(other);
    ck_assert_int_eq(writer_run(f.writer, put, &job, NULL), OK);
    db_free(other);
}
END_TEST

SUITE(writer)
{
    return suite_with("writer", TEST(writer__undoes_a_request_that_fails),
                      TEST(writer__puts_many_requests_into_one_transaction),
                      TEST(writer__runs_the_others_again_when_one_spoils_the_transaction),
                      TEST(writer__acknowledges_nothing_once_the_disk_has_failed),
                      LOOP(writer__tells_the_database_errors_apart, results),
                      TEST(writer__waits_for_another_process_and_says_busy));
}
