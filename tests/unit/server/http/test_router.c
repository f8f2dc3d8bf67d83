#include "server/http/router.h"

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "tests/support/unit.h"

static enum status
handle(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)r;
    (void)ret_reply;
    (void)err;
    return OK;
}

#define ROW(method, pattern, ...) \
    { \
        METHOD_##method, pattern, .name = pattern, .handler = handle, __VA_ARGS__ \
    }

static const struct route routes[] = {
    ROW(GET, "/", .body = BODY_NONE),
    ROW(GET, "/v1/models", .body = BODY_NONE),
    ROW(GET, "/v1/models/{ns}/{model}", .body = BODY_NONE),
    ROW(PATCH, "/v1/models/{ns}/{model}", .body = BODY_NONE),
    ROW(GET, "/v1/models/{ns}/{model}/files/{path...}", .body = BODY_NONE),
    ROW(PUT, "/v1/models/{ns}/{model}/files/{path...}", .allows_slash = true),
    ROW(GET, "/v1/models/{ns}/search", .body = BODY_NONE),
    ROW(POST, "/v1/models/{ns}/search", .body = BODY_NONE),
    ROW(GET, "/app/", .body = BODY_NONE),
    ROW(GET, "/app/{path...}", .body = BODY_NONE),
};

static const struct {
    enum method method;
    const char *path;
    enum status want;
    const char *route;    /* its pattern */
    const char *segments; /* "name=value;" */
} cases[] = {
    {METHOD_GET, "/", OK, "/", ""},
    {METHOD_GET, "/v1/models", OK, "/v1/models", ""},
    {METHOD_GET, "/v1/models/vision/resnet", OK, "/v1/models/{ns}/{model}",
     "ns=vision;model=resnet;"},
    {METHOD_PATCH, "/v1/models/vision/res%2Dnet", OK, "/v1/models/{ns}/{model}",
     "ns=vision;model=res-net;"},
    {METHOD_GET, "/v1/models/vision/search", OK, "/v1/models/{ns}/search", "ns=vision;"},
    {METHOD_PATCH, "/v1/models/vision/search", OK, "/v1/models/{ns}/{model}",
     "ns=vision;model=search;"},
    {METHOD_GET, "/v1/models/a/b/files/c", OK, "/v1/models/{ns}/{model}/files/{path...}",
     "ns=a;model=b;path=c;"},
    {METHOD_GET, "/v1/models/a/b/files/c%20d/e/f.bin", OK,
     "/v1/models/{ns}/{model}/files/{path...}", "ns=a;model=b;path=c d/e/f.bin;"},
    {METHOD_PUT, "/v1/models/a/b/files/c%2Fd/e", OK, "/v1/models/{ns}/{model}/files/{path...}",
     "ns=a;model=b;path=c/d/e;"},
    {METHOD_GET, "/app/", OK, "/app/", ""},
    {METHOD_GET, "/app/a/b.js", OK, "/app/{path...}", "path=a/b.js;"},
    {METHOD_GET, "/v1/models/a/b/files", ERR_NOT_FOUND, "", ""},
    {METHOD_GET, "/v1/models/a/b/files/", ERR_NOT_FOUND, "", ""},
    {METHOD_GET, "/v1/models/a/b/files/c/", ERR_NOT_FOUND, "", ""},
    {METHOD_GET, "/v1/models/", ERR_NOT_FOUND, "", ""},
    {METHOD_GET, "/app", ERR_NOT_FOUND, "", ""},
    {METHOD_GET, "/v1", ERR_NOT_FOUND, "", ""},
    {METHOD_GET, "/v2/models", ERR_NOT_FOUND, "", ""},
    {METHOD_GET, "/v1/Models", ERR_NOT_FOUND, "", ""},
    {METHOD_DELETE, "/v1/models", ERR_METHOD, "", ""},
    {METHOD_PUT, "/v1/models/a/b", ERR_METHOD, "", ""},
    {METHOD_GET, "//", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "/v1//models", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "/v1/./models", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "/nowhere/%2e%2e", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "/nowhere/%", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "/v1/models/a%2Fb/c", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "/v1/models/a/b/files/c%2Fd", ERR_BAD_REQUEST, "", ""},
    {METHOD_PUT, "/v1/models/a/b/files/c%2F..%2Fd", ERR_BAD_REQUEST, "", ""},
    {METHOD_PUT, "/v1/models/a/b/files/%2Fd", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "/v1/models/a/b%00", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "", ERR_BAD_REQUEST, "", ""},
    {METHOD_GET, "v1", ERR_BAD_REQUEST, "", ""},
};

START_TEST(router__finds_the_row_and_decodes_what_it_captures)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    CLEANUP(buf_done) struct buf out = buf_with_cap(1000);
    struct router *router;
    struct route_match match;
    struct err err = {0};

    ck_assert_int_eq(router_new(routes, ARRAY_LENGTH(routes), &router, &err), OK);
    ck_assert_int_eq(router_match(router, true, cases[_i].method, slice_of(cases[_i].path), &arena,
                                  &match, &err),
                     cases[_i].want);
    if (cases[_i].want == OK) {
        ck_assert_str_eq(match.route->pattern, cases[_i].route);
        ck_assert_int_eq(match.route->method, cases[_i].method);
        buf_text(&out, "");
        for (size_t i = 0; i < match.segment_count; i++)
            buf_printf(&out, "%.*s=%.*s;", SLICE_PRINT(match.segments[i].name),
                       SLICE_PRINT(match.segments[i].value));
        ck_assert(slice_is(buf_slice_of(&out), cases[_i].segments));
    }
    router_free(router);
}
END_TEST

START_TEST(router__tells_what_a_path_allows)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 16);
    struct router *router;
    struct route_match match;
    struct slice text;

    ck_assert_int_eq(router_new(routes, ARRAY_LENGTH(routes), &router, NULL), OK);
    ck_assert_int_eq(router_match(router, false, METHOD_GET, slice_of("/v1/models/a/search"),
                                  &arena, &match, NULL),
                     ERR_METHOD);
    ck_assert_int_eq(router_allow(match.allowed, &arena, &text, NULL), OK);
    ck_assert(slice_is(text, "GET, HEAD, POST, PATCH, OPTIONS"));
    router_free(router);
}
END_TEST

static const struct route wrong[][2] = {
    {ROW(GET, "no/slash", .body = BODY_NONE)},
    {ROW(GET, "", .body = BODY_NONE)},
    {ROW(GET, "/{}", .body = BODY_NONE)},
    {ROW(GET, "/{...}", .body = BODY_NONE)},
    {ROW(GET, "/{a...}/b", .body = BODY_NONE)},
    {ROW(GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", .body = BODY_NONE)},
    {{METHOD_GET, "/a", .name = "a"}},
    {{METHOD_PUT, "/a", .name = "a", .handler = handle, .body = BODY_STREAM}},
    {ROW(GET, "/{a}/b", .body = BODY_NONE), ROW(GET, "/{c}/b", .body = BODY_NONE)},
};

START_TEST(router__refuses_a_wrong_table)
{
    struct router *router = NULL;
    struct err err = {0};

    ck_assert_int_eq(router_new(wrong[_i], wrong[_i][1].pattern == NULL ? 1 : 2, &router, &err),
                     ERR_BAD_REQUEST);
    ck_assert_int_ne(err.text[0], '\0');
}
END_TEST

SUITE(router)
{
    return suite_with("router", LOOP(router__finds_the_row_and_decodes_what_it_captures, cases),
                      TEST(router__tells_what_a_path_allows),
                      LOOP(router__refuses_a_wrong_table, wrong));
}
