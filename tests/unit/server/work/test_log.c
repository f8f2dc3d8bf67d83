#include "server/work/log.h"

#include <string.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "tests/support/unit.h"

/* Log one line into a pipe and read it. */
static size_t
logged(enum log_level level, const struct log_field *fields, size_t count, char *text, size_t size)
{
    struct log *log;
    int ends[2];
    ssize_t n;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(log_open(ends[1], LOG_INFO, &log, NULL), OK);
    log_line(log, level, "msg", fields, count);
    log_free(log);
    (void)close(ends[1]);
    n = read(ends[0], text, size - 1);
    (void)close(ends[0]);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    return (size_t)n;
}

START_TEST(log__writes_one_json_object_a_line)
{
    const struct log_field fields[] = {LOG_TEXT("path", "/a"), LOG_U64("code", 200),
                                       LOG_SECONDS("dur_s", 1000042), LOG_YES("whole", true),
                                       LOG_NOTHING};
    char text[4096];

    (void)logged(LOG_WARNING, fields, ARRAY_LENGTH(fields), text, sizeof text);
    ck_assert_int_eq(strncmp(text, "{\"ts\":\"20", 9), 0);
    ck_assert_ptr_nonnull(strstr(text, "Z\",\"level\":\"warning\",\"msg\":\"msg\",\"path\":\"/a\","
                                       "\"code\":200,\"dur_s\":1.000042,\"whole\":true}\n"));
}
END_TEST

START_TEST(log__disarms_what_strangers_wrote)
{
    const struct log_field field = LOG_TEXT("path", "a\"\n\x1b[31m\x7f\xff\xe2\x80\xae\\");
    char text[4096];

    (void)logged(LOG_INFO, &field, 1, text, sizeof text);
    for (const char *at = text; *at != '\0'; at++)
        ck_assert_msg(((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f) || at[1] == '\0',
                      "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "a\\\""));
}
END_TEST

START_TEST(log__cuts_long_texts_and_leaves_out_lower_levels)
{
    static char longer[100000], text[100000];
    struct log_field field = LOG_TEXT("path", longer);

    memset(longer, '\x01', sizeof longer - 1);
    field.text.length = sizeof longer - 1;
    ck_assert_uint_lt(logged(LOG_INFO, &field, 1, text, sizeof text), 17000);
    ck_assert_uint_gt(strlen(text), 20);
    ck_assert_uint_eq(logged(LOG_DEBUG, &field, 1, text, sizeof text), 0);
    log_line(NULL, LOG_ERROR, "nobody reads this", &field, 1);
}
END_TEST

START_TEST(log__knows_its_levels)
{
    enum log_level level;

    ck_assert(log_level_parse(slice_of("error"), &level));
    ck_assert_int_eq(level, LOG_ERROR);
    ck_assert(!log_level_parse(slice_of("ERROR"), &level));
    ck_assert(!log_level_parse(slice_of(""), &level));
}
END_TEST

SUITE(log)
{
    return suite_with(
        "log", TEST(log__writes_one_json_object_a_line), TEST(log__disarms_what_strangers_wrote),
        TEST(log__cuts_long_texts_and_leaves_out_lower_levels), TEST(log__knows_its_levels));
}
