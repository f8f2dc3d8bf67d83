#include "server/store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "server/store/model_store.h"
#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

START_TEST(store__keeps_what_was_committed_over_a_restart)
{
    FIXTURE(f);
    struct store_config config = store_config_default();
    struct ref ref = {.kind = REF_LABEL, .text = slice_of("one")};
    struct version v;

    (void)commit_bytes(&f, "one", 1);
    store_free(f.store);
    f.store = NULL;
    config.directory = f.folder.path;
    GOES_WELL(&f, store_open(&config, &f.store, &f.err));
    GOES_WELL(&f, version_store_get(f.store, slice_of("vision"), slice_of("resnet50"), &ref,
                                    &f.arena, &v, &f.err));
    ck_assert_uint_eq(v.serial, 1);
}
END_TEST

START_TEST(store__counts_its_writes)
{
    FIXTURE(f);
    struct store_stats stats;

    (void)commit_bytes(&f, "one", 1);
    (void)commit_bytes(&f, "two", 2);
    stats = store_stats(f.store);
    ck_assert_uint_eq(stats.writes, 2);
    ck_assert_uint_eq(stats.commits, 2);
    ck_assert(!stats.is_suspect);
    ck_assert_uint_gt(stats.wal_bytes + stats.db_bytes, 4096);
}
END_TEST

START_TEST(store__copies_itself_while_in_use)
{
    FIXTURE(f);
    CLEANUP(folder_done) struct folder other = folder_make();
    struct store_config config = store_config_default();
    struct store *copy = NULL;
    struct model m;
    char path[512];

    (void)commit_bytes(&f, "one", 1);
    (void)snprintf(path, sizeof path, "%s/ckptd.db", other.path);
    GOES_WELL(&f, store_backup(f.store, path, &f.err));
    ck_assert_int_ne(store_backup(f.store, path, NULL), OK); /* it is there already */
    (void)commit_bytes(&f, "two", 2);
    config.directory = other.path;
    config.ballast_bytes = 0;
    GOES_WELL(&f, store_open(&config, &copy, &f.err));
    GOES_WELL(
        &f, model_store_get(copy, slice_of("vision"), slice_of("resnet50"), &f.arena, &m, &f.err));
    ck_assert_uint_eq(m.versions, 1);
    store_free(copy);
}
END_TEST

START_TEST(store__refuses_a_folder_that_is_not_there)
{
    struct store_config config = store_config_default();
    struct store *store = NULL;
    struct err err = {0};

    config.directory = "/nonexistent/folder";
    ck_assert_int_eq(store_open(&config, &store, &err), ERR_IO);
    ck_assert_ptr_null(store);
}
END_TEST

/* ---- a small disk ---- */

static void
fill(const struct folder *folder)
{
    static const char block[4096] = {1};
    char path[512];
    int fd;

    (void)snprintf(path, sizeof path, "%s/filler", folder->path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, block, sizeof block) == (ssize_t)sizeof block)
        continue;
    (void)close(fd);
}

static void
unfill(const struct folder *folder)
{
    char path[512];

    (void)snprintf(path, sizeof path, "%s/filler", folder->path);
    ck_assert_int_eq(unlink(path), 0);
}

/* Commit versions until one is refused; how many were taken. */
static unsigned
commit_until_full(struct fixture *f, unsigned first, enum status *ret_status)
{
    unsigned n = first;

    for (*ret_status = OK; *ret_status == OK && n < first + 20000; n++) {
        struct version_file file = {slice_of("f"), 1, digest_of(n)};
        struct version_new v = {
            .namespace = slice_of("a"), .model = slice_of("b"), .files = &file, .file_count = 1};
        struct version_commit c;

        *ret_status = version_store_commit(f->store, &v, &c, NULL);
    }
    return n - first - 1;
}

START_TEST(store__survives_a_full_disk_with_all_it_has_acknowledged)
{
    struct fixture f = {.folder = folder_make(), .arena = arena_with_cap(64 << 20)};
    struct store_config config = store_config_default();
    enum status status;
    struct model m;
    unsigned before, with_ballast;

    if (mount("tmpfs", f.folder.path, "tmpfs", 0, "size=8m") != 0) {
        (void)printf("skipped: only root can mount a small disk to fill\n");
        fixture_done(&f);
        return;
    }
    config.directory = f.folder.path;
    config.ballast_bytes = 1 << 20;
    GOES_WELL(&f, store_open(&config, &f.store, &f.err));
    ck_assert(store_stats(f.store).has_ballast);
    (void)commit_bytes(&f, "one", 1);
    fill(&f.folder);
    with_ballast = commit_until_full(&f, 100, &status); /* the ballast is given up on the way */
    ck_assert_str_eq(err_name(status), "NO_SPACE");
    ck_assert_uint_gt(with_ballast, 10);
    ck_assert(!store_stats(f.store).has_ballast);
    ck_assert(!store_is_suspect(f.store, NULL));
    GOES_WELL(&f, model_store_get(f.store, slice_of("a"), slice_of("b"), &f.arena, &m, &f.err));
    ck_assert_uint_eq(m.versions, with_ballast);
    unfill(&f.folder);
    before = with_ballast;
    (void)commit_bytes(&f, "two", 2); /* there is room again */
    store_free(f.store);
    f.store = NULL;
    GOES_WELL(&f, store_open(&config, &f.store, &f.err));
    ck_assert(store_stats(f.store).has_ballast);
    GOES_WELL(&f, model_store_get(f.store, slice_of("a"), slice_of("b"), &f.arena, &m, &f.err));
    ck_assert_uint_eq(m.versions, before);
    store_free(f.store);
    f.store = NULL;
    ck_assert_int_eq(umount(f.folder.path), 0);
    fixture_done(&f);
}
END_TEST

SUITE(store)
{
    return suite_with("store", TEST(store__keeps_what_was_committed_over_a_restart),
                      TEST(store__counts_its_writes), TEST(store__copies_itself_while_in_use),
                      TEST(store__refuses_a_folder_that_is_not_there),
                      TEST(store__survives_a_full_disk_with_all_it_has_acknowledged));
}
