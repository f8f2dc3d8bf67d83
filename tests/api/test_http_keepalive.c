/* Connections: what stays open, what order answers come in, what a half-closed side gets. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/api/toy.h"
#include "tests/support/unit.h"

#define HOST "Host: localhost\r\n"

static struct toy toy;

static void
setup(void)
{
    toy_start(&toy, (struct httpd_limits){0}, 2, 64);
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

/* Each leaves the connection open. */
static const struct {
    const char *request;
    int status;
} kept[] = {
    {"GET /hello HTTP/1.1\r\n" HOST "\r\n", 200},
    {"HEAD /hello HTTP/1.1\r\n" HOST "\r\n", 200},
    {"GET /none HTTP/1.1\r\n" HOST "\r\n", 404},
    {"GET /fail HTTP/1.1\r\n" HOST "\r\n", 413},
    {"GET /show/%2e%2e/b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"DELETE /echo HTTP/1.1\r\n" HOST "\r\n", 405},
    {"OPTIONS /echo HTTP/1.1\r\n" HOST "\r\n", 204},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 200},
    {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200},
    {"POST /none HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 404},
    {"POST /hello HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 405},
    {"PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 201},
    {"PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 201},
    {"PUT /upload/full HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 507},
    {"PUT /upload/known HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 200},
    {"GET /file HTTP/1.1\r\n" HOST "Range: bytes=0-9\r\n\r\n", 206},
    {"GET /file HTTP/1.1\r\n" HOST "Range: bytes=100000-\r\n\r\n", 416},
    {"GET /file HTTP/1.1\r\n" HOST "If-None-Match: \"sha256:abc\"\r\n\r\n", 304},
    {"GET /produced?size=100000 HTTP/1.1\r\n" HOST "\r\n", 200},
};

START_TEST(keepalive__survives_all_that_was_read_to_its_end)
{
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    for (int round = 0; round < 3; round++) {
        send_text(reader.fd, kept[_i].request);
        ck_assert_msg(reader_next(&reader, strncmp(kept[_i].request, "HEAD", 4) == 0, &response),
                      "round %d of %s", round, kept[_i].request);
        ck_assert_msg(response.status == kept[_i].status, "%d to %s", response.status,
                      kept[_i].request);
        response_done(&response);
    }
    reader_done(&reader);
}
END_TEST

START_TEST(keepalive__answers_pipelined_requests_in_order)
{
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    send_text(reader.fd,
              "GET /slow?ms=100 HTTP/1.1\r\n" HOST "X-Request-Id: 1\r\n\r\n"
              "POST /echo HTTP/1.1\r\n" HOST "X-Request-Id: 2\r\nContent-Length: 3\r\n\r\nabc"
              "PUT /upload/x HTTP/1.1\r\n" HOST "X-Request-Id: 3\r\nContent-Length: 3\r\n\r\nabc"
              "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: 4\r\n\r\n");
    for (int i = 1; i <= 4; i++) {
        char id[256], want[8];

        (void)snprintf(want, sizeof want, "%d", i);
        ck_assert(reader_next(&reader, false, &response));
        ck_assert_str_eq(response_header(&response, "X-Request-Id", id), want);
        response_done(&response);
    }
    reader_done(&reader);
}
END_TEST

START_TEST(keepalive__answers_a_client_that_closed_its_side)
{
    static const char *const requests[] = {
        "GET /slow?ms=50 HTTP/1.1\r\n" HOST "\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
        "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
        "GET /produced?size=3000000 HTTP/1.1\r\n" HOST "\r\n",
    };
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    send_text(reader.fd, requests[_i]);
    (void)shutdown(reader.fd, SHUT_WR);
    ck_assert(reader_next(&reader, false, &response));
    ck_assert(response.status == 200 || response.status == 201);
    response_done(&response);
    reader_done(&reader);
}
END_TEST

START_TEST(keepalive__ends_with_http_1_0_and_when_asked_to)
{
    static const char *const requests[] = {
        "GET /hello HTTP/1.0\r\n\r\n",
        "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "GET /produced?size=10 HTTP/1.0\r\n" HOST "\r\n",
    };
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    send_text(reader.fd, requests[_i]);
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_int_eq(response.status, 200);
    response_done(&response);
    if (_i < 2)
        ck_assert(reader_ended(&reader));
    reader_done(&reader);
}
END_TEST

static void *
ask_often(void *context)
{
    struct reader reader = {.fd = toy_connect(&toy)};
    size_t *good = context;

    for (int i = 0; i < 200; i++) {
        static const char *const requests[] = {
            "GET /hello HTTP/1.1\r\n" HOST "\r\n",
            "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
            "GET /shared HTTP/1.1\r\n" HOST "Range: bytes=10-19\r\n\r\n",
            "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc",
            "GET /produced?size=70000 HTTP/1.1\r\n" HOST "\r\n",
            "GET /wait?key=k&ms=1 HTTP/1.1\r\n" HOST "\r\n",
        };
        struct response response;
        const char *request = requests[i % 6];

        if (!toy_send(reader.fd, request, strlen(request)) ||
            !reader_next(&reader, false, &response))
            break;
        *good += response.status / 100 == 2;
        response_done(&response);
    }
    reader_done(&reader);
    return NULL;
}

START_TEST(keepalive__serves_many_at_once)
{
    pthread_t threads[8];
    size_t good[8] = {0};

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often, &good[i]), 0);
    for (int i = 0; i < 8; i++) {
        (void)pthread_join(threads[i], NULL);
        ck_assert_uint_eq(good[i], 200);
    }
    ck_assert_uint_ge(httpd_stats(toy.httpd).by_class[2], 1590);
}
END_TEST

SUITE(http_keepalive)
{
    return suite_around("http_keepalive", setup, teardown,
                        LOOP(keepalive__survives_all_that_was_read_to_its_end, kept),
                        TEST(keepalive__answers_pipelined_requests_in_order),
                        ((struct unit_test){keepalive__answers_a_client_that_closed_its_side, 4}),
                        ((struct unit_test){keepalive__ends_with_http_1_0_and_when_asked_to, 3}),
                        TEST(keepalive__serves_many_at_once));
}
