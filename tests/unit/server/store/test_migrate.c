#include "server/store/migrate.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "server/store/store.h"
#include "tests/support/folder.h"
#include "tests/support/unit.h"

static void
free_db_at(struct db **db)
{
    db_free(*db);
}

#define DB(name) CLEANUP(free_db_at) struct db *name = NULL

static void
open_in(const struct folder *folder, struct db **db)
{
    char path[512];
    struct err err = {0};

    (void)snprintf(path, sizeof path, "%s/ckptd.db", folder->path);
    ck_assert_msg(db_open(path, DB_WRITER, 100, db, &err) == OK, "%s", err.text);
}

#define MIGRATION(version, name, sql) \
    { \
        version, name, (const unsigned char *)(sql), sizeof(sql) - 1 \
    }

static const char first[] =
    "CREATE TABLE migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL, "
    "sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT;"
    "CREATE TABLE a (x INTEGER) STRICT;";
static const char second[] = "CREATE TABLE b (y INTEGER) STRICT; INSERT INTO b SELECT x FROM a;";
static const char broken[] = "CREATE TABLE c (z INTEGER) STRICT; INSERT INTO nowhere VALUES (1);";

static const struct migration one[] = {MIGRATION(1, "0001_first", first)};
static const struct migration two[] = {MIGRATION(1, "0001_first", first),
                                       MIGRATION(2, "0002_second", second)};
static const struct migration edited[] = {MIGRATION(1, "0001_first", second),
                                          MIGRATION(2, "0002_second", second)};
static const struct migration renamed[] = {MIGRATION(1, "0001_other", first)};
static const struct migration failing[] = {MIGRATION(1, "0001_first", first),
                                           MIGRATION(2, "0002_broken", broken)};
static const struct migration gap[] = {MIGRATION(1, "0001_first", first),
                                       MIGRATION(3, "0003_third", second)};

static int64_t
number(struct db *db, const struct query *query)
{
    int64_t value = -1;

    ck_assert_int_eq(stmt_number(db, query, NO_VALUES, &value, NULL, NULL), OK);
    return value;
}

static const struct query VERSION = {"PRAGMA user_version", "", "i"};
static const struct query ROWS_OF_B = {"SELECT count(*) FROM b", "", "i"};
static const struct query APPLIED = {"SELECT count(*) FROM migration", "", "i"};

START_TEST(migrate__brings_an_empty_database_to_the_head)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(db);

    open_in(&folder, &db);
    ck_assert_int_eq(migrate_run(db, migrate_known, migrate_known_count, NULL), OK);
    ck_assert_int_eq(number(db, &VERSION), (int64_t)migrate_known_count);
    ck_assert_int_eq(number(db, &APPLIED), (int64_t)migrate_known_count);
}
END_TEST

START_TEST(migrate__goes_on_from_where_it_was_with_the_rows_in_place)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(db);

    open_in(&folder, &db);
    ck_assert_int_eq(migrate_run(db, one, 1, NULL), OK);
    ck_assert_int_eq(db_script(db, "INSERT INTO a VALUES (1), (2)", NULL), OK);
    ck_assert_int_eq(migrate_run(db, two, 2, NULL), OK);
    ck_assert_int_eq(number(db, &ROWS_OF_B), 2);
    ck_assert_int_eq(migrate_run(db, two, 2, NULL), OK); /* and does nothing twice */
    ck_assert_int_eq(number(db, &ROWS_OF_B), 2);
}
END_TEST

static const struct {
    const struct migration *migrations;
    size_t count;
} others[] = {{edited, 2}, {renamed, 1}, {one, 0}};

START_TEST(migrate__refuses_an_edited_renamed_or_newer_history)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    struct err err = {0};
    DB(db);

    open_in(&folder, &db);
    ck_assert_int_eq(migrate_run(db, one, 1, NULL), OK);
    ck_assert_int_eq(migrate_run(db, others[_i].migrations, others[_i].count, &err), ERR_CONFLICT);
    ck_assert_int_eq(number(db, &VERSION), 1);
}
END_TEST

START_TEST(migrate__leaves_nothing_of_one_that_fails)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    static const struct query TABLE = {"SELECT count(*) FROM sqlite_schema WHERE name = 'c'", "",
                                       "i"};
    struct err err = {0};
    DB(db);

    open_in(&folder, &db);
    ck_assert_int_eq(migrate_run(db, failing, 2, &err), ERR_STORE);
    ck_assert_ptr_nonnull(strstr(err.text, "0002_broken"));
    ck_assert_int_eq(number(db, &VERSION), 1);
    ck_assert_int_eq(number(db, &TABLE), 0);
}
END_TEST

START_TEST(migrate__refuses_a_gap)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(db);

    open_in(&folder, &db);
    ck_assert_int_eq(migrate_run(db, gap, 2, NULL), ERR_INTERNAL);
}
END_TEST

static const char old_rows[] =
    "INSERT INTO namespace VALUES (1, 'a', 'a');"
    "INSERT INTO model VALUES (1, 1, 'b', 'b', 5, 5, 7, 1);"
    "INSERT INTO blob VALUES (1, 'aa', 3, 'live', NULL, 5);"
    "INSERT INTO version VALUES (4, 1, 'epoch-7', 7, 'pending', 'dd', 'aa', 3, 5, 'local', 0, '', "
    "'', "
    "'', NULL);"
    "INSERT INTO version_file VALUES (4, 'M.pth', 3, 1);"
    "INSERT INTO event VALUES (1, 'version.created', 1, 4, 5, 'local', '');";
static const struct query KEPT = {"SELECT count(*) FROM event WHERE id = 1 AND label = 'epoch-7' "
                                  "AND version_id = 4 AND by = 'local'",
                                  "", "i"};
static const struct query OLD_VERSION = {
    "SELECT expires_at FROM version WHERE label = 'epoch-7' AND state = 'pending'", "", "i"};
static const struct query LAST_ID = {"SELECT value FROM counter WHERE name = 'version'", "", "i"};

START_TEST(migrate__keeps_versions_and_events_of_the_first_schema)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    struct err err = {0};
    DB(db);

    open_in(&folder, &db);
    ck_assert_int_eq(migrate_run(db, migrate_known, 1, NULL), OK);
    ck_assert_msg(db_script(db, old_rows, &err) == OK, "%s", err.text);
    ck_assert_msg(migrate_run(db, migrate_known, migrate_known_count, &err) == OK, "%s", err.text);
    ck_assert_int_eq(number(db, &KEPT), 1);
    ck_assert_int_eq(number(db, &OLD_VERSION), 0);
    ck_assert_int_eq(number(db, &LAST_ID), 4);
}
END_TEST

SUITE(migrate)
{
    return suite_with("migrate", TEST(migrate__brings_an_empty_database_to_the_head),
                      TEST(migrate__goes_on_from_where_it_was_with_the_rows_in_place),
                      LOOP(migrate__refuses_an_edited_renamed_or_newer_history, others),
                      TEST(migrate__leaves_nothing_of_one_that_fails), TEST(migrate__refuses_a_gap),
                      TEST(migrate__keeps_versions_and_events_of_the_first_schema));
}
