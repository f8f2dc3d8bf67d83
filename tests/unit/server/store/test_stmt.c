#include "server/store/stmt.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "tests/support/folder.h"
#include "tests/support/unit.h"

struct fixture {
    struct folder folder;
    struct db *db;
};

static struct fixture
fixture_open(void)
{
    struct fixture f = {.folder = folder_make()};
    char path[512];

    (void)snprintf(path, sizeof path, "%s/ckptd.db", f.folder.path);
    ck_assert_int_eq(db_open(path, DB_WRITER, 100, &f.db, NULL), OK);
    return f;
}

static void
fixture_done(struct fixture *f)
{
    db_free(f->db);
    folder_done(&f->folder);
}

#define FIXTURE(f) CLEANUP(fixture_done) struct fixture f = fixture_open()

/* SQLite numbers names by their first use: here $3 comes first. */
START_TEST(stmt__binds_by_number_whatever_the_order_in_the_text)
{
    FIXTURE(f);
    static const struct query QUERY = {"SELECT $3 || $1 || $2 || $3", "ttt", "t"};
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    ck_assert_int_eq(stmt_begin(&s, f.db, &QUERY, VALUES(WORD("a"), WORD("b"), WORD("c")), NULL),
                     OK);
    ck_assert_int_eq(stmt_row(&s, &has_row, NULL), OK);
    ck_assert(has_row);
    ck_assert(slice_is(stmt_text(&s, 0), "cabc"));
}
END_TEST

START_TEST(stmt__carries_every_type_there_and_back)
{
    FIXTURE(f);
    static const struct query QUERY = {"SELECT $1, $2, $3, $4, $5, $6", "itbtIT", "itbtIT"};
    static const char bytes[] = {'\0', '\xff', '\0'};
    struct digest digest = {{0xab, 0xcd}}, back;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    ck_assert_int_eq(stmt_begin(&s, f.db, &QUERY,
                                VALUES(I64(INT64_MIN), TEXT((struct slice){0}),
                                       BYTES(((struct slice){bytes, sizeof bytes})),
                                       DIGEST(&digest), NOTHING, WORD("caf\xc3\xa9")),
                                NULL),
                     OK);
    ck_assert_int_eq(stmt_row(&s, &has_row, NULL), OK);
    ck_assert_int_eq(stmt_i64(&s, 0), INT64_MIN);
    ck_assert(!stmt_is_null(&s, 1) && stmt_text(&s, 1).length == 0);
    ck_assert(slice_equal(stmt_text(&s, 2), (struct slice){bytes, sizeof bytes}));
    ck_assert_int_eq(stmt_digest(&s, 3, &back, NULL), OK);
    ck_assert(digest_equal(&back, &digest));
    ck_assert(stmt_is_null(&s, 4));
    ck_assert_int_eq(stmt_i64(&s, 4), 0);
    ck_assert(slice_is(stmt_text(&s, 5), "caf\xc3\xa9"));
}
END_TEST

/* Queries whose declared types or counts are wrong, each called with the text "x". */
static const struct query wrong[] = {
    {"SELECT $1", "i", "t"},         /* the value is no integer */
    {"SELECT $1", "t", "i"},         /* the column is none */
    {"SELECT $1", "t", "tt"},        /* one column less */
    {"SELECT $1, $2", "t", "tt"},    /* one parameter more */
    {"SELECT $2", "t", "t"},         /* no $1 */
    {"SELECT ?1", "t", "t"},         /* no $ */
    {"SELECT $name", "t", "t"},      /* no number */
    {"SELECT NULL || $1", "t", "t"}, /* NULL where none is declared */
    {"SELEC $1", "t", "t"},
};

START_TEST(stmt__refuses_what_is_not_as_declared)
{
    FIXTURE(f);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;
    enum status status = stmt_begin(&s, f.db, &wrong[_i], VALUES(WORD("x")), NULL);

    if (status == OK)
        status = stmt_row(&s, &has_row, NULL);
    ck_assert_int_eq(status, ERR_STORE);
}
END_TEST

START_TEST(stmt__refuses_the_same_query_twice_at_once)
{
    FIXTURE(f);
    static const struct query QUERY = {"SELECT 1", "", "i"};
    struct stmt first = {0}, second = {0};

    ck_assert_int_eq(stmt_begin(&first, f.db, &QUERY, NO_VALUES, NULL), OK);
    ck_assert_int_eq(stmt_begin(&second, f.db, &QUERY, NO_VALUES, NULL), ERR_STORE);
    stmt_done(&second);
    stmt_done(&first);
    ck_assert_int_eq(stmt_begin(&second, f.db, &QUERY, NO_VALUES, NULL), OK);
    stmt_done(&second);
}
END_TEST

START_TEST(stmt__number_says_whether_there_was_a_row)
{
    FIXTURE(f);
    static const struct query NONE = {"SELECT 1 WHERE 1 = 2", "", "i"};
    static const struct query MANY = {"SELECT 1 UNION SELECT 2", "", "i"};
    int64_t number;
    bool found;

    ck_assert_int_eq(stmt_number(f.db, &NONE, NO_VALUES, &number, &found, NULL), OK);
    ck_assert(!found);
    ck_assert_int_eq(stmt_number(f.db, &NONE, NO_VALUES, &number, NULL, NULL), ERR_STORE);
    ck_assert_int_eq(stmt_number(f.db, &MANY, NO_VALUES, &number, NULL, NULL), ERR_STORE);
}
END_TEST

START_TEST(stmt__keeps_numbers_in_their_range)
{
    ck_assert_int_eq(stmt_saturate(UINT64_MAX), INT64_MAX);
    ck_assert_int_eq(stmt_saturate(7), 7);
    ck_assert_int_eq(stmt_later(100, 7), 107);
    ck_assert_int_eq(stmt_later(100, UINT64_MAX), INT64_MAX);
}
END_TEST

START_TEST(stmt__matches_a_name_against_lines_of_globs)
{
    ck_assert(stmt_is_visible(slice_of("team-a"), slice_of("x\nteam-*\n")));
    ck_assert(!stmt_is_visible(slice_of("other"), slice_of("x\nteam-*\n")));
    ck_assert(!stmt_is_visible(slice_of("other"), slice_of("")));
    ck_assert(!stmt_is_visible(slice_of("x\nteam-a"), slice_of("x\n")));
}
END_TEST

SUITE(stmt)
{
    return suite_with("stmt", TEST(stmt__binds_by_number_whatever_the_order_in_the_text),
                      TEST(stmt__carries_every_type_there_and_back),
                      LOOP(stmt__refuses_what_is_not_as_declared, wrong),
                      TEST(stmt__refuses_the_same_query_twice_at_once),
                      TEST(stmt__number_says_whether_there_was_a_row),
                      TEST(stmt__keeps_numbers_in_their_range),
                      TEST(stmt__matches_a_name_against_lines_of_globs));
}
