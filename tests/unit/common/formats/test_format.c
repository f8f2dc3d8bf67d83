#include "common/formats/format.h"

#include <string.h>

#include "common/base/attr.h"
#include "tests/support/unit.h"

static enum status
read_bytes(struct slice bytes, struct err *err)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);

    return format_read(&files, &limits, &in, err);
}

/* What people upload by mistake, and what they are told. */
static const struct {
    const char *bytes;
    size_t length;
    enum status want;
    const char *says;
} strangers[] = {
#define BYTES(text) (text), sizeof(text) - 1
    {BYTES(""), ERR_UNRECOGNIZED, "empty"},
    {BYTES("x"), ERR_UNRECOGNIZED, "no checkpoint format"},
    {BYTES("<!DOCTYPE html><html>"), ERR_UNRECOGNIZED, "HTML page"},
    {BYTES("<html>"), ERR_UNRECOGNIZED, "HTML page"},
    {BYTES("<?xml version=\"1.0\"?><Error>"), ERR_UNRECOGNIZED, "XML"},
    {BYTES("version https://git-lfs.github.com/spec/v1\n"), ERR_UNRECOGNIZED, "git lfs pull"},
    {BYTES("7z\xbc\xaf\x27\x1c\0\0"), ERR_UNRECOGNIZED, "7z archive"},
    {BYTES("\x1f\x8b\x08\0"), ERR_MALFORMED, "gzip"},
    {BYTES("lmgg\0\x7d\0\0"), ERR_UNSUPPORTED, "before GGUF"},
    {BYTES("fmgg\1\0\0\0"), ERR_UNSUPPORTED, "before GGUF"},
    {BYTES("tjgg\3\0\0\0"), ERR_UNSUPPORTED, "before GGUF"},
    {BYTES("algg\1\0\0\0"), ERR_UNSUPPORTED, "before GGUF"},
    {BYTES("{\"a\": [1]}"), ERR_UNRECOGNIZED, "JSON"},
    {BYTES("\x7f"
           "ELF\2\1\1"),
     ERR_UNRECOGNIZED, "program"},
#undef BYTES
};

START_TEST(format__says_what_a_stranger_seems_to_be)
{
    struct err err = {0};

    ck_assert_int_eq(read_bytes((struct slice){strangers[_i].bytes, strangers[_i].length}, &err),
                     strangers[_i].want);
    ck_assert_msg(strstr(err.text, strangers[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(format__an_empty_set_is_no_checkpoint)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct fileset none = {0};

    ck_assert_int_eq(format_read(&none, &limits, &in, NULL), ERR_UNRECOGNIZED);
}
END_TEST

START_TEST(format__table_has_every_format_once)
{
    for (size_t i = 0; format_table[i] != NULL; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(format_table[i]->name, format_table[k]->name);
}
END_TEST

SUITE(format)
{
    return suite_with("format", LOOP(format__says_what_a_stranger_seems_to_be, strangers),
                      TEST(format__an_empty_set_is_no_checkpoint),
                      TEST(format__table_has_every_format_once));
}
