#include "server/store/inspection_store.h"

#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"

enum { ROWS_MAX = 1000000 }; /* of one list, read back: the readers' limits are far below */

struct get {
    int64_t id;
    struct arena *arena;
    struct inspection_row *row;
};

static const struct query GET = {
    "SELECT fileset, revision, format, safety, default_container, metadata, wo_applies, wo_loads, "
    "wo_reason, findings_dropped, created_at FROM inspection WHERE id = $1",
    "i", "tittItiibii"};

static enum status
get_row(struct db *db, const struct get *g, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    struct inspection_row *row = g->row;
    bool found;

    TRY(stmt_begin(&s, db, &GET, VALUES(I64(g->id)), err));
    TRY(stmt_row(&s, &found, err));
    FAIL_IF(!found, err, NOT_FOUND, 0, "there is no inspection %lld", (long long)g->id);
    TRY(stmt_digest(&s, 0, &row->fileset, err));
    row->revision = (uint32_t)stmt_i64(&s, 1);
    TRY(stmt_copy(&s, 2, g->arena, &row->format, err));
    row->safety = safety_find(stmt_text(&s, 3));
    FAIL_IF(row->safety == SAFETY_COUNT, err, STORE, 0, "an inspection of an unknown safety");
    row->default_container = stmt_is_null(&s, 4) ? SIZE_MAX : (size_t)stmt_u64(&s, 4);
    TRY(stmt_copy(&s, 5, g->arena, &row->metadata, err));
    row->weights_only.applies = stmt_i64(&s, 6) == 1;
    row->weights_only.loads = stmt_i64(&s, 7) == 1;
    TRY(stmt_copy(&s, 8, g->arena, &row->weights_only.reason, err));
    row->findings_dropped = (size_t)stmt_u64(&s, 9);
    row->created_at_us = stmt_i64(&s, 10);
    return OK;
}

static const struct query CONTAINERS = {
    "SELECT c.id, c.path, c.kind, c.structure_id, c.facts_id, s.tensors, s.elements, s.bytes, "
    "s.fingerprint, s.architecture, s.skeleton "
    "FROM container c JOIN structure s ON s.id = c.structure_id "
    "WHERE c.inspection_id = $1 ORDER BY c.n",
    "i", "ibtiiiiittt"};

static enum status
read_container(const struct stmt *s, struct arena *arena, struct container_row *c, struct err *err)
{
    c->id = stmt_i64(s, 0);
    TRY(stmt_copy(s, 1, arena, &c->path, err));
    c->kind = container_kind_find(stmt_text(s, 2));
    FAIL_IF(c->kind == CONTAINER_KIND_COUNT, err, STORE, 0, "a container of an unknown kind");
    c->structure_id = stmt_i64(s, 3);
    c->facts_id = stmt_i64(s, 4);
    c->tensors = stmt_u64(s, 5);
    c->elements = stmt_u64(s, 6);
    c->bytes = stmt_u64(s, 7);
    TRY(stmt_digest(s, 8, &c->fingerprints.structure, err));
    TRY(stmt_digest(s, 9, &c->fingerprints.architecture, err));
    return stmt_digest(s, 10, &c->fingerprints.skeleton, err);
}

static enum status
get_containers(struct db *db, const struct get *g, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct container_row), ROWS_MAX);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &CONTAINERS, VALUES(I64(g->id)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct container_row *c;

        TRY(vec_add(&rows, &c, "containers", err));
        TRY(read_container(&s, g->arena, c, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return stmt_rows(&rows, g->arena, &g->row->containers, &g->row->container_count, err);
}

static const struct query FINDINGS = {
    "SELECT name, subject, message FROM finding WHERE inspection_id = $1 ORDER BY n", "i", "tbb"};

static enum status
get_findings(struct db *db, const struct get *g, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct finding), ROWS_MAX);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &FINDINGS, VALUES(I64(g->id)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct finding *f;

        TRY(vec_add(&rows, &f, "findings", err));
        *f = (struct finding){.id = finding_find(stmt_text(&s, 0))};
        FAIL_IF(f->id == FINDING_COUNT, err, STORE, 0, "a finding of an unknown name");
        TRY(stmt_copy(&s, 1, g->arena, &f->subject, err));
        TRY(stmt_copy(&s, 2, g->arena, &f->message, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return stmt_rows(&rows, g->arena, &g->row->findings, &g->row->finding_count, err);
}

static const struct query NEEDS = {"SELECT name FROM need WHERE inspection_id = $1 ORDER BY n", "i",
                                   "b"};

static enum status
get_needs(struct db *db, const struct get *g, struct err *err)
{
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct slice), ROWS_MAX);
    CLEANUP(stmt_done) struct stmt s = {0};
    struct weights_only *w = &g->row->weights_only;
    bool has_row;

    TRY(stmt_begin(&s, db, &NEEDS, VALUES(I64(g->id)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct slice *name;

        TRY(vec_add(&rows, &name, "globals", err));
        TRY(stmt_copy(&s, 0, g->arena, name, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return stmt_rows(&rows, g->arena, &w->needs, &w->need_count, err);
}

static enum status
get(struct db *db, void *context, struct err *err)
{
    const struct get *g = context;

    TRY(get_row(db, g, err));
    TRY(get_containers(db, g, err));
    TRY(get_findings(db, g, err));
    return get_needs(db, g, err);
}

enum status
inspection_store_get(struct store *store, int64_t id, struct arena *arena,
                     struct inspection_row *ret_inspection, struct err *err)
{
    struct get g = {id, arena, ret_inspection};

    *ret_inspection = (struct inspection_row){.id = id};
    return store_read(store, get, &g, err);
}
