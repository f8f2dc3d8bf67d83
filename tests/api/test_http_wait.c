/* Parked requests, full queues, and the server's end. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/work/clock.h"
#include "tests/api/toy.h"
#include "tests/support/unit.h"

#define HOST "Host: localhost\r\n"

static struct toy toy;
static bool is_stopped;

static void
setup(void)
{
    struct httpd_limits limits = httpd_limits_default();

    limits.handler_deadline_ms = 700;
    toy_start(&toy, limits, 2, 8);
    is_stopped = false;
}

static void
stop(uint64_t drain_ms)
{
    if (!is_stopped)
        toy_stop(&toy, drain_ms);
    is_stopped = true;
}

static void
teardown(void)
{
    stop(1000);
}

static struct reader
begin(const char *request)
{
    struct reader reader = {.fd = toy_connect(&toy)};

    ck_assert_int_ge(reader.fd, 0);
    ck_assert(toy_send(reader.fd, request, strlen(request)));
    return reader;
}

static struct reader
begin_get(const char *path)
{
    char request[200];

    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST "\r\n", path);
    return begin(request);
}

static void
expect(struct reader *reader, int status, const char *body)
{
    struct response response;

    ck_assert(reader_next(reader, false, &response));
    ck_assert_msg(response.status == status, "%d: %s", response.status, response.body);
    ck_assert_msg(strstr(response.body, body) != NULL, "%s", response.body);
    response_done(&response);
}

static void
await_parked(unsigned want)
{
    for (int i = 0; i < 1000 && httpd_stats(toy.httpd).parked != want; i++)
        (void)usleep(2000);
    ck_assert_uint_eq(httpd_stats(toy.httpd).parked, want);
}

START_TEST(wait__is_over_after_its_time)
{
    struct reader reader = begin_get("/wait?key=a&ms=300");
    uint64_t start = clock_ms();

    expect(&reader, 200, "over after 1");
    ck_assert_uint_ge(clock_ms() - start, 250);
    ck_assert_uint_lt(clock_ms() - start, 5000);
    reader_done(&reader);
}
END_TEST

/* Longer than a handler may take, and more of them than workers: parked is not at work. */
START_TEST(wait__holds_no_worker_and_ends_with_its_signal)
{
    struct reader readers[40], other;

    for (unsigned i = 0; i < 40; i++) {
        readers[i] = begin_get(i % 2 == 0 ? "/wait?key=even&ms=50000" : "/wait?key=odd&ms=50000");
        await_parked(i + 1); /* the queue is short */
    }
    (void)usleep(1000000);
    other = begin_get("/hello");
    expect(&other, 200, "hello");
    reader_done(&other);
    httpd_signal(toy.httpd, slice_of("nobody waits for this"));
    await_parked(40);
    httpd_signal(toy.httpd, slice_of("even"));
    await_parked(20);
    for (int i = 0; i < 40; i += 2)
        expect(&readers[i], 200, "signalled after 1");
    httpd_signal(toy.httpd, slice_of("odd"));
    for (int i = 1; i < 40; i += 2)
        expect(&readers[i], 200, "signalled after 1");
    for (int i = 0; i < 40; i++)
        reader_done(&readers[i]);
}
END_TEST

START_TEST(wait__does_not_miss_a_signal_that_came_while_the_handler_ran)
{
    struct reader reader = begin_get("/wait?key=a&ms=50000&early");
    uint64_t start = clock_ms();

    expect(&reader, 200, "signalled after 1");
    ck_assert_uint_lt(clock_ms() - start, 3000);
    reader_done(&reader);
}
END_TEST

START_TEST(wait__may_follow_an_upload)
{
    struct reader reader =
        begin("PUT /upload/x?wait=50000 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc");

    await_parked(1);
    httpd_signal(toy.httpd, slice_of("upload"));
    expect(&reader, 201, "3 bytes, waited");
    reader_done(&reader);
    for (int i = 0; i < 1000 && toy.freed == 0; i++)
        (void)usleep(2000); /* after the answer, not before it */
    ck_assert_uint_eq(toy.freed, 1);
}
END_TEST

START_TEST(wait__of_a_handler_that_takes_too_long_is_answered)
{
    struct reader reader = begin_get("/slow?ms=4000");
    uint64_t start = clock_ms();

    expect(&reader, 503, "no answer was ready in time");
    ck_assert_uint_lt(clock_ms() - start, 3500);
    reader_done(&reader);
}
END_TEST

START_TEST(wait__in_a_full_queue_is_refused)
{
    struct reader readers[20];
    int full = 0, good = 0;

    for (int i = 0; i < 20; i++)
        readers[i] = begin_get("/slow?ms=150");
    for (int i = 0; i < 20; i++) {
        struct response response;
        char value[256];

        ck_assert(reader_next(&readers[i], false, &response));
        full += response.status == 503;
        good += response.status == 200;
        if (response.status == 503) {
            ck_assert_str_eq(response_header(&response, "Retry-After", value), "2");
            ck_assert_ptr_nonnull(strstr(response.body, "/problems/busy"));
        }
        response_done(&response);
        reader_done(&readers[i]);
    }
    ck_assert_int_ge(full, 5);
    ck_assert_int_ge(good, 8);
    ck_assert_int_eq(full + good, 20);
}
END_TEST

