#include "server/http/multipart.h"

#include <stdio.h>
#include <string.h>

#include "common/base/attr.h"
#include "tests/support/unit.h"

#define TYPE "multipart/form-data; boundary=BOUND"

/* Events as text: "name(file;type){content}" for each part, "." at the end. */
static void
tell(struct multipart *m, enum multipart_event event, struct slice data, struct buf *out)
{
    switch (event) {
    case MULTIPART_NEED:
        break;
    case MULTIPART_PART:
        buf_slice(out, m->part.name);
        if (m->part.filename.at != NULL || m->part.media_type.at != NULL)
            buf_printf(out, "(%.*s;%.*s)", SLICE_PRINT(m->part.filename),
                       SLICE_PRINT(m->part.media_type));
        buf_char(out, '{');
        break;
    case MULTIPART_DATA:
        buf_slice(out, data);
        break;
    case MULTIPART_PART_END:
        buf_char(out, '}');
        break;
    case MULTIPART_END:
        buf_char(out, '.');
        break;
    }
}

/* Give the body in pieces that end at these places. */
static enum status
read_body(struct slice body, size_t cut, size_t other, struct buf *out, struct err *err)
{
    CLEANUP(multipart_done) struct multipart m = {0};
    size_t ends[3] = {cut, other, body.length}, from = 0;

    TRY(multipart_init(&m, slice_of(TYPE), 4, err));
    for (size_t i = 0; i < 3; i++) {
        struct slice piece = slice_part(body, from, ends[i] - from);

        from = ends[i];
        while (piece.length > 0) {
            enum multipart_event event;
            struct slice data;

            TRY(multipart_next(&m, &piece, &event, &data, err));
            tell(&m, event, data, out);
        }
    }
    return multipart_finish(&m, err);
}

static const struct {
    const char *body;
    const char *want;
} good[] = {
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--BOUND--\r\n",
     "a{value}."},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--BOUND--", "a{}."},
    {"ignored\r\n--BOUND \t\r\ncontent-disposition:form-data;name=a\r\n\r\nx\r\n--BOUND--more",
     "a{x}."},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"f\"; filename=\"C:\\dir\\a\\\"b.pth\"\r\n"
     "Content-Type: application/octet-stream\r\nX-Other: 1\r\n\r\n"
     "\r\r\n\r\n-\r\n--\r\n--BOUN\r\n--BOUN\r\n\r\n--BOUND\r\n"
     "Content-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n--BOUND--\r\n",
     "f(C:\\dir\\a\"b.pth;application/"
     "octet-stream){\r\r\n\r\n-\r\n--\r\n--BOUN\r\n--BOUN\r\n}b{2}."},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"f\"; "
     "filename=\"\"\r\n\r\n--BOUND\r\n--BOUND--",
     "f(;){--BOUND}."},
    {"\r\n--BOUND\r\nContent-Disposition: form-data; name=\"n;=\"\r\n"
     "Content-Transfer-Encoding: binary\r\n\r\n\r\r\r\r\n--BOUND--\r\n",
     "n;={\r\r\r}."},
};

START_TEST(multipart__reads_the_same_however_it_is_cut)
{
    struct slice body = slice_of(good[_i].body);

    for (size_t cut = 0; cut <= body.length; cut++)
        for (size_t other = cut; other <= body.length; other++) {
            CLEANUP(buf_done) struct buf out = buf_with_cap(10000);
            struct err err = {0};

            ck_assert_msg(read_body(body, cut, other, &out, &err) == OK, "%s", err.text);
            ck_assert_str_eq(out.bytes, good[_i].want);
        }
}
END_TEST

#define PART "--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n"

