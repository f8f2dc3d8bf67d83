#include "server/store/version_store.h"

#include <inttypes.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/json_writer.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"

enum {
    FILES_MAX = 100000, /* of one version, read back: far above what can be committed */
    PAIRS_MAX = 100000,
    ALIASES_MAX = 10000,
    PAGE_FILES_MAX = 10000, /* of all versions of a page: with more it ends before its limit */
};

static const char *const states[VERSION_STATE_COUNT] = {
    [VERSION_OPEN] = "open",     [VERSION_PENDING] = "pending",   [VERSION_READY] = "ready",
    [VERSION_FAILED] = "failed", [VERSION_REJECTED] = "rejected",
};

const char *
version_state_name(enum version_state state)
{
    return state < VERSION_STATE_COUNT ? states[state] : "";
}

enum version_state
version_state_find(struct slice name)
{
    int i = 0;

    while (i < VERSION_STATE_COUNT && !slice_is(name, states[i]))
        i++;
    return (enum version_state)i;
}

static void
end_hash(struct hash *h)
{
    hash_done(h);
}

enum status
version_store_digest(const struct version_file *files, size_t count, struct digest *ret_digest,
                     struct err *err)
{
    CLEANUP(end_hash) struct hash hash = {0};
    CLEANUP(buf_done) struct buf line = buf_with_cap(REF_PATH_MAX + 256);

    TRY(hash_begin(&hash, err));
    for (size_t i = 0; i < count; i++) {
        FAIL_IF(i > 0 && slice_compare(files[i - 1].path, files[i].path) >= 0, err, INTERNAL, 0,
                "a version's files out of order");
        buf_clear(&line);
        buf_printf(&line, "%s %" PRIu64 " %.*s\n", digest_text(&files[i].digest).hex, files[i].size,
                   SLICE_PRINT(files[i].path));
        TRY(buf_check(&line, err));
        hash_add(&hash, line.bytes, line.length);
    }
    *ret_digest = hash_end(&hash);
    return OK;
}

/* ---- the end of waiting ---- */

enum status
version_store_settled(struct db *db, const struct settled *s, int64_t now_us, struct err *err)
{
    CLEANUP(buf_done) struct buf detail = buf_with_cap(1024);
    bool has_moved = false;

    if (s->is_ready && s->wish.length > 0)
        TRY(alias_store_wish(db, s->model_id, s->wish, s->id, s->serial, now_us, &has_moved, err));
    TRY(event_store_add(db, s->is_ready ? "version.ready" : "version.failed", s->id, now_us, "",
                        (struct slice){0}, err));
    if (!has_moved)
        return OK;
    buf_text(&detail, "{\"alias\":");
    json_quote(&detail, s->wish);
    buf_text(&detail, "}");
    TRY(buf_check(&detail, err));
    return event_store_add(db, "alias.moved", s->id, now_us, "", buf_slice_of(&detail), err);
}

/* ---- one version's lists ---- */

static const struct query FILES = {
    "SELECT f.path, f.size, b.digest FROM version_file f JOIN blob b ON b.id = f.blob_id "
    "WHERE f.version_id = $1 ORDER BY f.path",
    "i", "tit"};

