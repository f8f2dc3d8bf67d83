/*
 * The end of a version of several files: POST …/versions/{label}/commit. The body says which files are
 * expected: so many, or these. The list is read by the pull tokenizer, for 100,000 files are many
 * megabytes. It comes as a stream, because what was done must be remembered while the request waits for the
 * inspection.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "server/api/api.h"
#include "server/api/uploads.h"
#include "server/api/version_json.h"

enum {
    BODY_BYTES_MAX = 16 << 20,
    BODIES_BYTES_MAX = 256 << 20, /* of all commits together */
    COMMIT_ARENA_BYTES = 128 << 20,
    LIST_BYTES_MAX = 1 << 20,
};

struct committing {
    struct uploading upload; /* app, names, metadata, wish, wait=, and what came of it */
    struct buf body;
    size_t body_memory; /* of app->commit_memory */
    struct arena arena;
    struct vec wanted; /* struct version_wanted */
    bool has_files;
    struct version_close close;
};

static const char what_to_send[] =
    "say which files are expected: {\"files\": 3}, or "
    "{\"files\": [{\"path\": \"model-00001.safetensors\", \"digest\": \"sha256:…\"}, …]}";

/* ---- the body ---- */

static enum status
read_digest(struct json *j, struct version_wanted *w, struct err *err)
{
    struct slice text;

    TRY(json_string(j, "digest", &text, err));
    FAIL_IF(!slice_starts(text, slice_of("sha256:")) ||
                !digest_parse(slice_from(text, strlen("sha256:")), &w->digest),
            err, BAD_REQUEST, 0, "a digest is sha256: and 64 lower-case hex digits, not %.*s",
            SLICE_PRINT(text));
    w->has_digest = true;
    return OK;
}

static enum status
read_file(struct json *j, struct version_wanted *w, struct err *err)
{
    TRY(json_object(j, "an entry of files", err));
    for (;;) {
        struct slice key;
        bool is_end;

        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            break;
        if (slice_is(key, "path")) {
            TRY(json_string(j, "path", &w->path, err));
        } else if (slice_is(key, "digest")) {
            TRY(read_digest(j, w, err));
        } else if (slice_is(key, "size")) {
            TRY(json_u64(j, "size", &w->size, err));
            w->has_size = true;
        } else {
            FAIL(err, BAD_REQUEST, 0, "an entry of files has path, digest and size, not %.*s",
                 SLICE_PRINT(key));
        }
    }
    FAIL_IF(w->path.at == NULL, err, BAD_REQUEST, 0, "an entry of files has no path");
    return ref_check_path(w->path, err);
}

static enum status
read_files(struct json *j, struct committing *c, struct err *err)
{
    struct json_token token;
    bool is_end;

    c->has_files = true;
    TRY(json_peek(j, &token, err));
    if (token.kind == JSON_NUMBER)
        return json_u64(j, "files", &c->close.count, err);
    TRY(json_array(j, "files", err));
    for (;;) {
        struct version_wanted *w;

        TRY(json_element(j, &is_end, err));
        if (is_end)
            return OK;
        TRY(vec_add(&c->wanted, &w, "files (--version-files)", err));
        TRY(read_file(j, w, err));
    }
}

static enum status
read_metadata(struct json *j, struct committing *c, struct err *err)
{
    TRY(json_object(j, "metadata", err));
    for (;;) {
        struct slice key, value;
        bool is_end;

        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            return OK;
        TRY(json_string(j, "a value of metadata", &value, err));
        TRY(uploads_add_pair(&c->upload, &c->arena, key, value, err));
    }
}

static enum status
read_alias(struct json *j, struct committing *c, struct err *err)
{
    FAIL_IF(c->upload.new.wish.at != NULL, err, BAD_REQUEST, 0,
            "alias stands in the body and in the query: which?");
    return json_string(j, "alias", &c->upload.new.wish, err);
}

static enum status
read_body(struct json *j, struct committing *c, struct err *err)
{
    TRY(json_object(j, "the body", err));
    for (;;) {
        struct slice key;
        bool is_end;

        TRY(json_key(j, &key, &is_end, err));
        if (is_end)
            break;
        if (slice_is(key, "files"))
            TRY(read_files(j, c, err));
        else if (slice_is(key, "alias"))
            TRY(read_alias(j, c, err));
        else if (slice_is(key, "metadata"))
            TRY(read_metadata(j, c, err));
        else
            FAIL(err, BAD_REQUEST, 0, "the body has files, alias and metadata, not %.*s",
                 SLICE_PRINT(key));
    }
    TRY(json_finish(j, err));
    FAIL_IF(!c->has_files, err, BAD_REQUEST, 0, "%s", what_to_send);
    return OK;
}

