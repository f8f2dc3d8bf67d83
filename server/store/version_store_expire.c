/* The end of an open version that nobody committed. */
#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"

struct expire {
    int64_t now_us;
    struct version_expired expired;
};

static const struct query DUE = {
    "SELECT v.id, v.model_id, (SELECT count(*) FROM version_file f WHERE f.version_id = v.id) "
    "FROM version v WHERE v.state = 'open' AND v.expires_at <= $1 ORDER BY v.expires_at LIMIT 1",
    "i", "iii"};
static const struct query CONDEMN = {
    "UPDATE blob SET state = 'condemned', changed_at = $2 WHERE state = 'live' AND id IN "
    "(SELECT f.blob_id FROM version_file f WHERE f.version_id = $1 AND NOT EXISTS "
    "(SELECT 1 FROM version_file o WHERE o.blob_id = f.blob_id AND o.version_id <> $1))",
    "ii", ""};
static const struct query DROP_FILES = {"DELETE FROM version_file WHERE version_id = $1", "i", ""};
static const struct query DROP_VERSION = {"DELETE FROM version WHERE id = $1", "i", ""};
static const struct query COUNT_DOWN = {"UPDATE model SET versions = versions - 1 WHERE id = $1",
                                        "i", ""};

static enum status
find_due(struct db *db, struct expire *e, int64_t *ret_model_id, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    e->expired = (struct version_expired){0};
    TRY(stmt_begin(&s, db, &DUE, VALUES(I64(e->now_us)), err));
    TRY(stmt_row(&s, &found, err));
    if (!found)
        return OK;
    *ret_model_id = stmt_i64(&s, 1);
    e->expired = (struct version_expired){.id = stmt_i64(&s, 0), .files = stmt_u64(&s, 2)};
    return OK;
}

/* The event stands first, for it takes the label from the row. */
static enum status
expire(struct db *db, void *context, struct err *err)
{
    struct expire *e = context;
    int64_t model_id = 0, id;

    TRY(find_due(db, e, &model_id, err));
    id = e->expired.id;
    if (id == 0)
        return OK;
    TRY(event_store_add(db, "version.expired", id, e->now_us, "", (struct slice){0}, err));
    TRY(stmt_run(db, &CONDEMN, VALUES(I64(id), I64(e->now_us)), err));
    TRY(stmt_run(db, &DROP_FILES, VALUES(I64(id)), err));
    TRY(stmt_run(db, &DROP_VERSION, VALUES(I64(id)), err));
    return stmt_run(db, &COUNT_DOWN, VALUES(I64(model_id)), err);
}

enum status
version_store_expire(struct store *store, int64_t now_us, struct version_expired *ret_expired,
                     struct err *err)
{
    struct expire e = {.now_us = now_us};

    TRY(store_write(store, expire, &e, err));
    *ret_expired = e.expired;
    return OK;
}
