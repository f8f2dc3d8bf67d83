#include "server/blobs/space.h"

#include <fcntl.h>

#include "tests/support/unit.h"
#include "tests/unit/server/blobs/fixture.h"

START_TEST(space__counts_what_uploads_have_announced)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    int fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct space s;

    space_init(&s, fd, 0, 1000);
    ck_assert_int_eq(space_ask(&s, 600, NULL), OK);
    ck_assert_uint_eq(space_free(&s), 400);
    ck_assert_int_eq(space_ask(&s, 401, NULL), ERR_NO_SPACE);
    ck_assert_int_eq(space_ask(&s, 400, NULL), OK);
    ck_assert_int_eq(space_ask(&s, 1, NULL), ERR_NO_SPACE);
    space_done(&s);
    (void)close(fd);
}
END_TEST

START_TEST(space__takes_the_blocks_at_once_and_leaves_the_length)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    int folder_fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(folder_fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct space s;
    struct stat st;

    space_init(&s, folder_fd, 0, UINT64_MAX);
    ck_assert_int_eq(space_ask(&s, 1 << 20, NULL), OK);
    ck_assert_int_eq(space_take(&s, fd, 0, 1 << 20, NULL), OK);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, 0);
    if (!s.is_memory)
        ck_assert_int_ge(st.st_blocks * 512, 1 << 20);
    ck_assert_uint_eq(s.promised, s.is_memory ? 1 << 20 : 0);
    ck_assert_uint_eq(s.reserved, 1 << 20);
    space_give_back(&s, 1 << 20, 0);
    ck_assert_uint_eq(s.reserved, 0);
    ck_assert_uint_eq(s.promised, 0);
    space_done(&s);
    (void)close(fd);
    (void)close(folder_fd);
}
END_TEST

/* In memory a page is taken by writing it: until then it is counted. */
START_TEST(space__counts_in_memory_what_is_promised_and_not_yet_written)
{
    CLEANUP(folder_done) struct folder folder = folder_make_in("/dev/shm");
    int fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct space s;

    space_init(&s, fd, 0, UINT64_MAX);
    ck_assert(s.is_memory);
    ck_assert_int_eq(space_ask(&s, 1000, NULL), OK);
    ck_assert_int_eq(space_take(&s, -1, 0, 1000, NULL), OK);
    space_wrote(&s, 400);
    ck_assert_uint_eq(s.promised, 600);
    space_give_back(&s, 1000, 400);
    ck_assert_uint_eq(s.promised, 0);
    ck_assert_uint_eq(s.reserved, 0);
    space_done(&s);
    (void)close(fd);
}
END_TEST

START_TEST(space__keeps_a_reserve_free)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    int fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct space s;

    space_init(&s, fd, UINT64_MAX, UINT64_MAX);
    ck_assert_uint_eq(space_free(&s), 0);
    ck_assert_int_eq(space_ask(&s, 1, NULL), ERR_NO_SPACE);
    ck_assert_int_eq(space_ask(&s, 0, NULL), OK);
    space_done(&s);
    (void)close(fd);
}
END_TEST

SUITE(space)
{
    return suite_with("space", TEST(space__counts_what_uploads_have_announced),
                      TEST(space__takes_the_blocks_at_once_and_leaves_the_length),
                      TEST(space__counts_in_memory_what_is_promised_and_not_yet_written),
                      TEST(space__keeps_a_reserve_free));
}
