/*
 * Uploads through the blob store and the store, until it is killed: kill.sh does that.
 *
 *     kill_driver upload DIRECTORY SEED   upload from several threads for ever; print each label and
 *                                         digest once its commit is acknowledged
 *     kill_driver verify DIRECTORY FILE   sweep as a restart does; then each line of FILE must be a version
 *                                         whose bytes are whole, every version's bytes must be, and no
 *                                         file may be left that no version has
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
#include "server/jobs/sweep.h"
#include "server/store/blob_store.h"
#include "server/store/store.h"
#include "server/store/version_store.h"

enum { THREADS = 4, BYTES_MAX = 300000, CONTENTS = 50, LINE_BYTES = 512 };

struct place {
    struct store *store;
    struct blobs *blobs;
};

static enum status
open_place(const char *directory, struct place *p, struct err *err)
{
    struct store_config store = store_config_default();
    struct blobs_config blobs = blobs_config_default();

    store.directory = blobs.directory = directory;
    store.ballast_bytes = blobs.reserve_bytes = 0;
    TRY(blobs_open(&blobs, &p->blobs, err));
    return store_open(&store, &p->store, err);
}

/* ---- uploading ---- */

struct uploader {
    struct place *place;
    unsigned number;
    unsigned seed;
};

static unsigned
next_random(unsigned *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void
free_sink_at(struct blobs_sink **sink)
{
    blobs_sink_free(*sink);
}

/* Half of them are of a few contents, so that uploads meet on one blob; the others are new. */
static enum status
upload(struct uploader *u, unsigned round, char *bytes, struct err *err)
{
    CLEANUP(free_sink_at) struct blobs_sink *sink = NULL;
    struct version_file file = {.path = slice_of("model.pth")};
    struct version_commit c = {.outcome = VERSION_AGAIN};
    char label[64], line[LINE_BYTES];
    struct version_new v = {
        .namespace = slice_of("kill"), .model = slice_of("test"), .files = &file, .file_count = 1};
    unsigned content = next_random(&u->seed), state;
    size_t length;
    int written;

    if (content % 2 == 0)
        content %= CONTENTS;
    state = content;
    length = 1 + (size_t)(content % CONTENTS) * (BYTES_MAX / CONTENTS);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)next_random(&state);
    (void)snprintf(label, sizeof label, "run-%d-%u-%u", (int)getpid(), u->number, round);
    v.label = slice_of(label);
    TRY(blobs_begin(u->place->blobs, length, &sink, err));
    TRY(blobs_write(sink, bytes, length / 2, err));
    TRY(blobs_write(sink, bytes + length / 2, length - length / 2, err));
    TRY(blobs_finish(sink, NULL, &file.digest, &file.size, err));
    while (c.outcome == VERSION_AGAIN) {
        enum status status;

        TRY(blobs_keep(sink, err));
        status = version_store_commit(u->place->store, &v, &c, err);
        blobs_let_go(sink);
        TRY(status);
    }
    /* One write, so that a line is there whole or not at all. */
    written = snprintf(line, sizeof line, "%s %s\n", label, digest_text(&file.digest).hex);
    FAIL_IF(write(STDOUT_FILENO, line, (size_t)written) != written, err, IO, 0, "no output");
    return OK;
}

static void *
upload_on(void *context)
{
    struct uploader *u = context;
    CLEANUP(mem_free_at) char *bytes = mem_new(BYTES_MAX, 1);
    struct err err = {0};

    for (unsigned round = 0; bytes != NULL; round++)
        if (upload(u, round, bytes, &err) != OK) {
            (void)fprintf(stderr, "kill_driver: %s\n", err.text);
            break;
        }
    return NULL;
}

static enum status
upload_all(struct place *p, unsigned seed, struct err *err)
{
    struct uploader uploaders[THREADS];
    pthread_t threads[THREADS];
    struct sweep_result swept;

    for (unsigned i = 0; i < THREADS; i++) {
        uploaders[i] = (struct uploader){p, i, seed * THREADS + i};
        FAIL_IF(pthread_create(&threads[i], NULL, upload_on, &uploaders[i]) != 0, err, BUSY, 0,
                "no thread");
    }
    TRY(sweep_run(p->store, p->blobs, NULL, &swept, err)); /* as the daemon does: beside uploads */
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    return OK;
}

/* ---- verifying ---- */

/* The file is there and as long as it was; check_file holds each against its digest. */
static enum status
check_there(const struct place *p, const struct version_file *file, struct err *err)
{
    uint64_t size;
    int fd;

    TRY(blobs_open_file(p->blobs, &file->digest, &fd, &size, err));
    (void)close(fd);
    FAIL_IF(size != file->size, err, IO, 0, "the blob %s has %llu bytes",
            digest_text(&file->digest).hex, (unsigned long long)size);
    return OK;
}

