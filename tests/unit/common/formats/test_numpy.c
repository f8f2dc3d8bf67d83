#include "common/base/attr.h"
#include "common/formats/format.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(numpy__finds_what_each_case_expects)
{
    format_cases_check("numpy", 100);
}
END_TEST

START_TEST(numpy__a_file_cut_off_anywhere_never_reads_as_clean)
{
    format_cases_cut("numpy", "fortran", NULL);
    format_cases_cut("numpy", "structured-nested", NULL);
    format_cases_cut("numpy", "objects", NULL);
    format_cases_cut("numpy", "npz", NULL);
    format_cases_cut("numpy", "npz-compressed", NULL);
}
END_TEST

START_TEST(numpy__survives_any_wrong_byte)
{
    format_cases_spoil("numpy", "fortran");
    format_cases_spoil("numpy", "structured-nested");
    format_cases_spoil("numpy", "objects");
    format_cases_spoil("numpy", "npz");
    format_cases_spoil("numpy", "npz-compressed");
}
END_TEST

START_TEST(numpy__keeps_every_limit)
{
    CLEANUP(buf_done) struct buf file = format_cases_input("numpy", "npz");
    struct slice bytes = buf_slice_of(&file);
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);
    struct limits limits[4];

    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++)
        limits[i] = limits_default();
    limits[0].tensors = 1;
    limits[1].name_bytes = 5;
    limits[2].rank = 1;
    limits[3].arena_bytes = 64;
    for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};

        ck_assert_int_eq(format_read(&files, &limits[i], &in, &err), ERR_LIMIT);
        ck_assert_int_ne(err.text[0], '\0');
    }
}
END_TEST

/* One budget for all members: what the first pickles use, the next have not. */
START_TEST(numpy__pickles_share_a_budget)
{
    CLEANUP(buf_done) struct buf file = format_cases_input("numpy", "npz-objects-evil");
    CLEANUP(inspection_done) struct inspection in = {0};
    struct slice bytes = buf_slice_of(&file);
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);
    struct limits limits = limits_default();

    limits.pickle_bytes = 16;
    ck_assert_int_eq(format_read(&files, &limits, &in, NULL), OK);
    ck_assert_int_eq(in.safety, SAFETY_MALFORMED);
    ck_assert_uint_eq(in.containers[0].structure.count, 1);
}
END_TEST

SUITE(numpy)
{
    return suite_with("numpy", TEST(numpy__finds_what_each_case_expects),
                      TEST(numpy__a_file_cut_off_anywhere_never_reads_as_clean),
                      TEST(numpy__survives_any_wrong_byte), TEST(numpy__keeps_every_limit),
                      TEST(numpy__pickles_share_a_budget));
}
