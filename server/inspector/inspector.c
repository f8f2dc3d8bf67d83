#include "server/inspector/inspector.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/structure/record.h"
#include "server/inspector/protocol.h"
#include "server/inspector/sandbox.h"

struct inspector {
    struct inspector_config config;
    pthread_mutex_t lock; /* of what follows */
    int socket;           /* to the zygote */
    pid_t pid;
    bool is_ending;             /* no zygote is started any more */
    struct sandbox_level level; /* as measured, before any thread asks */
    char has[SANDBOX_TEXT_BYTES];
    char lacks[SANDBOX_TEXT_BYTES];
};

/* One job as the daemon sees it. */
struct job {
    int socket;
    int pidfd; /* -1 until the zygote told */
    uint64_t deadline_ms;
    char *message; /* MESSAGE_BYTES_MAX of room for the one that is heard */
    struct buf record;
    bool has_level;
    struct job_level level;
    bool is_done;
    bool has_failed;
    struct job_failure failure;
    bool has_exit;
    int wait_status;
};

struct inspector_config
inspector_config_default(void)
{
    return (struct inspector_config){
        .executable = "/proc/self/exe",
        .limits = limits_default(),
        .wall_ms = 120000,
        .cpu_seconds = 120,
        .memory_bytes = IS_SANITIZED ? 0 : (size_t)3 << 30,
        .answer_bytes = (size_t)1 << 30,
    };
}

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* ---- the zygote's life ---- */

/* Its one socket, /dev/null for the rest, nothing else. */
static int
add_actions(posix_spawn_file_actions_t *actions, int socket)
{
    int failed = posix_spawn_file_actions_adddup2(actions, socket, ZYGOTE_FD);

    for (int fd = STDIN_FILENO; failed == 0 && fd < (IS_SANITIZED ? STDERR_FILENO : ZYGOTE_FD);
         fd++)
        failed = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
    if (failed == 0)
        failed = posix_spawn_file_actions_addclosefrom_np(actions, ZYGOTE_FD + 1);
    return failed;
}

