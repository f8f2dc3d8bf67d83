/*
 * What an inspector found is kept: design.md §3 step 7. Everything that costs time, fingerprints and
 * records, is made before the transaction, on the caller's thread.
 */
#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/structure/record.h"
#include "server/store/inspection_store.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"
#include "server/work/clock.h"

enum { VERSIONS_MAX = 1000000 }; /* that one set of bytes can settle at once */

/* A container, ready to be written. */
struct prepared {
    struct fingerprints fingerprints;
    uint64_t elements;
    uint64_t bytes;
    struct buf structure;
    struct buf facts;
    struct digest facts_digest;
    struct buf placement; /* empty: none is known */
};

struct record {
    const struct inspection_outcome *outcome;
    struct prepared *containers;
    size_t container_count;
    struct vec settled; /* struct version_commit */
    struct vec wishes;  /* struct slice, beside them */
    struct arena *arena;
    int64_t inspection_id;
    int64_t now_us;
};

/* ---- before ---- */

static enum status
prepare(const struct container *c, const struct limits *limits, struct prepared *p, struct err *err)
{
    p->structure = buf_with_cap(limits->arena_bytes);
    p->facts = buf_with_cap(limits->arena_bytes);
    p->placement = buf_with_cap(limits->arena_bytes);
    p->elements = structure_elements(&c->structure);
    p->bytes = structure_bytes(&c->structure);
    record_add_structure(&p->structure, &c->structure);
    record_add_facts(&p->facts, &c->facts, &c->structure);
    if (c->placement.places != NULL)
        record_add_placement(&p->placement, &c->placement, &c->structure);
    TRY(buf_check(&p->structure, err));
    TRY(buf_check(&p->facts, err));
    TRY(buf_check(&p->placement, err));
    TRY(hash_bytes(p->facts.bytes, p->facts.length, &p->facts_digest, err));
    return fingerprint_structure(&c->structure, limits, &p->fingerprints, err);
}

static void
done(struct record *r)
{
    for (size_t i = 0; i < r->container_count; i++) {
        buf_done(&r->containers[i].structure);
        buf_done(&r->containers[i].facts);
        buf_done(&r->containers[i].placement);
    }
    mem_free(r->containers);
    vec_done(&r->settled);
    vec_done(&r->wishes);
}

static enum status
prepare_all(struct record *r, const struct limits *limits, struct err *err)
{
    const struct inspection *in = r->outcome->found;

    if (in == NULL || in->container_count == 0)
        return OK;
    r->containers = mem_new(in->container_count, sizeof *r->containers);
    FAIL_IF(r->containers == NULL, err, NO_MEMORY, 0, "no memory for an inspection's records");
    r->container_count = in->container_count;
    for (size_t i = 0; i < in->container_count; i++)
        TRY(prepare(&in->containers[i], limits, &r->containers[i], err));
    return OK;
}

/* ---- the inspection's rows ---- */

static const struct query FIND = {
    "SELECT id, failure_type, failure FROM inspection WHERE fileset = $1 AND revision = $2", "ti",
    "itt"};

enum status
inspection_store_find(struct db *db, const struct digest *fileset, uint32_t revision,
                      struct arena *arena, struct inspection_found *ret_found, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    *ret_found = (struct inspection_found){0};
    TRY(stmt_begin(&s, db, &FIND, VALUES(DIGEST(fileset), I64(revision)), err));
    TRY(stmt_row(&s, &found, err));
    if (!found)
        return OK;
    ret_found->id = stmt_i64(&s, 0);
    TRY(stmt_copy(&s, 1, arena, &ret_found->failure_type, err));
    return stmt_copy(&s, 2, arena, &ret_found->failure, err);
}

static const struct query ADD = {
    "INSERT INTO inspection (fileset, revision, format, safety, default_container, metadata, "
    "wo_applies, wo_loads, wo_reason, findings_dropped, failure_type, failure, created_at) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
    "ON CONFLICT (fileset, revision) DO NOTHING RETURNING id",
    "tittItiibitti", "i"};

