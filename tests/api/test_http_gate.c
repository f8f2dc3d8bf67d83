/* What the gate refuses, as bytes on a socket: each of them would be served, or read as something
 * else, by libmicrohttpd 0.9.75 alone. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/api/toy.h"
#include "tests/support/unit.h"

#define HOST     "Host: localhost\r\n"
#define SMUGGLED "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: smuggled\r\n\r\n"

static const struct {
    const char *request;
    int status;
} refused[] = {
    /* Framing that two parsers read differently. */
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc" SMUGGLED,
     400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" SMUGGLED,
     400},
    {"POST /echo HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" SMUGGLED,
     400},
    {"POST /echo HTTP/1.1\r\n" HOST
     "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400},
    {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400},
    {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
    {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
    {"POST /echo HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
     400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length : 33\r\n\r\n" SMUGGLED, 400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length:\r\n 3\r\n\r\nabc" SMUGGLED, 400},
    {"POST /echo HTTP/1.1\r\n" HOST "X: a\r\n Content-Length: 3\r\nBad Name: 1\r\n\r\n" SMUGGLED,
     400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n" SMUGGLED, 400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc" SMUGGLED, 400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc" SMUGGLED, 400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", 413},
    {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", 400},
    {"POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"GET /hello HTTP/1.9\r\n" HOST "\r\n", 505},
    {"GET /hello HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 400},
    {"GET /hello HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 415},
    {"POST /echo HTTP/1.1\r\n" HOST "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417},
    /* Headers. */
    {"GET /hello HTTP/1.1\r\n" HOST "X-A: a\x01"
     "b\r\n\r\n",
     400},
    {"GET /hello HTTP/1.1\r\n" HOST "Na(me: 1\r\n\r\n", 400},
    {"GET /hello HTTP/1.1\r\n" HOST "Range: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", 400},
    /* Host. */
    {"GET /hello HTTP/1.1\r\n\r\n", 400},
    {"GET /hello HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
    {"GET /hello HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421},
    {"GET /hello HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80\r\n\r\n", 421},
    {"GET /hello HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 421},
    {"GET /hello HTTP/1.1\r\nHost: ports.example:8421\r\n\r\n", 421},
    {"GET /hello HTTP/1.1\r\nHost: a.toys.example\r\n\r\n", 421},
    {"GET /hello HTTP/1.1\r\nHost: \r\n\r\n", 400},
    {"GET /hello HTTP/1.1\r\nHost: localhost:80x\r\n\r\n", 400},
    {"GET http://evil.example/hello HTTP/1.1\r\n" HOST "\r\n", 421},
    /* Paths. */
    {"GET /show/a%2Fb/c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/a%00b/c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/a%0ab/c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/a%zz/c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/a%2 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/a%ff/c HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/../hello HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/x/%2e%2E HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /./hello HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET //hello HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /slash/a%2F..%2Fb HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /hello/ HTTP/1.1\r\n" HOST "\r\n", 404},
    {"GET /HELLO HTTP/1.1\r\n" HOST "\r\n", 404},
    {"GET /hello?a=1 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/a/b?a=1&a=2 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /show/a/b?a=%zz HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /hello#x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /he llo HTTP/1.1\r\n" HOST "\r\n", 400},
    {"PUT /hello HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 405},
    {"BREW /hello HTTP/1.1\r\n" HOST "\r\n", 405},
    {"CONNECT localhost:80 HTTP/1.1\r\n" HOST "\r\n", 400},
    /* Other sites' pages. */
    {"POST /echo HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
     403},
    {"POST /echo HTTP/1.1\r\n" HOST "Origin: null\r\nContent-Length: 0\r\n\r\n", 403},
    {"DELETE /hello HTTP/1.1\r\n" HOST "Sec-Fetch-Site: cross-site\r\n\r\n", 403},
    {"DELETE /hello HTTP/1.1\r\n" HOST "Sec-Fetch-Site: same-site\r\n\r\n", 403},
    {"PUT /upload/x HTTP/1.1\r\n" HOST "\r\n", 411},
    {"PUT /small-upload HTTP/1.1\r\n" HOST "Content-Length: 100001\r\n\r\n", 413},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 200001\r\n\r\n", 413},
};

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

/* The refusal is the only answer: nothing that follows it on the connection is served. */
START_TEST(gate__refuses_and_serves_nothing_that_follows)
{
    struct reader reader = {.fd = toy_connect(&toy)};
    struct response response;

    ck_assert(toy_send(reader.fd, refused[_i].request, strlen(refused[_i].request)));
    ck_assert_msg(reader_next(&reader, false, &response), "no answer to %s", refused[_i].request);
    ck_assert_msg(response.status == refused[_i].status, "%d, not %d, to %s\n%s", response.status,
                  refused[_i].status, refused[_i].request, response.body);
    response_done(&response);
    if (strstr(refused[_i].request, "smuggled") != NULL) {
        /* The connection ends; once, libmicrohttpd itself repeats its 400 before that. */
        while (reader_next(&reader, false, &response)) {
            ck_assert_int_eq(response.status, refused[_i].status);
            response_done(&response);
        }
        response_done(&response);
    }
    reader_done(&reader);
}
END_TEST

static const struct {
    const char *request;
    int status;
    const char *body; /* contained */
} taken[] = {
    {"GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\nHost: localhost\n\n", 200, "hello"},
    {"GET /hello HTTP/1.0\r\n\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\r\nhOsT: LOCALHOST:8420\r\n\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\r\nHost: [::1]:65535\r\n\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\r\nHost: Toys.Example.:1\r\n\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\r\nHost: ports.example:8420\r\n\r\n", 200, "hello"},
    {"DELETE /hello HTTP/1.1\r\n" HOST
     "Origin: https://console.example\r\nSec-Fetch-Site: cross-site\r\n\r\n",
     200, "hello"},
    {"GET http://localhost/hello HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 200, "hello"},
    {"GET /hello HTTP/1.1\r\n" HOST "Sec-Fetch-Site: cross-site\r\n\r\n", 200, "hello"},
    {"DELETE /hello HTTP/1.1\r\n" HOST
     "Sec-Fetch-Site: same-origin\r\nOrigin: http://localhost\r\n\r\n",
     200, "hello"},
    {"DELETE /hello HTTP/1.1\r\nHost: localhost:8420\r\nOrigin: https://localhost:8420\r\n\r\n",
     200, "hello"},
    {"DELETE /hello HTTP/1.1\r\n" HOST "Sec-Fetch-Site: none\r\n\r\n", 200, "hello"},
    {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 003\r\n\r\nabc", 200, "abc"},
    {"POST /echo HTTP/1.1\r\n" HOST
     "Transfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nT: 1\r\n\r\n",
     200, "abc"},
    {"POST /echo HTTP/1.1\r\n" HOST "\r\n", 200, ""},
    {"GET /show/a%20b/%C3%A9/x/y?a=&meta.k=v%26w HTTP/1.1\r\n" HOST "\r\n", 200,
     "{one}=[a b]\n{rest}=[\xc3\xa9/x/y]\n?a=[]\n?meta.k=[v&w]\n"},
    {"GET /show/a/b?b=1&b=2&&b=a+b HTTP/1.1\r\n" HOST "\r\n", 200, "?b=[1]\n?b=[2]\n?b=[a b]\n"},
    {"GET /show/a+b/c HTTP/1.1\r\n" HOST "\r\n", 200, "{one}=[a+b]"},
    {"GET /slash/a%2Fb%2fc HTTP/1.1\r\n" HOST "\r\n", 200, "{one}=[a/b/c]"},
};

START_TEST(gate__lets_through_what_is_plain)
{
    struct response response = toy_ask(&toy, taken[_i].request);

    ck_assert_msg(response.status == taken[_i].status, "%d to %s", response.status,
                  taken[_i].request);
    ck_assert_msg(strstr(response.body, taken[_i].body) != NULL, "%s", response.body);
    response_done(&response);
}
END_TEST

/* However the bytes come in pieces, the answer is the same. */
START_TEST(gate__does_not_care_how_the_bytes_are_cut)
{
    static const char *const requests[] = {
        "GET /show/a%20b/c?a=%31 HTTP/1.1\r\n" HOST "X-Request-Id: cut\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\nabcdefg",
        "POST /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        "PUT /upload/x HTTP/1.1\r\n" HOST "Content-Length: 7\r\n\r\nabcdefg",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc",
    };
    static const int statuses[] = {200, 200, 200, 201, 400};
    const char *request = requests[_i];
    size_t length = strlen(request);

    for (size_t cut = 1; cut < length; cut++) {
        struct reader reader = {.fd = toy_connect(&toy)};
        struct response response;

        ck_assert(toy_send(reader.fd, request, cut));
        (void)usleep(1000);
        (void)toy_send(reader.fd, request + cut,
                       length - cut); /* refused early, it may be closed */
        ck_assert_msg(reader_next(&reader, false, &response), "cut at %zu: no answer", cut);
        ck_assert_msg(response.status == statuses[_i], "cut at %zu: %d", cut, response.status);
        response_done(&response);
        reader_done(&reader);
    }
}
END_TEST

START_TEST(gate__limits_headers_and_uris)
{
    static char request[400000];
    struct response response;
    size_t at;

    at = (size_t)snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 70; i++)
        at += (size_t)snprintf(request + at, sizeof request - at, "X-%d: 1\r\n", i);
    memcpy(request + at, "\r\n", 3);
    response = toy_ask(&toy, request);
    ck_assert_int_eq(response.status, 431);
    response_done(&response);

    at = (size_t)snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST "X: ");
    memset(request + at, 'x', 20000);
    memcpy(request + at + 20000, "\r\n\r\n", 5);
    response = toy_ask(&toy, request);
    ck_assert_int_eq(response.status, 431);
    response_done(&response);

    at = (size_t)snprintf(request, sizeof request, "GET /hello");
    memset(request + at, 'x', 20000);
    (void)snprintf(request + at + 20000, 100, " HTTP/1.1\r\n" HOST "\r\n");
    response = toy_ask(&toy, request);
    ck_assert_int_eq(response.status, 414);
    response_done(&response);
}
END_TEST

START_TEST(gate__tells_what_a_path_allows)
{
    struct response response = toy_ask(&toy, "OPTIONS /hello HTTP/1.1\r\n" HOST "\r\n");
    char value[256];

    ck_assert_int_eq(response.status, 204);
    ck_assert_str_eq(response_header(&response, "Allow", value), "GET, HEAD, DELETE, OPTIONS");
    response_done(&response);
    response = toy_ask(&toy, "POST /hello HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab");
    ck_assert_int_eq(response.status, 405);
    ck_assert_str_eq(response_header(&response, "Allow", value), "GET, HEAD, DELETE, OPTIONS");
    response_done(&response);
    response = toy_ask(&toy, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    ck_assert_int_eq(response.status, 204);
    response_done(&response);
    response = toy_ask(&toy, "OPTIONS /none HTTP/1.1\r\n" HOST "\r\n");
    ck_assert_int_eq(response.status, 404);
    response_done(&response);
}
END_TEST

START_TEST(gate__keeps_a_sane_request_id_and_makes_one_otherwise)
{
    struct response response =
        toy_ask(&toy, "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: Ab-1._\r\n\r\n");
    char value[256], other[256];

    ck_assert_str_eq(response_header(&response, "X-Request-Id", value), "Ab-1._");
    response_done(&response);
    response = toy_ask(&toy, "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: a b\r\n\r\n");
    ck_assert_uint_eq(strlen(response_header(&response, "X-Request-Id", value)), 16);
    response_done(&response);
    response = toy_ask(&toy, "GET /none HTTP/1.1\r\n" HOST "\r\n");
    ck_assert_uint_eq(strlen(response_header(&response, "X-Request-Id", other)), 16);
    ck_assert_str_ne(value, other);
    ck_assert_ptr_nonnull(strstr(response.body, other)); /* the problem names it, too */
    response_done(&response);
}
END_TEST

SUITE(http_gate)
{
    return suite_around("http_gate", setup, teardown,
                        LOOP(gate__refuses_and_serves_nothing_that_follows, refused),
                        LOOP(gate__lets_through_what_is_plain, taken),
                        ((struct unit_test){gate__does_not_care_how_the_bytes_are_cut, 5}),
                        TEST(gate__limits_headers_and_uris), TEST(gate__tells_what_a_path_allows),
                        TEST(gate__keeps_a_sane_request_id_and_makes_one_otherwise));
}