static const struct {
    const char *body;
    enum status want;
} bad[] = {
    {"", ERR_BAD_REQUEST},
    {"no boundary at all", ERR_BAD_REQUEST},
    {"--BOUND", ERR_BAD_REQUEST},
    {"--BOUND\r\n", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--BOUND",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--BOUND-",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv\r\n--BOUNDx\r\n",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv\r\n--BOUND-x\r\n",
     ERR_BAD_REQUEST},
    {"--BOUND\rx", ERR_BAD_REQUEST},
    {"--BOUND\r\n\r\nx\r\n--BOUND--", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Type: a/b\r\n\r\nx\r\n--BOUND--", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data\r\n\r\nx\r\n--BOUND--", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--BOUND--", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name\r\n\r\nx\r\n--BOUND--", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\r\n\r\nx\r\n--BOUND--", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\" x\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"\xff\"\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\x01\"\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data;\r\n name=\"a\"\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition : form-data; name=\"a\"\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\nX: y\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n"
     "Content-Disposition: form-data; name=\"b\"\r\n\r\nx\r\n--BOUND--",
     ERR_BAD_REQUEST},
    {"--BOUND\r\nno colon\r\n\r\nx\r\n--BOUND--", ERR_BAD_REQUEST},
    {"--BOUND\r\nContent-Disposition: form-data; name=\"a\"\r\n"
     "Content-Transfer-Encoding: base64\r\n\r\nx\r\n--BOUND--",
     ERR_MEDIA_TYPE},
    {PART PART PART PART PART "--BOUND--", ERR_LIMIT},
};

START_TEST(multipart__refuses_what_is_malformed)
{
    struct slice body = slice_of(bad[_i].body);

    for (size_t cut = 0; cut <= body.length; cut++) {
        CLEANUP(buf_done) struct buf out = buf_with_cap(10000);
        struct err err = {0};

        ck_assert_int_eq(read_body(body, cut, body.length, &out, &err), bad[_i].want);
        ck_assert_int_ne(err.text[0], '\0');
    }
}
END_TEST

START_TEST(multipart__limits_a_parts_header)
{
    static char body[20000] = "--BOUND\r\nX: ";
    CLEANUP(buf_done) struct buf out = buf_with_cap(10000);
    size_t length = strlen(body);

    memset(body + length, 'x', sizeof body - length - 1);
    ck_assert_int_eq(read_body(slice_of(body), 5000, 6000, &out, NULL), ERR_LIMIT);
}
END_TEST

static const struct {
    const char *type;
    enum status want;
} types[] = {
    {"multipart/form-data; boundary=a", OK},
    {"Multipart/Form-Data ;charset=utf-8; BOUNDARY=\"a b:c\"", OK},
    {"multipart/form-data", ERR_BAD_REQUEST},
    {"multipart/form-data; boundary=", ERR_BAD_REQUEST},
    {"multipart/form-data; boundary=\"\"", ERR_BAD_REQUEST},
    {"multipart/form-data; boundary=\"a ", ERR_BAD_REQUEST},
    {"multipart/form-data; boundary=\"a \"", ERR_BAD_REQUEST},
    {"multipart/form-data; boundary=a\"b", ERR_BAD_REQUEST},
    {"multipart/form-data; boundary=a; boundary=a", ERR_BAD_REQUEST},
    {"multipart/form-data; "
     "boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     ERR_BAD_REQUEST},
    {"multipart/mixed; boundary=a", ERR_MEDIA_TYPE},
    {"", ERR_MEDIA_TYPE},
};

START_TEST(multipart__takes_its_boundary_from_the_media_type)
{
    CLEANUP(multipart_done) struct multipart m = {0};

    ck_assert_int_eq(multipart_init(&m, slice_of(types[_i].type), 1, NULL), types[_i].want);
}
END_TEST

SUITE(multipart)
{
    return suite_with("multipart", LOOP(multipart__reads_the_same_however_it_is_cut, good),
                      LOOP(multipart__refuses_what_is_malformed, bad),
                      TEST(multipart__limits_a_parts_header),
                      LOOP(multipart__takes_its_boundary_from_the_media_type, types));
}
