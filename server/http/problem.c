#include "server/http/problem.h"

#include <strings.h>

#include "common/base/attr.h"
#include "common/base/json_writer.h"

enum { PROBLEM_BYTES_MAX = 4 << 20, RETRY_AFTER_S = 2 };

void
problem_write(struct buf *out, const struct err *err, struct slice request_id,
              const struct reply *members)
{
    struct json_writer w = json_writer_to(out, 0);
    CLEANUP(buf_done) struct buf type = buf_with_cap(128);

    buf_printf(&type, "/problems/%s", err_problem_type(err->code));
    jw_object(&w);
    jw_pair_slice(&w, "type", buf_slice_of(&type));
    jw_pair_text(&w, "title", err_title(err->code));
    jw_pair_u64(&w, "status", (uint64_t)err_http_status(err->code));
    jw_pair_text(&w, "detail", err->text[0] == '\0' ? err_title(err->code) : err->text);
    jw_pair_slice(&w, "request_id", request_id);
    for (size_t i = 0; members != NULL && i < members->member_count; i++) {
        jw_key(&w, members->members[i].name);
        jw_raw(&w, members->members[i].json);
    }
    jw_object_end(&w);
    buf_char(out, '\n');
}

static bool
has_header(const struct reply *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strcasecmp(r->headers[i].name, name) == 0)
            return true;
    return false;
}

void
problem_reply(struct reply *r, const struct err *err, struct slice request_id)
{
    static const char out_of_memory[] =
        "{\"type\":\"/problems/out-of-memory\",\"title\":\"Out of memory\",\"status\":503}\n";
    CLEANUP(buf_done) struct buf body = buf_with_cap(PROBLEM_BYTES_MAX);
    int status = err_http_status(err->code);

    problem_write(&body, err, request_id, r);
    r->etag = NULL;
    if (buf_check(&body, NULL) != OK)
        reply_static(r, 503, PROBLEM_MEDIA_TYPE, slice_of(out_of_memory));
    else
        reply_bytes(r, status, PROBLEM_MEDIA_TYPE, &body);
    if (status == 503 && !has_header(r, "Retry-After"))
        reply_header(r, "Retry-After", "%d", RETRY_AFTER_S);
    if (status == 401 && !has_header(r, "WWW-Authenticate"))
        reply_header(r, "WWW-Authenticate", "Bearer");
}
