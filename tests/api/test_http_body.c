/* Bodies that are streamed, and those that are too large, too slow, or cut. */
#include <pthread.h>
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

    limits.ring_bytes = 256 * 1024;
    limits.uploads = 6;
    limits.body_memory_bytes = 500000;
    toy_start(&toy, limits, 2, 64);
}

static void
teardown(void)
{
    toy_stop(&toy, 1000);
}

static void
send_text(int fd, const char *text)
{
    ck_assert(toy_send(fd, text, strlen(text)));
}

/* What the callbacks counted comes to be, sooner or later. */
static void
await(const _Atomic unsigned *counter, unsigned want)
{
    for (int i = 0; i < 1000 && *counter < want; i++)
        (void)usleep(5000);
    ck_assert_uint_eq(*counter, want);
}

/* Send a body of so many toy bytes, plainly or in chunks. False: the socket took it no longer. */
static bool
send_body(int fd, size_t bytes, bool is_chunked)
{
    char piece[20000];
    uint64_t offset = 0;

    while (bytes > 0) {
        size_t n = bytes < sizeof piece ? bytes : sizeof piece;
        char line[32];

        for (size_t i = 0; i < n; i++)
            piece[i] = (char)toy_byte(offset++);
        (void)snprintf(line, sizeof line, "%zx\r\n", n);
        if ((is_chunked && !toy_send(fd, line, strlen(line))) || !toy_send(fd, piece, n) ||
            (is_chunked && !toy_send(fd, "\r\n", 2)))
            return false;
        bytes -= n;
    }
    return !is_chunked || toy_send(fd, "0\r\n\r\n", 5);
}

static struct response
upload(const char *path, size_t bytes, bool is_chunked, const char *headers)
{
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response = {0};
    char request[400];

    if (is_chunked)
        (void)snprintf(request, sizeof request,
                       "PUT %s HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n%s\r\n", path,
                       headers);
    else
        (void)snprintf(request, sizeof request,
                       "PUT %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n%s\r\n", path, bytes,
                       headers);
    send_text(reader.fd, request);
    (void)send_body(reader.fd, bytes, is_chunked);
    (void)reader_next(&reader, false, &response);
    reader_done(&reader);
    return response;
}

START_TEST(body__streams_whatever_its_size_and_form)
{
    static const size_t sizes[] = {0, 1, 65536, 262144, 262145, 5000000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct response response = upload("/upload/checked", sizes[i], _i == 1, "");
        char want[64];

        (void)snprintf(want, sizeof want, "%zu bytes\n", sizes[i]);
        ck_assert_int_eq(response.status, 201);
        ck_assert_str_eq(response.body, want);
        response_done(&response);
    }
    await(&toy.freed, 6);
    ck_assert_uint_eq(toy.finished, 6);
    ck_assert_uint_eq(toy.aborted, 0);
}
END_TEST

/* The ring is 256 KiB, the writer slow: bytes wait in the client's socket, not with us. */
START_TEST(body__is_held_back_by_a_slow_writer)
{
    struct response response = upload("/upload/checked?pause=5", 4000000, false, "");

    ck_assert_int_eq(response.status, 201);
    ck_assert_str_eq(response.body, "4000000 bytes\n");
    response_done(&response);
}
END_TEST

START_TEST(body__is_not_read_when_refused_early)
{
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    send_text(reader.fd, "PUT /upload/full HTTP/1.1\r\n" HOST
                         "Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n");
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_int_eq(response.status, 507);
    ck_assert_uint_eq(reader.continues, 0);
    response_done(&response);
    reader_done(&reader);

    reader = (struct reader){.fd = toy_connect(&toy)};
    send_text(reader.fd, "PUT /upload/known HTTP/1.1\r\n" HOST
                         "Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n");
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_int_eq(response.status, 200);
    ck_assert_uint_eq(reader.continues, 0);
    response_done(&response);
    reader_done(&reader);
    ck_assert_uint_eq(toy.begun, 0);
}
END_TEST

