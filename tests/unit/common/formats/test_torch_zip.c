#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(torch_zip__finds_what_each_case_expects)
{
    format_cases_check("torch-zip", 80);
}
END_TEST

START_TEST(torch_zip__says_why_when_a_file_is_cut_off_anywhere)
{
    format_cases_cut("torch-zip", "hybrid", NULL);
}
END_TEST

START_TEST(torch_zip__survives_any_wrong_byte)
{
    format_cases_spoil("torch-zip", "tied");
}
END_TEST

SUITE(torch_zip)
{
    return suite_with("torch_zip", TEST(torch_zip__finds_what_each_case_expects),
                      TEST(torch_zip__says_why_when_a_file_is_cut_off_anywhere),
                      TEST(torch_zip__survives_any_wrong_byte));
}
