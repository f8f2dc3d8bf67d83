#include "common/base/attr.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(torch_tar__finds_what_each_case_expects)
{
    format_cases_check("torch-tar", 40);
}
END_TEST

/* The last member is filled up with zeros, which may be missing. */
static bool
is_in_padding(size_t length)
{
    CLEANUP(buf_done) struct buf file = format_cases_input("torch-tar", "no-end");

    while (file.length > 0 && file.bytes[file.length - 1] == '\0')
        file.length--;
    return length >= file.length;
}

START_TEST(torch_tar__says_why_when_a_file_is_cut_off_anywhere)
{
    format_cases_cut("torch-tar", "no-end", is_in_padding);
}
END_TEST

START_TEST(torch_tar__survives_any_wrong_byte)
{
    format_cases_spoil("torch-tar", "views");
}
END_TEST

SUITE(torch_tar)
{
    return suite_with("torch_tar", TEST(torch_tar__finds_what_each_case_expects),
                      TEST(torch_tar__says_why_when_a_file_is_cut_off_anywhere),
                      TEST(torch_tar__survives_any_wrong_byte));
}
