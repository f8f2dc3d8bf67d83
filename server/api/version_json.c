#include "server/api/version_json.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "common/render/inspection_json.h"
#include "server/work/clock.h"

void
json_time(struct json_writer *w, int64_t time_us)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(64);

    clock_rfc3339(&text, time_us);
    jw_slice(w, buf_slice_of(&text));
}

void
json_digest(struct json_writer *w, const struct digest *d)
{
    char text[8 + DIGEST_HEX];

    (void)snprintf(text, sizeof text, "sha256:%s", digest_text(d).hex);
    jw_text(w, text);
}

static void
write_files(struct json_writer *w, const struct version *v)
{
    jw_key(w, "files");
    jw_array(w);
    for (size_t i = 0; i < v->file_count; i++) {
        jw_object(w);
        jw_pair_slice(w, "path", v->files[i].path);
        jw_pair_u64(w, "size", v->files[i].size);
        jw_key(w, "digest");
        json_digest(w, &v->files[i].digest);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
write_metadata(struct json_writer *w, const struct version *v)
{
    jw_key(w, "metadata");
    jw_object(w);
    for (size_t i = 0; i < v->metadata_count; i++) {
        jw_key_slice(w, v->metadata[i].key);
        jw_raw(w, v->metadata[i].json);
    }
    jw_object_end(w);
}

static void
write_failure(struct json_writer *w, const struct version *v)
{
    jw_key(w, "failure");
    if (v->failure.length == 0) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_key(w, "type");
    buf_printf(w->out, "\"/problems/%.*s\"", SLICE_PRINT(v->failure_type));
    w->after_key = false;
    jw_pair_slice(w, "detail", v->failure);
    jw_object_end(w);
}

/* The summary is an object that was printed before: with tensors, two members are put into it. */
static void
write_inspection(struct json_writer *w, const struct loaded *loaded, bool with_tensors)
{
    jw_key(w, "inspection");
    if (loaded == NULL) {
        jw_null(w);
        return;
    }
    if (!with_tensors) {
        jw_raw(w, loaded->summary);
        return;
    }
    jw_object(w);
    inspection_json_tensors(w, inspection_default(&loaded->in));
    buf_char(w->out, ',');
    buf_slice(w->out, slice_part(loaded->summary, 1, loaded->summary.length - 2));
    jw_object_end(w);
}

void
version_json(struct json_writer *w, const struct version *v, const struct loaded *loaded,
             enum version_detail detail)
{
    jw_object(w);
    jw_key(w, "model");
    buf_printf(w->out, "\"%.*s/%.*s\"", SLICE_PRINT(v->namespace), SLICE_PRINT(v->model));
    w->after_key = false;
    jw_pair_slice(w, "version", v->label);
    jw_pair_u64(w, "serial", v->serial);
    jw_key(w, "digest");
    if (v->state == VERSION_OPEN)
        jw_null(w);
    else
        json_digest(w, &v->digest);
    jw_pair_text(w, "state", version_state_name(v->state));
    jw_key(w, "created_at");
    json_time(w, v->created_at_us);
    jw_key(w, "expires_at");
    if (v->expires_at_us == 0)
        jw_null(w);
    else
        json_time(w, v->expires_at_us);
    write_files(w, v);
    jw_key(w, "aliases");
    jw_flat_array(w);
    for (size_t i = 0; i < v->alias_count; i++)
        jw_slice(w, v->aliases[i]);
    jw_array_end(w);
    jw_key(w, "tags");
    jw_object(w);
    jw_object_end(w);
    write_metadata(w, v);
    write_failure(w, v);
    jw_key(w, "safety");
    jw_text(w, loaded == NULL ? NULL : safety_name(loaded->in.safety));
    if (detail != VERSION_ROW)
        write_inspection(w, loaded, detail == VERSION_TENSORS);
    jw_object_end(w);
}

enum status
version_loaded(struct app *app, const struct version *v, struct cache_item **ret_item,
               struct err *err)
{
    *ret_item = NULL;
    if (v->inspection_id == 0)
        return OK;
    return loaded_get(app, v->inspection_id, ret_item, err);
}

enum status
version_need_loaded(struct app *app, const struct version *v, bool must_be_ready,
                    struct cache_item **ret_item, struct err *err)
{
    *ret_item = NULL;
    FAIL_IF(v->state == VERSION_PENDING, err, PENDING, 0,
            "the inspection of %.*s has not ended yet; GET …/versions/%.*s?wait=60 waits for it",
            SLICE_PRINT(v->label), SLICE_PRINT(v->label));
    FAIL_IF(must_be_ready && v->state != VERSION_READY, err, NOT_READY, 0,
            "the version is %s, so no tensor of it is known; GET …/versions/%.*s/findings says why",
            version_state_name(v->state), SLICE_PRINT(v->label));
    TRY(version_loaded(app, v, ret_item, err));
    FAIL_IF(*ret_item == NULL, err, NOT_READY, 0, "the version is %s, so nothing is known of it",
            version_state_name(v->state));
    return OK;
}

enum status
version_of_request(const struct request *r, struct version *ret_version, struct err *err)
{
    struct app *app = r->app;
    struct ref ref;

    TRY(ref_parse(request_segment(r, "ref"), &ref, err));
    return version_store_get(app->store, request_segment(r, "ns"), request_segment(r, "model"),
                             &ref, r->arena, ret_version, err);
}

enum status
page_of_request(const struct request *r, struct page *ret_page, struct err *err)
{
    uint64_t limit;

    TRY(request_query_u64(r, "limit", PAGE_DEFAULT, 1, PAGE_MAX, &limit, err));
    *ret_page = (struct page){.cursor = request_query(r, "cursor"), .limit = (size_t)limit};
    return OK;
}

void
json_next_page(const struct request *r, struct json_writer *w, struct slice next,
               struct reply *reply)
{
    struct slice limit = request_query(r, "limit");

    jw_key(w, "next");
    if (next.length == 0) {
        jw_null(w);
    } else {
        jw_slice(w, next);
        reply_header(reply, "Link", "<%.*s?cursor=%.*s%s%.*s>; rel=\"next\"", SLICE_PRINT(r->path),
                     SLICE_PRINT(next), limit.length > 0 ? "&limit=" : "", SLICE_PRINT(limit));
    }
    jw_object_end(w);
}
