#include "server/jobs/sweep.h"

#include <pthread.h>
#include <string.h>

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

static void
free_sink_at(struct blobs_sink **sink)
{
    blobs_sink_free(*sink);
}

/* As an upload does: link the bytes, then commit them, again while they are being deleted. */
static enum status
upload(struct store *store, struct blobs *blobs, struct slice label, struct slice bytes,
       bool commits, struct digest *ret_digest, struct err *err)
{
    CLEANUP(free_sink_at) struct blobs_sink *sink = NULL;
    struct version_file file = {.path = slice_of("f")};
    struct version_new v = {.namespace = slice_of("a"),
                            .model = slice_of("b"),
                            .label = label,
                            .files = &file,
                            .file_count = 1};
    struct version_commit c = {.outcome = VERSION_AGAIN};

    TRY(blobs_begin(blobs, bytes.length, &sink, err));
    TRY(blobs_write(sink, bytes.at, bytes.length, err));
    TRY(blobs_finish(sink, NULL, &file.digest, &file.size, err));
    *ret_digest = file.digest;
    while (c.outcome == VERSION_AGAIN) {
        enum status status;

        TRY(blobs_keep(sink, err));
        if (!commits)
            return OK;
        status = version_store_commit(store, &v, &c, err);
        blobs_let_go(sink);
        TRY(status);
    }
    return OK;
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

START_TEST(sweep__removes_a_file_that_no_row_speaks_of_and_no_other)
{
    FIXTURE(f);
    struct digest needed, orphan;
    struct sweep_result result;

    GOES_WELL(&f,
              upload(f.store, f.blobs, slice_of("x"), slice_of("needed"), true, &needed, &f.err));
    GOES_WELL(&f,
              upload(f.store, f.blobs, slice_of("y"), slice_of("orphan!"), false, &orphan, &f.err));
    ck_assert(has_file(&f, &orphan));
    GOES_WELL(&f, sweep_run(f.store, f.blobs, NULL, &result, &f.err));
    ck_assert_uint_eq(result.files, 2);
    ck_assert_uint_eq(result.removed, 1);
    ck_assert_uint_eq(result.bytes, 7);
    ck_assert(!has_file(&f, &orphan));
    ck_assert(has_file(&f, &needed));
    GOES_WELL(&f,
              upload(f.store, f.blobs, slice_of("y"), slice_of("orphan!"), true, &orphan, &f.err));
    ck_assert(has_file(&f, &orphan));
}
END_TEST

START_TEST(sweep__ends_what_the_dead_were_deleting)
{
    FIXTURE(f);
    struct digest digest;
    struct sweep_result result;
    enum blob_state state;
    uint64_t size;
    bool is_owned, found;

    GOES_WELL(&f,
              upload(f.store, f.blobs, slice_of("y"), slice_of("left"), false, &digest, &f.err));
    GOES_WELL(&f, blob_store_own_orphan(f.store, &digest, 4, "1-dead", &is_owned, &f.err));
    GOES_WELL(&f, sweep_run(f.store, f.blobs, NULL, &result, &f.err));
    ck_assert_uint_eq(result.removed, 1);
    ck_assert(!has_file(&f, &digest));
    GOES_WELL(&f, blob_store_get(f.store, &digest, &state, &size, &found, &f.err));
    ck_assert(!found);
}
END_TEST

START_TEST(sweep__leaves_what_the_living_are_deleting)
{
    FIXTURE(f);
    struct digest digest;
    struct sweep_result result;
    bool is_owned;

    GOES_WELL(&f,
              upload(f.store, f.blobs, slice_of("y"), slice_of("busy"), false, &digest, &f.err));
    GOES_WELL(
        &f, blob_store_own_orphan(f.store, &digest, 4, blobs_instance(f.blobs), &is_owned, &f.err));
    GOES_WELL(&f, sweep_run(f.store, f.blobs, NULL, &result, &f.err));
    ck_assert_uint_eq(result.removed, 0);
    ck_assert(has_file(&f, &digest));
}
END_TEST

START_TEST(sweep__stops_when_told)
{
    FIXTURE(f);
    struct digest digest;
    struct sweep_result result;
    atomic_bool stop = true;

    GOES_WELL(&f,
              upload(f.store, f.blobs, slice_of("y"), slice_of("orphan"), false, &digest, &f.err));
    GOES_WELL(&f, sweep_run(f.store, f.blobs, &stop, &result, &f.err));
    ck_assert_uint_eq(result.files, 0);
    ck_assert(has_file(&f, &digest));
}
END_TEST

/* ---- uploads of the same few contents while sweeps run without end ---- */

enum { UPLOADERS = 4, UPLOADS = 60, CONTENTS = 5 };

struct uploader {
    struct fixture *f;
    unsigned number;
    const char *trouble;
    struct err err;
};

static struct slice
content(unsigned n)
{
    static const char *const contents[CONTENTS] = {"one", "two", "three", "four", "five"};

    return slice_of(contents[n % CONTENTS]);
}

static void *
upload_many(void *context)
{
    struct uploader *u = context;

    for (unsigned i = 0; i < UPLOADS && u->trouble == NULL; i++) {
        struct digest digest;

        /* Each third is linked and never committed: an orphan until swept. */
        if (upload(u->f->store, u->f->blobs, (struct slice){0}, content(u->number + i), i % 3 != 0,
                   &digest, &u->err) != OK)
            u->trouble = "an upload failed";
        else if (i % 3 != 0 && !has_file(u->f, &digest))
            u->trouble = "a committed version has no bytes";
    }
    return NULL;
}

struct sweeper {
    struct fixture *f;
    atomic_bool stop;
    uint64_t removed;
    const char *trouble;
};

static void *
sweep_on(void *context)
{
    struct sweeper *s = context;

    while (!atomic_load(&s->stop) && s->trouble == NULL) {
        struct sweep_result result;

        if (sweep_run(s->f->store, s->f->blobs, NULL, &result, NULL) != OK)
            s->trouble = "a sweep failed";
        s->removed += result.removed;
    }
    return NULL;
}

START_TEST(sweep__never_takes_the_bytes_of_an_upload_under_way)
{
    FIXTURE(f);
    struct sweeper sweeper = {.f = &f};
    struct uploader uploaders[UPLOADERS];
    pthread_t threads[UPLOADERS], sweeping;
    struct sweep_result result;

    ck_assert_int_eq(pthread_create(&sweeping, NULL, sweep_on, &sweeper), 0);
    for (unsigned i = 0; i < UPLOADERS; i++) {
        uploaders[i] = (struct uploader){.f = &f, .number = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, upload_many, &uploaders[i]), 0);
    }
    for (unsigned i = 0; i < UPLOADERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_msg(uploaders[i].trouble == NULL, "%s: %s", uploaders[i].trouble,
                      uploaders[i].err.text);
    }
    atomic_store(&sweeper.stop, true);
    ck_assert_int_eq(pthread_join(sweeping, NULL), 0);
    ck_assert_msg(sweeper.trouble == NULL, "%s", sweeper.trouble);
    GOES_WELL(&f, sweep_run(f.store, f.blobs, NULL, &result, &f.err));
    for (unsigned i = 0; i < CONTENTS; i++) {
        struct digest digest;

        ck_assert_int_eq(hash_bytes(content(i).at, content(i).length, &digest, NULL), OK);
        ck_assert(has_file(&f, &digest));
    }
}
END_TEST

SUITE(sweep)
{
    return suite_with("sweep", TEST(sweep__removes_a_file_that_no_row_speaks_of_and_no_other),
                      TEST(sweep__ends_what_the_dead_were_deleting),
                      TEST(sweep__leaves_what_the_living_are_deleting),
                      TEST(sweep__stops_when_told),
                      TEST(sweep__never_takes_the_bytes_of_an_upload_under_way));
}