static void *
stop_later(void *context)
{
    stop(*(uint64_t *)context);
    return NULL;
}

/* What is under way ends well; what is parked is asked a last time; what is new is sent away. */
START_TEST(stop__lets_go_on_what_is_under_way)
{
    struct reader parked = begin_get("/wait?key=a&ms=50000");
    struct reader slow = begin_get("/slow?ms=500");
    struct reader upload = begin("PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nabc");
    struct reader events = begin_get("/produced?size=1000000&step=10&waits");
    struct reader idle = begin_get("/hello");
    uint64_t drain_ms = 5000, start;
    pthread_t thread;

    expect(&idle, 200, "hello");
    await_parked(2);
    for (int i = 0; i < 1000 && toy.begun == 0; i++)
        (void)usleep(1000);
    start = clock_ms();
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_later, &drain_ms), 0);
    (void)usleep(100000);
    expect(&parked, 200, "over after 1");
    expect(&slow, 200, "hello");
    ck_assert(toy_send(upload.fd, "def", 3));
    expect(&upload, 201, "6 bytes");
    expect(&events, 200, "000204060810");
    ck_assert(reader_ended(&idle));
    (void)pthread_join(thread, NULL);
    ck_assert_uint_lt(clock_ms() - start, 4000);
    ck_assert_uint_eq(toy.finished, 1);
    ck_assert_uint_eq(toy.freed, 1);
    reader_done(&parked);
    reader_done(&slow);
    reader_done(&upload);
    reader_done(&events);
    reader_done(&idle);
}
END_TEST

START_TEST(stop__refuses_what_is_new_meanwhile)
{
    struct reader slow = begin_get("/slow?ms=600");
    struct reader open = {.fd = toy_connect(&toy)};
    uint64_t drain_ms = 5000;
    struct response response;
    pthread_t thread;
    char value[256];
    int fd;

    ck_assert(toy_send(open.fd, "GET /he", 7));
    (void)usleep(50000);
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_later, &drain_ms), 0);
    (void)usleep(100000);
    fd = toy_connect(&toy);
    ck_assert_int_lt(fd, 0);
    ck_assert(toy_send(open.fd, "llo HTTP/1.1\r\n" HOST "\r\n", 14 + sizeof HOST - 1 + 2));
    ck_assert(reader_next(&open, false, &response));
    ck_assert_int_eq(response.status, 503);
    ck_assert_str_eq(response_header(&response, "Connection", value), "close");
    ck_assert_ptr_nonnull(strstr(response.body, "/problems/draining"));
    response_done(&response);
    expect(&slow, 200, "hello");
    (void)pthread_join(thread, NULL);
    reader_done(&slow);
    reader_done(&open);
}
END_TEST

/* The deadline cuts what does not end: an upload that stalls, a reader that stalls, one that waits. */
START_TEST(stop__cuts_what_does_not_end_in_time)
{
    struct reader upload = begin("PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nabc");
    struct reader pausing =
        begin("PUT /upload/x?pause=300 HTTP/1.1\r\n" HOST "Content-Length: 99000000\r\n\r\nabc");
    struct reader stalled = begin_get("/produced?size=90000000");
    struct reader half = begin("GET /hello HT");
    uint64_t start;

    for (int i = 0; i < 1000 && toy.begun < 2; i++)
        (void)usleep(1000);
    (void)usleep(100000);
    start = clock_ms();
    stop(300);
    ck_assert_uint_ge(clock_ms() - start, 290);
    ck_assert_uint_lt(clock_ms() - start, 4000);
    ck_assert_uint_eq(toy.aborted, 2);
    ck_assert_uint_eq(toy.freed, 2);
    ck_assert_uint_eq(toy.released, 1);
    reader_done(&upload);
    reader_done(&pausing);
    reader_done(&stalled);
    reader_done(&half);
}
END_TEST

SUITE(http_wait)
{
    return suite_around(
        "http_wait", setup, teardown, TEST(wait__is_over_after_its_time),
        TEST(wait__holds_no_worker_and_ends_with_its_signal),
        TEST(wait__does_not_miss_a_signal_that_came_while_the_handler_ran),
        TEST(wait__may_follow_an_upload), TEST(wait__of_a_handler_that_takes_too_long_is_answered),
        TEST(wait__in_a_full_queue_is_refused), TEST(stop__lets_go_on_what_is_under_way),
        TEST(stop__refuses_what_is_new_meanwhile), TEST(stop__cuts_what_does_not_end_in_time));
}
