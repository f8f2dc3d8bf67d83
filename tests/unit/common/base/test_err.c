#include "common/base/err.h"

#include <ctype.h>
#include <string.h>

#include "common/base/utf8.h"
#include "tests/support/unit.h"

START_TEST(err__keeps_the_first_error)
{
    struct err err = {0};

    err_set(&err, ERR_TRUNCATED, 17, "%d bytes of %s", 3, "it");
    err_set(&err, ERR_MALFORMED, 99, "later");
    ck_assert_int_eq(err.code, ERR_TRUNCATED);
    ck_assert_uint_eq(err.offset, 17);
    ck_assert_str_eq(err.text, "3 bytes of it");
    err_set(NULL, ERR_MALFORMED, 0, "nobody asked");
}
END_TEST

START_TEST(err__copies_unless_there_is_one)
{
    struct err first = {0}, other = {0};

    err_set(&other, ERR_CONFLICT, 0, "other");
    err_copy(&first, &other);
    ck_assert_str_eq(first.text, "other");
    err_copy(&first, &(struct err){.code = ERR_IO, .text = "third"});
    ck_assert_str_eq(first.text, "other");
    err_copy(NULL, &other);
}
END_TEST

static const struct {
    const char *quoted, *want;
} unseemly[] = {
    {"plain, and caf\xc3\xa9 \xf0\x9f\x98\x80", "plain, and caf\xc3\xa9 \xf0\x9f\x98\x80"},
    {"\x1b[2Jgone", "?[2Jgone"},
    {"a\r\nb\x7f", "a??b?"},
    {"\xc2\x9bm", "??m"},                  /* C1: CSI */
    {"\xe2\x80\xaetxt.exe", "???txt.exe"}, /* right-to-left override */
    {"\xff\xc3", "??"},
    {"\xed\xa0\x80", "???"}, /* a surrogate */
};

START_TEST(err__shows_terminals_nothing_that_moves_them)
{
    struct err err = {0};

    err_set(&err, ERR_MALFORMED, 0, "%s", unseemly[_i].quoted);
    ck_assert_str_eq(err.text, unseemly[_i].want);
}
END_TEST

START_TEST(err__cuts_a_long_text_between_characters)
{
    char text[2001];

    for (size_t lead = 0; lead < 4; lead++) {
        struct err err = {0};

        memset(text, 'x', sizeof text);
        for (size_t at = lead; at + 3 < sizeof text; at += 3)
            memcpy(text + at, "\xe2\x82\xac", 3);
        text[sizeof text - 1] = '\0';
        err_set(&err, ERR_MALFORMED, 0, "%s", text);
        ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
        ck_assert(utf8_is_valid(slice_of(err.text)));
    }
}
END_TEST

static enum status
fails_if(bool fails, struct err *err)
{
    FAIL_IF(fails, err, NOT_FOUND, 5, "no %s", "such thing");
    return OK;
}

static enum status
tries(bool fails, bool *ret_went_on, struct err *err)
{
    *ret_went_on = false;
    TRY(fails_if(fails, err));
    *ret_went_on = true;
    FAIL(err, BUSY, 0, "the end");
}

START_TEST(err__macros_return_at_once)
{
    struct err err = {0};
    bool went_on;

    ck_assert_int_eq(tries(true, &went_on, &err), ERR_NOT_FOUND);
    ck_assert(!went_on);
    ck_assert_str_eq(err.text, "no such thing");
    ck_assert_int_eq(tries(false, &went_on, NULL), ERR_BUSY);
    ck_assert(went_on);
}
END_TEST

/* What clients build upon: a status that is an error's, and a type that is a word with hyphens. */
START_TEST(err__table_is_fit_for_a_contract)
{
    ck_assert_uint_gt(err_count(), 30);
    ck_assert_str_eq(err_name(OK), "OK");
    ck_assert_int_eq(err_http_status(OK), 200);
    for (size_t i = 1; i < err_count(); i++) {
        enum status code = (enum status)i;
        const char *type = err_problem_type(code);

        ck_assert_int_ge(err_http_status(code), 400);
        ck_assert_int_le(err_http_status(code), 599);
        ck_assert_uint_gt(strlen(type), 1);
        for (const char *at = type; *at != '\0'; at++)
            ck_assert_msg(islower((unsigned char)*at) || *at == '-', "%s", type);
        ck_assert_uint_gt(strlen(err_title(code)), 10);
        for (size_t k = 1; k < i; k++)
            ck_assert_str_ne(type, err_problem_type((enum status)k));
    }
}
END_TEST

SUITE(err)
{
    return suite_with("err", TEST(err__keeps_the_first_error),
                      TEST(err__copies_unless_there_is_one),
                      LOOP(err__shows_terminals_nothing_that_moves_them, unseemly),
                      TEST(err__cuts_a_long_text_between_characters),
                      TEST(err__macros_return_at_once), TEST(err__table_is_fit_for_a_contract));
}