static enum status
check_line(const struct place *p, struct slice line, struct err *err)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
    struct slice label = slice_cut(&line, ' ');
    struct ref ref = {.kind = REF_LABEL, .text = label};
    struct version v;

    TRY(version_store_get(p->store, slice_of("kill"), slice_of("test"), &ref, &arena, &v, err));
    FAIL_IF(v.file_count != 1 || !slice_is(line, digest_text(&v.files[0].digest).hex), err, STORE,
            0, "%.*s has other bytes than were acknowledged", SLICE_PRINT(label));
    return check_there(p, &v.files[0], err);
}

static enum status
check_acknowledged(const struct place *p, const char *path, uint64_t *ret_lines, struct err *err)
{
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES];
    enum status status = OK;

    FAIL_IF(file == NULL, err, IO, 0, "%s cannot be read", path);
    for (*ret_lines = 0; status == OK && fgets(line, sizeof line, file) != NULL; ++*ret_lines)
        status = check_line(p, (struct slice){line, strcspn(line, "\n")}, err);
    (void)fclose(file);
    return status;
}

static enum status
check_versions(const struct place *p, uint64_t *ret_versions, struct err *err)
{
    struct page page = {.limit = PAGE_MAX};
    char cursor[LINE_BYTES];

    *ret_versions = 0;
    do {
        CLEANUP(arena_done) struct arena arena = arena_with_cap(64 << 20);
        struct err trouble = {0};
        struct version_list list;
        enum status status = version_store_list(p->store, slice_of("kill"), slice_of("test"), &page,
                                                &arena, &list, &trouble);

        if (status == ERR_NOT_FOUND) /* it was killed before the first commit */
            return OK;
        err_copy(err, &trouble);
        TRY(status);
        for (size_t i = 0; i < list.count; i++)
            TRY(check_there(p, &list.versions[i].files[0], err));
        *ret_versions += list.count;
        memcpy(cursor, list.next.at == NULL ? "" : list.next.at, list.next.length);
        page.cursor = (struct slice){cursor, list.next.length};
    } while (page.cursor.length > 0);
    return OK;
}

static enum status
check_file(void *context, const struct digest *digest, uint64_t size, struct err *err)
{
    const struct place *p = context;
    CLEANUP(mem_free_at) char *bytes = mem_new(BYTES_MAX, 1);
    struct digest found_digest;
    enum blob_state state;
    uint64_t known;
    bool found;
    ssize_t length;
    int fd;

    FAIL_IF(bytes == NULL, err, NO_MEMORY, 0, "no memory");
    TRY(blobs_open_file(p->blobs, digest, &fd, &known, err));
    length = pread(fd, bytes, BYTES_MAX, 0);
    (void)close(fd);
    TRY(hash_bytes(bytes, length < 0 ? 0 : (size_t)length, &found_digest, err));
    FAIL_IF(!digest_equal(digest, &found_digest), err, IO, 0, "the blob %s has other bytes",
            digest_text(digest).hex);

    TRY(blob_store_get(p->store, digest, &state, &known, &found, err));
    FAIL_IF(!found || state != BLOB_LIVE || known != size, err, STORE, 0,
            "the file %s is an orphan", digest_text(digest).hex);
    return OK;
}

static enum status
verify(struct place *p, const char *acknowledged, struct err *err)
{
    struct sweep_result swept;
    uint64_t lines, versions;

    TRY(sweep_run(p->store, p->blobs, NULL, &swept, err));
    TRY(check_acknowledged(p, acknowledged, &lines, err));
    TRY(check_versions(p, &versions, err));
    TRY(blobs_list(p->blobs, check_file, p, err));
    FAIL_IF(versions < lines, err, STORE, 0, "%llu versions for %llu acknowledged",
            (unsigned long long)versions, (unsigned long long)lines);
    (void)printf("acknowledged %llu, versions %llu, orphans swept %llu\n",
                 (unsigned long long)lines, (unsigned long long)versions,
                 (unsigned long long)swept.removed);
    return OK;
}

int
main(int argc, char **argv)
{
    struct place p = {0};
    struct err err = {0};
    uint64_t seed = 0;
    enum status status;

    if (argc != 4 || (strcmp(argv[1], "upload") == 0 && !num_parse_u64(slice_of(argv[3]), &seed))) {
        (void)fprintf(stderr, "usage: kill_driver upload DIRECTORY SEED | verify DIRECTORY FILE\n");
        return EXIT_FAILURE;
    }
    status = open_place(argv[2], &p, &err);
    if (status == OK && strcmp(argv[1], "upload") == 0)
        status = upload_all(&p, (unsigned)seed, &err);
    else if (status == OK)
        status = verify(&p, argv[3], &err);
    if (status != OK)
        (void)fprintf(stderr, "kill_driver: %s\n", err.text);
    store_free(p.store);
    blobs_free(p.blobs);
    return status == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
