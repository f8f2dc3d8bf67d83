/* Models: GET /v1/models, /v1/models/{ns}, /v1/models/{ns}/{model}. */
#include "common/base/attr.h"
#include "server/api/api.h"
#include "server/api/version_json.h"
#include "server/store/model_store.h"

enum { REPLY_BYTES_MAX = 64 << 20 };

/* The members of a model in an object that is open. */
static void
model_members(struct json_writer *w, const struct model *m)
{
    jw_key(w, "model");
    buf_printf(w->out, "\"%.*s/%.*s\"", SLICE_PRINT(m->namespace), SLICE_PRINT(m->name));
    w->after_key = false;
    jw_pair_u64(w, "versions", m->versions);
    jw_key(w, "latest");
    if (m->latest.length > 0)
        jw_slice(w, m->latest);
    else
        jw_null(w);
    jw_key(w, "created_at");
    json_time(w, m->created_at_us);
    jw_key(w, "updated_at");
    json_time(w, m->updated_at_us);
}

static enum status
list(const struct request *r, struct slice namespace, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(REPLY_BYTES_MAX);
    struct json_writer w = json_writer_to(&out, 0);
    struct app *app = r->app;
    struct model_list models;
    struct page page;

    TRY(page_of_request(r, &page, err));
    TRY(model_store_list(app->store, r->principal, namespace, &page, r->arena, &models, err));
    FAIL_IF(namespace.length > 0 && models.count == 0 && page.cursor.length == 0, err, NOT_FOUND, 0,
            "there is no namespace %.*s", SLICE_PRINT(namespace));
    jw_object(&w);
    jw_key(&w, "models");
    jw_array(&w);
    for (size_t i = 0; i < models.count; i++) {
        jw_object(&w);
        model_members(&w, &models.models[i]);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    json_next_page(r, &w, models.next, ret_reply);
    reply_json(ret_reply, 200, &out);
    return OK;
}

enum status
models_list(const struct request *r, struct reply *ret_reply, struct err *err)
{
    return list(r, (struct slice){0}, ret_reply, err);
}

enum status
models_list_namespace(const struct request *r, struct reply *ret_reply, struct err *err)
{
    TRY(ref_check_part("namespace", request_segment(r, "ns"), err));
    return list(r, request_segment(r, "ns"), ret_reply, err);
}

enum status
models_get(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(REPLY_BYTES_MAX);
    struct json_writer w = json_writer_to(&out, 0);
    struct app *app = r->app;
    struct model m;

    TRY(model_store_get(app->store, request_segment(r, "ns"), request_segment(r, "model"), r->arena,
                        &m, err));
    jw_object(&w);
    model_members(&w, &m);
    jw_object_end(&w);
    reply_json(ret_reply, 200, &out);
    return OK;
}
