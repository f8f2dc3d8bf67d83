#include "server/store/structure_store.h"

#include "common/base/attr.h"
#include "common/structure/record.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"

/* ---- steps ---- */

static const struct query FIND_STRUCTURE = {"SELECT id FROM structure WHERE fingerprint = $1", "t",
                                            "i"};
static const struct query ADD_STRUCTURE = {
    "INSERT INTO structure (fingerprint, architecture, skeleton, tensors, elements, bytes, record) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
    "tttiiib", "i"};

enum status
structure_store_put(struct db *db, const struct fingerprints *fingerprints, uint64_t tensors,
                    uint64_t elements, uint64_t bytes, struct slice record, int64_t *ret_id,
                    struct err *err)
{
    bool found;

    TRY(stmt_number(db, &FIND_STRUCTURE, VALUES(DIGEST(&fingerprints->structure)), ret_id, &found,
                    err));
    if (found)
        return OK;
    return stmt_number(db, &ADD_STRUCTURE,
                       VALUES(DIGEST(&fingerprints->structure), DIGEST(&fingerprints->architecture),
                              DIGEST(&fingerprints->skeleton), U64(tensors), U64(elements),
                              U64(bytes), BYTES(record)),
                       ret_id, NULL, err);
}

static const struct query FIND_FACTS = {"SELECT id FROM facts WHERE digest = $1", "t", "i"};
static const struct query ADD_FACTS = {
    "INSERT INTO facts (digest, record) VALUES ($1, $2) RETURNING id", "tb", "i"};

enum status
structure_store_put_facts(struct db *db, const struct digest *digest, struct slice record,
                          int64_t *ret_id, struct err *err)
{
    bool found;

    TRY(stmt_number(db, &FIND_FACTS, VALUES(DIGEST(digest)), ret_id, &found, err));
    if (found)
        return OK;
    return stmt_number(db, &ADD_FACTS, VALUES(DIGEST(digest), BYTES(record)), ret_id, NULL, err);
}

static const struct query ADD_PLACEMENT = {
    "INSERT INTO placement (container_id, record) VALUES ($1, $2)", "ib", ""};

enum status
structure_store_put_placement(struct db *db, int64_t container_id, struct slice record,
                              struct err *err)
{
    return stmt_run(db, &ADD_PLACEMENT, VALUES(I64(container_id), BYTES(record)), err);
}

/* ---- reading ---- */

struct fetch {
    const struct query *query;
    int64_t id;
    const struct structure *structure;
    const struct limits *limits;
    struct arena *arena;
    void *ret;
    bool found;
};

static const struct query STRUCTURE = {"SELECT record FROM structure WHERE id = $1", "i", "b"};
static const struct query FACTS = {"SELECT record FROM facts WHERE id = $1", "i", "b"};
static const struct query PLACEMENT = {"SELECT record FROM placement WHERE container_id = $1", "i",
                                       "b"};

/* Decoded while the row is held: a copy of the record would be as large again. */
static enum status
fetch(struct db *db, void *context, struct err *err)
{
    struct fetch *f = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    struct slice record;

    TRY(stmt_begin(&s, db, f->query, VALUES(I64(f->id)), err));
    TRY(stmt_row(&s, &f->found, err));
    if (!f->found)
        return OK;
    record = stmt_text(&s, 0);
    if (f->query == &STRUCTURE)
        return record_read_structure(record, f->limits, f->arena, f->ret, err);
    if (f->query == &FACTS)
        return record_read_facts(record, f->structure, f->limits, f->arena, f->ret, err);
    return record_read_placement(record, f->structure, f->limits, f->arena, f->ret, err);
}

enum status
structure_store_get(struct store *store, int64_t structure_id, const struct limits *limits,
                    struct arena *arena, struct structure *ret_structure, struct err *err)
{
    struct fetch f = {&STRUCTURE, structure_id, NULL, limits, arena, ret_structure, false};

    TRY(store_read(store, fetch, &f, err));
    FAIL_IF(!f.found, err, NOT_FOUND, 0, "there is no structure %lld", (long long)structure_id);
    return OK;
}

enum status
structure_store_facts(struct store *store, int64_t facts_id, const struct structure *structure,
                      const struct limits *limits, struct arena *arena, struct facts *ret_facts,
                      struct err *err)
{
    struct fetch f = {&FACTS, facts_id, structure, limits, arena, ret_facts, false};

    TRY(store_read(store, fetch, &f, err));
    FAIL_IF(!f.found, err, NOT_FOUND, 0, "there are no loading facts %lld", (long long)facts_id);
    return OK;
}

enum status
structure_store_placement(struct store *store, int64_t container_id,
                          const struct structure *structure, const struct limits *limits,
                          struct arena *arena, struct placement *ret_placement, struct err *err)
{
    struct fetch f = {&PLACEMENT, container_id, structure, limits, arena, ret_placement, false};

    *ret_placement = (struct placement){0};
    return store_read(store, fetch, &f, err);
}