/* *ret_is_new false: these bytes were inspected meanwhile, and what was found then holds. */
static enum status
add_inspection(struct db *db, struct record *r, bool *ret_is_new, struct err *err)
{
    static const struct inspection nothing = {.default_container = SIZE_MAX,
                                              .safety = SAFETY_MALFORMED};
    const struct inspection_outcome *o = r->outcome;
    const struct inspection *in = o->found == NULL ? &nothing : o->found;
    bool has_default = in->default_container < in->container_count;
    const char *failure = o->failure == OK ? "" : err_problem_type(o->failure);

    TRY(stmt_number(db, &ADD,
                    VALUES(DIGEST(&o->fileset), I64(o->revision), TEXT(in->format),
                           WORD(safety_name(in->safety)),
                           has_default ? I64((int64_t)in->default_container) : NOTHING,
                           TEXT(in->metadata), I64(in->weights_only.applies ? 1 : 0),
                           I64(in->weights_only.loads ? 1 : 0), BYTES(in->weights_only.reason),
                           U64(in->findings_dropped), WORD(failure), TEXT(o->failure_text),
                           I64(r->now_us)),
                    &r->inspection_id, ret_is_new, err));
    return OK;
}

static const struct query ADD_CONTAINER = {
    "INSERT INTO container (inspection_id, n, path, kind, structure_id, facts_id) "
    "VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
    "iibtii", "i"};

static enum status
add_container(struct db *db, const struct record *r, size_t n, struct err *err)
{
    const struct container *c = &r->outcome->found->containers[n];
    const struct prepared *p = &r->containers[n];
    int64_t structure_id = 0, facts_id = 0, id = 0;

    TRY(structure_store_put(db, &p->fingerprints, c->structure.count, p->elements, p->bytes,
                            buf_slice_of(&p->structure), &structure_id, err));
    TRY(structure_store_put_facts(db, &p->facts_digest, buf_slice_of(&p->facts), &facts_id, err));
    TRY(stmt_number(db, &ADD_CONTAINER,
                    VALUES(I64(r->inspection_id), I64((int64_t)n), BYTES(c->path),
                           WORD(container_kind_name(c->kind)), I64(structure_id), I64(facts_id)),
                    &id, NULL, err));
    if (p->placement.length == 0)
        return OK;
    return structure_store_put_placement(db, id, buf_slice_of(&p->placement), err);
}

static const struct query ADD_FINDING = {
    "INSERT INTO finding (inspection_id, n, name, severity, subject, message) "
    "VALUES ($1, $2, $3, $4, $5, $6)",
    "iittbb", ""};
static const struct query ADD_NEED = {
    "INSERT INTO need (inspection_id, n, name) VALUES ($1, $2, $3)", "iib", ""};

static enum status
add_rest(struct db *db, const struct record *r, struct err *err)
{
    const struct inspection *in = r->outcome->found;

    for (size_t i = 0; i < in->finding_count; i++) {
        const struct finding *f = &in->findings[i];

        TRY(stmt_run(db, &ADD_FINDING,
                     VALUES(I64(r->inspection_id), I64((int64_t)i), WORD(finding_name(f->id)),
                            WORD(severity_name(finding_severity(f->id))), BYTES(f->subject),
                            BYTES(f->message)),
                     err));
    }
    for (size_t i = 0; i < in->weights_only.need_count; i++)
        TRY(stmt_run(
            db, &ADD_NEED,
            VALUES(I64(r->inspection_id), I64((int64_t)i), BYTES(in->weights_only.needs[i])), err));
    return OK;
}

/* ---- the versions ---- */

