#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(pickle_file__finds_what_each_case_expects)
{
    format_cases_check("pickle", 40);
}
END_TEST

START_TEST(pickle_file__says_why_when_a_file_is_cut_off_anywhere)
{
    format_cases_cut("pickle", "python-2", NULL);
    format_cases_cut("pickle", "policy", NULL);
}
END_TEST

START_TEST(pickle_file__survives_any_wrong_byte)
{
    format_cases_spoil("pickle", "policy");
    format_cases_spoil("pickle", "scalars");
}
END_TEST

SUITE(pickle_file)
{
    return suite_with("pickle_file", TEST(pickle_file__finds_what_each_case_expects),
                      TEST(pickle_file__says_why_when_a_file_is_cut_off_anywhere),
                      TEST(pickle_file__survives_any_wrong_byte));
}
