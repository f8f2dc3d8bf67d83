#include "server/blobs/sink.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "tests/support/unit.h"
#include "tests/unit/server/blobs/fixture.h"

static void
free_sink_at(struct blobs_sink **sink)
{
    blobs_sink_free(*sink);
}

#define SINK(s) CLEANUP(free_sink_at) struct blobs_sink *s = NULL

/* Bytes in all, bytes in one piece: small pieces are hashed at once, large ones on another thread. */
static const struct {
    size_t length;
    size_t piece;
} streams[] = {
    {0, 1},
    {1, 1},
    {100, 7},
    {32768, 32768},
    {32767, 32767},
    {131072, 131072},
    {131073, 131073},
    {1048576, 1048576},
    {3000000, 1000000},
    {3000000, 4096},
    {3000000, 65536},
    {3000001, 40001},
    {20000000, 1 << 20},
};

/* The size is announced in even rounds, and not in odd ones. */
static void
stream(size_t length, size_t piece, bool is_announced)
{
    FIXTURE(f);
    SINK(sink);
    CLEANUP(mem_free_at) char *bytes = fixture_bytes(length, 1);
    struct digest expected, digest;
    uint64_t size;

    ck_assert_int_eq(hash_bytes(bytes, length, &expected, NULL), OK);
    GOES_WELL(&f, blobs_begin(f.blobs, is_announced ? length : BLOBS_SIZE_UNKNOWN, &sink, &f.err));
    for (size_t at = 0; at < length; at += piece) {
        size_t n = length - at < piece ? length - at : piece;

        GOES_WELL(&f, blobs_write(sink, bytes + at, n, &f.err));
    }
    GOES_WELL(&f, blobs_finish(sink, &expected, &digest, &size, &f.err));
    ck_assert_uint_eq(size, length);
    ck_assert(digest_equal(&digest, &expected));
    GOES_WELL(&f, blobs_keep(sink, &f.err));
    ck_assert_uint_eq(blobs_stats(f.blobs).reserved_bytes, 0);
}

START_TEST(sink__hashes_every_way_that_bytes_can_come)
{
    stream(streams[_i].length, streams[_i].piece, true);
    stream(streams[_i].length, streams[_i].piece, false);
}
END_TEST

START_TEST(sink__mixes_small_and_large_pieces_in_their_order)
{
    FIXTURE(f);
    SINK(sink);
    CLEANUP(mem_free_at) char *bytes = fixture_bytes(4 << 20, 2);
    struct digest expected, digest;
    size_t length = 4 << 20, piece = 1;
    uint64_t size;

    ck_assert_int_eq(hash_bytes(bytes, length, &expected, NULL), OK);
    GOES_WELL(&f, blobs_begin(f.blobs, length, &sink, &f.err));
    for (size_t at = 0; at < length; at += piece) {
        piece = (piece * 7 + 3) % 200000 + 1;
        if (piece > length - at)
            piece = length - at;
        GOES_WELL(&f, blobs_write(sink, bytes + at, piece, &f.err));
    }
    GOES_WELL(&f, blobs_finish(sink, &expected, &digest, &size, &f.err));
}
END_TEST

START_TEST(sink__refuses_more_bytes_than_were_announced)
{
    FIXTURE(f);
    SINK(sink);

    GOES_WELL(&f, blobs_begin(f.blobs, 4, &sink, &f.err));
    GOES_WELL(&f, blobs_write(sink, "abc", 3, &f.err));
    FAILS_WITH(&f, LIMIT, blobs_write(sink, "de", 2, &f.err));
}
END_TEST

START_TEST(sink__refuses_to_finish_with_fewer_bytes_than_were_announced)
{
    FIXTURE(f);
    SINK(sink);
    struct digest digest;
    uint64_t size;

    GOES_WELL(&f, blobs_begin(f.blobs, 4, &sink, &f.err));
    GOES_WELL(&f, blobs_write(sink, "abc", 3, &f.err));
    FAILS_WITH(&f, TRUNCATED, blobs_finish(sink, NULL, &digest, &size, &f.err));
}
END_TEST

START_TEST(sink__keeps_nothing_when_the_digest_differs)
{
    FIXTURE(f);
    struct blobs_sink *sink = NULL;
    struct digest wrong = {{1}}, digest;
    uint64_t size;

    GOES_WELL(&f, blobs_begin(f.blobs, 3, &sink, &f.err));
    GOES_WELL(&f, blobs_write(sink, "abc", 3, &f.err));
    FAILS_WITH(&f, DIGEST_MISMATCH, blobs_finish(sink, &wrong, &digest, &size, &f.err));
    FAILS_WITH(&f, INTERNAL, blobs_keep(sink, &f.err));
    blobs_sink_free(sink);
    ck_assert_int_eq(fixture_staged(&f), 0);
    ck_assert_uint_eq(blobs_stats(f.blobs).sinks, 0);
}
END_TEST

