/*
 * Uploads of a version of one file: PUT …/versions/{label}, and POST …/versions, which makes the label itself and
 * takes multipart/form-data too (uploads_form.c). Design.md §3: refuse before the body where the
 * label, the digest or the length tell; receive; keep; one transaction; only then 201.
 */
#include "server/api/uploads.h"

#include <time.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/api/api.h"
#include "server/api/version_json.h"
#include "server/store/blob_store.h"

enum {
    COMMIT_TRIES = 50, /* while a blob of equal bytes is being deleted */
    COMMIT_PAUSE_MS = 100,
};

static const char empty_body[] = "the body is empty; send the file: curl -T model.pth …";

/* ---- what is known before the body ---- */

/* Lower-case letters and digits, then a colon. */
static bool
names_algorithm(struct slice digest)
{
    size_t i = 0;

    while (i < digest.length && ((digest.at[i] >= 'a' && digest.at[i] <= 'z') ||
                                 (digest.at[i] >= '0' && digest.at[i] <= '9')))
        i++;
    return i > 0 && i < digest.length && digest.at[i] == ':';
}

enum status
uploads_parse_expected(const struct request *r, struct uploading *u, struct err *err)
{
    struct slice digest = request_query(r, "digest"), header = request_header(r, "Repr-Digest");
    struct digest told;
    bool has_told = false;

    if (slice_starts(digest, slice_of("sha256:"))) {
        FAIL_IF(!digest_parse(slice_from(digest, strlen("sha256:")), &u->expected), err,
                BAD_REQUEST, 0, "digest= must be sha256: and 64 lower-case hex digits");
        u->has_expected = true;
    } else if (digest.at != NULL) {
        /* Another algorithm is passed over. Bare hex, or SHA256:, names none: it would go unchecked. */
        FAIL_IF(!names_algorithm(digest), err, BAD_REQUEST, 0,
                "digest= must be sha256: and 64 lower-case hex digits");
    }
    TRY(uploads_parse_repr_digest(header, &told, &has_told, err));
    if (!has_told)
        return OK;
    FAIL_IF(u->has_expected && !digest_equal(&told, &u->expected), err, BAD_REQUEST, 0,
            "digest= and Repr-Digest name different bytes");
    u->expected = told;
    u->has_expected = true;
    return OK;
}

static enum status
parse_names(const struct request *r, struct uploading *u, struct err *err)
{
    static const char *const choices[] = {"fail", "new", NULL};
    struct slice filename = request_query(r, "filename");
    size_t choice;

    TRY(ref_check_part("namespace", u->new.namespace, err));
    TRY(ref_check_part("model", u->new.model, err));
    if (u->new.label.length > 0)
        TRY(ref_check_label(u->new.label, err));
    u->file.path = filename.at == NULL ? slice_of("checkpoint") : filename;
    TRY(ref_check_path(u->file.path, err));
    u->new.wish = request_query(r, "alias");
    if (u->new.wish.at != NULL)
        TRY(ref_check_part("alias", u->new.wish, err));
    FAIL_IF(slice_is(u->new.wish, "latest"), err, BAD_NAME, 0,
            "the alias latest is the daemon's: it follows the newest version by itself");
    TRY(request_query_choice(r, "if_exists", choices, 0, &choice, err));
    u->new.wants_free_label = choice == 1;
    return OK;
}

static enum status
fail_taken(const struct uploading *u, enum version_state state, struct err *err)
{
    FAIL_IF(state == VERSION_OPEN, err, LABEL_TAKEN, 0,
            "the version %.*s of %.*s/%.*s is open: files are being added to it one by one, by PUT "
            "…/files/{path}; commit it (POST …/commit), or choose another label",
            SLICE_PRINT(u->new.label), SLICE_PRINT(u->new.namespace), SLICE_PRINT(u->new.model));
    FAIL(err, LABEL_TAKEN, 0,
         "%.*s/%.*s already has a version %.*s with other bytes; choose another label, or "
         "?if_exists=new",
         SLICE_PRINT(u->new.namespace), SLICE_PRINT(u->new.model), SLICE_PRINT(u->new.label));
}

/* The version that has the label already: refuse or answer at once where that is certain. */
static enum status
meet_taken_label(const struct request *r, struct uploading *u, const struct version *there,
                 struct reply *ret_reply, struct err *err)
{
    bool is_open = there->state == VERSION_OPEN;
    bool is_equal = !is_open && u->has_expected && digest_equal(&u->expected, &there->fileset);
    bool differs = u->has_expected
                       ? !is_equal
                       : r->has_length && !u->is_form &&
                             (there->file_count != 1 || there->files[0].size != r->length);

