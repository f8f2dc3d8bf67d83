#include "server/inspector/child.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"
#include "common/structure/record.h"
#include "server/inspector/inspector.h"
#include "server/inspector/protocol.h"
#include "server/inspector/sandbox.h"

enum { PATH_BYTES_MAX = 4096 };

struct job_file {
    char *path;
    size_t path_length;
    int fd;
};

struct job {
    struct job_request request;
    struct job_file *files;
};

static struct slice
file_path(void *context, size_t i)
{
    const struct job *job = context;

    return (struct slice){job->files[i].path, job->files[i].path_length};
}

static enum status
file_open(void *context, size_t i, struct source *ret_source, struct err *err)
{
    const struct job *job = context;

    return source_of_fd(&job->files[i].fd, ret_source, err);
}

static enum status
receive_file(int socket, struct job_file *file, struct err *err)
{
    char path[PATH_BYTES_MAX];
    size_t length;

    TRY(protocol_receive(socket, path, sizeof path, &length, &file->fd, err));
    FAIL_IF(length == 0, err, IO, 0, "the daemon is gone");
    FAIL_IF(file->fd < 0, err, LIMIT, 0,
            "the version has more files than the system lets one process open (ulimit -n)");
    file->path_length = length - 1; /* a leading zero byte keeps an empty path a message */
    file->path = mem_copy(path + 1, length - 1);
    FAIL_IF(file->path == NULL, err, NO_MEMORY, 0, "out of memory");
    return OK;
}

static enum status
receive_job(int socket, struct job *job, struct err *err)
{
    size_t length;
    int fd;

    TRY(protocol_receive(socket, &job->request, sizeof job->request, &length, &fd, err));
    FAIL_IF(length != sizeof job->request || job->request.magic != PROTOCOL_MAGIC, err, IO, 0,
            "the daemon speaks another language");
    FAIL_IF(job->request.file_count > INSPECTOR_FILES_MAX, err, LIMIT, 0, "too many files");
    job->files = mem_new(job->request.file_count, sizeof *job->files);
    FAIL_IF(job->files == NULL, err, NO_MEMORY, 0, "out of memory");
    for (uint32_t i = 0; i < job->request.file_count; i++)
        TRY(receive_file(socket, &job->files[i], err));
    return OK;
}

static enum status
send_record(int socket, const struct inspection *in, size_t cap_bytes, struct err *err)
{
    CLEANUP(buf_done) struct buf record = buf_with_cap(cap_bytes);
    struct slice rest;

    record_add_inspection(&record, in);
    TRY(buf_check(&record, err));
    for (rest = buf_slice_of(&record); rest.length > 0;) {
        size_t piece = rest.length < MESSAGE_BYTES_MAX - 1 ? rest.length : MESSAGE_BYTES_MAX - 1;

        TRY(protocol_say(socket, MESSAGE_DATA, rest.at, piece, -1, err));
        rest = slice_from(rest, piece);
    }
    return protocol_say(socket, MESSAGE_DONE, NULL, 0, -1, err);
}

static enum status
inspect(int socket, struct job *job, struct err *err)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct fileset files = {.path = file_path, .open = file_open, .context = job};

    TRY(receive_job(socket, job, err));
    TRY(sandbox_enter(&(struct sandbox){.memory_bytes = job->request.memory_bytes,
                                        .cpu_seconds = job->request.cpu_seconds},
                      err));
    files.count = job->request.file_count;
    TRY(format_read(&files, &job->request.limits, &in, err));
    return send_record(socket, &in, job->request.limits.arena_bytes, err);
}

_Noreturn void
child_main(int socket)
{
    struct job job = {0};
    struct err err = {0};
    struct job_failure failure = {0};

    if (inspect(socket, &job, &err) != OK) {
        failure.code = (uint32_t)err.code;
        failure.offset = err.offset;
        memcpy(failure.text, err.text, sizeof failure.text);
        IGNORE(protocol_say(socket, MESSAGE_FAILED, &failure, sizeof failure, -1, NULL));
    }
    _exit(EXIT_SUCCESS);
}
