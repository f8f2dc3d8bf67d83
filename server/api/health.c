/* GET /livez and /readyz. */
#include "common/base/attr.h"
#include "server/api/api.h"
#include "server/api/version_json.h"

enum { REPLY_BYTES_MAX = 65536, RETRY_AFTER_S = 5 };

enum status
livez(const struct request *r, struct reply *ret_reply, struct err *err)
{
    static const char live[] = "{\"status\":\"live\"}";

    (void)r;
    (void)err;
    reply_static(ret_reply, 200, "application/json", (struct slice){live, sizeof live - 1});
    return OK;
}

static void
write_counts(struct json_writer *w, const struct version_counts *counts)
{
    jw_key(w, "versions");
    jw_object(w);
    for (enum version_state s = 0; s < VERSION_STATE_COUNT; s++)
        jw_pair_u64(w, version_state_name(s), counts->by_state[s]);
    jw_object_end(w);
    jw_pair_u64(w, "jobs_queued", counts->jobs_queued);
    jw_pair_u64(w, "jobs_running", counts->jobs_running);
}

static void
write_details(struct json_writer *w, struct app *app, const struct version_counts *counts)
{
    struct blobs_stats blobs = blobs_stats(app->blobs);
    struct store_stats store = store_stats(app->store);

    write_counts(w, counts);
    jw_pair_text(w, "sandbox", app->sandbox);
    jw_pair_u64(w, "free_bytes", blobs.free_bytes);
    jw_pair_u64(w, "reserved_bytes", blobs.reserved_bytes);
    jw_pair_u64(w, "uploads", blobs.sinks);
    jw_pair_u64(w, "wal_bytes", store.wal_bytes);
    jw_pair_u64(w, "db_bytes", store.db_bytes);
}

/* Draining is the HTTP server's to say: it answers 503 by itself then. */
enum status
readyz(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(REPLY_BYTES_MAX);
    struct json_writer w = json_writer_to(&out, 0);
    struct app *app = r->app;
    struct version_counts counts;
    struct err why = {0};
    bool is_verbose;

    TRY(request_query_flag(r, "verbose", &is_verbose, err));
    reply_header(ret_reply, "Retry-After", "%d", RETRY_AFTER_S);
    FAIL_IF(store_is_suspect(app->store, &why) || blobs_is_suspect(app->blobs, &why), err,
            STORE_SUSPECT, 0, "%s", why.text);
    TRY(version_store_count(app->store, &counts, err));
    ret_reply->header_count = 0; /* it is ready: nothing to retry */
    jw_object(&w);
    jw_pair_text(&w, "status", "ready");
    if (is_verbose)
        write_details(&w, app, &counts);
    jw_object_end(&w);
    reply_json(ret_reply, 200, &out);
    return OK;
}
