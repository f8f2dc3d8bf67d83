#include "server/inspector/inspector.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"
#include "common/structure/record.h"
#include "server/inspector/protocol.h"
#include "server/inspector/sandbox.h"
#include "tests/support/unit.h"
#include "tests/unit/server/inspector/confined.h"

static struct inspector *
start(unsigned wall_ms)
{
    struct inspector_config config = inspector_config_default();
    struct inspector *inspector = NULL;
    struct err err = {0};

    config.executable = CKPTD_BINARY;
    config.wall_ms = wall_ms;
    ck_assert_msg(inspector_start(&config, &inspector, &err) == OK, "%s", err.text);
    return inspector;
}

/* A safetensors file of one tensor of n float32. */
static int
good_file(unsigned n)
{
    int fd = memfd_create("good", MFD_CLOEXEC);
    char header[200];
    uint8_t length[8] = {0};

    (void)snprintf(header, sizeof header,
                   "{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[%u],\"data_offsets\":[0,%u]}}", n,
                   4 * n);
    length[0] = (uint8_t)strlen(header);
    ck_assert_int_eq(write(fd, length, 8), 8);
    ck_assert_int_eq(write(fd, header, strlen(header)), strlen(header));
    ck_assert_int_eq(ftruncate(fd, (off_t)(8 + strlen(header) + 4 * n)), 0);
    return fd;
}

static enum status
inspect(struct inspector *inspector, int fd, struct err *err)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct inspector_file file = {.path = slice_of("model.safetensors"), .fd = fd};

    return inspector_run(inspector, &file, 1, &in, err);
}

START_TEST(inspector__tells_what_is_in_a_file)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct inspector *inspector = start(10000);
    struct inspector_file file = {.fd = good_file(7)};
    struct err err = {0};

    ck_assert_msg(inspector_run(inspector, &file, 1, &in, &err) == OK, "%s", err.text);
    ck_assert(slice_is(in.format, "safetensors"));
    ck_assert_uint_eq(in.containers[0].structure.tensors[0].elements, 7);
    (void)close(file.fd);
    inspector_free(inspector);
}
END_TEST

/* The set comes whole, though the limit that the zygote inherits would not do. */
START_TEST(inspector__takes_two_thousand_files)
{
    enum { FILES = 2000 };
    CLEANUP(inspection_done) struct inspection in = {0};
    CLEANUP(mem_free_at) struct inspector_file *files = mem_new(FILES, sizeof *files);
    struct rlimit before, low;
    struct inspector *inspector;
    struct err err = {0};
    int fd = good_file(7);

    ck_assert_ptr_nonnull(files);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_ge(before.rlim_max, FILES + 16);
    low = before;
    low.rlim_cur = 256;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    inspector = start(20000);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < FILES; i++)
        files[i] = (struct inspector_file){.path = slice_of("part"), .fd = fd};
    ck_assert_msg(inspector_run(inspector, files, FILES, &in, &err) == OK, "%s", err.text);
    ck_assert(slice_is(in.format, "safetensors"));
    (void)close(fd);
    inspector_free(inspector);
}
END_TEST

START_TEST(inspector__hands_on_the_readers_own_error)
{
    struct inspector *inspector = start(10000);
    int fd = memfd_create("bad", MFD_CLOEXEC);
    struct err err = {0};

    ck_assert_int_eq(write(fd, "<!DOCTYPE html>", 15), 15);
    ck_assert_int_eq(inspect(inspector, fd, &err), ERR_UNRECOGNIZED);
    ck_assert_ptr_nonnull(strstr(err.text, "HTML"));
    (void)close(fd);
    inspector_free(inspector);
}
END_TEST

START_TEST(inspector__replaces_a_zygote_that_was_killed)
{
    struct inspector *inspector = start(10000);
    int fd = good_file(3), first = inspector_pid(inspector);
    struct err err = {0};

    ck_assert_int_eq(kill(first, SIGKILL), 0);
    (void)usleep(20000);
    ck_assert_msg(inspect(inspector, fd, &err) == OK, "%s", err.text);
    ck_assert_int_ne(inspector_pid(inspector), first);
    (void)close(fd);
    inspector_free(inspector);
}
END_TEST

