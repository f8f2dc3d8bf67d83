#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(torchscript__finds_what_each_case_expects)
{
    format_cases_check("torchscript", 50);
}
END_TEST

START_TEST(torchscript__says_why_when_a_file_is_cut_off_anywhere)
{
    format_cases_cut("torchscript", "extra-files", NULL);
    format_cases_cut("torchscript", "1.0", NULL);
}
END_TEST

START_TEST(torchscript__survives_any_wrong_byte)
{
    format_cases_spoil("torchscript", "extra-files");
    format_cases_spoil("torchscript", "1.0");
}
END_TEST

SUITE(torchscript)
{
    return suite_with("torchscript", TEST(torchscript__finds_what_each_case_expects),
                      TEST(torchscript__says_why_when_a_file_is_cut_off_anywhere),
                      TEST(torchscript__survives_any_wrong_byte));
}
