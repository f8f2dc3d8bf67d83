#include <string.h>

#include "common/base/attr.h"
#include "common/formats/format.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(torch_dcp__reads_every_case)
{
    format_cases_check("torch-dcp", 15);
}
END_TEST

START_TEST(torch_dcp__a_cut_metadata_never_reads_as_clean)
{
    format_cases_cut("torch-dcp", "metadata-alone", NULL);
}
END_TEST

START_TEST(torch_dcp__a_spoilt_metadata_is_an_error_or_an_inspection)
{
    format_cases_spoil("torch-dcp", "metadata-alone");
}
END_TEST

SUITE(torch_dcp)
{
    return suite_with("torch_dcp", TEST(torch_dcp__reads_every_case),
                      TEST(torch_dcp__a_cut_metadata_never_reads_as_clean),
                      TEST(torch_dcp__a_spoilt_metadata_is_an_error_or_an_inspection));
}
