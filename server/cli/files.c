#include "server/cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/formats/format.h"

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

enum status
files_inspect(const char *path, const struct limits *limits, struct inspection *ret,
              struct err *err)
{
    CLEANUP(close_fd) int fd = -1;
    struct source source;
    struct fileset files;

    *ret = (struct inspection){0};
    TRY(open_file(path, &fd, err));
    TRY(source_of_fd(&fd, &source, err));
    files = fileset_of_source(&source);
    return format_read(&files, limits, ret, err);
}

enum status
files_print(struct slice text, struct err *err)
{
    FAIL_IF(fwrite(text.at, 1, text.length, stdout) != text.length || fflush(stdout) != 0, err, IO,
            0, "the output could not be written");
    return OK;
}
