/*
 * A file of a version of several: PUT …/versions/{label}/files/{path}. Received and kept as a version of
 * one file is (uploads.c); the transaction then adds it to the open version, which the first file
 * makes. The version is not inspected before its commit (uploads_commit.c).
 */
#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/api/api.h"
#include "server/api/uploads.h"
#include "server/api/version_json.h"
#include "server/work/clock.h"

enum { TOUCHES = 8 }; /* while one version would live: so late may the store learn of an upload */

static enum status
parse_names(const struct request *r, struct uploading *u, struct err *err)
{
    u->app = r->app;
    u->is_part = true;
    u->part = (struct version_part){
        .namespace = request_segment(r, "ns"),
        .model = request_segment(r, "model"),
        .label = request_segment(r, "ref"),
        .file = {.path = request_segment(r, "path")},
        .files_max = u->app->files_max,
        .open_us = u->app->open_us,
        .by = r->principal->id,
    };
    u->new.model = u->part.model; /* for the log */
    u->new.label = u->part.label;
    TRY(ref_check_part("namespace", u->part.namespace, err));
    TRY(ref_check_part("model", u->part.model, err));
    TRY(ref_check_label(u->part.label, err));
    return ref_check_path(u->part.file.path, err);
}

enum status
uploads_file_touch(struct uploading *u, struct err *err)
{
    uint64_t now_ms = clock_ms();
    struct version_place place = {0};

    if (now_ms - u->touched_ms < u->part.open_us / 1000 / TOUCHES)
        return OK;
    u->touched_ms = now_ms;
    /* Another file may have made the version since the body began. What cannot be added the end tells. */
    IGNORE(version_store_peek_file(u->app->store, &u->part, &place, NULL));
    if (place.id == 0 || place.state != VERSION_OPEN)
        return OK;
    return version_store_touch(u->app->store, place.id, u->part.open_us, err);
}

/* As in uploads_file_touch, but what was before this upload is known from the row alone. */
static enum status
touch_first(struct uploading *u, struct err *err)
{
    int64_t left_us = u->place.expires_at_us - clock_wall_us();

    u->touched_ms = clock_ms();
    if (u->place.id == 0 || u->place.state != VERSION_OPEN ||
        (left_us > 0 && (uint64_t)left_us >= u->part.open_us / TOUCHES * (TOUCHES - 1)))
        return OK;
    return version_store_touch(u->app->store, u->place.id, u->part.open_us, err);
}

static enum status
answer(const struct request *r, const struct uploading *u, struct reply *ret_reply, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(1 << 20);
    struct json_writer w = json_writer_to(&out, 0);
    const struct version_part *part = &u->part;
    bool is_new = u->place.outcome == VERSION_CREATED;

    jw_object(&w);
    jw_key(&w, "model");
    buf_printf(&out, "\"%.*s/%.*s\"", SLICE_PRINT(part->namespace), SLICE_PRINT(part->model));
    w.after_key = false;
    jw_pair_slice(&w, "version", part->label);
    jw_pair_slice(&w, "path", part->file.path);
    jw_pair_u64(&w, "size", part->file.size);
    jw_key(&w, "digest");
    json_digest(&w, &part->file.digest);
    jw_pair_text(&w, "state", version_state_name(u->place.state));
    jw_pair_u64(&w, "files", u->place.files);
    jw_key(&w, "expires_at");
    if (u->place.state == VERSION_OPEN)
        json_time(&w, u->place.expires_at_us);
    else
        jw_null(&w);
    jw_object_end(&w);
    TRY(buf_check(&out, err));
    reply_header(ret_reply, "Location", "%.*s", SLICE_PRINT(r->path));
    if (!is_new)
        reply_header(ret_reply, "Ckptd-Repeat", "1");
    reply_json(ret_reply, is_new ? 201 : 200, &out);
    return OK;
}

/* An equal file is there: nothing is sent, or nothing was kept. */
static enum status
answer_repeat(const struct request *r, struct uploading *u, struct reply *ret_reply,
              struct err *err)
{
    u->part.file.size = u->place.size;
    u->part.file.digest = u->place.digest;
    u->place.outcome = VERSION_REPEATED;
    return answer(r, u, ret_reply, err);
}

/* Refuse or answer at once where that is certain. */
static enum status
meet_place(const struct request *r, struct uploading *u, struct reply *ret_reply, struct err *err)
{
    const struct version_place *place = &u->place;
    bool differs = u->has_expected ? !digest_equal(&u->expected, &place->digest)
                                   : r->has_length && r->length != place->size;

    if (place->id == 0 || (place->state == VERSION_OPEN && !place->has_file))
        return OK;
    if (!place->has_file || differs)
        return version_store_refuse_file(&u->part, place, err);
    if (u->has_expected)
        return answer_repeat(r, u, ret_reply, err);
    u->only_compares = true;
    return OK;
}

static enum status
begin(const struct request *r, struct uploading *u, struct reply *ret_reply, struct err *err)
{
    TRY(parse_names(r, u, err));
    TRY(uploads_check_length(r, err));
    TRY(uploads_parse_expected(r, u, err));
    TRY(version_store_peek_file(u->app->store, &u->part, &u->place, err));
    TRY(touch_first(u, err));
    TRY(meet_place(r, u, ret_reply, err));
    return ret_reply->status != 0 ? OK : uploads_begin_sink(r, u, err);
}

static enum status
file_begin(const struct request *r, void **ret_state, struct reply *ret_reply, struct err *err)
{
    struct uploading *u = mem_new(1, sizeof *u);
    enum status status;

    FAIL_IF(u == NULL, err, NO_MEMORY, 0, "out of memory");
    status = begin(r, u, ret_reply, err);
    if (status != OK || ret_reply->status != 0) {
        uploads_free(u);
        return status;
    }
    *ret_state = u;
    return OK;
}

/* A file of that length was there when the body began: do the bytes agree? */
static enum status
compare(const struct request *r, struct uploading *u, struct reply *ret_reply, struct err *err)
{
    struct digest d = hash_end(&u->hash);

    TRY(version_store_peek_file(u->app->store, &u->part, &u->place, err));
    FAIL_IF(!u->place.has_file, err, BUSY, 0, "the open version expired meanwhile; send it again");
    if (!digest_equal(&d, &u->place.digest))
        return version_store_refuse_file(&u->part, &u->place, err);
    return answer_repeat(r, u, ret_reply, err);
}

static enum status
add_file(struct uploading *u, bool *ret_again, struct err *err)
{
    u->part.file.digest = u->file.digest;
    u->part.file.size = u->file.size;
    TRY(version_store_add_file(u->app->store, &u->part, &u->place, err));
    *ret_again = u->place.outcome == VERSION_AGAIN;
    return OK;
}

static enum status
finish(const struct request *r, void *state, struct reply *ret_reply, struct err *err)
{
    struct uploading *u = state;

    if (u->only_compares)
        return compare(r, u, ret_reply, err);
    TRY(uploads_keep(u, add_file, err));
    return answer(r, u, ret_reply, err);
}

const struct upload versions_file_put = {
    .begin = file_begin,
    .write = uploads_write,
    .finish = finish,
    .abort = uploads_abort,
    .free = uploads_free,
};