static int
by_path(const void *a, const void *b)
{
    return slice_compare(((const struct version_wanted *)a)->path,
                         ((const struct version_wanted *)b)->path);
}

static enum status
sort_wanted(struct committing *c, struct err *err)
{
    struct version_wanted *wanted = c->wanted.items;
    size_t count = c->wanted.count;

    FAIL_IF(count == 0 && c->close.count == 0, err, BAD_REQUEST, 0,
            "a version has one file at least; %s", what_to_send);
    if (count == 0)
        return OK;
    qsort(wanted, count, sizeof *wanted, by_path);
    for (size_t i = 1; i < count; i++)
        FAIL_IF(slice_equal(wanted[i - 1].path, wanted[i].path), err, BAD_REQUEST, 0,
                "%.*s is listed twice", SLICE_PRINT(wanted[i].path));
    c->close.wanted = wanted;
    c->close.count = count;
    return OK;
}

static void
done_json(struct json *j)
{
    json_done(j);
}

static enum status
parse(struct committing *c, struct err *err)
{
    CLEANUP(done_json) struct json j = {0};

    FAIL_IF(c->body.length == 0, err, BAD_REQUEST, 0, "the body is empty; %s", what_to_send);
    json_open(&j, buf_slice_of(&c->body), &c->upload.app->limits, &c->arena);
    TRY(read_body(&j, c, err));
    return sort_wanted(c, err);
}

static enum status
check_wish(struct slice wish, struct err *err)
{
    if (wish.at == NULL)
        return OK;
    FAIL_IF(slice_is(wish, "latest"), err, BAD_NAME, 0,
            "the alias latest is the daemon's: it follows the newest version by itself");
    return ref_check_part("alias", wish, err);
}

/* ---- the answer ---- */

static void
write_file(struct json_writer *w, enum version_misfit kind, const struct version_file *f)
{
    if (kind != MISFIT_DIFFERENT) {
        jw_slice(w, f->path);
        return;
    }
    jw_object(w);
    jw_pair_slice(w, "path", f->path);
    jw_pair_u64(w, "size", f->size);
    jw_key(w, "digest");
    json_digest(w, &f->digest);
    jw_object_end(w);
}

static enum status
set_members(const struct version_misfits *m, struct reply *ret_reply, struct err *err)
{
    static const char *const names[MISFIT_KINDS] = {"missing", "unexpected", "different"};
    CLEANUP(buf_done) struct buf counts = buf_with_cap(1024);
    struct json_writer c = json_writer_to(&counts, 0);

    jw_object(&c);
    jw_pair_u64(&c, "files", m->files);
    for (int kind = 0; kind < MISFIT_KINDS; kind++) {
        CLEANUP(buf_done) struct buf list = buf_with_cap(LIST_BYTES_MAX);
        struct json_writer w = json_writer_to(&list, 0);

        jw_array(&w);
        for (size_t i = 0; i < m->kinds[kind].listed; i++)
            write_file(&w, (enum version_misfit)kind, &m->kinds[kind].files[i]);
        jw_array_end(&w);
        TRY(buf_check(&list, err));
        reply_member(ret_reply, names[kind], buf_slice_of(&list));
        jw_pair_u64(&c, names[kind], m->kinds[kind].count);
    }
    jw_object_end(&c);
    TRY(buf_check(&counts, err));
    reply_member(ret_reply, "counts", buf_slice_of(&counts));
    return OK;
}

static enum status
fail_differing(const struct committing *c, const struct version_misfits *m, struct reply *ret_reply,
               struct err *err)
{
    bool is_open = c->upload.commit.state == VERSION_OPEN;
    bool lacks_only =
        m->kinds[MISFIT_UNEXPECTED].count == 0 && m->kinds[MISFIT_DIFFERENT].count == 0;
    const char *advice = !is_open ? "it is committed already, so choose another label"
                         : lacks_only
                             ? "send what is missing and commit again; nothing is lost"
                             : "nothing is lost, but no file can be taken back: commit with "
                               "the files that are there, or begin under another label";

