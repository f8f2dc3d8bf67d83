#include "server/inspector/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"
#include "common/structure/record.h"
#include "server/inspector/inspector.h"
#include "server/inspector/protocol.h"
#include "server/inspector/sandbox.h"

enum {
    PATH_BYTES_MAX = 4096,
    PROBE_DESCRIPTORS = 64, /* it must be Landlock that refuses to open, not a limit */
};

struct job_file {
    char *path;
    size_t path_length;
    int fd;
    struct source source; /* made before the sandbox, which has no fstat(2) */
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

    FAIL_IF(job->files[i].source.read_at == NULL, err, IO, 0,
            "%.*s: it is not a regular file, or may not be read",
            SLICE_PRINT(file_path(context, i)));
    *ret_source = job->files[i].source;
    return OK;
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
    IGNORE(source_of_fd(&file->fd, &file->source, NULL)); /* told if a reader wants it */
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
send_pieces(int socket, const struct inspection *in, size_t cap_bytes, struct err *err)
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
    return OK;
}

/* What a reader saw before it gave up is worth having: it may be the gadget. */
static enum status
send_remainder(int socket, const struct inspection *in, size_t cap_bytes, const struct err *why)
{
    if (in->finding_count > 0)
        IGNORE(send_pieces(socket, in, cap_bytes, NULL));
    return why->code;
}

static struct sandbox_bounds
bounds_of(const struct job_request *request)
{
    return (struct sandbox_bounds){.memory_bytes = request->memory_bytes,
                                   .cpu_seconds = request->cpu_seconds};
}

static enum status
enter(const struct sandbox *sandbox, const struct job_request *request, struct err *err)
{
    struct sandbox_bounds bounds = bounds_of(request);
    struct sandbox_level level = {0};
    char missing[SANDBOX_TEXT_BYTES];

    TRY(sandbox_enter(sandbox, &bounds, request->layers, &level, err));
    sandbox_describe_missing(&level, request->needed, missing);
    FAIL_IF(missing[0] != '\0', err, INTERNAL, 0, "its sandbox lacks %s", missing);
    return OK;
}

/* Go in as a reader would, and try the walls. What the filter does to this process the daemon sees by
 * how it ends. */
static enum status
probe(int socket, const struct sandbox *sandbox, const struct job_request *request, struct err *err)
{
    struct sandbox_bounds bounds = bounds_of(request);
    struct sandbox_level level = {0};
    struct job_level said;
    int fd;

    bounds.descriptors = PROBE_DESCRIPTORS;
    TRY(sandbox_enter(sandbox, &bounds, request->layers & ~(uint32_t)SANDBOX_SECCOMP, &level, err));
    fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 || errno != EACCES) {
        level.layers &= ~(uint32_t)SANDBOX_LANDLOCK;
        level.landlock_abi = 0;
    }
    TRY(sandbox_enter(sandbox, &bounds, request->layers & SANDBOX_SECCOMP, &level, err));
    said = (struct job_level){.layers = level.layers, .landlock_abi = level.landlock_abi};
    TRY(protocol_say(socket, MESSAGE_LEVEL, &said, sizeof said, -1, err));
    (void)!socketpair(AF_UNIX, SOCK_DGRAM, 0, (int[2]){0});
    return OK;
}

static enum status
inspect(int socket, const struct sandbox *sandbox, struct job *job, struct err *err)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct fileset files = {.path = file_path, .open = file_open, .context = job};
    const struct limits *limits = &job->request.limits;

    TRY(receive_job(socket, job, err));
    if (job->request.is_probe != 0)
        return probe(socket, sandbox, &job->request, err);
    TRY(enter(sandbox, &job->request, err));
    files.count = job->request.file_count;
    files.is_one = job->request.is_one != 0;
    if (format_read(&files, limits, &in, err) != OK)
        return send_remainder(socket, &in, limits->arena_bytes, err);
    TRY(send_pieces(socket, &in, limits->arena_bytes, err));
    return protocol_say(socket, MESSAGE_DONE, NULL, 0, -1, err);
}

_Noreturn void
child_main(int socket, const struct sandbox *sandbox)
{
    struct job job = {0};
    struct err err = {0};
    struct job_failure failure = {0};

    mem_keep_little();
    if (inspect(socket, sandbox, &job, &err) != OK) {
        failure.code = (uint32_t)err.code;
        failure.offset = err.offset;
        memcpy(failure.text, err.text, sizeof failure.text);
        IGNORE(protocol_say(socket, MESSAGE_FAILED, &failure, sizeof failure, -1, NULL));
    }
    _exit(EXIT_SUCCESS);
}