START_TEST(body__is_asked_for_with_100_continue)
{
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    send_text(reader.fd, "PUT /upload/x HTTP/1.1\r\n" HOST
                         "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    (void)usleep(50000);
    send_text(reader.fd, "abc");
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_int_eq(response.status, 201);
    ck_assert_uint_eq(reader.continues, 1);
    response_done(&response);
    reader_done(&reader);
}
END_TEST

/* Without Expect the client is already sending: it still gets to read the answer, every time. */
START_TEST(body__refused_while_it_is_sent_lets_the_answer_through)
{
    for (int i = 0; i < 20; i++) {
        struct response response = upload("/upload/full", 3000000, i % 2 == 1, "");

        ck_assert_int_eq(response.status, 507);
        ck_assert_ptr_nonnull(strstr(response.body, "no room at all"));
        response_done(&response);
    }
}
END_TEST

/* libmicrohttpd takes no answer in mid-body; the client gets one nonetheless, every time. */
START_TEST(body__that_fails_midway_is_answered_at_once)
{
    for (int i = 0; i < 20; i++) {
        struct response response = upload("/upload/x?fail_at=300000", 9000000, i % 2 == 1, "");
        char value[256];

        ck_assert_int_eq(response.status, 507);
        ck_assert_str_eq(response_header(&response, "Content-Type", value),
                         "application/problem+json");
        ck_assert_str_eq(response_header(&response, "Connection", value), "close");
        ck_assert_uint_gt(strlen(response_header(&response, "X-Request-Id", value)), 0);
        ck_assert_ptr_nonnull(strstr(response.body, "the toy is full"));
        response_done(&response);
    }
    await(&toy.freed, 20);
    ck_assert_uint_eq(toy.aborted, 20);
    ck_assert_uint_eq(toy.finished, 0);
}
END_TEST

START_TEST(body__over_its_limit_is_refused)
{
    struct response response = upload("/small-upload", 100000, true, "");
    struct reader reader;

    ck_assert_int_eq(response.status, 201);
    response_done(&response);
    response = upload("/small-upload", 200000, true, "");
    ck_assert_int_eq(response.status, 413);
    response_done(&response);
    await(&toy.freed, 2);
    ck_assert_uint_eq(toy.aborted, 1);

    reader = (struct reader){.fd = toy_connect(&toy)};
    send_text(reader.fd, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    (void)send_body(reader.fd, 300000, true);
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_int_eq(response.status, 413);
    response_done(&response);
    reader_done(&reader);
}
END_TEST

/* Cut anywhere: with a reset, with a FIN right behind the last bytes, after a pause. */
START_TEST(body__that_is_cut_is_aborted)
{
    static const size_t sent[] = {0, 3, 70000, 1000000};
    uint64_t start = clock_ms();

    for (unsigned i = 0; i < 24; i++) {
        int fd = toy_connect(&toy);
        struct linger reset = {.l_onoff = 1};

        send_text(fd, "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\n\r\n");
        (void)send_body(fd, sent[i % 4], false);
        if (i % 3 == 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (i % 3 == 1)
            (void)usleep(2000);
        (void)close(fd);
        for (int j = 0; j < 2000 && toy.begun > toy.freed; j++)
            (void)usleep(2000);
    }
    for (int j = 0; j < 2000 && toy.begun > toy.freed; j++)
        (void)usleep(2000);
    ck_assert_uint_eq(toy.begun, toy.freed);
    ck_assert_uint_eq(toy.aborted, toy.freed);
    ck_assert_uint_eq(toy.finished, 0);
    ck_assert_uint_lt(clock_ms() - start, 40000); /* no inactivity timeout was waited for */
}
END_TEST

/* 0.9.75 misses a FIN that comes in the same segment as the last bytes; the reaper does not. */
START_TEST(body__whose_fin_comes_with_the_last_data_is_noticed)
{
    for (unsigned i = 1; i <= 10; i++) {
        int fd = toy_connect(&toy);
        uint64_t start = clock_ms();

        send_text(fd, "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n");
        await(&toy.begun, i);
        (void)usleep(10000);
        send_text(fd, "abc");
        (void)shutdown(fd, SHUT_WR);
        await(&toy.freed, i);
        ck_assert_uint_lt(clock_ms() - start, 3000);
        (void)close(fd);
    }
    ck_assert_uint_eq(toy.aborted, 10);
}
END_TEST

static void *
upload_often(void *context)
{
    unsigned *good = context;

    for (int i = 0; i < 10; i++) {
        struct response response = upload("/upload/checked", 700000 + (size_t)i, i % 2 == 0, "");

        *good += response.status == 201;
        response_done(&response);
    }
    return NULL;
}

START_TEST(body__of_several_clients_at_once)
{
    pthread_t threads[6];
    unsigned good[6] = {0};

    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, upload_often, &good[i]), 0);
    for (int i = 0; i < 6; i++) {
        (void)pthread_join(threads[i], NULL);
        ck_assert_uint_eq(good[i], 10);
    }
    ck_assert_uint_eq(toy.written, 6 * (7000000 + 45));
}
END_TEST

START_TEST(body__beyond_the_number_of_uploads_is_sent_away)
{
    struct response response;
    char value[256];
    int fds[6];

    for (unsigned i = 0; i < 6; i++) {
        fds[i] = toy_connect(&toy);
        send_text(fds[i], "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
        await(&toy.begun, i + 1);
    }
    response = upload("/upload/x", 3, false, "");
    ck_assert_int_eq(response.status, 503);
    ck_assert_str_eq(response_header(&response, "Retry-After", value), "2");
    response_done(&response);
    for (unsigned i = 0; i < 6; i++)
        (void)close(fds[i]);
    await(&toy.freed, 6);
    response = upload("/upload/x", 3, false, "");
    ck_assert_int_eq(response.status, 201);
    response_done(&response);
}
END_TEST

/* All bodies in memory together have a limit. */
START_TEST(body__in_memory_counts_against_a_common_limit)
{
    struct reader readers[3];
    struct response response;

    for (int i = 0; i < 3; i++) {
        readers[i] = (struct reader){.fd = toy_connect(&toy)};
        send_text(readers[i].fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n");
        (void)send_body(readers[i].fd, 199999, false);
        (void)usleep(100000);
    }
    ck_assert(reader_next(&readers[2], false, &response));
    ck_assert_int_eq(response.status, 503);
    response_done(&response);
    send_text(readers[0].fd, "x");
    ck_assert(reader_next(&readers[0], false, &response));
    ck_assert_int_eq(response.status, 200);
    ck_assert_uint_eq(response.body_length, 200000);
    response_done(&response);
    for (int i = 0; i < 3; i++)
        reader_done(&readers[i]);
}
END_TEST

SUITE(http_body)
{
    return suite_around("http_body", setup, teardown,
                        ((struct unit_test){body__streams_whatever_its_size_and_form, 2}),
                        TEST(body__is_held_back_by_a_slow_writer),
                        TEST(body__is_not_read_when_refused_early),
                        TEST(body__is_asked_for_with_100_continue),
                        TEST(body__refused_while_it_is_sent_lets_the_answer_through),
                        TEST(body__that_fails_midway_is_answered_at_once),
                        TEST(body__over_its_limit_is_refused), TEST(body__that_is_cut_is_aborted),
                        TEST(body__whose_fin_comes_with_the_last_data_is_noticed),
                        TEST(body__of_several_clients_at_once),
                        TEST(body__beyond_the_number_of_uploads_is_sent_away),
                        TEST(body__in_memory_counts_against_a_common_limit));
}
