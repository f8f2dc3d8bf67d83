/* Clients that hold a connection and give nothing for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "server/work/clock.h"
#include "tests/api/toy.h"
#include "tests/support/unit.h"

#define HOST "Host: localhost\r\n"

static struct toy toy;

static void
setup(void)
{
    struct httpd_limits limits = httpd_limits_default();

    limits.header_timeout_ms = 600;
    limits.body_window_ms = 600;
    limits.body_window_bytes = 100;
    limits.idle_timeout_s = 1;
    toy_start(&toy, limits, 2, 64);
}

static void
teardown(void)
{
    toy_stop(&toy, 1000);
}

/* Give a byte each 50 ms until the connection is closed; how long that took. */
static uint64_t
drip(int fd, const char *text, uint64_t most_ms)
{
    uint64_t start = clock_ms();

    while (clock_ms() - start < most_ms) {
        char sink[1000];

        if (*text != '\0')
            (void)toy_send(fd, text++, 1);
        (void)usleep(50000);
        if (recv(fd, sink, sizeof sink, MSG_DONTWAIT) == 0)
            break;
    }
    return clock_ms() - start;
}

START_TEST(slow__header_is_cut_though_bytes_come)
{
    int fd = toy_connect(&toy);

    if (_i == 1) { /* on a connection that was used before */
        struct reader reader = {.fd = fd};
        struct response response;

        ck_assert(toy_send(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n",
                           21 + sizeof HOST - 1 + 2 + 21));
        ck_assert(reader_next(&reader, false, &response));
        response_done(&response);
        mem_free(reader.bytes);
    }
    ck_assert_uint_lt(
        drip(fd, "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 5000),
        2000);
    ck_assert_uint_ge(httpd_stats(toy.httpd).reaped, 1);
    (void)close(fd);
}
END_TEST

START_TEST(slow__body_is_cut_though_bytes_come)
{
    static const char head[] = "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n";
    int fd = toy_connect(&toy);

    ck_assert(toy_send(fd, head, sizeof head - 1));
    ck_assert_uint_lt(
        drip(fd, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 5000), 2500);
    for (int i = 0; i < 1000 && toy.freed == 0; i++)
        (void)usleep(2000);
    ck_assert_uint_eq(toy.aborted, 1);
    (void)close(fd);
}
END_TEST

/* 100 bytes in each window are enough, for as long as it takes. */
START_TEST(slow__body_that_is_fast_enough_is_not_cut)
{
    static const char head[] = "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n";
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;
    char piece[50];

    memset(piece, 'x', sizeof piece);
    ck_assert(toy_send(reader.fd, head, sizeof head - 1));
    for (int i = 0; i < 20; i++) {
        (void)usleep(100000);
        ck_assert(toy_send(reader.fd, piece, sizeof piece));
    }
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_int_eq(response.status, 201);
    response_done(&response);
    reader_done(&reader);
}
END_TEST

/* Our own slowness is not the client's. */
START_TEST(slow__writer_is_not_held_against_the_client)
{
    static const char head[] =
        "PUT /upload/x?pause=900 HTTP/1.1\r\n" HOST "Content-Length: 2500000\r\n\r\n";
    static char body[2500000];
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    ck_assert(toy_send(reader.fd, head, sizeof head - 1));
    ck_assert(toy_send(reader.fd, body, sizeof body));
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_int_eq(response.status, 201);
    response_done(&response);
    reader_done(&reader);
}
END_TEST

START_TEST(slow__connection_that_says_nothing_is_cut)
{
    struct reader fresh = {.fd = toy_connect(&toy)}, used = {.fd = toy_connect(&toy)};
    struct response response;
    uint64_t start = clock_ms();

    ck_assert(toy_send(used.fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 21 + sizeof HOST - 1 + 2));
    ck_assert(reader_next(&used, false, &response));
    response_done(&response);
    ck_assert(reader_ended(&fresh));
    ck_assert(reader_ended(&used));
    ck_assert_uint_lt(clock_ms() - start, 4000);
    reader_done(&fresh);
    reader_done(&used);
    for (int i = 0; i < 1000 && httpd_stats(toy.httpd).connections > 0; i++)
        (void)usleep(2000);
    ck_assert_uint_eq(httpd_stats(toy.httpd).connections, 0);
}
END_TEST

/* What the process has of memory, in KiB. */
static unsigned long
resident(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long kib = 0;
    char line[200];

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoul(line + 6, NULL, 10);
    if (file != NULL)
        (void)fclose(file);
    return kib;
}

/* A crowd that uploads slowly holds no worker and little memory, and others are served as ever. */
START_TEST(slow__uploads_in_a_crowd_do_not_slow_others)
{
    static const char head[] = "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 9999999\r\n\r\n";
    struct httpd_limits limits = httpd_limits_default();
    struct reader reader;
    unsigned long before, after;
    uint64_t start;
    int fds[300];

    toy_stop(&toy, 100);
    toy_start(&toy, limits, 2, 1024);
    before = resident();
    for (unsigned i = 0; i < 300; i++) {
        fds[i] = toy_connect(&toy);
        ck_assert(toy_send(fds[i], head, sizeof head - 1));
        ck_assert(toy_send(fds[i], head, 10));
    }
    for (int i = 0; i < 2000 && toy.begun < 300; i++)
        (void)usleep(2000);
    ck_assert_uint_eq(toy.begun, 300);
    after = resident();
    start = clock_ms();
    reader = (struct reader){.fd = toy_connect(&toy)};
    for (int i = 0; i < 300; i++) {
        struct response response;

        ck_assert(toy_send(fds[i], head, 10));
        ck_assert(
            toy_send(reader.fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 21 + sizeof HOST - 1 + 2));
        ck_assert(reader_next(&reader, false, &response));
        ck_assert_int_eq(response.status, 200);
        response_done(&response);
    }
    ck_assert_uint_lt(clock_ms() - start, 3000);
    ck_assert_uint_eq(httpd_stats(toy.httpd).uploads, 300);
    if (getenv("TOY_TELL") != NULL)
        (void)printf("%lu KiB an upload, %lu us a query\n", (after - before) / 300,
                     (unsigned long)((clock_ms() - start) * 1000 / 300));
    ck_assert_uint_lt((after - before) / 300, 200);
    for (unsigned i = 0; i < 300; i++)
        (void)close(fds[i]);
    reader_done(&reader);
    for (int i = 0; i < 2000 && toy.freed < 300; i++)
        (void)usleep(2000);
    ck_assert_uint_eq(toy.aborted, 300);
}
END_TEST

SUITE(http_slow)
{
    return suite_around("http_slow", setup, teardown,
                        ((struct unit_test){slow__header_is_cut_though_bytes_come, 2}),
                        TEST(slow__body_is_cut_though_bytes_come),
                        TEST(slow__body_that_is_fast_enough_is_not_cut),
                        TEST(slow__writer_is_not_held_against_the_client),
                        TEST(slow__connection_that_says_nothing_is_cut),
                        TEST(slow__uploads_in_a_crowd_do_not_slow_others));
}
