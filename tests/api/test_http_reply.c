/* Replies: HEAD, conditions, ranges, produced bodies, problems. */
#include <stdio.h>
#include <string.h>
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

static struct response
ask(const char *path, const char *headers)
{
    char request[1000];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST "%s\r\n", path, headers);
    return toy_ask(&toy, request);
}

/* Where the toy's numbers are not what they should be; the length if they are. */
static size_t
first_wrong_byte(const struct response *r)
{
    for (size_t i = 0; i < r->body_length; i++)
        if (r->body[i] != (char)('0' + (i % 2 == 0 ? i / 10 % 10 : (i - 1) % 10)))
            return i;
    return r->body_length;
}

static const struct {
    const char *path, *headers;
    int status;
    const char *content_range;
    size_t length;
    const char *body; /* its beginning */
} parts[] = {
    {"/file", "", 200, "", 100000, "000204"},
    {"/file", "Range: bytes=0-0\r\n", 206, "bytes 0-0/100000", 1, "0"},
    {"/file", "Range: bytes=10-19\r\n", 206, "bytes 10-19/100000", 10, "1012141618"},
    {"/file", "Range: bytes=99990-\r\n", 206, "bytes 99990-99999/100000", 10, "9092949698"},
    {"/file", "Range: bytes=-10\r\n", 206, "bytes 99990-99999/100000", 10, "9092949698"},
    {"/file", "Range: bytes=99990-200000\r\n", 206, "bytes 99990-99999/100000", 10, "9092949698"},
    {"/file", "Range: bytes=-200000\r\n", 206, "bytes 0-99999/100000", 100000, "0002"},
    {"/file", "Range: bytes=100000-\r\n", 416, "bytes */100000", 0, "{"},
    {"/file", "Range: bytes=-0\r\n", 416, "bytes */100000", 0, "{"},
    {"/file", "Range: bytes=5-2\r\n", 200, "", 100000, "0002"},
    {"/file", "Range: bytes=0-1,4-5\r\n", 200, "", 100000, "0002"},
    {"/file", "Range: lines=0-1\r\n", 200, "", 100000, "0002"},
    {"/file", "Range: bytes=0-1\r\nIf-Range: \"sha256:abc\"\r\n", 206, "bytes 0-1/100000", 2, "00"},
    {"/file", "Range: bytes=0-1\r\nIf-Range: \"other\"\r\n", 200, "", 100000, "0002"},
    {"/file", "Range: bytes=0-1\r\nIf-Range: Tue, 24 Nov 2026 00:00:00 GMT\r\n", 200, "", 100000,
     "0002"},
    {"/file", "If-None-Match: \"a\", W/\"sha256:abc\"\r\n", 304, "", 0, ""},
    {"/file", "If-None-Match: *\r\n", 304, "", 0, ""},
    {"/file", "If-None-Match: \"a\"\r\n", 200, "", 100000, "0002"},
    {"/file", "If-None-Match: \"sha256:abc\"\r\nRange: bytes=0-1\r\n", 304, "", 0, ""},
    {"/file", "If-Match: \"other\"\r\n", 412, "", 0, "{"},
    {"/file", "If-Match: W/\"sha256:abc\"\r\n", 412, "", 0, "{"},
    {"/file", "If-Match: \"other\", \"sha256:abc\"\r\nRange: bytes=0-1\r\n", 206,
     "bytes 0-1/100000", 2, "00"},
    {"/file", "If-Match: *\r\n", 200, "", 100000, "0002"},
    {"/shared", "Range: bytes=990-\r\n", 206, "bytes 990-999/1000", 10, "9092949698"},
    {"/hello", "Range: bytes=1-2\r\n", 206, "bytes 1-2/6", 2, "el"},
    {"/produced?size=3000000&length", "Range: bytes=2000010-2000019\r\n", 206,
     "bytes 2000010-2000019/3000000", 10, "1012141618"},
    {"/produced?size=3000000", "Range: bytes=10-19\r\n", 200, "", 3000000, "0002"},
    {"/produced?size=3000000&length&step=777", "", 200, "", 3000000, "0002"},
    {"/produced?size=0", "", 200, "", 0, ""},
    {"/produced?size=0&length", "", 200, "", 0, ""},
};

START_TEST(reply__gives_the_part_that_was_asked_for)
{
    struct response response = ask(parts[_i].path, parts[_i].headers);
    char value[256];

    ck_assert_int_eq(response.status, parts[_i].status);
    ck_assert_str_eq(response_header(&response, "Content-Range", value), parts[_i].content_range);
    if (response.status < 400)
        ck_assert_uint_eq(response.body_length, parts[_i].length);
    ck_assert_int_eq(strncmp(response.body, parts[_i].body, strlen(parts[_i].body)), 0);
    if (response.status == 200 && response.body_length > 6)
        ck_assert_uint_eq(first_wrong_byte(&response), response.body_length);
    response_done(&response);
}
END_TEST

/* The same status and header as GET, no body. */
START_TEST(reply__to_head_is_that_to_get_without_the_body)
{
    static const char *const paths[] = {"/hello",
                                        "/file",
                                        "/shared",
                                        "/fail",
                                        "/none",
                                        "/produced?size=100&length",
                                        "/produced?size=100",
                                        "/show/a/b"};
    static const char *const names[] = {"Content-Length", "Content-Type",  "ETag",
                                        "Cache-Control",  "Accept-Ranges", "Transfer-Encoding"};
    char request[200], one[256], other[256];
    struct response get, head;

    get = ask(paths[_i], "X-Request-Id: same\r\n");
    (void)snprintf(request, sizeof request,
                   "HEAD %s HTTP/1.1\r\n" HOST "X-Request-Id: same\r\n\r\n", paths[_i]);
    head = toy_ask(&toy, request);
    ck_assert_int_eq(head.status, get.status);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_str_eq(response_header(&head, names[i], one),
                         response_header(&get, names[i], other));
    response_done(&get);
    response_done(&head);
}
END_TEST