    if (is_equal) {
        u->commit = (struct version_commit){.outcome = VERSION_REPEATED, .id = there->id};
        u->wait_s = 0; /* whoever holds the body back is answered at once */
        return uploads_answer(r, u, ret_reply, err);
    }
    if (u->new.wants_free_label)
        return OK;
    if (is_open || differs)
        return fail_taken(u, there->state, err);
    u->only_compares = !u->has_expected; /* read and hash; nothing needs to be kept */
    return OK;
}

enum status
uploads_check_length(const struct request *r, struct err *err)
{
    FAIL_IF(r->has_length && r->length == 0, err, BAD_REQUEST, 0, "%s", empty_body);
    return OK;
}

enum status
uploads_begin_sink(const struct request *r, struct uploading *u, struct err *err)
{
    uint64_t size = r->has_length && !u->is_form ? r->length : BLOBS_SIZE_UNKNOWN;

    if (u->only_compares)
        return hash_begin(&u->hash, err);
    return blobs_begin(u->app->blobs, size, &u->sink, err);
}

static enum status
begin(const struct request *r, struct uploading *u, struct reply *ret_reply, struct err *err)
{
    struct version there;
    struct err why = {0};
    enum status status = ERR_NOT_FOUND;

    u->app = r->app;
    u->new = (struct version_new){
        .namespace = request_segment(r, "ns"),
        .model = request_segment(r, "model"),
        .label = u->makes_label ? (struct slice){0} : request_segment(r, "ref"),
        .files = &u->file,
        .file_count = 1,
        .reader_revision = INSPECTION_REVISION,
        .by = r->principal->id,
    };
    TRY(request_query_u64(r, "wait", 0, 0, u->app->wait_max_s, &u->wait_s, err));
    TRY(parse_names(r, u, err));
    TRY(uploads_check_length(r, err));
    TRY(uploads_parse_expected(r, u, err));
    TRY(uploads_parse_metadata(r, u, err));
    if (u->new.label.length > 0)
        status = version_store_peek(u->app->store, u->new.namespace, u->new.model, u->new.label,
                                    r->arena, &there, &why);
    if (status == OK)
        TRY(meet_taken_label(r, u, &there, ret_reply, err));
    else if (status != ERR_NOT_FOUND) {
        err_copy(err, &why);
        return status;
    }
    if (ret_reply->status != 0)
        return OK;
    return uploads_begin_sink(r, u, err);
}

void
uploads_free(void *state)
{
    struct uploading *u = state;

    blobs_sink_free(u->sink);
    hash_done(&u->hash);
    uploads_form_free(u->form);
    mem_free(u);
}

static enum status
put_begin(const struct request *r, void **ret_state, struct reply *ret_reply, struct err *err)
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

static enum status
post_begin(const struct request *r, void **ret_state, struct reply *ret_reply, struct err *err)
{
    struct uploading *u = mem_new(1, sizeof *u);
    enum status status;

    FAIL_IF(u == NULL, err, NO_MEMORY, 0, "out of memory");
    u->makes_label = true;
    status = uploads_form_begin(r, u, err);
    if (status == OK)
        status = begin(r, u, ret_reply, err);
    if (status != OK || ret_reply->status != 0) {
        uploads_free(u);
        return status;
    }
    *ret_state = u;
    return OK;
}

/* ---- the body ---- */

enum status
uploads_take(struct uploading *u, const void *bytes, size_t length, struct err *err)
{
    u->received += length;
    if (u->is_part)
        TRY(uploads_file_touch(u, err));
    if (!u->only_compares)
        return blobs_write(u->sink, bytes, length, err);
    hash_add(&u->hash, bytes, length);
    return OK;
}

enum status
uploads_write(void *state, const void *bytes, size_t length, struct err *err)
{
    struct uploading *u = state;

    if (u->is_form)
        return uploads_form_write(u, bytes, length, err);
    return uploads_take(u, bytes, length, err);
}

void
uploads_abort(void *state, const struct err *why)
{
    struct uploading *u = state;

    LOG(u->app->log, LOG_INFO, "upload cut", LOG_SLICE("model", u->new.model),
        LOG_SLICE("label", u->new.label), LOG_U64("received", u->received),
        LOG_TEXT("why", why == NULL ? "" : why->text));
}

/* ---- after the body ---- */

/* The label was taken, and neither digest nor length told of what: now the bytes have. */
static enum status
compare(const struct request *r, struct uploading *u, struct err *err)
{
    struct digest d = hash_end(&u->hash);
    struct version there;

    TRY(version_store_peek(u->app->store, u->new.namespace, u->new.model, u->new.label, r->arena,
                           &there, err));
    if (there.state == VERSION_OPEN || !digest_equal(&d, &there.fileset))
        return fail_taken(u, there.state, err);
    u->commit = (struct version_commit){.outcome = VERSION_REPEATED, .id = there.id};
    return OK;
}

