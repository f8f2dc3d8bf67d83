/* Who may do what, and that it is known before a body is read. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/api/toy.h"
#include "tests/support/unit.h"

#define HOST "Host: localhost\r\n"

static struct toy toy;

static const char *const visible[] = {"vision", "team-*"};
static const struct principal reader = {"reader", SCOPE_READ, visible, 2};
static const struct principal writer = {"writer", SCOPE_READ | SCOPE_WRITE, NULL, 0};

static enum status
authorize(const struct request *r, const struct route *route,
          const struct principal **ret_principal, struct reply *ret_reply, struct err *err)
{
    struct slice token = request_header(r, "Authorization");

    (void)route;
    (void)usleep(1000); /* it may look into a database */
    if (slice_is(token, "Bearer reader"))
        *ret_principal = &reader;
    else if (slice_is(token, "Bearer writer"))
        *ret_principal = &writer;
    else {
        reply_header(ret_reply, "X-Why", "no token");
        FAIL(err, UNAUTHORIZED, 0, "a token is needed");
    }
    return OK;
}

static void
setup(void)
{
    toy_start_guarded(&toy, authorize);
}

static void
teardown(void)
{
    toy_stop(&toy, 1000);
}

static const struct {
    const char *line;
    const char *token; /* NULL: none */
    size_t length;     /* of the body; Expect is sent with it */
    int status;
} cases[] = {
    {"GET /hello", NULL, 0, 401},
    {"GET /hello", "nobody", 0, 401},
    {"GET /hello", "reader", 0, 200},
    {"GET /none", NULL, 0, 404},
    {"GET /show/vision/x", "reader", 0, 200},
    {"GET /show/team-a/x", "reader", 0, 200},
    {"GET /show/secret/x", "reader", 0, 404},
    {"GET /show/secret/x", "writer", 0, 200},
    {"POST /echo", "writer", 5, 200},
    {"POST /echo", "reader", 5, 403},
    {"POST /echo", NULL, 5, 401},
    {"POST /echo", "writer", 150000, 200},
    {"POST /echo", "reader", 150000, 403},
    {"POST /echo", NULL, 150000, 401},
    {"PUT /upload/x", "writer", 150000, 201},
    {"PUT /upload/x", "reader", 150000, 403},
    {"PUT /upload/x", NULL, 150000, 401},
};

START_TEST(auth__decides_before_a_large_body_is_read)
{
    static char body[150000];
    struct reader connection = {.fd = toy_connect(&toy)};
    struct response response;
    char request[400], value[256];
    bool has_token = cases[_i].token != NULL;

    (void)snprintf(request, sizeof request,
                   "%s HTTP/1.1\r\n" HOST "%s%s%sContent-Length: %zu\r\n%s\r\n", cases[_i].line,
                   has_token ? "Authorization: Bearer " : "", has_token ? cases[_i].token : "",
                   has_token ? "\r\n" : "", cases[_i].length,
                   cases[_i].length > 0 ? "Expect: 100-continue\r\n" : "");
    ck_assert(toy_send(connection.fd, request, strlen(request)));
    if (cases[_i].status < 300 || cases[_i].length < 10000)
        ck_assert(toy_send(connection.fd, body, cases[_i].length));
    ck_assert(reader_next(&connection, false, &response));
    ck_assert_msg(response.status == cases[_i].status, "%d: %s", response.status, response.body);
    if (cases[_i].length > 10000)
        ck_assert_uint_eq(connection.continues, cases[_i].status < 300);
    if (cases[_i].status == 401) {
        ck_assert_str_eq(response_header(&response, "WWW-Authenticate", value), "Bearer");
        ck_assert_str_eq(response_header(&response, "X-Why", value), "no token");
    }
    response_done(&response);
    reader_done(&connection);
}
END_TEST

SUITE(http_auth)
{
    return suite_around("http_auth", setup, teardown,
                        LOOP(auth__decides_before_a_large_body_is_read, cases));
}
