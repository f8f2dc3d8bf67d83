/*
 * A version comes into being: design.md §3 step 5. Everything that can refuse stands before the first
 * row that is written, but for a blob that is being deleted: then the whole is undone.
 */
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"
#include "server/work/clock.h"

enum {
    FREE_LABELS_TRIED = 10000, /* epoch-90.2 … epoch-90.10000 */
    FAILURE_ARENA = 64 * 1024, /* for the reason that an inspection ended with */
};

static const char JOB_INSPECT[] = "inspect";

struct commit {
    const struct version_new *v;
    struct digest digest;
    struct digest fileset;
    uint64_t size;
    int64_t now_us;
    struct version_commit result;
    bool must_wait; /* for a blob that is being deleted */
};

/* A version's digest is that of a text, and whoever has the text can upload it as a file: then the two
 * would share one inspection, and whichever came first would speak for the other. With a bit turned
 * over it is no digest that anybody has bytes of. */
struct digest
version_store_fileset_of(const struct version_file *files, size_t count,
                         const struct digest *version)
{
    struct digest fileset = count == 1 ? files[0].digest : *version;

    if (count != 1)
        fileset.bytes[0] ^= 0x80;
    return fileset;
}

/* ---- the label ---- */

static const struct query FIND_LABEL = {
    "SELECT id, serial, state, digest, fileset FROM version WHERE model_id = $1 AND label = $2",
    "it", "iitTT"};

/* Whose the label is: VERSION_CREATED = free, else _REPEATED or _TAKEN with the result filled. */
static enum status
try_label(struct db *db, struct commit *c, const char *label, enum version_outcome *ret_outcome,
          struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    struct digest fileset;
    bool found;

    *ret_outcome = VERSION_CREATED;
    TRY(stmt_begin(&s, db, &FIND_LABEL, VALUES(I64(c->result.model_id), WORD(label)), err));
    TRY(stmt_row(&s, &found, err));
    if (!found)
        return OK;
    TRY(stmt_digest(&s, 4, &fileset, err));
    *ret_outcome = digest_equal(&fileset, &c->fileset) ? VERSION_REPEATED : VERSION_TAKEN;
    c->result.id = stmt_i64(&s, 0);
    c->result.serial = stmt_u64(&s, 1);
    c->result.state = version_state_find(stmt_text(&s, 2));
    return stmt_digest(&s, 3, &c->result.digest, err);
}

/* The label itself, or from 2 on the label with a number; false: it would be too long. */
static bool
spell(struct slice wanted, int n, struct version_commit *r)
{
    char number[16] = "";

    if (n > 1)
        (void)snprintf(number, sizeof number, ".%d", n);
    if (wanted.length + strlen(number) > REF_LABEL_MAX)
        return false;
    if (wanted.length > 0)
        memcpy(r->label, wanted.at, wanted.length);
    memcpy(r->label + wanted.length, number, strlen(number) + 1);
    return true;
}

static enum status
choose_label(struct db *db, struct commit *c, struct err *err)
{
    const struct slice wanted = c->v->label;

    FAIL_IF(!spell(wanted, 1, &c->result), err, BAD_NAME, 0, "the label is too long");
    if (wanted.length == 0) /* the serial will name it */
        return OK;
    TRY(try_label(db, c, c->result.label, &c->result.outcome, err));
    for (int n = 2; c->result.outcome == VERSION_TAKEN && c->v->wants_free_label; n++) {
        FAIL_IF(n > FREE_LABELS_TRIED || !spell(wanted, n, &c->result), err, BAD_NAME, 0,
                "no free label of %d characters begins with %.*s", REF_LABEL_MAX,
                SLICE_PRINT(wanted));
        TRY(try_label(db, c, c->result.label, &c->result.outcome, err));
    }
    return OK;
}

/* ---- the rows ---- */

static const struct query NEXT_SERIAL = {
    "UPDATE model SET serials = serials + 1, versions = versions + 1, updated_at = $2 "
    "WHERE id = $1 RETURNING serials",
    "ii", "i"};

enum status
version_store_number(struct db *db, int64_t model_id, int64_t now_us, int64_t *ret_id,
                     int64_t *ret_serial, struct err *err)
{
    TRY(stmt_number(db, &NEXT_SERIAL, VALUES(I64(model_id), I64(now_us)), ret_serial, NULL, err));
    return counter_store_next(db, "version", ret_id, err);
}

enum version_state
version_store_first_state(const struct inspection_found *found)
{
    if (found->id == 0)
        return VERSION_PENDING;
    return found->failure_type.length > 0 ? VERSION_FAILED : VERSION_READY;
}

static const struct query ADD_VERSION = {
    "INSERT INTO version (id, model_id, label, serial, state, digest, fileset, size, created_at, "
    "created_by, settled_at, failure_type, failure, wish, inspection_id) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
    "ON CONFLICT (model_id, label) DO NOTHING RETURNING id",
    "iitittTiititttI", "i"};

