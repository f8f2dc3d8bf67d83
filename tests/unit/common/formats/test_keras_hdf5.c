#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(keras_hdf5__finds_what_each_case_expects)
{
    format_cases_check("keras-hdf5", 75);
}
END_TEST

/* A file of the old version without checksums, one of the new with them, one with attributes in heaps,
 * and an archive. */
static const char *const whole[] = {"small-earliest", "small-latest", "keras2-weights",
                                    "archive-stored"};

START_TEST(keras_hdf5__says_why_when_a_file_is_cut_off_anywhere)
{
    format_cases_cut("keras-hdf5", whole[_i], NULL);
}
END_TEST

static const char *const spoiled[] = {"small-earliest",  "dense-creation-order", "keras2-weights",
                                      "many-attributes", "foreign-types",        "archive-stored"};

START_TEST(keras_hdf5__survives_any_wrong_byte)
{
    format_cases_spoil("keras-hdf5", spoiled[_i]);
}
END_TEST

SUITE(keras_hdf5)
{
    return suite_with("keras_hdf5", TEST(keras_hdf5__finds_what_each_case_expects),
                      LOOP(keras_hdf5__says_why_when_a_file_is_cut_off_anywhere, whole),
                      LOOP(keras_hdf5__survives_any_wrong_byte, spoiled));
}