static const struct query SETTLE = {
    "UPDATE version SET state = $2, settled_at = $3, failure_type = $4, failure = $5, "
    "inspection_id = $6 WHERE fileset = $1 AND state = 'pending' "
    "RETURNING id, model_id, serial, label, digest, wish",
    "ttitti", "iiittt"};

/* The rows are read whole before the next statement, for they come in no order and under a cursor. */
static enum status
settle_rows(struct db *db, struct record *r, const struct inspection_found *found, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    enum version_state state = found->failure_type.length > 0 ? VERSION_FAILED : VERSION_READY;
    bool has_row;

    TRY(stmt_begin(&s, db, &SETTLE,
                   VALUES(DIGEST(&r->outcome->fileset), WORD(version_state_name(state)),
                          I64(r->now_us), TEXT(found->failure_type), TEXT(found->failure),
                          I64(found->id)),
                   err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct version_commit *v;
        struct slice *wish;

        TRY(vec_add(&r->settled, &v, "versions of the same bytes", err));
        TRY(vec_add(&r->wishes, &wish, "versions of the same bytes", err));
        v->id = stmt_i64(&s, 0);
        v->model_id = stmt_i64(&s, 1);
        v->serial = stmt_u64(&s, 2);
        v->state = state;
        for (size_t i = 0; i < stmt_text(&s, 3).length && i < REF_LABEL_MAX; i++)
            v->label[i] = stmt_text(&s, 3).at[i];
        TRY(stmt_digest(&s, 4, &v->digest, err));
        TRY(stmt_copy(&s, 5, r->arena, wish, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return OK;
}

static enum status
settle(struct db *db, struct record *r, struct err *err)
{
    struct inspection_found found;

    TRY(inspection_store_find(db, &r->outcome->fileset, r->outcome->revision, r->arena, &found,
                              err));
    r->inspection_id = found.id;
    TRY(settle_rows(db, r, &found, err));
    for (size_t i = 0; i < r->settled.count; i++) {
        const struct version_commit *v = &VEC_AT(&r->settled, struct version_commit, i);
        struct settled settled = {.id = v->id,
                                  .model_id = v->model_id,
                                  .serial = v->serial,
                                  .wish = VEC_AT(&r->wishes, struct slice, i),
                                  .is_ready = v->state == VERSION_READY};

        TRY(version_store_settled(db, &settled, r->now_us, err));
    }
    return OK;
}

static enum status
write_all(struct db *db, void *context, struct err *err)
{
    struct record *r = context;
    const struct inspection_outcome *o = r->outcome;
    struct digest_text key = digest_text(&o->fileset);
    bool is_new;

    r->now_us = clock_wall_us();
    r->settled.count = 0;
    r->wishes.count = 0;
    if (o->job_id != 0)
        TRY(job_store_check(db, o->job_id, o->job_fence, err));
    TRY(add_inspection(db, r, &is_new, err));
    for (size_t i = 0; is_new && i < r->container_count; i++)
        TRY(add_container(db, r, i, err));
    if (is_new && o->found != NULL)
        TRY(add_rest(db, r, err));
    TRY(job_store_remove(db, "inspect", slice_of(key.hex), err));
    return settle(db, r, err);
}

enum status
inspection_store_record(struct store *store, const struct inspection_outcome *outcome,
                        const struct limits *limits, struct arena *arena,
                        struct inspection_recorded *ret_recorded, struct err *err)
{
    CLEANUP(done)
    struct record r = {
        .outcome = outcome,
        .settled = vec_of(sizeof(struct version_commit), VERSIONS_MAX),
        .wishes = vec_of(sizeof(struct slice), VERSIONS_MAX),
        .arena = arena,
    };

    *ret_recorded = (struct inspection_recorded){0};
    TRY(prepare_all(&r, limits, err));
    TRY(store_write(store, write_all, &r, err));
    ret_recorded->inspection_id = r.inspection_id;
    return stmt_rows(&r.settled, arena, &ret_recorded->versions, &ret_recorded->settled, err);
}
