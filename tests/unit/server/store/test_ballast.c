#include "server/store/ballast.h"

#include <stdio.h>
#include <sys/stat.h>

#include "common/base/attr.h"
#include "tests/support/folder.h"
#include "tests/support/unit.h"

static int64_t
blocks_of(const struct folder *folder)
{
    char path[512];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/ckptd.ballast", folder->path);
    return stat(path, &st) == 0 ? (int64_t)st.st_blocks * 512 : -1;
}

START_TEST(ballast__takes_room_and_gives_it_up_once)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    CLEANUP(ballast_done) struct ballast b = {0};

    ck_assert_int_eq(ballast_open(folder.path, 1 << 20, &b, NULL), OK);
    ck_assert(b.is_there);
    ck_assert_int_ge(blocks_of(&folder), 1 << 20);
    ck_assert(ballast_drop(&b));
    ck_assert_int_eq(blocks_of(&folder), -1);
    ck_assert(!ballast_drop(&b));
    ballast_restore(&b);
    ck_assert(b.is_there);
    ck_assert_int_ge(blocks_of(&folder), 1 << 20);
}
END_TEST

START_TEST(ballast__is_found_again)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    CLEANUP(ballast_done) struct ballast first = {0}, second = {0};

    ck_assert_int_eq(ballast_open(folder.path, 1 << 20, &first, NULL), OK);
    ck_assert_int_eq(ballast_open(folder.path, 1 << 20, &second, NULL), OK);
    ck_assert(second.is_there);
}
END_TEST

START_TEST(ballast__is_left_out_where_there_is_no_room)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    CLEANUP(ballast_done) struct ballast b = {0};

    ck_assert_int_eq(ballast_open(folder.path, UINT64_MAX / 4, &b, NULL), OK);
    ck_assert(!b.is_there);
    ck_assert_int_eq(blocks_of(&folder), -1);
}
END_TEST

START_TEST(ballast__of_nothing_is_none)
{
    CLEANUP(ballast_done) struct ballast b = {0};

    ck_assert_int_eq(ballast_open("/nonexistent", 0, &b, NULL), OK);
    ballast_restore(&b);
    ck_assert(!b.is_there && !ballast_drop(&b));
}
END_TEST

SUITE(ballast)
{
    return suite_with(
        "ballast", TEST(ballast__takes_room_and_gives_it_up_once), TEST(ballast__is_found_again),
        TEST(ballast__is_left_out_where_there_is_no_room), TEST(ballast__of_nothing_is_none));
}
