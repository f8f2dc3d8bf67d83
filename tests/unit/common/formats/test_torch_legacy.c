#include "common/base/attr.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(torch_legacy__finds_what_each_case_expects)
{
    format_cases_check("torch-legacy", 40);
}
END_TEST

/* A storage that is cut off is told, and no danger. */
static bool
is_in_storages(size_t length)
{
    CLEANUP(buf_done) struct buf file = format_cases_input("torch-legacy", "list-in-another-order");

    return length >= file.length - 48;
}

START_TEST(torch_legacy__says_why_when_a_file_is_cut_off_anywhere)
{
    format_cases_cut("torch-legacy", "list-in-another-order", is_in_storages);
}
END_TEST

START_TEST(torch_legacy__survives_any_wrong_byte)
{
    format_cases_spoil("torch-legacy", "views");
    format_cases_spoil("torch-legacy", "whole-module");
}
END_TEST

SUITE(torch_legacy)
{
    return suite_with("torch_legacy", TEST(torch_legacy__finds_what_each_case_expects),
                      TEST(torch_legacy__says_why_when_a_file_is_cut_off_anywhere),
                      TEST(torch_legacy__survives_any_wrong_byte));
}
