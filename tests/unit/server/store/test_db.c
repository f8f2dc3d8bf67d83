#include "server/store/db.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "tests/support/folder.h"
#include "tests/support/unit.h"

static void
free_db_at(struct db **db)
{
    db_free(*db);
}

#define DB(name) CLEANUP(free_db_at) struct db *name = NULL

struct path {
    char text[512];
};

static struct path
path_in(const struct folder *folder)
{
    struct path path;

    (void)snprintf(path.text, sizeof path.text, "%s/ckptd.db", folder->path);
    return path;
}

static void
write_file(const char *path, const char *bytes, size_t length)
{
    FILE *file = fopen(path, "we");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    (void)fclose(file);
}

/* What SQLite must answer on a connection of ours. */
static const struct {
    const char *pragma;
    int64_t value;
} settings[] = {
    {"PRAGMA synchronous", 2},    {"PRAGMA foreign_keys", 1},
    {"PRAGMA trusted_schema", 0}, {"PRAGMA cell_size_check", 1},
    {"PRAGMA mmap_size", 0},      {"PRAGMA application_id", 0x434b5054},
};

START_TEST(db__is_hardened)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    struct query query = {settings[_i].pragma, "", "i"};
    int64_t value = -1;
    DB(db);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, NULL), OK);
    ck_assert_int_eq(stmt_number(db, &query, NO_VALUES, &value, NULL, NULL), OK);
    ck_assert_int_eq(value, settings[_i].value);
}
END_TEST

static const char *const refused[] = {
    "SELECT \"nosuch\"",                                   /* a string in double quotes */
    "PRAGMA writable_schema=1; DELETE FROM sqlite_schema", /* defensive */
    "SELECT load_extension('x')",
    "INSERT INTO child VALUES (7)",       /* a foreign key without its row */
    "INSERT INTO parent VALUES ('text')", /* STRICT */
};

START_TEST(db__refuses_what_a_hardened_one_must)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(db);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, NULL), OK);
    ck_assert_int_eq(db_script(db,
                               "CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;"
                               "CREATE TABLE child (p INTEGER REFERENCES parent (id)) STRICT",
                               NULL),
                     OK);
    ck_assert_int_eq(db_script(db, refused[_i], NULL), ERR_STORE);
}
END_TEST

START_TEST(db__a_reader_cannot_write)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(writer);
    DB(reader);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &writer, NULL), OK);
    ck_assert_int_eq(db_script(writer, "CREATE TABLE a (x INTEGER) STRICT", NULL), OK);
    ck_assert_int_eq(db_open(path_in(&folder).text, DB_READER, 100, &reader, NULL), OK);
    ck_assert_int_ne(db_script(reader, "INSERT INTO a VALUES (1)", NULL), OK);
    ck_assert(!db_is_suspect(reader, NULL));
}
END_TEST

START_TEST(db__refuses_another_programs_database)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    struct err err = {0};
    DB(db);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, NULL), OK);
    ck_assert_int_eq(
        db_script(db, "CREATE TABLE a (x INTEGER) STRICT; PRAGMA application_id=7", NULL), OK);
    db_free(db);
    db = NULL;
    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, &err), ERR_CONFLICT);
    ck_assert_str_eq(err.text, "ckptd.db is another program's database");
}
END_TEST

START_TEST(db__refuses_a_file_that_is_no_database)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    static const char text[] = "This is not a database, but it is long enough to be taken for one "
                               "by somebody who looks at nothing but the length of the file.....";
    DB(db);

    write_file(path_in(&folder).text, text, sizeof text);
    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, NULL), ERR_CONFLICT);
}
END_TEST

START_TEST(db__takes_an_empty_file_for_a_new_database)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(db);

    write_file(path_in(&folder).text, "", 0);
    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, NULL), OK);
}
END_TEST

START_TEST(db__two_writers_wait_for_one_another_and_give_up)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(first);
    DB(second);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &first, NULL), OK);
    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &second, NULL), OK);
    ck_assert_int_eq(db_begin_write(first, NULL), OK);
    ck_assert_int_eq(db_begin_write(second, NULL), ERR_BUSY);
    db_rollback(first);
    ck_assert_int_eq(db_begin_write(second, NULL), OK);
}
END_TEST

START_TEST(db__ends_a_read_that_takes_too_long)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    static const struct query FOREVER = {
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", "",
        "i"};
    int64_t value;
    DB(writer);
    DB(reader);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &writer, NULL), OK);
    ck_assert_int_eq(db_open(path_in(&folder).text, DB_READER, 100, &reader, NULL), OK);
    ck_assert_int_eq(db_begin_read(reader, 50, NULL), OK);
    ck_assert_int_eq(stmt_number(reader, &FOREVER, NO_VALUES, &value, NULL, NULL), ERR_TIMEOUT);
    db_rollback(reader);
}
END_TEST

START_TEST(db__undoes_a_savepoint_alone)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    static const struct query SUM = {"SELECT coalesce(sum(x), 0) FROM a", "", "i"};
    int64_t sum;
    DB(db);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, NULL), OK);
    ck_assert_int_eq(db_script(db, "CREATE TABLE a (x INTEGER) STRICT", NULL), OK);
    ck_assert_int_eq(db_begin_write(db, NULL), OK);
    ck_assert_int_eq(db_savepoint(db, NULL), OK);
    ck_assert_int_eq(db_script(db, "INSERT INTO a VALUES (1)", NULL), OK);
    ck_assert_int_eq(db_release(db, NULL), OK);
    ck_assert_int_eq(db_savepoint(db, NULL), OK);
    ck_assert_int_eq(db_script(db, "INSERT INTO a VALUES (10)", NULL), OK);
    db_undo(db);
    ck_assert(db_in_transaction(db));
    ck_assert_int_eq(db_commit(db, NULL), OK);
    ck_assert_int_eq(stmt_number(db, &SUM, NO_VALUES, &sum, NULL, NULL), OK);
    ck_assert_int_eq(sum, 1);
}
END_TEST

START_TEST(db__empties_its_log)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    DB(db);

    ck_assert_int_eq(db_open(path_in(&folder).text, DB_WRITER, 100, &db, NULL), OK);
    ck_assert_int_eq(db_script(db, "CREATE TABLE a (x INTEGER) STRICT", NULL), OK);
    ck_assert_uint_gt(db_log_pages(db), 0);
    db_checkpoint(db, true);
    ck_assert_uint_eq(db_log_pages(db), 0);
    ck_assert(!db_is_suspect(db, NULL));
}
END_TEST

SUITE(db)
{
    return suite_with("db", LOOP(db__is_hardened, settings),
                      LOOP(db__refuses_what_a_hardened_one_must, refused),
                      TEST(db__a_reader_cannot_write), TEST(db__refuses_another_programs_database),
                      TEST(db__refuses_a_file_that_is_no_database),
                      TEST(db__takes_an_empty_file_for_a_new_database),
                      TEST(db__two_writers_wait_for_one_another_and_give_up),
                      TEST(db__ends_a_read_that_takes_too_long), TEST(db__undoes_a_savepoint_alone),
                      TEST(db__empties_its_log));
}
