#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(torch_export__finds_what_each_case_expects)
{
    format_cases_check("torch-export", 40);
}
END_TEST

START_TEST(torch_export__says_why_when_a_file_is_cut_off_anywhere)
{
    format_cases_cut("torch-export", "linear", NULL);
    format_cases_cut("torch-export", "2.1-linear", NULL);
}
END_TEST

START_TEST(torch_export__survives_any_wrong_byte)
{
    format_cases_spoil("torch-export", "linear");
    format_cases_spoil("torch-export", "2.1-linear");
}
END_TEST

SUITE(torch_export)
{
    return suite_with("torch_export", TEST(torch_export__finds_what_each_case_expects),
                      TEST(torch_export__says_why_when_a_file_is_cut_off_anywhere),
                      TEST(torch_export__survives_any_wrong_byte));
}