    TRY(set_members(m, ret_reply, err));
    FAIL_IF(c->close.wanted == NULL, err, FILES_DIFFER, 0,
            "the version has %llu files, %llu are expected; %s", (unsigned long long)m->files,
            (unsigned long long)c->close.count, advice);
    FAIL(err, FILES_DIFFER, 0,
         "of the version's files %llu are missing, %llu unexpected, %llu different; %s",
         (unsigned long long)m->kinds[MISFIT_MISSING].count,
         (unsigned long long)m->kinds[MISFIT_UNEXPECTED].count,
         (unsigned long long)m->kinds[MISFIT_DIFFERENT].count, advice);
}

/* What was asked for is not needed any more: it may be megabytes, and a request may wait for minutes. */
static void
forget_body(struct committing *c)
{
    (void)atomic_fetch_sub(&c->upload.app->commit_memory, c->body_memory);
    c->body_memory = 0;
    buf_done(&c->body);
    arena_done(&c->arena);
    vec_done(&c->wanted);
}

static enum status
commit(struct committing *c, struct reply *ret_reply, struct err *err)
{
    struct uploading *u = &c->upload;
    struct version_misfits misfits;

    TRY(parse(c, err));
    TRY(check_wish(u->new.wish, err));
    c->close.metadata = u->new.metadata;
    c->close.metadata_count = u->new.metadata_count;
    c->close.wish = u->new.wish;
    TRY(version_store_commit_open(u->app->store, &c->close, &c->arena, &u->commit, &misfits, err));
    if (u->commit.outcome == VERSION_DIFFERS)
        return fail_differing(c, &misfits, ret_reply, err);
    if (u->commit.has_job)
        u->app->wake_jobs(u->app->wake_context);
    u->is_committed = true;
    forget_body(c);
    return OK;
}

/* ---- the calls ---- */

static void
free_committing(void *state)
{
    struct committing *c = state;

    forget_body(c);
    mem_free(c);
}

static enum status
begin(const struct request *r, struct committing *c, struct err *err)
{
    struct uploading *u = &c->upload;

    u->app = r->app;
    c->body = buf_with_cap(BODY_BYTES_MAX);
    c->arena = arena_with_cap(COMMIT_ARENA_BYTES);
    c->wanted = vec_of(sizeof(struct version_wanted), (size_t)u->app->files_max);
    c->close = (struct version_close){
        .namespace = request_segment(r, "ns"),
        .model = request_segment(r, "model"),
        .label = request_segment(r, "ref"),
        .reader_revision = INSPECTION_REVISION,
        .by = r->principal->id,
    };
    TRY(ref_check_part("namespace", c->close.namespace, err));
    TRY(ref_check_part("model", c->close.model, err));
    TRY(ref_check_label(c->close.label, err));
    u->new.wish = request_query(r, "alias");
    TRY(check_wish(u->new.wish, err));
    TRY(request_query_u64(r, "wait", 0, 0, u->app->wait_max_s, &u->wait_s, err));
    return uploads_parse_metadata(r, u, err);
}

static enum status
commit_begin(const struct request *r, void **ret_state, struct reply *ret_reply, struct err *err)
{
    struct committing *c = mem_new(1, sizeof *c);
    enum status status;

    (void)ret_reply;
    FAIL_IF(c == NULL, err, NO_MEMORY, 0, "out of memory");
    status = begin(r, c, err);
    if (status != OK) {
        free_committing(c);
        return status;
    }
    *ret_state = c;
    return OK;
}

static enum status
commit_write(void *state, const void *bytes, size_t length, struct err *err)
{
    struct committing *c = state;
    atomic_size_t *memory = &c->upload.app->commit_memory;

    c->body_memory += length;
    FAIL_IF(atomic_fetch_add(memory, length) > BODIES_BYTES_MAX - length, err, BUSY, 0,
            "too many commits with long lists at once; try again");
    buf_add(&c->body, bytes, length);
    FAIL_IF(c->body.failed == ERR_LIMIT, err, BODY_TOO_LARGE, 0, "the body has more than %d bytes",
            BODY_BYTES_MAX);
    return buf_check(&c->body, err);
}

static enum status
commit_finish(const struct request *r, void *state, struct reply *ret_reply, struct err *err)
{
    struct committing *c = state;

    if (!c->upload.is_committed)
        TRY(commit(c, ret_reply, err));
    return uploads_answer(r, &c->upload, ret_reply, err);
}

static void
commit_abort(void *state, const struct err *why)
{
    (void)state;
    (void)why;
}

const struct upload versions_commit = {
    .begin = commit_begin,
    .write = commit_write,
    .finish = commit_finish,
    .abort = commit_abort,
    .free = free_committing,
};
