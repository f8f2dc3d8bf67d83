#include "server/cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/formats/source.h"
#include "common/formats/vouched_read.h"
#include "server/cli/confined.h"
#include "server/cli/folder.h"

enum { CHUNK_BYTES = 65536 };

static void
close_fd(int *fd)
{
    if (*fd > STDERR_FILENO)
        (void)close(*fd);
}

static enum status
open_file(const char *path, int *ret_fd, struct err *err)
{
    int fd;

    if (slice_is(slice_of(path), "-")) {
        *ret_fd = STDIN_FILENO;
        return OK;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    FAIL_IF(fd < 0 && (errno == ENOENT || errno == ENOTDIR), err, NOT_FOUND, 0,
            "%s: there is no such file", path);
    FAIL_IF(fd < 0 && errno == EACCES, err, IO, 0, "%s: it may not be read by this user", path);
    FAIL_IF(fd < 0, err, IO, 0, "%s: it cannot be opened (error %d)", path, errno);
    *ret_fd = fd;
    return OK;
}

enum status
files_read(const char *path, size_t cap_bytes, struct slice *ret_bytes, struct err *err)
{
    CLEANUP(close_fd) int fd = -1;
    CLEANUP(buf_done) struct buf bytes = buf_with_cap(cap_bytes);
    char chunk[CHUNK_BYTES / 4];
    ssize_t got;

    TRY(open_file(path, &fd, err));
    while ((got = read(fd, chunk, sizeof chunk)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        FAIL_IF(got < 0 && errno == EISDIR, err, IO, 0, "%s: it is a directory", path);
        FAIL_IF(got < 0, err, IO, 0, "%s: reading failed (error %d)", path, errno);
        buf_add(&bytes, chunk, (size_t)got);
        FAIL_IF(bytes.failed == ERR_LIMIT, err, LIMIT, 0, "%s: it has more than %zu bytes", path,
                cap_bytes);
    }
    buf_add(&bytes, "", 0);
    TRY(buf_check(&bytes, err));
    ret_bytes->length = bytes.length;
    ret_bytes->at = buf_take(&bytes);
    return OK;
}

static enum status
write_all(int fd, struct slice bytes, const char *path, struct err *err)
{
    while (bytes.length > 0) {
        ssize_t put = write(fd, bytes.at, bytes.length);

        if (put < 0 && errno == EINTR)
            continue;
        FAIL_IF(put < 0, err, IO, 0, "%s: writing failed (error %d)", path, errno);
        bytes = slice_from(bytes, (size_t)put);
    }
    return OK;
}

enum status
files_write(const char *path, struct slice bytes, struct err *err)
{
    CLEANUP(close_fd) int fd = -1;
    CLEANUP(buf_done) struct buf beside = buf_with_cap(4096);

    buf_printf(&beside, "%s.%ld.part", path, (long)getpid());
    TRY(buf_check(&beside, err));
    fd = open(beside.bytes, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FAIL_IF(fd < 0, err, IO, 0, "%s: it cannot be written (error %d)", path, errno);
    if (write_all(fd, bytes, path, err) != OK || fsync(fd) != 0 ||
        rename(beside.bytes, path) != 0) {
        (void)unlink(beside.bytes);
        FAIL(err, IO, 0, "%s: writing failed (error %d)", path, errno);
    }
    return OK;
}

static void
free_folder(struct folder **folder)
{
    folder_free(*folder);
}

static void
free_text(struct slice *text)
{
    union {
        const char *in;
        void *out;
    } at = {.in = text->at};

    mem_free(at.out);
}

/* A neighbour that may not be read is told as one that is no file, when a reader wants it. */
static enum status
open_neighbour(void *context, size_t i, int *ret_fd, struct err *err)
{
    const struct inspector_set *all = context;

    if (all->open(all->context, i, ret_fd, NULL) == OK)
        return OK;
    *ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    FAIL_IF(*ret_fd < 0, err, IO, 0, "%.*s: it cannot be opened (error %d)",
            SLICE_PRINT(all->path(all->context, i)), errno);
    return OK;
}

static struct slice
neighbour_path(void *context, size_t i)
{
    const struct inspector_set *all = context;

    return all->path(all->context, i);
}

static enum status
inspect_folder(const char *path, const struct folder_wish *wish, const struct limits *limits,
               struct inspection *ret, struct err *err)
{
    CLEANUP(free_folder) struct folder *folder = NULL;
    CLEANUP(confined_done) struct inspector *inspector = NULL;
    struct inspector_set files, all = {.path = neighbour_path, .open = open_neighbour};

    TRY(folder_open(path, wish, &folder, err));
    files = folder_files(folder);
    FAIL_IF(files.count == 0, err, UNRECOGNIZED, 0, "there is no file");
    all.count = files.count;
    all.is_one = wish->is_first_alone;
    all.context = &files;
    TRY(confined_start(limits, &inspector, err));
    return inspector_run_set(inspector, &all, ret, err);
}

static enum status
inspect_file(const char *path, const struct limits *limits, struct inspection *ret, struct err *err)
{
    CLEANUP(close_fd) int fd = -1;
    CLEANUP(confined_done) struct inspector *inspector = NULL;
    struct inspector_file file = {0};
    struct source source;

    TRY(open_file(path, &fd, err));
    TRY(source_of_fd(&fd, &source, err)); /* only to say that it is a directory */
    TRY(confined_start(limits, &inspector, err));
    file.fd = fd;
    return inspector_run(inspector, &file, 1, ret, err);
}

/* An index stands for the files of its folder that it names. */
static enum status
inspect_index(const char *path, const char *folder, const char *name, const struct limits *limits,
              struct inspection *ret, struct err *err)
{
    CLEANUP(free_text) struct slice text = {0};
    CLEANUP(arena_done) struct arena arena = arena_with_cap(limits->arena_bytes);
    struct folder_wish wish = {.first = name};
    struct slice *names = NULL;
    bool is_index;

    TRY(files_read(path, limits->header_bytes, &text, err));
    TRY(folder_index_names(text, limits, &arena, &names, &wish.name_count, &is_index, err));
    wish.names = names;
    return is_index ? inspect_folder(folder, &wish, limits, ret, err)
                    : inspect_file(path, limits, ret, err);
}

enum status
files_vouched(const char *path, const struct limits *limits, struct arena *arena,
              struct vouched *ret_vouched, struct err *err)
{
    CLEANUP(free_text) struct slice text = {0};
    struct err why = {0};

    *ret_vouched = (struct vouched){0};
    if (path == NULL || path[0] == '\0')
        return OK;
    TRY(files_read(path, VOUCHED_TEXT_BYTES_MAX, &text, err));
    if (vouched_read(text, limits, arena, ret_vouched, &why) == OK)
        return OK;
    err_set(err, why.code, 0, "%s: %s", path, why.text);
    return why.code;
}

bool
files_is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Three kinds of file mean their neighbours, too: an index, DCP's .metadata, and an ONNX model, whose
 * weights may lie beside it. Any other is read alone. */
enum status
files_inspect(const char *path, const struct limits *limits, struct inspection *ret,
              struct err *err)
{
    CLEANUP(buf_done) struct buf folder = buf_with_cap(8192);
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    bool is_index = slice_ends(slice_of(name), slice_of(".index.json"));

    *ret = (struct inspection){0};
    if (files_is_directory(path))
        return inspect_folder(path, &(struct folder_wish){.is_deep = true}, limits, ret, err);
    if (!is_index && !slice_is(slice_of(name), ".metadata") &&
        !slice_ends(slice_of(name), slice_of(".onnx")))
        return inspect_file(path, limits, ret, err);
    if (slash == NULL)
        buf_text(&folder, ".");
    else
        buf_add(&folder, path, slash == path ? 1 : (size_t)(slash - path));
    buf_add(&folder, "", 1);
    TRY(buf_check(&folder, err));
    if (access(path, F_OK) != 0 || is_index)
        return is_index ? inspect_index(path, folder.bytes, name, limits, ret, err)
                        : inspect_file(path, limits, ret, err);
    return inspect_folder(
        folder.bytes,
        &(struct folder_wish){.first = name,
                              .is_first_alone = !slice_is(slice_of(name), ".metadata")},
        limits, ret, err);
}

enum status
files_print(struct slice text, struct err *err)
{
    FAIL_IF(fwrite(text.at, 1, text.length, stdout) != text.length || fflush(stdout) != 0, err, IO,
            0, "the output could not be written");
    return OK;
}