START_TEST(sink__leaves_nothing_when_it_is_aborted)
{
    FIXTURE(f);
    CLEANUP(mem_free_at) char *bytes = fixture_bytes(1 << 20, 3);
    struct blobs_sink *sink = NULL;

    GOES_WELL(&f, blobs_begin(f.blobs, 4 << 20, &sink, &f.err));
    GOES_WELL(&f, blobs_write(sink, bytes, 1 << 20, &f.err));
    ck_assert_uint_eq(blobs_stats(f.blobs).reserved_bytes, 4 << 20);
    blobs_sink_free(sink);
    ck_assert_int_eq(fixture_staged(&f), 0);
    ck_assert_uint_eq(blobs_stats(f.blobs).reserved_bytes, 0);
}
END_TEST

/* Between the first and the second the file went, as when an equal blob was being deleted. */
START_TEST(sink__keeps_again_what_was_removed_meanwhile)
{
    FIXTURE(f);
    SINK(sink);
    struct digest digest;
    uint64_t size;
    int fd;

    GOES_WELL(&f, blobs_begin(f.blobs, 3, &sink, &f.err));
    GOES_WELL(&f, blobs_write(sink, "abc", 3, &f.err));
    GOES_WELL(&f, blobs_finish(sink, NULL, &digest, &size, &f.err));
    GOES_WELL(&f, blobs_keep(sink, &f.err));
    blobs_let_go(sink);
    GOES_WELL(&f, blobs_remove(f.blobs, &digest, &f.err));
    GOES_WELL(&f, blobs_keep(sink, &f.err));
    GOES_WELL(&f, blobs_open_file(f.blobs, &digest, &fd, &size, &f.err));
    (void)close(fd);
}
END_TEST

/* An upload that could not be kept clears up after itself on the same thread. */
START_TEST(sink__holds_nothing_where_it_cannot_be_kept)
{
    FIXTURE(f);
    SINK(sink);
    struct digest digest;
    char staged[512];
    uint64_t size;

    GOES_WELL(&f, blobs_begin(f.blobs, 3, &sink, &f.err));
    GOES_WELL(&f, blobs_write(sink, "abc", 3, &f.err));
    GOES_WELL(&f, blobs_finish(sink, NULL, &digest, &size, &f.err));
    (void)snprintf(staged, sizeof staged, "%s/staging/%s/1", f.folder.path,
                   blobs_instance(f.blobs));
    ck_assert_int_eq(unlink(staged), 0);
    FAILS_WITH(&f, IO, blobs_keep(sink, &f.err));
    GOES_WELL(&f, blobs_remove(f.blobs, &digest, &f.err));
}
END_TEST

START_TEST(sink__holds_little_memory_however_much_comes)
{
    FIXTURE(f);
    SINK(sink);
    CLEANUP(mem_free_at) char *bytes = fixture_bytes(1 << 20, 4);
    struct rusage before, after;
    struct digest digest;
    uint64_t size;

    GOES_WELL(&f, blobs_begin(f.blobs, BLOBS_SIZE_UNKNOWN, &sink, &f.err));
    GOES_WELL(&f, blobs_write(sink, bytes, 1 << 20, &f.err));
    (void)getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 127; i++)
        GOES_WELL(&f, blobs_write(sink, bytes, 1 << 20, &f.err));
    (void)getrusage(RUSAGE_SELF, &after);
    GOES_WELL(&f, blobs_finish(sink, NULL, &digest, &size, &f.err));
    ck_assert_uint_eq(size, 128 << 20);
#ifndef ARENA_BLOCK_EACH /* a sanitizer holds memory of its own */
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 4096);
#endif
}
END_TEST

/* ---- a small disk ---- */

static bool
has_small_disk(const struct folder *folder, const char *size)
{
    char options[32];

    (void)snprintf(options, sizeof options, "size=%s", size);
    if (mount("tmpfs", folder->path, "tmpfs", 0, options) == 0)
        return true;
    (void)printf("skipped: only root can mount a small disk to fill\n");
    return false;
}

START_TEST(sink__refuses_what_has_no_room_before_a_byte_is_sent)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    struct blobs_config config = blobs_config_default();
    struct blobs *blobs = NULL;
    struct blobs_sink *sink = NULL, *other = NULL;
    struct err err = {0};

    if (!has_small_disk(&folder, "16m"))
        return;
    config.directory = folder.path;
    config.reserve_bytes = 4 << 20;
    ck_assert_msg(blobs_open(&config, &blobs, &err) == OK, "%s", err.text);
    ck_assert_int_eq(blobs_has_room(blobs, 13 << 20, &err), ERR_NO_SPACE);
    ck_assert_int_eq(blobs_begin(blobs, 13 << 20, &sink, &err), ERR_NO_SPACE);
    ck_assert_int_eq(blobs_begin(blobs, UINT64_MAX - 1, &sink, &err), ERR_NO_SPACE);
    ck_assert_int_eq(blobs_begin(blobs, 8 << 20, &sink, NULL), OK);
    ck_assert_int_eq(blobs_begin(blobs, 8 << 20, &other, &err), ERR_NO_SPACE);
    blobs_sink_free(sink);
    ck_assert_int_eq(blobs_begin(blobs, 8 << 20, &other, NULL), OK);
    blobs_sink_free(other);
    blobs_free(blobs);
    ck_assert_int_eq(umount(folder.path), 0);
}
END_TEST