void
uploads_drop_bytes(const struct uploading *u)
{
    const char *owner = blobs_instance(u->app->blobs);
    const struct digest *digest = &u->file.digest;
    struct err err = {0};
    bool is_owned;

    if (blob_store_own_orphan(u->app->store, digest, u->file.size, owner, &is_owned, &err) != OK ||
        !is_owned)
        return; /* if it is an orphan the next start sweeps it */
    if (blobs_remove(u->app->blobs, digest, &err) != OK ||
        blob_store_release(u->app->store, digest, owner, &err) != OK)
        LOG(u->app->log, LOG_WARNING, "an unused blob stays", LOG_ERR(&err));
}

static enum status
keep_and_commit(struct uploading *u, uploads_commit_function *commit, struct err *err)
{
    for (int i = 0; i < COMMIT_TRIES; i++) {
        enum status status;
        bool must_wait = false;

        TRY(blobs_keep(u->sink, err));
        status = commit(u, &must_wait, err);
        blobs_let_go(u->sink);
        TRY(status);
        if (!must_wait)
            return OK;
        (void)nanosleep(&(struct timespec){.tv_nsec = COMMIT_PAUSE_MS * 1000000L}, NULL);
    }
    FAIL(err, BUSY, 0, "equal bytes are being deleted just now; try again");
}

enum status
uploads_keep(struct uploading *u, uploads_commit_function *commit, struct err *err)
{
    enum status status;

    FAIL_IF(u->received == 0, err, BAD_REQUEST, 0, "%s", empty_body);
    TRY(blobs_finish(u->sink, u->has_expected ? &u->expected : NULL, &u->file.digest, &u->file.size,
                     err));
    status = keep_and_commit(u, commit, err);
    if (status != OK)
        uploads_drop_bytes(u);
    return status;
}

static enum status
commit_version(struct uploading *u, bool *ret_again, struct err *err)
{
    TRY(version_store_commit(u->app->store, &u->new, &u->commit, err));
    *ret_again = u->commit.outcome == VERSION_AGAIN;
    if (u->commit.outcome == VERSION_TAKEN)
        return fail_taken(u, u->commit.state, err);
    return OK;
}

static enum status
commit(struct uploading *u, struct err *err)
{
    TRY(uploads_keep(u, commit_version, err));
    if (u->commit.has_job)
        u->app->wake_jobs(u->app->wake_context);
    return OK;
}

enum status
uploads_answer(const struct request *r, const struct uploading *u, struct reply *ret_reply,
               struct err *err)
{
    CLEANUP(loaded_release) struct cache_item *item = NULL;
    CLEANUP(buf_done) struct buf out = buf_with_cap((size_t)64 << 20);
    struct json_writer w = json_writer_to(&out, 0);
    bool is_new = u->commit.outcome == VERSION_CREATED;
    struct version v;

    TRY(version_store_get_id(u->app->store, u->commit.id, r->arena, &v, err));
    if (v.state == VERSION_PENDING && u->wait_s > 0 && !r->is_wait_over) {
        reply_park(ret_reply, slice_of(app_wait_key(v.id).text), u->wait_s * 1000);
        return OK;
    }
    TRY(version_loaded(u->app, &v, &item, err));
    version_json(&w, &v, item == NULL ? NULL : cache_value(item), VERSION_WHOLE);
    reply_header(ret_reply, "Location", "/v1/models/%.*s/%.*s/versions/%.*s",
                 SLICE_PRINT(v.namespace), SLICE_PRINT(v.model), SLICE_PRINT(v.label));
    if (!is_new)
        reply_header(ret_reply, "Ckptd-Repeat", "1");
    reply_json(ret_reply, is_new ? 201 : 200, &out);
    return OK;
}

static enum status
finish(const struct request *r, void *state, struct reply *ret_reply, struct err *err)
{
    struct uploading *u = state;

    if (!u->is_committed) {
        if (u->is_form)
            TRY(uploads_form_finish(u, err));
        if (u->only_compares)
            TRY(compare(r, u, err));
        else
            TRY(commit(u, err));
        u->is_committed = true;
    }
    return uploads_answer(r, u, ret_reply, err);
}

const struct upload versions_put = {
    .begin = put_begin,
    .write = uploads_write,
    .finish = finish,
    .abort = uploads_abort,
    .free = uploads_free,
};

const struct upload versions_post = {
    .begin = post_begin,
    .write = uploads_write,
    .finish = finish,
    .abort = uploads_abort,
    .free = uploads_free,
};