static enum status
spawn(const char *executable, int socket, pid_t *ret_pid, struct err *err)
{
    char name[] = "ckptd", verb[] = INSPECTOR_VERB;
    char *const arguments[] = {name, verb, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int failed;

    (void)sigemptyset(&none);
    FAIL_IF(posix_spawn_file_actions_init(&actions) != 0, err, NO_MEMORY, 0, "out of memory");
    failed = posix_spawnattr_init(&attributes);
    if (failed == 0) {
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        failed = add_actions(&actions, socket);
        if (failed == 0)
            failed = posix_spawn(ret_pid, executable, &actions, &attributes, arguments, environ);
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    FAIL_IF(failed != 0, err, INTERNAL, 0, "the inspector cannot be started (error %d)", failed);
    return OK;
}

/* The same without another program, for the command line, to which a milliseconds' start matters and
 * which has nothing to hide from its own fork. */
static enum status
fork_zygote(int socket, pid_t *ret_pid, struct err *err)
{
    int null;

    *ret_pid = fork();
    FAIL_IF(*ret_pid < 0, err, INTERNAL, 0, "the inspector cannot be started (error %d)", errno);
    if (*ret_pid > 0)
        return OK;
    /* Over the others: none of the three below may be the socket when they are put in its place. */
    socket = fcntl(socket, F_DUPFD, ZYGOTE_FD + 1);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (socket < 0 || dup2(socket, ZYGOTE_FD) < 0)
        _exit(EXIT_FAILURE);
    for (int fd = STDIN_FILENO; fd < (IS_SANITIZED ? STDERR_FILENO : ZYGOTE_FD); fd++)
        if (null < 0 || dup2(null, fd) < 0)
            (void)close(fd);
    (void)close_range(ZYGOTE_FD + 1, ~0U, 0);
    _exit(inspector_zygote());
}

/* Start one, or replace a dead one. Under the lock. */
static enum status
start_zygote(struct inspector *inspector, struct err *err)
{
    int pair[2];
    enum status status;

    FAIL_IF(inspector->is_ending, err, BUSY, 0, "the daemon ends: nothing is inspected any more");
    if (inspector->socket >= 0) {
        close_fd(&inspector->socket);
        (void)kill(inspector->pid, SIGKILL);
        (void)waitpid(inspector->pid, NULL, 0);
    }
    FAIL_IF(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0, err, INTERNAL, 0,
            "no socket for the inspector (error %d)", errno);
    status = inspector->config.executable == NULL
                 ? fork_zygote(pair[1], &inspector->pid, err)
                 : spawn(inspector->config.executable, pair[1], &inspector->pid, err);
    (void)close(pair[1]);
    if (status != OK) {
        (void)close(pair[0]);
        return status;
    }
    inspector->socket = pair[0];
    return OK;
}

enum status
inspector_start(const struct inspector_config *config, struct inspector **ret_inspector,
                struct err *err)
{
    struct inspector *inspector = mem_new(1, sizeof *inspector);
    enum status status;

    FAIL_IF(inspector == NULL, err, NO_MEMORY, 0, "out of memory");
    inspector->config = *config;
    inspector->socket = -1;
    (void)pthread_mutex_init(&inspector->lock, NULL);
    status = start_zygote(inspector, err);
    if (status != OK) {
        inspector_free(inspector);
        return status;
    }
    *ret_inspector = inspector;
    return OK;
}

void
inspector_free(struct inspector *inspector)
{
    if (inspector == NULL)
        return;
    if (inspector->socket >= 0) {
        close_fd(&inspector->socket);
        (void)kill(inspector->pid, SIGKILL); /* it has nothing to tidy up, and may hang */
        (void)waitpid(inspector->pid, NULL, 0);
    }
    (void)pthread_mutex_destroy(&inspector->lock);
    mem_free(inspector);
}

void
inspector_cut(struct inspector *inspector)
{
    if (inspector == NULL)
        return;
    (void)pthread_mutex_lock(&inspector->lock);
    inspector->is_ending = true;
    if (inspector->socket >= 0)
        (void)kill(inspector->pid, SIGKILL); /* its children die with it */
    (void)pthread_mutex_unlock(&inspector->lock);
}

/* It never told of a child: it hangs. The next job finds it dead and has it replaced. */
static void
kill_zygote(struct inspector *inspector, pid_t pid)
{
    (void)pthread_mutex_lock(&inspector->lock);
    if (inspector->pid == pid && inspector->socket >= 0)
        (void)kill(pid, SIGKILL);
    (void)pthread_mutex_unlock(&inspector->lock);
}

int
inspector_pid(struct inspector *inspector)
{
    int pid;

    (void)pthread_mutex_lock(&inspector->lock);
    pid = inspector->pid;
    (void)pthread_mutex_unlock(&inspector->lock);
    return pid;
}

const char *
inspector_sandbox(const struct inspector *inspector)
{
    return inspector->has;
}

const char *
inspector_sandbox_missing(const struct inspector *inspector)
{
    return inspector->lacks;
}

/* ---- one job ---- */

static uint64_t
now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
job_done(struct job *job)
{
    close_fd(&job->socket);
    close_fd(&job->pidfd);
    mem_free(job->message);
    buf_done(&job->record);
}

/* Hand the job's other socket to the zygote; a zygote that died is replaced, once. */
static enum status
hand_over(struct inspector *inspector, int socket, pid_t *ret_zygote, struct err *err)
{
    enum status status;

    (void)pthread_mutex_lock(&inspector->lock);
    status = protocol_send(inspector->socket, "", 1, socket, NULL);
    if (status != OK) {
        status = start_zygote(inspector, err);
        if (status == OK)
            status = protocol_send(inspector->socket, "", 1, socket, err);
    }
    *ret_zygote = inspector->pid;
    (void)pthread_mutex_unlock(&inspector->lock);
    return status;
}

static enum status
send_file(int socket, const struct inspector_set *set, size_t i, bool *ret_open_failed,
          struct err *err)
{
    CLEANUP(close_fd) int fd = -1;
    struct slice name = set->path(set->context, i);
    char path[4096];
    enum status status;

    FAIL_IF(name.length > sizeof path - 1, err, LIMIT, 0, "a path of %zu bytes", name.length);
    path[0] = '\0';
    if (name.length > 0)
        memcpy(path + 1, name.at, name.length);
    status = set->open(set->context, i, &fd, err);
    *ret_open_failed = status != OK;
    TRY(status);
    return protocol_send(socket, path, name.length + 1, fd, err);
}

static uint32_t
wanted_layers(const struct inspector *inspector)
{
    return inspector->config.sandbox == INSPECTOR_SANDBOX_OFF ? SANDBOX_LEAST : SANDBOX_ALL;
}

static struct job_request
request_of(const struct inspector *inspector)
{
    const struct inspector_config *config = &inspector->config;
    uint32_t wanted = wanted_layers(inspector);

    return (struct job_request){
        .magic = PROTOCOL_MAGIC,
        .cpu_seconds = config->cpu_seconds,
        .memory_bytes = config->memory_bytes,
        .limits = config->limits,
        .layers = wanted & ~config->without_layers,
        .needed = config->sandbox == INSPECTOR_SANDBOX_REQUIRE ? wanted : inspector->level.layers,
    };
}

static enum status
send_job(const struct inspector *inspector, int socket, const struct inspector_set *set,
         bool *ret_open_failed, struct err *err)
{
    struct job_request request = request_of(inspector);

    request.file_count = (uint32_t)set->count;
    request.is_one = set->is_one;

    TRY(protocol_send(socket, &request, sizeof request, -1, err));
    for (size_t i = 0; i < set->count; i++)
        TRY(send_file(socket, set, i, ret_open_failed, err));
    return OK;
}

static void
take_message(struct job *job, size_t length, int *fd)
{
    const char *message = job->message;

    switch ((enum message)message[0]) {
    case MESSAGE_CHILD:
        if (job->pidfd >= 0)
            break; /* the zygote says it once */
        job->pidfd = *fd;
        *fd = -1;
        break;
    case MESSAGE_DATA:
        buf_add(&job->record, message + 1, length - 1);
        break;
    case MESSAGE_DONE:
        job->is_done = true;
        break;
    case MESSAGE_FAILED:
        if (length == 1 + sizeof job->failure) {
            memcpy(&job->failure, message + 1, sizeof job->failure);
            job->failure.text[sizeof job->failure.text - 1] = '\0';
            job->has_failed = true;
        }
        break;
    case MESSAGE_EXIT:
        if (length == 1 + sizeof(struct job_exit)) {
            memcpy(&job->wait_status, message + 1, sizeof job->wait_status);
            job->has_exit = true;
        }
        break;
    case MESSAGE_LEVEL:
        if (length == 1 + sizeof job->level) {
            memcpy(&job->level, message + 1, sizeof job->level);
            job->has_level = true;
        }
        break;
    }
}

/* Wait for the next message; false at the deadline, or when everybody is gone. */
static bool
hear(struct job *job, bool *ret_is_late)
{
    struct pollfd fd = {.fd = job->socket, .events = POLLIN};
    uint64_t now = now_ms();
    size_t length;
    int attached, ready;

    *ret_is_late = now >= job->deadline_ms;
    if (*ret_is_late)
        return false;
    ready = poll(&fd, 1, (int)(job->deadline_ms - now));
    if (ready < 0 && errno == EINTR)
        return true;
    *ret_is_late = ready == 0;
    if (ready <= 0)
        return false;
    if (protocol_receive(job->socket, job->message, MESSAGE_BYTES_MAX, &length, &attached, NULL) !=
            OK ||
        length == 0)
        return false;
    take_message(job, length, &attached);
    close_fd(&attached);
    return job->record.failed == OK;
}

static void
kill_child(const struct job *job)
{
    if (job->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, job->pidfd, SIGKILL, NULL, 0);
}

/* Its own words, made safe: a code of ours that speaks of a file, a text that is cut. */
static enum status
child_failure(const struct job *job, struct err *err)
{
    static const enum status allowed[] = {ERR_TRUNCATED,    ERR_MALFORMED, ERR_UNSUPPORTED,
                                          ERR_UNRECOGNIZED, ERR_LIMIT,     ERR_NO_MEMORY};

    for (size_t i = 0; i < ARRAY_LENGTH(allowed); i++) {
        if (job->failure.code != (uint32_t)allowed[i])
            continue;
        err_set(err, allowed[i], job->failure.offset, "%s", job->failure.text);
        return allowed[i];
    }
    FAIL(err, INSPECTOR, 0, "the inspector failed: %s", job->failure.text);
}

static bool
was_ended_by(const struct job *job, int signal)
{
    return WIFSIGNALED(job->wait_status) && WTERMSIG(job->wait_status) == signal;
}

static enum status
how_it_ended(const struct inspector *inspector, const struct job *job, bool is_late,
             struct err *err)
{
    FAIL_IF(is_late, err, TIMEOUT, 0, "the inspection took longer than %u ms and was ended",
            inspector->config.wall_ms);
    FAIL_IF(job->record.failed != OK, err, LIMIT, 0, "the inspection's answer is too long");
    if (job->has_failed)
        return child_failure(job, err);
    FAIL_IF(
        job->has_exit && was_ended_by(job, SIGSYS), err, INSPECTOR, 0,
        "the inspector was ended by signal %d (a system call that the sandbox forbids) while it "
        "read the file",
        SIGSYS);
    FAIL_IF(job->has_exit && WIFSIGNALED(job->wait_status), err, INSPECTOR, 0,
            "the inspector was ended by signal %d while it read the file",
            WTERMSIG(job->wait_status));
    FAIL_IF(job->pidfd < 0, err, BUSY, 0, "the system gives no process for an inspection");
    FAIL(err, INSPECTOR, 0, "the inspector ended without an answer");
}

/* What was found before the reader gave up, if it says so and it makes sense. */
static void
take_remainder(const struct inspector *inspector, const struct job *job, struct inspection *ret)
{
    if (!job->has_failed || job->record.failed != OK || job->record.length == 0)
        return;
    if (record_read_inspection(buf_slice_of(&job->record), &inspector->config.limits, ret, NULL) !=
        OK) {
        inspection_done(ret);
        *ret = (struct inspection){0};
    }
}

static enum status
run_job(struct inspector *inspector, struct job *job, const struct inspector_set *set,
        struct inspection *ret, struct err *err)
{
    struct err why = {0};
    bool is_late = false, open_failed = false;
    enum status status = send_job(inspector, job->socket, set, &open_failed, &why);

    /* Writing to a child that is already gone says less than how it ended. */
    FAIL_IF(status == ERR_IO && !open_failed, err, INSPECTOR, 0,
            "the inspector ended before it took the job");
    if (status != OK) {
        err_copy(err, &why);
        return status;
    }
    while (!job->is_done && !job->has_failed && !job->has_exit && hear(job, &is_late))
        continue;
    if (!job->is_done || job->record.failed != OK) {
        kill_child(job);
        take_remainder(inspector, job, ret);
        return how_it_ended(inspector, job, is_late, err);
    }
    if (record_read_inspection(buf_slice_of(&job->record), &inspector->config.limits, ret, &why) !=
        OK)
        FAIL(err, INSPECTOR, 0, "the inspector answered nonsense: %s", why.text);
    return OK;
}

/* A zygote that stands still must not hold the one who hands over a long list of files. */
static void
set_send_timeout(int socket, unsigned ms)
{
    struct timeval timeout = {.tv_sec = (time_t)(ms / 1000),
                              .tv_usec = (suseconds_t)(ms % 1000) * 1000};

    (void)setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

/* A job's two ends; the zygote has the other one. */
static enum status
begin_job(struct inspector *inspector, struct job *job, pid_t *ret_zygote, struct err *err)
{
    int pair[2];
    enum status status;

    job->message = mem_new(MESSAGE_BYTES_MAX, 1);
    FAIL_IF(job->message == NULL, err, NO_MEMORY, 0, "out of memory");
    FAIL_IF(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0, err, BUSY, 0,
            "no socket for the inspection (error %d)", errno);
    job->socket = pair[0];
    set_send_timeout(job->socket, inspector->config.wall_ms);
    job->deadline_ms = now_ms() + inspector->config.wall_ms;
    status = hand_over(inspector, pair[1], ret_zygote, err);
    (void)close(pair[1]);
    return status;
}

static struct job
new_job(const struct inspector *inspector)
{
    return (struct job){
        .socket = -1, .pidfd = -1, .record = buf_with_cap(inspector->config.answer_bytes)};
}

enum status
inspector_run_set(struct inspector *inspector, const struct inspector_set *set,
                  struct inspection *ret, struct err *err)
{
    CLEANUP(job_done) struct job job = new_job(inspector);
    pid_t zygote;
    enum status status;

    *ret = (struct inspection){0};
    FAIL_IF(set->count == 0 || set->count > INSPECTOR_FILES_MAX, err, LIMIT, 0, "%zu files",
            set->count);
    TRY(begin_job(inspector, &job, &zygote, err));
    status = run_job(inspector, &job, set, ret, err);
    if (status == ERR_TIMEOUT && job.pidfd < 0)
        kill_zygote(inspector, zygote);
    return status;
}

static struct slice
path_of(void *context, size_t i)
{
    const struct inspector_file *files = context;

    return files[i].path;
}

/* The caller's stays open: what is handed over, and closed, is another of the same file. */
static enum status
duplicate(void *context, size_t i, int *ret_fd, struct err *err)
{
    const struct inspector_file *files = context;

    *ret_fd = fcntl(files[i].fd, F_DUPFD_CLOEXEC, 0);
    FAIL_IF(*ret_fd < 0, err, BUSY, 0, "no descriptor for the inspection (error %d)", errno);
    return OK;
}

enum status
inspector_run(struct inspector *inspector, const struct inspector_file *files, size_t count,
              struct inspection *ret, struct err *err)
{
    union {
        const struct inspector_file *in;
        void *out;
    } context = {.in = files}; /* only ever read through */
    struct inspector_set set = {
        .count = count, .path = path_of, .open = duplicate, .context = context.out};

    return inspector_run_set(inspector, &set, ret, err);
}

/* seccomp is as good as the end of the one who tried it. */
static void
settle_level(struct inspector *inspector, const struct job *job)
{
    inspector->level = (struct sandbox_level){.layers = job->level.layers & SANDBOX_ALL,
                                              .landlock_abi = job->level.landlock_abi};
    if (!was_ended_by(job, SIGSYS))
        inspector->level.layers &= ~(uint32_t)SANDBOX_SECCOMP;
    sandbox_describe(&inspector->level, inspector->has);
    sandbox_describe_missing(&inspector->level, SANDBOX_ALL, inspector->lacks);
}

enum status
inspector_probe(struct inspector *inspector, struct err *err)
{
    CLEANUP(job_done) struct job job = new_job(inspector);
    struct job_request request = request_of(inspector);
    bool is_late = false;
    pid_t zygote;

    request.is_probe = 1;
    TRY(begin_job(inspector, &job, &zygote, err));
    TRY(protocol_send(job.socket, &request, sizeof request, -1, err));
    while (!job.has_failed && !job.has_exit && hear(&job, &is_late))
        continue;
    if (!job.has_level || !job.has_exit)
        return how_it_ended(inspector, &job, is_late, err);
    settle_level(inspector, &job);
    FAIL_IF(inspector->config.sandbox == INSPECTOR_SANDBOX_REQUIRE && inspector->lacks[0] != '\0',
            err, UNSUPPORTED, 0,
            "the sandbox is required, but lacks %s here: %s. Use another kernel or build, or "
            "--sandbox=best",
            inspector->lacks,
            IS_SANITIZED ? "this build has a sanitizer, which seccomp would end"
                         : "Landlock needs Linux 5.13 with landlock in its list of LSMs, seccomp "
                           "Linux 4.14, and both a container that allows them");
    return OK;
}
