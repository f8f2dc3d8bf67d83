#include "server/jobs/expire.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "server/store/blob_store.h"
#include "server/store/version_store.h"
#include "tests/support/folder.h"
#include "tests/support/unit.h"

struct fixture {
    struct folder folder;
    struct store *store;
    struct blobs *blobs;
    struct err err;
};

static struct fixture
fixture_open(void)
{
    struct fixture f = {.folder = folder_make()};
    struct store_config store = store_config_default();
    struct blobs_config blobs = blobs_config_default();

    store.directory = blobs.directory = f.folder.path;
    store.ballast_bytes = blobs.reserve_bytes = 0;
    ck_assert_msg(store_open(&store, &f.store, &f.err) == OK, "%s", f.err.text);
    ck_assert_msg(blobs_open(&blobs, &f.blobs, &f.err) == OK, "%s", f.err.text);
    return f;
}

static void
fixture_done(struct fixture *f)
{
    store_free(f->store);
    blobs_free(f->blobs);
    folder_done(&f->folder);
}

#define FIXTURE(f) CLEANUP(fixture_done) struct fixture f = fixture_open()
#define GOES_WELL(f, call) \
    ck_assert_msg((call) == OK, "%s: %s", err_name((f)->err.code), (f)->err.text)

static struct digest
add(struct fixture *f, const char *label, const char *path, const char *bytes, uint64_t open_us)
{
    struct version_part part = {.namespace = slice_of("a"),
                                .model = slice_of("b"),
                                .label = slice_of(label),
                                .file = {.path = slice_of(path)},
                                .files_max = 100,
                                .open_us = open_us};
    struct version_place place;
    struct blobs_sink *sink = NULL;

    GOES_WELL(f, blobs_begin(f->blobs, strlen(bytes), &sink, &f->err));
    GOES_WELL(f, blobs_write(sink, bytes, strlen(bytes), &f->err));
    GOES_WELL(f, blobs_finish(sink, NULL, &part.file.digest, &part.file.size, &f->err));
    GOES_WELL(f, blobs_keep(sink, &f->err));
    GOES_WELL(f, version_store_add_file(f->store, &part, &place, &f->err));
    blobs_let_go(sink);
    blobs_sink_free(sink);
    return part.file.digest;
}

static bool
has_file(struct fixture *f, const struct digest *digest)
{
    uint64_t size;
    int fd;
    bool has = blobs_open_file(f->blobs, digest, &fd, &size, NULL) == OK;

    if (has)
        (void)close(fd);
    return has;
}

static const uint64_t DAY_US = 86400 * UINT64_C(1000000);

START_TEST(expire__takes_what_is_due_and_its_own_bytes)
{
    FIXTURE(f);
    struct digest alone = add(&f, "one", "x", "alone", 0);
    struct digest shared = add(&f, "one", "y", "shared", 0);
    struct digest kept = add(&f, "two", "z", "kept", DAY_US);
    struct expire_result result;
    enum blob_state state;
    uint64_t size;
    bool found;

    (void)add(&f, "two", "y", "shared", DAY_US);
    GOES_WELL(&f, expire_run(f.store, f.blobs, NULL, &result, &f.err));
    ck_assert_uint_eq(result.versions, 1);
    ck_assert_uint_eq(result.files, 2);
    ck_assert_uint_eq(result.blobs, 1);
    ck_assert(!has_file(&f, &alone));
    ck_assert(has_file(&f, &shared) && has_file(&f, &kept));
    GOES_WELL(&f, blob_store_get(f.store, &alone, &state, &size, &found, &f.err));
    ck_assert(!found);
    GOES_WELL(&f, expire_run(f.store, f.blobs, NULL, &result, &f.err));
    ck_assert_uint_eq(result.versions + result.blobs, 0);
    alone = add(&f, "one", "x", "alone", DAY_US); /* label and bytes come back */
    ck_assert(has_file(&f, &alone));
}
END_TEST

START_TEST(expire__goes_on_where_it_was_stopped)
{
    FIXTURE(f);
    struct digest digest = add(&f, "one", "x", "bytes", 0);
    struct version_expired expired;
    struct expire_result result;
    atomic_bool stop = true;

    GOES_WELL(&f, expire_run(f.store, f.blobs, &stop, &result, &f.err));
    ck_assert_uint_eq(result.versions, 0);
    GOES_WELL(&f, version_store_expire(f.store, INT64_MAX, &expired, &f.err));
    ck_assert(has_file(&f, &digest)); /* condemned, and nobody took it */
    GOES_WELL(&f, expire_run(f.store, f.blobs, NULL, &result, &f.err));
    ck_assert_uint_eq(result.blobs, 1);
    ck_assert(!has_file(&f, &digest));
}
END_TEST

/* What stands in the blob's place cannot be unlinked: the others go all the same, and its turn comes. */
START_TEST(expire__leaves_no_blob_owned_that_it_cannot_unlink)
{
    FIXTURE(f);
    const char *const bytes[] = {"first", "second", "third"};
    struct digest digests[3];
    struct expire_result result;
    char path[3][4096];
    enum blob_state state;
    uint64_t size;
    bool found;

    for (size_t i = 0; i < ARRAY_LENGTH(bytes); i++) {
        struct digest_text hex;

        digests[i] = add(&f, "one", bytes[i], bytes[i], 0);
        hex = digest_text(&digests[i]);
        (void)snprintf(path[i], sizeof path[i], "%s/blobs/%.2s/%s", f.folder.path, hex.hex,
                       hex.hex);
    }
    for (size_t i = 0; i < 2; i++)
        ck_assert(unlink(path[i]) == 0 && mkdir(path[i], 0700) == 0);
    ck_assert_int_ne(expire_run(f.store, f.blobs, NULL, &result, &f.err), OK);
    f.err = (struct err){0};
    ck_assert(!has_file(&f, &digests[2]));
    for (size_t i = 0; i < ARRAY_LENGTH(bytes); i++) {
        GOES_WELL(&f, blob_store_get(f.store, &digests[i], &state, &size, &found, &f.err));
        ck_assert(i == 2 ? !found : found && state == BLOB_CONDEMNED);
    }
    for (size_t i = 0; i < 2; i++)
        ck_assert(rmdir(path[i]) == 0);
    GOES_WELL(&f, expire_run(f.store, f.blobs, NULL, &result, &f.err));
    ck_assert_uint_eq(result.blobs, 2);
}
END_TEST

SUITE(expire)
{
    return suite_with("expire", TEST(expire__takes_what_is_due_and_its_own_bytes),
                      TEST(expire__goes_on_where_it_was_stopped),
                      TEST(expire__leaves_no_blob_owned_that_it_cannot_unlink));
}
