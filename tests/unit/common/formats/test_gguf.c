#include "common/base/attr.h"
#include "common/formats/format.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(gguf__finds_what_each_case_expects)
{
    format_cases_check("gguf", 70);
}
END_TEST

START_TEST(gguf__a_file_cut_off_anywhere_never_reads_as_clean)
{
    format_cases_cut("gguf", "plain", NULL);
    format_cases_cut("gguf", "version-1", NULL);
    format_cases_cut("gguf", "array-nested", NULL);
}
END_TEST

START_TEST(gguf__survives_any_wrong_byte)
{
    format_cases_spoil("gguf", "plain");
    format_cases_spoil("gguf", "array-nested");
}
END_TEST

static enum status
read_with(struct slice file, const struct limits *limits, struct inspection *in, struct err *err)
{
    struct source source = source_of_bytes(&file);
    struct fileset files = fileset_of_source(&source);

    return format_read(&files, limits, in, err);
}

START_TEST(gguf__keeps_every_limit)
{
    CLEANUP(buf_done) struct buf file = format_cases_input("gguf", "plain");
    struct limits limits[4];

    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++)
        limits[i] = limits_default();
    limits[0].tensors = 1;
    limits[1].header_bytes = 100;
    limits[2].header_keys = 0;
    limits[3].arena_bytes = 64;
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};

        ck_assert_int_eq(read_with(buf_slice_of(&file), &limits[i], &in, &err), ERR_LIMIT);
        ck_assert_int_ne(err.text[0], '\0');
    }
}
END_TEST

START_TEST(gguf__says_less_where_the_metadata_does_not_fit)
{
    CLEANUP(buf_done) struct buf file = format_cases_input("gguf", "metadata");
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct err err = {0};

    limits.metadata_bytes = 104;
    ck_assert_msg(read_with(buf_slice_of(&file), &limits, &in, &err) == OK, "%s", err.text);
    ck_assert_msg(slice_is(in.metadata, "{\"GGUF.version\":3,\"general.architecture\":\"llama\"}"),
                  "%.*s", SLICE_PRINT(in.metadata));
    ck_assert_uint_eq(in.containers[0].structure.count, 3);
}
END_TEST

SUITE(gguf)
{
    return suite_with("gguf", TEST(gguf__finds_what_each_case_expects),
                      TEST(gguf__a_file_cut_off_anywhere_never_reads_as_clean),
                      TEST(gguf__survives_any_wrong_byte), TEST(gguf__keeps_every_limit),
                      TEST(gguf__says_less_where_the_metadata_does_not_fit));
}
