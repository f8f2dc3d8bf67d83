/*
 * How fast bytes are kept and rows are committed, in this process: prints megabytes a second of one
 * upload, hashed and synced, beside a bare write of the same bytes and a bare SHA-256; and commits a second
 * from many threads, with how many stood in one transaction.
 *
 *     bench_store DIRECTORY [MEGABYTES [THREADS]]
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "server/blobs/blobs.h"
#include "server/store/store.h"
#include "server/store/version_store.h"
#include "server/work/clock.h"

enum { PIECE = 256 * 1024, COMMITS = 400, MEGABYTE = 1 << 20 };

static double
seconds_since(uint64_t start_us)
{
    return (double)(clock_us() - start_us) / 1e6;
}

static enum status
bench_bare(const char *directory, const char *piece, uint64_t bytes, struct err *err)
{
    CLEANUP(hash_done) struct hash hash = {0};
    char path[4096];
    uint64_t start = clock_us();
    int fd;

    (void)snprintf(path, sizeof path, "%s/bare", directory);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FAIL_IF(fd < 0, err, IO, 0, "%s cannot be made", path);
    for (uint64_t at = 0; at < bytes; at += PIECE)
        FAIL_IF(pwrite(fd, piece, PIECE, (off_t)at) != PIECE, err, IO, 0, "a write failed");
    FAIL_IF(fdatasync(fd) != 0, err, IO, 0, "a sync failed");
    (void)printf("bare write and sync   %8.0f MB/s\n", (double)bytes / 1e6 / seconds_since(start));
    (void)close(fd);
    (void)unlink(path);
    start = clock_us();
    TRY(hash_begin(&hash, err));
    for (uint64_t at = 0; at < bytes; at += PIECE)
        hash_add(&hash, piece, PIECE);
    (void)hash_end(&hash);
    (void)printf("bare SHA-256          %8.0f MB/s\n", (double)bytes / 1e6 / seconds_since(start));
    return OK;
}

static enum status
bench_upload(struct blobs *blobs, const char *piece, uint64_t bytes, struct err *err)
{
    struct blobs_sink *sink = NULL;
    struct digest digest;
    uint64_t size, start = clock_us();
    double begun, written;
    enum status status;

    TRY(blobs_begin(blobs, bytes, &sink, err));
    begun = seconds_since(start);
    for (uint64_t at = 0; at < bytes; at += PIECE)
        TRY(blobs_write(sink, piece, PIECE, err));
    written = seconds_since(start);
    TRY(blobs_finish(sink, NULL, &digest, &size, err));
    status = blobs_keep(sink, err);
    (void)printf("upload, hashed, kept  %8.0f MB/s (%.2f s space, %.2f s bytes, %.2f s sync)\n",
                 (double)bytes / 1e6 / seconds_since(start), begun, written - begun,
                 seconds_since(start) - written);
    blobs_sink_free(sink);
    TRY(status);
    return blobs_remove(blobs, &digest, err);
}

struct committer {
    struct store *store;
    unsigned number;
    enum status status;
    struct err err;
};

static void *
commit_many(void *context)
{
    struct committer *c = context;

    for (unsigned i = 0; i < COMMITS && c->status == OK; i++) {
        struct version_file file = {.path = slice_of("f"), .size = 1};
        struct version_commit done;
        char model[32];
        struct version_new v = {.namespace = slice_of("bench"),
                                .model = slice_of(model),
                                .files = &file,
                                .file_count = 1};
        unsigned seed[2] = {c->number, i};

        (void)snprintf(model, sizeof model, "model-%u", c->number);
        v.model = slice_of(model);
        c->status = hash_bytes(seed, sizeof seed, &file.digest, &c->err);
        if (c->status == OK)
            c->status = version_store_commit(c->store, &v, &done, &c->err);
    }
    return NULL;
}

static enum status
bench_commits(struct store *store, unsigned threads, struct err *err)
{
    CLEANUP(mem_free_at) struct committer *committers = mem_new(threads, sizeof *committers);
    CLEANUP(mem_free_at) pthread_t *ids = mem_new(threads, sizeof *ids);
    uint64_t start = clock_us();
    struct store_stats stats;
    double seconds;

    FAIL_IF(committers == NULL || ids == NULL, err, NO_MEMORY, 0, "out of memory");
    for (unsigned i = 0; i < threads; i++) {
        committers[i] = (struct committer){.store = store, .number = i};
        FAIL_IF(pthread_create(&ids[i], NULL, commit_many, &committers[i]) != 0, err, BUSY, 0,
                "no thread");
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(ids[i], NULL);
        err_copy(err, &committers[i].err);
        TRY(committers[i].status);
    }
    seconds = seconds_since(start);
    stats = store_stats(store);
    (void)printf("versions committed    %8.0f a second by %u threads, %.1f in a transaction\n",
                 threads * COMMITS / seconds, threads,
                 (double)stats.writes / (double)stats.commits);
    return OK;
}

static enum status
bench(const char *directory, uint64_t megabytes, unsigned threads, struct err *err)
{
    struct store_config store_config = store_config_default();
    struct blobs_config blobs_config = blobs_config_default();
    CLEANUP(mem_free_at) char *piece = mem_new(PIECE, 1);
    struct store *store = NULL;
    struct blobs *blobs = NULL;
    enum status status;

    FAIL_IF(piece == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < PIECE; i++)
        piece[i] = (char)(i * 2654435761U >> 24);
    store_config.directory = blobs_config.directory = directory;
    TRY(store_open(&store_config, &store, err));
    TRY(blobs_open(&blobs_config, &blobs, err));
    status = bench_bare(directory, piece, megabytes * MEGABYTE, err);
    for (int i = 0; i < 3 && status == OK; i++)
        status = bench_upload(blobs, piece, megabytes * MEGABYTE, err);
    if (status == OK)
        status = bench_commits(store, threads, err);
    blobs_free(blobs);
    store_free(store);
    return status;
}

int
main(int argc, char **argv)
{
    uint64_t megabytes = 1024, threads = 16;
    struct err err = {0};

    if (argc < 2 || (argc > 2 && !num_parse_u64(slice_of(argv[2]), &megabytes)) ||
        (argc > 3 && !num_parse_u64(slice_of(argv[3]), &threads))) {
        (void)fprintf(stderr, "usage: bench_store DIRECTORY [MEGABYTES [THREADS]]\n");
        return EXIT_FAILURE;
    }
    if (bench(argv[1], megabytes, (unsigned)threads, &err) != OK) {
        (void)fprintf(stderr, "bench_store: %s\n", err.text);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
