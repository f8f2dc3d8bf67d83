#include "server/blobs/blobs.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "tests/support/unit.h"
#include "tests/unit/server/blobs/fixture.h"

/* Put bytes in, whole; give their digest. */
static struct digest
put(struct fixture *f, const char *bytes, size_t length)
{
    struct blobs_sink *sink = NULL;
    struct digest digest;
    uint64_t size;

    GOES_WELL(f, blobs_begin(f->blobs, length, &sink, &f->err));
    GOES_WELL(f, blobs_write(sink, bytes, length, &f->err));
    GOES_WELL(f, blobs_finish(sink, NULL, &digest, &size, &f->err));
    ck_assert_uint_eq(size, length);
    GOES_WELL(f, blobs_keep(sink, &f->err));
    blobs_sink_free(sink);
    return digest;
}

START_TEST(blobs__gives_back_the_bytes_under_their_digest)
{
    FIXTURE(f);
    struct digest digest = put(&f, "hello", 5);
    char bytes[8] = {0};
    struct stat st;
    uint64_t size;
    int fd;

    /* printf hello | sha256sum */
    ck_assert_str_eq(digest_text(&digest).hex,
                     "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    GOES_WELL(&f, blobs_open_file(f.blobs, &digest, &fd, &size, &f.err));
    ck_assert_uint_eq(size, 5);
    ck_assert_int_eq(pread(fd, bytes, sizeof bytes, 0), 5);
    ck_assert_str_eq(bytes, "hello");
    ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
    ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0400);
    (void)close(fd);
    ck_assert_int_eq(fixture_count(&f, "blobs/2c"), 1);
    ck_assert_int_eq(fixture_staged(&f), 0);
}
END_TEST

START_TEST(blobs__keeps_equal_bytes_once)
{
    FIXTURE(f);
    struct digest first = put(&f, "hello", 5), second = put(&f, "hello", 5);

    ck_assert(digest_equal(&first, &second));
    ck_assert_int_eq(fixture_count(&f, "blobs/2c"), 1);
}
END_TEST

START_TEST(blobs__says_that_one_is_not_there)
{
    FIXTURE(f);
    struct digest none = {{0}};
    uint64_t size;
    int fd;

    FAILS_WITH(&f, NOT_FOUND, blobs_open_file(f.blobs, &none, &fd, &size, &f.err));
}
END_TEST

START_TEST(blobs__removes_and_may_remove_again)
{
    FIXTURE(f);
    struct digest digest = put(&f, "hello", 5);
    uint64_t size;
    int fd;

    GOES_WELL(&f, blobs_remove(f.blobs, &digest, &f.err));
    FAILS_WITH(&f, NOT_FOUND, blobs_open_file(f.blobs, &digest, &fd, &size, &f.err));
    GOES_WELL(&f, blobs_remove(f.blobs, &digest, &f.err));
}
END_TEST

struct seen {
    struct digest digests[4];
    size_t count;
};

static enum status
see(void *context, const struct digest *digest, uint64_t size, struct err *err)
{
    struct seen *seen = context;

    FAIL_IF(seen->count == 4 || size != 5, err, INTERNAL, 0, "not what was put in");
    seen->digests[seen->count++] = *digest;
    return OK;
}

START_TEST(blobs__lists_its_files_and_passes_over_others)
{
    FIXTURE(f);
    struct seen seen = {0};
    char path[512];
    int fd;

    (void)put(&f, "hello", 5);
    (void)put(&f, "world", 5);
    (void)snprintf(path, sizeof path, "%s/blobs/2c/README", f.folder.path);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
    GOES_WELL(&f, blobs_list(f.blobs, see, &seen, &f.err));
    ck_assert_uint_eq(seen.count, 2);
    ck_assert(!digest_equal(&seen.digests[0], &seen.digests[1]));
}
END_TEST

START_TEST(blobs__replaces_a_file_that_was_cut)
{
    FIXTURE(f);
    struct digest digest = put(&f, "hello", 5);
    char path[512];
    uint64_t size;
    int fd;

    (void)snprintf(path, sizeof path, "%s/blobs/2c/%s", f.folder.path, digest_text(&digest).hex);
    ck_assert_int_eq(truncate(path, 2), 0);
    (void)put(&f, "hello", 5);
    GOES_WELL(&f, blobs_open_file(f.blobs, &digest, &fd, &size, &f.err));
    ck_assert_uint_eq(size, 5);
    (void)close(fd);
    ck_assert_int_eq(fixture_count(&f, "blobs/2c"), 1);
}
END_TEST

/* Begin an upload and die without a word. */
static void
die_uploading(const char *directory)
{
    struct blobs_config config = blobs_config_default();
    struct blobs *blobs = NULL;
    struct blobs_sink *sink = NULL;

    config.directory = directory;
    config.reserve_bytes = 0;
    if (blobs_open(&config, &blobs, NULL) != OK || blobs_begin(blobs, 5, &sink, NULL) != OK)
        _exit(1);
    _exit(0);
}

START_TEST(blobs__empties_the_staging_of_the_dead)
{
    struct fixture f = {.folder = folder_make()};
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0)
        die_uploading(f.folder.path);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(fixture_count(&f, "staging"), 2); /* the instance and its lock */
    f.blobs = fixture_blobs(f.folder.path);
    ck_assert_int_eq(fixture_count(&f, "staging"), 2); /* the new one's */
    ck_assert_int_eq(fixture_staged(&f), 0);
    fixture_done(&f);
}
END_TEST

START_TEST(blobs__leaves_the_staging_of_the_living)
{
    FIXTURE(f);
    struct blobs_sink *alive = NULL;
    struct blobs *next;

    GOES_WELL(&f, blobs_begin(f.blobs, 5, &alive, &f.err));
    next = fixture_blobs(f.folder.path);
    ck_assert_int_eq(fixture_count(&f, "staging"), 4);
    ck_assert_int_eq(fixture_staged(&f), 1);
    ck_assert(blobs_is_alive(next, blobs_instance(f.blobs)));
    ck_assert(!blobs_is_alive(next, "1-00"));
    blobs_free(next);
    blobs_sink_free(alive);
    ck_assert_int_eq(fixture_count(&f, "staging"), 2);
}
END_TEST

START_TEST(blobs__refuses_a_folder_that_is_not_there)
{
    struct blobs_config config = blobs_config_default();
    struct blobs *blobs = NULL;
    struct err err = {0};

    config.directory = "/nonexistent/folder";
    ck_assert_int_eq(blobs_open(&config, &blobs, &err), ERR_IO);
    ck_assert_ptr_null(blobs);
}
END_TEST

SUITE(blobs)
{
    return suite_with("blobs", TEST(blobs__gives_back_the_bytes_under_their_digest),
                      TEST(blobs__keeps_equal_bytes_once), TEST(blobs__says_that_one_is_not_there),
                      TEST(blobs__removes_and_may_remove_again),
                      TEST(blobs__lists_its_files_and_passes_over_others),
                      TEST(blobs__replaces_a_file_that_was_cut),
                      TEST(blobs__empties_the_staging_of_the_dead),
                      TEST(blobs__leaves_the_staging_of_the_living),
                      TEST(blobs__refuses_a_folder_that_is_not_there));
}