static enum status
add_version(struct db *db, struct commit *c, const struct inspection_found *found, struct err *err)
{
    struct version_commit *r = &c->result;
    bool is_settled = found->id != 0, is_free;
    int64_t id, serial;

    TRY(version_store_number(db, r->model_id, c->now_us, &id, &serial, err));
    r->serial = (uint64_t)serial;
    if (c->v->label.length == 0)
        (void)snprintf(r->label, sizeof r->label, "v%lld", (long long)serial);
    r->digest = c->digest;
    r->state = version_store_first_state(found);
    TRY(stmt_number(db, &ADD_VERSION,
                    VALUES(I64(id), I64(r->model_id), WORD(r->label), I64(serial),
                           WORD(version_state_name(r->state)), DIGEST(&c->digest),
                           DIGEST(&c->fileset), U64(c->size), I64(c->now_us),
                           WORD(c->v->by == NULL ? "" : c->v->by), I64(is_settled ? c->now_us : 0),
                           TEXT(found->failure_type), TEXT(found->failure), TEXT(c->v->wish),
                           is_settled ? I64(found->id) : NOTHING),
                    &r->id, &is_free, err));
    FAIL_IF(!is_free, err, BUSY, 0, "the label %s was taken at the same moment", r->label);
    return OK;
}

static const struct query ADD_FILE = {
    "INSERT INTO version_file (version_id, path, size, blob_id) VALUES ($1, $2, $3, $4)", "itii",
    ""};

enum status
version_store_put_file(struct db *db, int64_t version_id, const struct version_file *file,
                       int64_t now_us, bool *ret_free, struct err *err)
{
    int64_t blob_id = 0;

    TRY(blob_store_attach(db, &file->digest, file->size, now_us, &blob_id, ret_free, err));
    FAIL_IF(!*ret_free, err, BUSY, 0, "these bytes are being deleted right now");
    return stmt_run(db, &ADD_FILE,
                    VALUES(I64(version_id), TEXT(file->path), U64(file->size), I64(blob_id)), err);
}

static enum status
add_files(struct db *db, struct commit *c, struct err *err)
{
    for (size_t i = 0; i < c->v->file_count; i++) {
        bool is_free = true;
        enum status status =
            version_store_put_file(db, c->result.id, &c->v->files[i], c->now_us, &is_free, err);

        c->must_wait = !is_free;
        TRY(status);
    }
    return OK;
}

static const struct query ADD_METADATA = {
    "INSERT INTO version_metadata (version_id, name, value) VALUES ($1, $2, $3) "
    "ON CONFLICT (version_id, name) DO UPDATE SET value = excluded.value",
    "itt", ""};

static enum status
add_metadata(struct db *db, const struct committed *c, struct err *err)
{
    for (size_t i = 0; i < c->metadata_count; i++) {
        const struct version_pair *pair = &c->metadata[i];

        TRY(stmt_run(db, &ADD_METADATA,
                     VALUES(I64(c->result->id), TEXT(pair->key), TEXT(pair->json)), err));
    }
    return OK;
}

enum status
version_store_follow_up(struct db *db, const struct committed *c, struct err *err)
{
    struct version_commit *r = c->result;
    struct digest_text key = digest_text(&c->fileset);
    struct settled settled = {.id = r->id,
                              .model_id = r->model_id,
                              .serial = r->serial,
                              .wish = c->wish,
                              .is_ready = r->state == VERSION_READY};

    TRY(add_metadata(db, c, err));
    r->has_job = r->state == VERSION_PENDING;
    if (r->has_job)
        TRY(job_store_put(db, JOB_INSPECT, slice_of(key.hex), c->now_us, err));
    TRY(event_store_add(db, "version.created", r->id, c->now_us, c->by == NULL ? "" : c->by,
                        (struct slice){0}, err));
    return r->state == VERSION_PENDING ? OK : version_store_settled(db, &settled, c->now_us, err);
}

static enum status
commit(struct db *db, void *context, struct err *err)
{
    struct commit *c = context;
    CLEANUP(arena_done) struct arena arena = arena_with_cap(FAILURE_ARENA);
    struct committed done = {.result = &c->result,
                             .fileset = c->fileset,
                             .metadata = c->v->metadata,
                             .metadata_count = c->v->metadata_count,
                             .wish = c->v->wish,
                             .by = c->v->by};
    struct inspection_found found;

    c->result = (struct version_commit){.outcome = VERSION_CREATED};
    c->must_wait = false;
    c->now_us = clock_wall_us();
    TRY(model_store_ensure(db, c->v->namespace, c->v->model, c->now_us, &c->result.model_id, err));
    TRY(choose_label(db, c, err));
    if (c->result.outcome != VERSION_CREATED)
        return OK;
    TRY(inspection_store_find(db, &c->fileset, c->v->reader_revision, &arena, &found, err));
    TRY(add_version(db, c, &found, err));
    TRY(add_files(db, c, err));
    done.now_us = c->now_us;
    return version_store_follow_up(db, &done, err);
}

enum status
version_store_commit(struct store *store, const struct version_new *v,
                     struct version_commit *ret_commit, struct err *err)
{
    struct commit c = {.v = v};
    struct err trouble = {0};
    enum status status;

    FAIL_IF(v->file_count == 0, err, INTERNAL, 0, "a version without files");
    TRY(version_store_digest(v->files, v->file_count, &c.digest, err));
    c.fileset = version_store_fileset_of(v->files, v->file_count, &c.digest);
    for (size_t i = 0; i < v->file_count; i++)
        c.size += v->files[i].size;
    status = store_write(store, commit, &c, &trouble);
    if (status != OK && c.must_wait) {
        *ret_commit = (struct version_commit){.outcome = VERSION_AGAIN};
        return OK;
    }
    err_copy(err, &trouble);
    *ret_commit = c.result;
    return status;
}
