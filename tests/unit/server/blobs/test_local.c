#include "server/blobs/local.h"

#include "tests/support/unit.h"
#include "tests/unit/server/blobs/fixture.h"

START_TEST(local__makes_all_folders_at_the_start)
{
    FIXTURE(f);

    ck_assert_int_eq(fixture_count(&f, "blobs"), 256);
    ck_assert_int_eq(fixture_count(&f, "staging"), 2); /* the instance and its lock */
}
END_TEST

START_TEST(local__leaves_no_staging_behind)
{
    FIXTURE(f);

    blobs_free(f.blobs);
    f.blobs = NULL;
    ck_assert_int_eq(fixture_count(&f, "staging"), 0);
}
END_TEST

START_TEST(local__links_a_staged_file_under_its_digest)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    CLEANUP(local_done) struct local l = local_none();
    struct digest digest = {{0xab, 0xcd}};
    bool is_suspect;
    uint64_t size;
    int fd, held;

    ck_assert_int_eq(local_open(folder.path, &l, NULL), OK);
    ck_assert_int_eq(local_create(&l, 1, &fd, NULL), OK);
    ck_assert_int_eq(write(fd, "abc", 3), 3);
    (void)close(fd);
    ck_assert_int_eq(local_hold(&l, &digest, &held, NULL), OK);
    ck_assert_int_eq(local_link(&l, held, 1, &digest, 3, &is_suspect, NULL), OK);
    (void)close(held);
    ck_assert(!is_suspect);
    local_discard(&l, 1);
    ck_assert_int_eq(local_open_blob(&l, &digest, &fd, &size, NULL), OK);
    ck_assert_uint_eq(size, 3);
    (void)close(fd);
}
END_TEST

START_TEST(local__does_not_follow_a_link_in_the_place_of_a_blob)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    CLEANUP(local_done) struct local l = local_none();
    struct digest digest = {{0xab, 0xcd}};
    char path[512];
    uint64_t size;
    int fd;

    ck_assert_int_eq(local_open(folder.path, &l, NULL), OK);
    (void)snprintf(path, sizeof path, "%s/blobs/ab/%s", folder.path, digest_text(&digest).hex);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(local_open_blob(&l, &digest, &fd, &size, NULL), ERR_IO);
}
END_TEST

START_TEST(local__knows_who_lives)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    struct local first = local_none();
    CLEANUP(local_done) struct local second = local_none();
    char name[LOCAL_INSTANCE_MAX + 1];

    ck_assert_int_eq(local_open(folder.path, &first, NULL), OK);
    ck_assert_int_eq(local_open(folder.path, &second, NULL), OK);
    ck_assert_str_ne(first.instance, second.instance);
    ck_assert(local_is_alive(&second, first.instance));
    ck_assert(local_is_alive(&second, second.instance));
    (void)snprintf(name, sizeof name, "%s", first.instance);
    local_done(&first);
    ck_assert(!local_is_alive(&second, name));
    ck_assert(!local_is_alive(&second, "../blobs"));
}
END_TEST

SUITE(local)
{
    return suite_with(
        "local", TEST(local__makes_all_folders_at_the_start), TEST(local__leaves_no_staging_behind),
        TEST(local__links_a_staged_file_under_its_digest),
        TEST(local__does_not_follow_a_link_in_the_place_of_a_blob), TEST(local__knows_who_lives));
}
