#include "common/formats/source.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/unit.h"

START_TEST(source__reads_from_memory_within_its_bounds)
{
    struct slice bytes = slice_of("0123456789");
    struct source s = source_of_bytes(&bytes);
    char got[4] = "";
    struct err err = {0};

    ck_assert_int_eq(source_read(&s, 7, got, 3, NULL), OK);
    ck_assert_str_eq(got, "789");
    ck_assert_int_eq(source_read(&s, 10, got, 0, NULL), OK);
    ck_assert_int_eq(source_read(&s, 8, got, 3, &err), ERR_TRUNCATED);
    ck_assert_ptr_nonnull(strstr(err.text, "past the end"));
    ck_assert_int_eq(source_read(&s, UINT64_MAX, got, 1, NULL), ERR_TRUNCATED);
}
END_TEST

START_TEST(source__reads_from_a_descriptor_without_moving_it)
{
    int fd = memfd_create("source", MFD_CLOEXEC);
    struct source s;
    char got[3] = "";

    ck_assert_int_eq(write(fd, "abcdef", 6), 6);
    ck_assert_int_eq(lseek(fd, 1, SEEK_SET), 1);
    ck_assert_int_eq(source_of_fd(&fd, &s, NULL), OK);
    ck_assert_uint_eq(s.size_bytes, 6);
    ck_assert_int_eq(source_read(&s, 4, got, 2, NULL), OK);
    ck_assert_str_eq(got, "ef");
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 1);
    (void)close(fd);
}
END_TEST

START_TEST(source__says_that_a_file_shrank)
{
    int fd = memfd_create("source", MFD_CLOEXEC);
    struct source s;
    char got[6];
    struct err err = {0};

    ck_assert_int_eq(write(fd, "abcdef", 6), 6);
    ck_assert_int_eq(source_of_fd(&fd, &s, NULL), OK);
    ck_assert_int_eq(ftruncate(fd, 3), 0);
    ck_assert_int_eq(source_read(&s, 0, got, 6, &err), ERR_TRUNCATED);
    ck_assert_ptr_nonnull(strstr(err.text, "shrank"));
    (void)close(fd);
}
END_TEST

START_TEST(source__refuses_what_is_no_regular_file)
{
    int ends[2], closed = -1;
    struct source s;

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(source_of_fd(&ends[0], &s, NULL), ERR_IO);
    ck_assert_int_eq(source_of_fd(&closed, &s, NULL), ERR_IO);
    (void)close(ends[0]);
    (void)close(ends[1]);
}
END_TEST

START_TEST(source__makes_a_set_of_one_file)
{
    struct slice bytes = slice_of("x");
    struct source s = source_of_bytes(&bytes), opened;
    struct fileset files = fileset_of_source(&s);

    ck_assert_uint_eq(files.count, 1);
    ck_assert_uint_eq(files.path(files.context, 0).length, 0);
    ck_assert_int_eq(files.open(files.context, 0, &opened, NULL), OK);
    ck_assert_uint_eq(opened.size_bytes, 1);
}
END_TEST

START_TEST(source__lends_a_part_of_another)
{
    struct slice bytes = slice_of("0123456789");
    struct source whole = source_of_bytes(&bytes), part;
    struct source_part inside = {&whole, 3, 4}, outside = {&whole, 8, 3}, beyond = {&whole, 11, 0};
    char four[5] = "";

    ck_assert_int_eq(source_of_part(&inside, &part, NULL), OK);
    ck_assert_uint_eq(part.size_bytes, 4);
    ck_assert_int_eq(source_read(&part, 0, four, 4, NULL), OK);
    ck_assert_str_eq(four, "3456");
    ck_assert_int_eq(source_read(&part, 1, four, 4, NULL), ERR_TRUNCATED);
    ck_assert_int_eq(source_of_part(&outside, &part, NULL), ERR_TRUNCATED);
    ck_assert_int_eq(source_of_part(&beyond, &part, NULL), ERR_TRUNCATED);
}
END_TEST

SUITE(source)
{
    return suite_with("source", TEST(source__reads_from_memory_within_its_bounds),
                      TEST(source__reads_from_a_descriptor_without_moving_it),
                      TEST(source__says_that_a_file_shrank),
                      TEST(source__refuses_what_is_no_regular_file),
                      TEST(source__makes_a_set_of_one_file), TEST(source__lends_a_part_of_another));
}
