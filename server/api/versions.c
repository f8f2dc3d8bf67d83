/* Versions, read: GET …/versions and …/versions/{ref}. */
#include "common/base/attr.h"
#include "server/api/api.h"
#include "server/api/version_json.h"

enum { REPLY_BYTES_MAX = 1 << 30 };

enum status
versions_list(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(REPLY_BYTES_MAX);
    struct json_writer w = json_writer_to(&out, 0);
    struct app *app = r->app;
    struct version_list list;
    struct page page;

    TRY(page_of_request(r, &page, err));
    TRY(version_store_list(app->store, request_segment(r, "ns"), request_segment(r, "model"), &page,
                           r->arena, &list, err));
    jw_object(&w);
    jw_key(&w, "versions");
    jw_array(&w);
    for (size_t i = 0; i < list.count; i++) {
        CLEANUP(loaded_release) struct cache_item *item = NULL;

        TRY(version_loaded(app, &list.versions[i], &item, err));
        version_json(&w, &list.versions[i], item == NULL ? NULL : cache_value(item), VERSION_ROW);
    }
    jw_array_end(&w);
    json_next_page(r, &w, list.next, ret_reply);
    reply_json(ret_reply, 200, &out);
    return OK;
}

/* The version's ETag changes with whatever is shown of it. */
static void
set_etag(struct reply *reply, const struct buf *body)
{
    struct digest d;

    if (body->failed == OK && hash_bytes(body->bytes, body->length, &d, NULL) == OK)
        reply_etag(reply, (struct slice){digest_text(&d).hex, 32});
}

enum status
versions_get(const struct request *r, struct reply *ret_reply, struct err *err)
{
    static const char *const includes[] = {"tensors", NULL};
    CLEANUP(loaded_release) struct cache_item *item = NULL;
    CLEANUP(buf_done) struct buf out = buf_with_cap(REPLY_BYTES_MAX);
    struct json_writer w = json_writer_to(&out, 0);
    struct app *app = r->app;
    struct version v;
    uint64_t wait_s;
    size_t include;

    TRY(request_query_u64(r, "wait", 0, 0, app->wait_max_s, &wait_s, err));
    TRY(request_query_choice(r, "include", includes, 1, &include, err));
    TRY(version_of_request(r, &v, err));
    if (v.state == VERSION_PENDING && wait_s > 0 && !r->is_wait_over) {
        reply_park(ret_reply, slice_of(app_wait_key(v.id).text), wait_s * 1000);
        return OK;
    }
    TRY(version_loaded(app, &v, &item, err));
    version_json(&w, &v, item == NULL ? NULL : cache_value(item),
                 include == 0 ? VERSION_TENSORS : VERSION_WHOLE);
    set_etag(ret_reply, &out);
    reply_json(ret_reply, 200, &out);
    return OK;
}
