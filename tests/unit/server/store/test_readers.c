#include "server/store/readers.h"

#include <pthread.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "tests/support/folder.h"
#include "tests/support/unit.h"

struct fixture {
    struct folder folder;
    struct db *db;
    struct readers *readers;
};

static struct fixture
fixture_open(void)
{
    struct fixture f = {.folder = folder_make()};
    char path[512];

    (void)snprintf(path, sizeof path, "%s/ckptd.db", f.folder.path);
    ck_assert_int_eq(db_open(path, DB_WRITER, 100, &f.db, NULL), OK);
    ck_assert_int_eq(db_script(f.db, "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT", NULL), OK);
    ck_assert_int_eq(readers_start(path, 2, 200, &f.readers, NULL), OK);
    return f;
}

static void
fixture_done(struct fixture *f)
{
    readers_free(f->readers);
    db_free(f->db);
    folder_done(&f->folder);
}

#define FIXTURE(f) CLEANUP(fixture_done) struct fixture f = fixture_open()

static const struct query COUNT = {"SELECT count(*) FROM a", "", "i"};

static enum status
count(struct db *db, void *context, struct err *err)
{
    return stmt_number(db, &COUNT, NO_VALUES, context, NULL, err);
}

/* Two looks with a commit between them. */
struct looks {
    struct db *writer;
    int64_t first;
    int64_t second;
};

static enum status
look_twice(struct db *db, void *context, struct err *err)
{
    struct looks *l = context;

    TRY(stmt_number(db, &COUNT, NO_VALUES, &l->first, NULL, err));
    TRY(db_script(l->writer, "INSERT INTO a SELECT 1 + coalesce(max(x), 0) FROM a", err));
    return stmt_number(db, &COUNT, NO_VALUES, &l->second, NULL, err);
}

START_TEST(readers__see_one_moment_and_the_next_one_later)
{
    FIXTURE(f);
    struct looks looks = {.writer = f.db};
    int64_t after;

    ck_assert_int_eq(readers_run(f.readers, look_twice, &looks, NULL), OK);
    ck_assert_int_eq(looks.first, 0);
    ck_assert_int_eq(looks.second, 0);
    ck_assert_int_eq(readers_run(f.readers, count, &after, NULL), OK);
    ck_assert_int_eq(after, 1);
}
END_TEST

static enum status
never_end(struct db *db, void *context, struct err *err)
{
    static const struct query FOREVER = {
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", "",
        "i"};

    return stmt_number(db, &FOREVER, NO_VALUES, context, NULL, err);
}

START_TEST(readers__end_one_that_takes_too_long_and_serve_on)
{
    FIXTURE(f);
    struct store_stats stats = {0};
    int64_t number;

    ck_assert_int_eq(readers_run(f.readers, never_end, &number, NULL), ERR_TIMEOUT);
    ck_assert_int_eq(readers_run(f.readers, count, &number, NULL), OK);
    readers_stats(f.readers, &stats);
    ck_assert_uint_eq(stats.reads, 2);
    ck_assert_uint_eq(stats.timeouts, 1);
}
END_TEST

enum { THREADS = 8, ROUNDS = 50 };

static void *
count_many(void *context)
{
    struct fixture *f = context;
    intptr_t wrong = 0;

    for (int i = 0; i < ROUNDS; i++) {
        int64_t number = -1;

        wrong += readers_run(f->readers, count, &number, NULL) != OK || number != 0;
    }
    return (void *)wrong;
}

START_TEST(readers__serve_more_threads_than_there_are_connections)
{
    FIXTURE(f);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_many, &f), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;

        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

SUITE(readers)
{
    return suite_with("readers", TEST(readers__see_one_moment_and_the_next_one_later),
                      TEST(readers__end_one_that_takes_too_long_and_serve_on),
                      TEST(readers__serve_more_threads_than_there_are_connections));
}
