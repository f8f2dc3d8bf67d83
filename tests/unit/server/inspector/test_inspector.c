#include "server/inspector/inspector.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "tests/support/unit.h"

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
    /* 0, 1, 2, the socket, its signalfd; the job's socket until the child was reaped */
    for (int i = 0; i < 200 && open_descriptors(inspector_pid(inspector)) > 5; i++)
        (void)usleep(10000);
    ck_assert_int_le(open_descriptors(inspector_pid(inspector)), 5);
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

SUITE(inspector)
{
    return suite_with(
        "inspector", TEST(inspector__tells_what_is_in_a_file),
        TEST(inspector__takes_two_thousand_files), TEST(inspector__hands_on_the_readers_own_error),
        TEST(inspector__replaces_a_zygote_that_was_killed), TEST(inspector__ends_a_job_that_hangs),
        TEST(inspector__says_that_it_died_in_the_middle_of_a_job),
        TEST(inspector__zygote_inherits_nothing_but_its_socket),
        TEST(inspector__serves_many_threads_at_once));
}