START_TEST(inspector__ends_a_job_that_hangs)
{
    struct inspector *inspector = start(200);
    int fd = good_file(3);
    struct err err = {0};

    ck_assert_int_eq(kill(inspector_pid(inspector), SIGSTOP), 0);
    ck_assert_int_eq(inspect(inspector, fd, &err), ERR_TIMEOUT);
    ck_assert_int_eq(kill(inspector_pid(inspector), SIGCONT), 0);
    (void)close(fd);
    inspector_free(inspector);
}
END_TEST

static void *
kill_soon(void *context)
{
    (void)usleep(50000);
    (void)kill(*(int *)context, SIGKILL);
    return NULL;
}

START_TEST(inspector__says_that_it_died_in_the_middle_of_a_job)
{
    struct inspector *inspector = start(10000);
    int fd = good_file(3), pid = inspector_pid(inspector);
    struct err err = {0}, again = {0};
    pthread_t killer;

    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    ck_assert_int_eq(pthread_create(&killer, NULL, kill_soon, &pid), 0);
    ck_assert_int_eq(inspect(inspector, fd, &err), ERR_BUSY); /* no child had seen the file */
    (void)pthread_join(killer, NULL);
    ck_assert_msg(inspect(inspector, fd, &again) == OK, "%s", again.text);
    (void)close(fd);
    inspector_free(inspector);
}
END_TEST

static int
open_descriptors(int pid)
{
    char path[64];
    int count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", pid);
    dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

START_TEST(inspector__zygote_inherits_nothing_but_its_socket)
{
    struct inspector *inspector;
    int secret = memfd_create("secret", 0), fd = good_file(3);

    inspector = start(10000);
    ck_assert_int_eq(inspect(inspector, fd, NULL), OK);
    /* 0, 1, 2, the socket, its signalfd, Landlock's rules; the job's socket until the child was
     * reaped */
    for (int i = 0; i < 200 && open_descriptors(inspector_pid(inspector)) > 6; i++)
        (void)usleep(10000);
    ck_assert_int_le(open_descriptors(inspector_pid(inspector)), 6);
    (void)close(secret);
    (void)close(fd);
    inspector_free(inspector);
}
END_TEST

static void *
inspect_many(void *context)
{
    struct inspector *inspector = context;
    int fd = good_file(5);
    size_t good = 0;

    for (int i = 0; i < 50; i++)
        good += inspect(inspector, fd, NULL) == OK;
    (void)close(fd);
    return (void *)good;
}

START_TEST(inspector__serves_many_threads_at_once)
{
    struct inspector *inspector = start(20000);
    pthread_t threads[8];

    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, inspect_many, inspector), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++) {
        void *good;

        ck_assert_int_eq(pthread_join(threads[i], &good), 0);
        ck_assert_uint_eq((size_t)good, 50);
    }
    inspector_free(inspector);
}
END_TEST

/* ---- the sandbox, through the real zygote ---- */

static bool
has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, 1) >= 1;
}

static struct inspector *
start_with(struct inspector_config config)
{
    struct inspector *inspector = NULL;
    struct err err = {0};

    config.wall_ms = 20000;
    ck_assert_msg(inspector_start(&config, &inspector, &err) == OK, "%s", err.text);
    return inspector;
}

static struct inspector_config
config_of(const char *executable)
{
    struct inspector_config config = inspector_config_default();

    config.executable = executable;
    return config;
}

static const char *const starts[] = {CKPTD_BINARY, NULL};