START_TEST(sink__stops_a_stream_of_unknown_length_at_the_reserve)
{
    CLEANUP(folder_done) struct folder folder = folder_make();
    CLEANUP(mem_free_at) char *bytes = fixture_bytes(1 << 20, 5);
    struct blobs_config config = blobs_config_default();
    struct blobs *blobs = NULL;
    struct blobs_sink *sink = NULL;
    enum status status = OK;
    int megabytes = 0;

    if (!has_small_disk(&folder, "16m"))
        return;
    config.directory = folder.path;
    config.reserve_bytes = 4 << 20;
    ck_assert_int_eq(blobs_open(&config, &blobs, NULL), OK);
    ck_assert_int_eq(blobs_begin(blobs, BLOBS_SIZE_UNKNOWN, &sink, NULL), OK);
    while (status == OK && megabytes < 32) {
        status = blobs_write(sink, bytes, 1 << 20, NULL);
        megabytes += status == OK;
    }
    ck_assert_str_eq(err_name(status), "NO_SPACE");
    ck_assert_int_ge(megabytes, 10);
    ck_assert_int_le(megabytes, 12);
    blobs_sink_free(sink);
    ck_assert_int_eq(blobs_has_room(blobs, 11 << 20, NULL), OK);
    ck_assert(!blobs_is_suspect(blobs, NULL));
    blobs_free(blobs);
    ck_assert_int_eq(umount(folder.path), 0);
}
END_TEST

/* ---- many at once ---- */

enum { THREADS = 8, UPLOADS = 12 };

struct uploader {
    struct fixture *f;
    unsigned seed;
    const char *trouble;
};

static enum status
upload(struct blobs *blobs, const char *bytes, size_t length, struct err *err)
{
    SINK(sink);
    struct digest digest, expected;
    uint64_t size;

    TRY(hash_bytes(bytes, length, &expected, err));
    TRY(blobs_begin(blobs, length, &sink, err));
    TRY(blobs_write(sink, bytes, length / 3, err));
    TRY(blobs_write(sink, bytes + length / 3, length - length / 3, err));
    TRY(blobs_finish(sink, &expected, &digest, &size, err));
    return blobs_keep(sink, err);
}

static void *
upload_many(void *context)
{
    struct uploader *u = context;

    for (unsigned i = 0; i < UPLOADS && u->trouble == NULL; i++) {
        size_t length = 1000 + 90000 * ((u->seed + i) % 7);
        char *bytes = fixture_bytes(length, i); /* equal bytes from every thread */

        if (upload(u->f->blobs, bytes, length, NULL) != OK)
            u->trouble = "an upload failed";
        mem_free(bytes);
    }
    return NULL;
}

START_TEST(sink__serves_many_uploads_of_equal_bytes_at_once)
{
    FIXTURE(f);
    struct uploader uploaders[THREADS];
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        uploaders[i] = (struct uploader){.f = &f, .seed = i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, upload_many, &uploaders[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_msg(uploaders[i].trouble == NULL, "%s", uploaders[i].trouble);
    }
    ck_assert_int_eq(fixture_staged(&f), 0);
    ck_assert_uint_eq(blobs_stats(f.blobs).reserved_bytes, 0);
}
END_TEST

START_TEST(sink__stores_nothing_more_once_a_sync_has_failed)
{
    FIXTURE(f);
    struct err trouble = {0}, err = {0};
    struct blobs_sink *sink = NULL;

    err_set(&trouble, ERR_IO, 0, "syncing an upload failed");
    ck_assert_int_eq(blobs_doubt(f.blobs, &trouble, &err), ERR_STORE_SUSPECT);
    ck_assert(blobs_is_suspect(f.blobs, NULL));
    FAILS_WITH(&f, STORE_SUSPECT, blobs_begin(f.blobs, 1, &sink, &f.err));
    ck_assert_str_eq(f.err.text, "syncing an upload failed");
}
END_TEST

SUITE(sink)
{
    return suite_with("sink", LOOP(sink__hashes_every_way_that_bytes_can_come, streams),
                      TEST(sink__mixes_small_and_large_pieces_in_their_order),
                      TEST(sink__refuses_more_bytes_than_were_announced),
                      TEST(sink__refuses_to_finish_with_fewer_bytes_than_were_announced),
                      TEST(sink__keeps_nothing_when_the_digest_differs),
                      TEST(sink__leaves_nothing_when_it_is_aborted),
                      TEST(sink__keeps_again_what_was_removed_meanwhile),
                      TEST(sink__holds_nothing_where_it_cannot_be_kept),
                      TEST(sink__holds_little_memory_however_much_comes),
                      TEST(sink__refuses_what_has_no_room_before_a_byte_is_sent),
                      TEST(sink__stops_a_stream_of_unknown_length_at_the_reserve),
                      TEST(sink__serves_many_uploads_of_equal_bytes_at_once),
                      TEST(sink__stores_nothing_more_once_a_sync_has_failed));
}