enum status
version_store_read_files(struct db *db, int64_t version_id, struct arena *arena,
                         struct version_file **ret_files, size_t *ret_count, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct version_file), FILES_MAX);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &FILES, VALUES(I64(version_id)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct version_file *f;

        TRY(vec_add(&rows, &f, "files", err));
        TRY(stmt_copy(&s, 0, arena, &f->path, err));
        f->size = stmt_u64(&s, 1);
        TRY(stmt_digest(&s, 2, &f->digest, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return stmt_rows(&rows, arena, ret_files, ret_count, err);
}

static const struct query METADATA = {
    "SELECT name, value FROM version_metadata WHERE version_id = $1 ORDER BY name", "i", "tt"};

static enum status
read_metadata(struct db *db, struct arena *arena, struct version *v, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct version_pair), PAIRS_MAX);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &METADATA, VALUES(I64(v->id)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct version_pair *pair;

        TRY(vec_add(&rows, &pair, "metadata", err));
        TRY(stmt_copy(&s, 0, arena, &pair->key, err));
        TRY(stmt_copy(&s, 1, arena, &pair->json, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return stmt_rows(&rows, arena, &v->metadata, &v->metadata_count, err);
}

/* `latest` is computed: it stands on the newest ready version. */
static const struct query ALIASES = {
    "SELECT name FROM alias WHERE version_id = $1 "
    "UNION ALL SELECT 'latest' FROM version v WHERE v.id = $1 AND v.state = 'ready' "
    "AND NOT EXISTS (SELECT 1 FROM version w WHERE w.model_id = v.model_id "
    "AND w.state = 'ready' AND w.serial > v.serial) ORDER BY 1",
    "i", "t"};

static enum status
read_aliases(struct db *db, struct arena *arena, struct version *v, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct slice), ALIASES_MAX);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &ALIASES, VALUES(I64(v->id)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct slice *name;

        TRY(vec_add(&rows, &name, "aliases", err));
        TRY(stmt_copy(&s, 0, arena, name, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return stmt_rows(&rows, arena, &v->aliases, &v->alias_count, err);
}

/* ---- one version ---- */

#define VERSION_ROW \
    "SELECT v.id, v.model_id, n.name, m.name, v.label, v.serial, v.state, v.digest, v.fileset, " \
    "v.created_at, v.settled_at, v.failure_type, v.failure, v.inspection_id, v.expires_at " \
    "FROM version v " \
    "JOIN model m ON m.id = v.model_id JOIN namespace n ON n.id = m.namespace_id "
#define VERSION_TYPES "iitttitTTiittIi"

static enum status
read_version(const struct stmt *s, struct arena *arena, struct version *v, struct err *err)
{
    *v = (struct version){
        .id = stmt_i64(s, 0),
        .model_id = stmt_i64(s, 1),
        .serial = stmt_u64(s, 5),
        .state = version_state_find(stmt_text(s, 6)),
        .created_at_us = stmt_i64(s, 9),
        .settled_at_us = stmt_i64(s, 10),
        .inspection_id = stmt_i64(s, 13),
        .expires_at_us = stmt_i64(s, 14),
    };
    TRY(stmt_copy(s, 2, arena, &v->namespace, err));
    TRY(stmt_copy(s, 3, arena, &v->model, err));
    TRY(stmt_copy(s, 4, arena, &v->label, err));
    TRY(stmt_digest(s, 7, &v->digest, err));
    TRY(stmt_digest(s, 8, &v->fileset, err));
    TRY(stmt_copy(s, 11, arena, &v->failure_type, err));
    return stmt_copy(s, 12, arena, &v->failure, err);
}

static enum status
read_rest(struct db *db, struct arena *arena, struct version *v, struct err *err)
{
    TRY(version_store_read_files(db, v->id, arena, &v->files, &v->file_count, err));
    TRY(read_metadata(db, arena, v, err));
    return read_aliases(db, arena, v, err);
}

static const struct query BY_ID = {VERSION_ROW "WHERE v.id = $1", "i", VERSION_TYPES};

static enum status
read_by_id(struct db *db, int64_t id, struct arena *arena, struct version *ret_version,
           struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    TRY(stmt_begin(&s, db, &BY_ID, VALUES(I64(id)), err));
    TRY(stmt_row(&s, &found, err));
    FAIL_IF(!found, err, NOT_FOUND, 0, "there is no version with the number %lld", (long long)id);
    TRY(read_version(&s, arena, ret_version, err));
    return read_rest(db, arena, ret_version, err);
}

struct get_id {
    int64_t id;
    struct arena *arena;
    struct version *ret_version;
};

static enum status
get_id(struct db *db, void *context, struct err *err)
{
    const struct get_id *g = context;

    return read_by_id(db, g->id, g->arena, g->ret_version, err);
}

enum status
version_store_get_id(struct store *store, int64_t id, struct arena *arena,
                     struct version *ret_version, struct err *err)
{
    struct get_id g = {id, arena, ret_version};

    return store_read(store, get_id, &g, err);
}

/* ---- by ref ---- */

static const struct query FIND_LABEL = {"SELECT id FROM version WHERE model_id = $1 AND label = $2",
                                        "it", "i"};
static const struct query FIND_SERIAL = {
    "SELECT id FROM version WHERE model_id = $1 AND serial = $2", "ii", "i"};
static const struct query FIND_ALIAS = {
    "SELECT version_id FROM alias WHERE model_id = $1 AND name = $2", "it", "i"};
static const struct query FIND_LATEST = {
    "SELECT id FROM version WHERE model_id = $1 AND state = 'ready' ORDER BY serial DESC LIMIT 1",
    "i", "i"};
/* The version's own digest, or its only file's. Several versions may have it: the newest. */
static const struct query FIND_DIGEST = {
    "SELECT id FROM (SELECT id, serial FROM version WHERE digest = $2 AND model_id = $1 "
    "UNION SELECT id, serial FROM version WHERE fileset = $2 AND model_id = $1) same "
    "ORDER BY serial DESC LIMIT 1",
    "it", "i"};

static enum status
find_version(struct db *db, int64_t model_id, const struct ref *ref, int64_t *ret_id,
             bool *ret_found, struct err *err)
{
    switch (ref->kind) {
    case REF_LABEL:
        return stmt_number(db, &FIND_LABEL, VALUES(I64(model_id), TEXT(ref->text)), ret_id,
                           ret_found, err);
    case REF_SERIAL:
        return stmt_number(db, &FIND_SERIAL, VALUES(I64(model_id), U64(ref->serial)), ret_id,
                           ret_found, err);
    case REF_DIGEST:
        return stmt_number(db, &FIND_DIGEST, VALUES(I64(model_id), DIGEST(&ref->digest)), ret_id,
                           ret_found, err);
    case REF_ALIAS:
        break;
    }
    if (slice_is(ref->text, "latest"))
        return stmt_number(db, &FIND_LATEST, VALUES(I64(model_id)), ret_id, ret_found, err);
    return stmt_number(db, &FIND_ALIAS, VALUES(I64(model_id), TEXT(ref->text)), ret_id, ret_found,
                       err);
}

struct get {
    struct slice namespace;
    struct slice model;
    const struct ref *ref;
    struct arena *arena;
    struct version *ret_version;
};

/* Say what is missing in the words that the request used. */
static enum status
fail_missing(const struct get *g, struct err *err)
{
    const struct ref *ref = g->ref;

    switch (ref->kind) {
    case REF_LABEL:
        FAIL(err, NOT_FOUND, 0, "%.*s/%.*s has no version %.*s", SLICE_PRINT(g->namespace),
             SLICE_PRINT(g->model), SLICE_PRINT(ref->text));
    case REF_SERIAL:
        FAIL(err, NOT_FOUND, 0, "%.*s/%.*s has no version with the serial %" PRIu64,
             SLICE_PRINT(g->namespace), SLICE_PRINT(g->model), ref->serial);
    case REF_DIGEST:
        FAIL(err, NOT_FOUND, 0, "%.*s/%.*s has no version with the digest sha256:%s",
             SLICE_PRINT(g->namespace), SLICE_PRINT(g->model), digest_text(&ref->digest).hex);
    case REF_ALIAS:
        break;
    }
    FAIL_IF(slice_is(ref->text, "latest"), err, NOT_FOUND, 0,
            "%.*s/%.*s has no ready version for @latest", SLICE_PRINT(g->namespace),
            SLICE_PRINT(g->model));
    FAIL(err, NOT_FOUND, 0, "%.*s/%.*s has no alias %.*s", SLICE_PRINT(g->namespace),
         SLICE_PRINT(g->model), SLICE_PRINT(ref->text));
}

static enum status
get(struct db *db, void *context, struct err *err)
{
    const struct get *g = context;
    int64_t model_id, id = 0;
    bool found;

    TRY(model_store_find(db, g->namespace, g->model, &model_id, err));
    TRY(find_version(db, model_id, g->ref, &id, &found, err));
    if (!found)
        return fail_missing(g, err);
    return read_by_id(db, id, g->arena, g->ret_version, err);
}

enum status
version_store_get(struct store *store, struct slice namespace, struct slice model,
                  const struct ref *ref, struct arena *arena, struct version *ret_version,
                  struct err *err)
{
    struct get g = {namespace, model, ref, arena, ret_version};

    return store_read(store, get, &g, err);
}

enum status
version_store_peek(struct store *store, struct slice namespace, struct slice model,
                   struct slice label, struct arena *arena, struct version *ret_version,
                   struct err *err)
{
    struct ref ref = {.kind = REF_LABEL, .text = label};

    return version_store_get(store, namespace, model, &ref, arena, ret_version, err);
}

struct get_state {
    int64_t id;
    enum version_state state;
};

static const struct query STATE = {"SELECT state FROM version WHERE id = $1", "i", "t"};

static enum status
get_state(struct db *db, void *context, struct err *err)
{
    struct get_state *g = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    TRY(stmt_begin(&s, db, &STATE, VALUES(I64(g->id)), err));
    TRY(stmt_row(&s, &found, err));
    FAIL_IF(!found, err, NOT_FOUND, 0, "there is no version with the number %lld",
            (long long)g->id);
    g->state = version_state_find(stmt_text(&s, 0));
    return OK;
}

enum status
version_store_state(struct store *store, int64_t id, enum version_state *ret_state, struct err *err)
{
    struct get_state g = {.id = id};

    TRY(store_read(store, get_state, &g, err));
    *ret_state = g.state;
    return OK;
}

/* ---- the files of a job ---- */

struct fileset_of {
    const struct digest *fileset;
    struct arena *arena;
    struct version_file **ret_files;
    size_t *ret_count;
};

static const struct query ANY_WITH = {
    "SELECT id FROM version WHERE fileset = $1 ORDER BY id DESC LIMIT 1", "t", "i"};

static enum status
read_fileset(struct db *db, void *context, struct err *err)
{
    const struct fileset_of *f = context;
    int64_t id = 0;
    bool found;

    TRY(stmt_number(db, &ANY_WITH, VALUES(DIGEST(f->fileset)), &id, &found, err));
    FAIL_IF(!found, err, NOT_FOUND, 0, "no version has the files %s any more",
            digest_text(f->fileset).hex);
    return version_store_read_files(db, id, f->arena, f->ret_files, f->ret_count, err);
}

enum status
version_store_fileset(struct store *store, const struct digest *fileset, struct arena *arena,
                      struct version_file **ret_files, size_t *ret_count, struct err *err)
{
    struct fileset_of f = {fileset, arena, ret_files, ret_count};

    return store_read(store, read_fileset, &f, err);
}

/* ---- the list ---- */

static const char CURSOR_KIND = 'v';

struct list {
    struct slice namespace;
    struct slice model;
    int64_t before; /* serial */
    size_t limit;
    struct arena *arena;
    struct version_list *ret_list;
};

static const struct query LIST = {
    VERSION_ROW "WHERE v.model_id = $1 AND v.serial < $2 ORDER BY v.serial DESC LIMIT $3", "iii",
    VERSION_TYPES};

static enum status
list_rows(struct db *db, const struct list *l, int64_t model_id, bool *ret_has_more,
          struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct version), l->limit);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &LIST, VALUES(I64(model_id), I64(l->before), I64((int64_t)l->limit + 1)),
                   err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row && rows.count < l->limit) {
        struct version *v;

        TRY(vec_add(&rows, &v, "versions", err));
        TRY(read_version(&s, l->arena, v, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    *ret_has_more = has_row;
    return stmt_rows(&rows, l->arena, &l->ret_list->versions, &l->ret_list->count, err);
}

/* A version may have thousands of files: what a page costs must not grow with them. */
static enum status
list_rest(struct db *db, const struct list *l, bool *ret_has_more, struct err *err)
{
    struct version_list *found = l->ret_list;
    size_t files = 0;

    for (size_t i = 0; i < found->count; i++) {
        TRY(read_rest(db, l->arena, &found->versions[i], err));
        files += found->versions[i].file_count;
        if (files < PAGE_FILES_MAX || i + 1 == found->count)
            continue;
        found->count = i + 1;
        *ret_has_more = true;
    }
    return OK;
}

static enum status
list(struct db *db, void *context, struct err *err)
{
    struct list *l = context;
    struct version_list *found = l->ret_list;
    int64_t model_id;
    bool has_more;

    TRY(model_store_find(db, l->namespace, l->model, &model_id, err));
    TRY(list_rows(db, l, model_id, &has_more, err));
    TRY(list_rest(db, l, &has_more, err));
    if (!has_more)
        return OK;
    return page_cursor(CURSOR_KIND, (struct slice){0},
                       (int64_t)found->versions[found->count - 1].serial, l->arena, &found->next,
                       err);
}

enum status
version_store_list(struct store *store, struct slice namespace, struct slice model,
                   const struct page *page, struct arena *arena, struct version_list *ret_list,
                   struct err *err)
{
    struct list l = {namespace, model, INT64_MAX, page_limit(page), arena, ret_list};

    *ret_list = (struct version_list){0};
    if (page->cursor.length > 0) {
        struct slice unused;

        TRY(page_parse(CURSOR_KIND, page->cursor, arena, &unused, &l.before, err));
    }
    return store_read(store, list, &l, err);
}

/* ---- counting ---- */

static const struct query COUNT_VERSIONS = {
    "SELECT state, count(*) FROM version WHERE state <> 'ready' GROUP BY state "
    "UNION ALL SELECT 'ready', coalesce(sum(versions), 0) FROM model",
    "", "ti"};
static const struct query COUNT_JOBS = {"SELECT state, count(*) FROM job GROUP BY state", "", "ti"};

static enum status
count_versions(struct db *db, struct version_counts *counts, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    uint64_t others = 0, all = 0;
    bool has_row;

    TRY(stmt_begin(&s, db, &COUNT_VERSIONS, NO_VALUES, err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        enum version_state state = version_state_find(stmt_text(&s, 0));

        if (state == VERSION_READY) {
            all = stmt_u64(&s, 1); /* of any state: only these few others are counted one by one */
        } else if (state < VERSION_STATE_COUNT) {
            counts->by_state[state] = stmt_u64(&s, 1);
            others += counts->by_state[state];
        }
        TRY(stmt_row(&s, &has_row, err));
    }
    counts->by_state[VERSION_READY] = all > others ? all - others : 0;
    return OK;
}

static enum status
count(struct db *db, void *context, struct err *err)
{
    struct version_counts *counts = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    *counts = (struct version_counts){0};
    TRY(count_versions(db, counts, err));
    TRY(stmt_begin(&s, db, &COUNT_JOBS, NO_VALUES, err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        if (slice_is(stmt_text(&s, 0), "running"))
            counts->jobs_running = stmt_u64(&s, 1);
        else
            counts->jobs_queued = stmt_u64(&s, 1);
        TRY(stmt_row(&s, &has_row, err));
    }
    return OK;
}

enum status
version_store_count(struct store *store, struct version_counts *ret_counts, struct err *err)
{
    return store_read(store, count, ret_counts, err);
}