START_TEST(reply__of_an_error_is_a_problem)
{
    struct response response = ask("/fail", "X-Request-Id: r1\r\n");
    char value[256];

    ck_assert_int_eq(response.status, 413);
    ck_assert_str_eq(response_header(&response, "Content-Type", value), "application/problem+json");
    ck_assert_str_eq(response_header(&response, "X-Toy", value), "a  Injected: yes");
    ck_assert_str_eq(response_header(&response, "Injected", value), "");
    ck_assert_str_eq(response.body,
                     "{\"type\":\"/problems/limit-exceeded\",\"title\":\"A limit was reached\","
                     "\"status\":413,\"detail\":\"eight \\\"things\\\"; the limit is 7\","
                     "\"request_id\":\"r1\",\"limit\":7}\n");
    response_done(&response);
}
END_TEST

START_TEST(reply__releases_what_it_shared_and_what_produced_it)
{
    struct response response = ask("/shared", "");

    response_done(&response);
    response = ask("/shared", "If-None-Match: \"v1\"\r\n");
    ck_assert_int_eq(response.status, 304);
    response_done(&response);
    response = ask("/produced?size=100", "");
    response_done(&response);
    response = ask("/produced?step=0", ""); /* refused after the reply was begun */
    ck_assert_int_eq(response.status, 400);
    response_done(&response);
    response = toy_ask(&toy, "HEAD /produced?size=100&length HTTP/1.1\r\n" HOST "\r\n");
    response_done(&response);
    for (int i = 0; i < 100 && toy.released < 5; i++)
        (void)usleep(10000);
    ck_assert_uint_eq(toy.released, 5);
}
END_TEST

/* A body that cannot be made to its end is cut, so that nobody takes it for the whole. */
START_TEST(reply__that_fails_midway_is_seen_to_be_cut)
{
    struct response response = ask(_i == 0 ? "/produced?size=3000000&fail_at=1500000"
                                           : "/produced?size=3000000&length&fail_at=1500000",
                                   "");

    ck_assert_int_eq(response.status, -200);
    response_done(&response);
}
END_TEST

/* A client that does not read holds neither a worker nor memory; what waits is sent when it does. */
START_TEST(reply__waits_for_a_stalled_reader_without_a_worker)
{
    struct reader stalled[6];
    struct response response;

    for (size_t i = 0; i < 6; i++) {
        static const char request[] = "GET /produced?size=30000000&length HTTP/1.1\r\n" HOST "\r\n";

        stalled[i] = (struct reader){.fd = toy_connect(&toy)};
        ck_assert(toy_send(stalled[i].fd, request, sizeof request - 1));
    }
    (void)usleep(300000);
    for (int i = 0; i < 500 && httpd_stats(toy.httpd).in_handlers > 0; i++)
        (void)usleep(10000);
    ck_assert_uint_eq(httpd_stats(toy.httpd).in_handlers, 0);
    response = ask("/produced?size=100", ""); /* two workers, six stalled readers */
    ck_assert_int_eq(response.status, 200);
    response_done(&response);
    ck_assert(reader_next(&stalled[0], false, &response));
    ck_assert_uint_eq(response.body_length, 30000000);
    response_done(&response);
    for (size_t i = 0; i < 6; i++)
        reader_done(&stalled[i]);
}
END_TEST

START_TEST(reply__frees_its_producer_when_the_client_leaves)
{
    for (int i = 0; i < 20; i++) {
        static const char request[] =
            "GET /produced?size=30000000&step=1000&pause=1 HTTP/1.1\r\n" HOST "\r\n";
        struct reader reader = {.fd = toy_connect(&toy)};

        ck_assert(toy_send(reader.fd, request, sizeof request - 1));
        (void)usleep((useconds_t)(i * 500));
        reader_done(&reader);
    }
    for (int i = 0; i < 500 && toy.released < 20; i++)
        (void)usleep(10000);
    ck_assert_uint_eq(toy.released, 20);
}
END_TEST

/* A producer that waits is asked again when its key is signalled. */
START_TEST(reply__goes_on_when_the_producer_is_woken)
{
    static const char request[] = "GET /produced?size=5&step=1&waits HTTP/1.1\r\n" HOST "\r\n";
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    ck_assert(toy_send(reader.fd, request, sizeof request - 1));
    for (int i = 0; i < 5; i++) {
        (void)usleep(50000);
        httpd_signal(toy.httpd, slice_of("more"));
    }
    ck_assert(reader_next(&reader, false, &response));
    ck_assert_str_eq(response.body, "00020");
    response_done(&response);
    reader_done(&reader);
}
END_TEST

SUITE(http_reply)
{
    return suite_around("http_reply", setup, teardown,
                        LOOP(reply__gives_the_part_that_was_asked_for, parts),
                        ((struct unit_test){reply__to_head_is_that_to_get_without_the_body, 8}),
                        TEST(reply__of_an_error_is_a_problem),
                        TEST(reply__releases_what_it_shared_and_what_produced_it),
                        ((struct unit_test){reply__that_fails_midway_is_seen_to_be_cut, 2}),
                        TEST(reply__waits_for_a_stalled_reader_without_a_worker),
                        TEST(reply__frees_its_producer_when_the_client_leaves),
                        TEST(reply__goes_on_when_the_producer_is_woken));
}