START_TEST(inspector__measures_its_sandbox)
{
    struct inspector *inspector;
    struct err err = {0};

    if (is_in_valgrind())
        return;
    inspector = start_with(config_of(starts[_i]));
    ck_assert_str_eq(inspector_sandbox(inspector), "");
    ck_assert_msg(inspector_probe(inspector, &err) == OK, "%s", err.text);
    ck_assert_ptr_nonnull(strstr(inspector_sandbox(inspector), "rlimits, no_new_privs"));
    ck_assert_int_eq(strstr(inspector_sandbox(inspector), "landlock") != NULL, has_landlock());
    ck_assert_int_eq(strstr(inspector_sandbox(inspector), "seccomp") != NULL, !IS_SANITIZED);
    ck_assert_int_eq(inspector_sandbox_missing(inspector)[0] == '\0',
                     has_landlock() && !IS_SANITIZED);
    inspector_free(inspector);
}
END_TEST

static const struct {
    uint32_t without;
    const char *name;
} layers[] = {
    {SANDBOX_LANDLOCK, "landlock"},
    {SANDBOX_SECCOMP, "seccomp"},
    {SANDBOX_LANDLOCK | SANDBOX_SECCOMP, "landlock, seccomp"},
};

START_TEST(inspector__refuses_where_a_required_layer_is_missing)
{
    struct inspector_config config = config_of(CKPTD_BINARY);
    struct inspector *inspector;
    int fd = good_file(3);
    struct err err = {0}, why = {0};

    config.without_layers = layers[_i].without;
    config.sandbox = INSPECTOR_SANDBOX_REQUIRE;
    inspector = start_with(config);
    ck_assert_int_eq(inspector_probe(inspector, &err), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, layers[_i].name) != NULL, "%s", err.text);
    /* … and who would not ask the probe gets nothing read. */
    ck_assert_int_eq(inspect(inspector, fd, &why), ERR_INSPECTOR);
    ck_assert_msg(strstr(why.text, layers[_i].name) != NULL, "%s", why.text);
    inspector_free(inspector);
    (void)close(fd);
}
END_TEST

START_TEST(inspector__degrades_and_says_so)
{
    struct inspector_config config = config_of(CKPTD_BINARY);
    struct inspector *inspector;
    int fd = good_file(3);
    struct err err = {0};

    config.without_layers = layers[_i].without;
    inspector = start_with(config);
    ck_assert_int_eq(inspector_probe(inspector, &err), OK);
    ck_assert_ptr_nonnull(strstr(inspector_sandbox_missing(inspector), layers[_i].name));
    ck_assert_ptr_null(strstr(inspector_sandbox(inspector), layers[_i].name));
    ck_assert_msg(inspect(inspector, fd, &err) == OK, "%s", err.text);
    inspector_free(inspector);
    (void)close(fd);
}
END_TEST

START_TEST(inspector__can_do_with_limits_alone)
{
    struct inspector_config config = config_of(CKPTD_BINARY);
    struct inspector *inspector;
    int fd = good_file(3);
    struct err err = {0};

    config.sandbox = INSPECTOR_SANDBOX_OFF;
    inspector = start_with(config);
    ck_assert_int_eq(inspector_probe(inspector, &err), OK);
    ck_assert_str_eq(inspector_sandbox(inspector), "rlimits, no_new_privs");
    ck_assert_msg(inspect(inspector, fd, &err) == OK, "%s", err.text);
    inspector_free(inspector);
    (void)close(fd);
}
END_TEST

/* What a reader says in this process, which is confined by nothing. */
static enum status
read_here(int fd, struct inspection *ret, struct err *err)
{
    struct limits limits = limits_default();
    struct source source;
    struct fileset files;

    TRY(source_of_fd(&fd, &source, err));
    files = fileset_of_source(&source);
    return format_read(&files, &limits, ret, err);
}

