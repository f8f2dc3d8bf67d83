/*
 * Times the readers in this process: bench_inspect FILE [ROUNDS] prints the median nanoseconds of
 * reading the file's structure, opening included, how many tensors it found, and this process's peak
 * memory in KiB.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"

enum { ROUNDS_DEFAULT = 200, ROUNDS_MAX = 100000 };

static uint64_t
now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static enum status
read_once(const char *path, size_t *ret_tensors, struct err *err)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct source source;
    struct fileset files;
    enum status status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    FAIL_IF(fd < 0, err, IO, 0, "%s cannot be opened", path);
    status = source_of_fd(&fd, &source, err);
    files = fileset_of_source(&source);
    if (status == OK)
        status = format_read(&files, &limits, &in, err);
    (void)close(fd);
    TRY(status);
    *ret_tensors = inspection_default(&in) == NULL ? 0 : inspection_default(&in)->structure.count;
    return OK;
}

/* This process's own peak, where getrusage would tell that of who forked it, too. */
static long
peak_kib(void)
{
    char line[256];
    long peak = 0;
    FILE *status = fopen("/proc/self/status", "r");

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            peak = strtol(line + 6, NULL, 10);
    if (status != NULL)
        (void)fclose(status);
    return peak;
}

static int
compare(const void *a, const void *b)
{
    const uint64_t *const x = a;
    const uint64_t *const y = b;

    return (*x > *y) - (*x < *y);
}

int
main(int argc, char **argv)
{
    long rounds = argc > 2 ? strtol(argv[2], NULL, 10) : ROUNDS_DEFAULT;
    uint64_t *times;
    size_t tensors = 0;
    struct err err = {0};

    mem_keep_little(); /* as an inspector's child does */
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX)
        return EXIT_FAILURE;
    times = calloc((size_t)rounds, sizeof *times);
    if (times == NULL)
        return EXIT_FAILURE;
    for (long i = 0; i < rounds; i++) {
        uint64_t start = now_ns();

        if (read_once(argv[1], &tensors, &err) != OK) {
            (void)fprintf(stderr, "%s\n", err.text);
            free(times);
            return EXIT_FAILURE;
        }
        times[i] = now_ns() - start;
    }
    qsort(times, (size_t)rounds, sizeof *times, compare);
    (void)printf("%llu %zu %ld\n", (unsigned long long)times[rounds / 2], tensors, peak_kib());
    free(times);
    return EXIT_SUCCESS;
}