static void
compare_case(struct inspector *inspector, const char *name, int fd)
{
    CLEANUP(inspection_done) struct inspection here = {0};
    CLEANUP(inspection_done) struct inspection there = {0};
    CLEANUP(buf_done) struct buf left = buf_with_cap((size_t)64 << 20);
    CLEANUP(buf_done) struct buf right = buf_with_cap((size_t)64 << 20);
    struct inspector_file file = {.fd = fd};
    struct err err = {0}, why = {0};
    enum status status = read_here(fd, &here, &err);

    ck_assert_msg(inspector_run(inspector, &file, 1, &there, &why) == status, "%s: %s", name,
                  why.text);
    ck_assert_msg(strcmp(err.text, why.text) == 0, "%s: '%s', not '%s'", name, why.text, err.text);
    ck_assert_msg(status == OK || there.finding_count == here.finding_count, "%s", name);
    if (status != OK)
        return;
    record_add_inspection(&left, &here);
    record_add_inspection(&right, &there);
    ck_assert_msg(left.length == right.length && memcmp(left.bytes, right.bytes, left.length) == 0,
                  "%s: read otherwise than without a sandbox", name);
}

START_TEST(inspector__reads_every_case_as_without_a_sandbox)
{
    size_t count = 0, step = is_in_valgrind() ? 8 : 1; /* a child of memcheck takes a second */
    struct inspector *inspector;
    glob_t inputs;

    if (is_in_valgrind() && starts[_i] == NULL)
        return; /* a fork would be of valgrind, too */
    inspector = start_with(config_of(starts[_i]));
    ck_assert_int_eq(glob(CASES_DIR "/*/*/input.*", 0, NULL, &inputs), 0);
    for (size_t i = 0; i < inputs.gl_pathc; i += step) {
        int fd = open(inputs.gl_pathv[i], O_RDONLY | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        compare_case(inspector, inputs.gl_pathv[i], fd);
        count++;
        (void)close(fd);
    }
    globfree(&inputs);
    ck_assert_uint_gt(count, 80);
    inspector_free(inspector);
}
END_TEST

/* This program, executed as a zygote whose child a file made call what is forbidden. */
static __attribute__((constructor)) void
be_a_zygote(int argc, char **argv)
{
    struct job_exit end = {SIGSYS};
    char byte;
    size_t length;
    int job, pidfd;

    if (argc != 2 || strcmp(argv[1], INSPECTOR_VERB) != 0)
        return;
    if (protocol_receive(ZYGOTE_FD, &byte, 1, &length, &job, NULL) != OK || job < 0)
        _exit(1);
    pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    IGNORE(protocol_say(job, MESSAGE_CHILD, NULL, 0, pidfd, NULL));
    (void)usleep(100000); /* so that the request finds somebody */
    IGNORE(protocol_say(job, MESSAGE_EXIT, &end, sizeof end, -1, NULL));
    (void)sleep(5);
    _exit(0);
}

START_TEST(inspector__names_the_end_of_who_leaves_the_sandbox)
{
    struct inspector *inspector;
    int fd = good_file(3);
    struct err err = {0};

    if (is_in_valgrind()) {
        (void)close(fd);
        return; /* whose own program /proc/self/exe is then */
    }
    inspector = start_with(config_of("/proc/self/exe"));
    ck_assert_int_eq(inspect(inspector, fd, &err), ERR_INSPECTOR);
    ck_assert_str_eq(err.text, "the inspector was ended by signal 31 (a system call that the "
                               "sandbox forbids) while it read the file");
    inspector_free(inspector);
    (void)close(fd);
}
END_TEST

SUITE(inspector)
{
    return suite_with(
        "inspector", TEST(inspector__tells_what_is_in_a_file),
        TEST(inspector__takes_two_thousand_files), TEST(inspector__hands_on_the_readers_own_error),
        TEST(inspector__replaces_a_zygote_that_was_killed), TEST(inspector__ends_a_job_that_hangs),
        TEST(inspector__says_that_it_died_in_the_middle_of_a_job),
        TEST(inspector__zygote_inherits_nothing_but_its_socket),
        TEST(inspector__serves_many_threads_at_once), LOOP(inspector__measures_its_sandbox, starts),
        LOOP(inspector__refuses_where_a_required_layer_is_missing, layers),
        LOOP(inspector__degrades_and_says_so, layers), TEST(inspector__can_do_with_limits_alone),
        LOOP(inspector__reads_every_case_as_without_a_sandbox, starts),
        TEST(inspector__names_the_end_of_who_leaves_the_sandbox));
}
