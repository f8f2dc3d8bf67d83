#include "server/store/job_store.h"

#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"
#include "server/work/clock.h"

/* ---- steps ---- */

static const struct query PUT = {
    "INSERT INTO job (kind, key, state, fence, attempts, runnable_at, created_at, trouble) "
    "VALUES ($1, $2, 'queued', 0, 0, $3, $3, '') ON CONFLICT (kind, key) DO NOTHING",
    "tti", ""};

enum status
job_store_put(struct db *db, const char *kind, struct slice key, int64_t now_us, struct err *err)
{
    return stmt_run(db, &PUT, VALUES(WORD(kind), TEXT(key), I64(now_us)), err);
}

static const struct query CHECK = {
    "SELECT id FROM job WHERE id = $1 AND fence = $2 AND state = 'running'", "ii", "i"};

enum status
job_store_check(struct db *db, int64_t id, int64_t fence, struct err *err)
{
    bool found;

    TRY(stmt_number(db, &CHECK, VALUES(I64(id), I64(fence)), &id, &found, err));
    FAIL_IF(!found, err, CONFLICT, 0, "the job is no longer this worker's");
    return OK;
}

static const struct query REMOVE = {"DELETE FROM job WHERE kind = $1 AND key = $2", "tt", ""};

enum status
job_store_remove(struct db *db, const char *kind, struct slice key, struct err *err)
{
    return stmt_run(db, &REMOVE, VALUES(WORD(kind), TEXT(key)), err);
}

/* ---- claiming ---- */

struct claim {
    const char *kind;
    const char *owner;
    uint64_t lease_us;
    struct arena *arena;
    struct job *ret_job;
    bool *ret_found;
};

/* runnable_at is when a queued job may begin and when a running one's lease ends: one comparison finds
 * both. The state is asked again outside of the sub-select for engines where two may run at once. */
static const struct query CLAIM = {
    "UPDATE job SET state = 'running', owner = $3, fence = fence + 1, "
    "attempts = attempts + CASE WHEN state = 'queued' THEN 1 ELSE 0 END, "
    "runnable_at = $4 "
    "WHERE id = (SELECT id FROM job WHERE kind = $1 AND runnable_at <= $2 "
    "ORDER BY runnable_at, id LIMIT 1) AND runnable_at <= $2 "
    "RETURNING id, key, fence, attempts, created_at",
    "titi", "itiii"};

static enum status
claim(struct db *db, void *context, struct err *err)
{
    const struct claim *c = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    int64_t now = clock_wall_us();
    bool has_more;

    TRY(stmt_begin(
        &s, db, &CLAIM,
        VALUES(WORD(c->kind), I64(now), WORD(c->owner), I64(stmt_later(now, c->lease_us))), err));
    TRY(stmt_row(&s, c->ret_found, err));
    if (!*c->ret_found)
        return OK;
    *c->ret_job = (struct job){
        .id = stmt_i64(&s, 0),
        .kind = slice_of(c->kind),
        .fence = stmt_i64(&s, 2),
        .attempts = (uint32_t)stmt_i64(&s, 3),
        .created_at_us = stmt_i64(&s, 4),
    };
    TRY(stmt_copy(&s, 1, c->arena, &c->ret_job->key, err));
    return stmt_row(&s, &has_more, err);
}

enum status
job_store_claim(struct store *store, const char *kind, const char *owner, uint64_t lease_us,
                struct arena *arena, struct job *ret_job, bool *ret_found, struct err *err)
{
    struct claim c = {kind, owner, lease_us, arena, ret_job, ret_found};
    uint64_t wait_us;

    /* Looking costs less than a transaction, and most looks find nothing. */
    *ret_found = false;
    TRY(job_store_next(store, kind, &wait_us, err));
    return wait_us > 0 ? OK : store_write(store, claim, &c, err);
}

/* ---- a claimed job ---- */

struct change {
    int64_t id;
    int64_t fence;
    uint64_t us;
    struct slice reason;
};

static enum status
expect(bool found, struct err *err)
{
    FAIL_IF(!found, err, CONFLICT, 0, "the job is no longer this worker's");
    return OK;
}

static const struct query RENEW = {
    "UPDATE job SET runnable_at = $3 WHERE id = $1 AND fence = $2 AND state = 'running' "
    "RETURNING id",
    "iii", "i"};

static enum status
renew(struct db *db, void *context, struct err *err)
{
    const struct change *c = context;
    bool found;
    int64_t id;

    TRY(stmt_number(db, &RENEW,
                    VALUES(I64(c->id), I64(c->fence), I64(stmt_later(clock_wall_us(), c->us))), &id,
                    &found, err));
    return expect(found, err);
}

enum status
job_store_renew(struct store *store, int64_t id, int64_t fence, uint64_t lease_us, struct err *err)
{
    struct change c = {.id = id, .fence = fence, .us = lease_us};

    return store_write(store, renew, &c, err);
}

static const struct query FINISH = {
    "DELETE FROM job WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING id", "ii", "i"};

static enum status
finish(struct db *db, void *context, struct err *err)
{
    const struct change *c = context;
    bool found;
    int64_t id;

    TRY(stmt_number(db, &FINISH, VALUES(I64(c->id), I64(c->fence)), &id, &found, err));
    return expect(found, err);
}

enum status
job_store_finish(struct store *store, int64_t id, int64_t fence, struct err *err)
{
    struct change c = {.id = id, .fence = fence};

    return store_write(store, finish, &c, err);
}

static const struct query RETRY = {
    "UPDATE job SET state = 'queued', owner = NULL, runnable_at = $3, trouble = $4 "
    "WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING id",
    "iiit", "i"};

static enum status
retry(struct db *db, void *context, struct err *err)
{
    const struct change *c = context;
    bool found;
    int64_t id;

    TRY(stmt_number(
        db, &RETRY,
        VALUES(I64(c->id), I64(c->fence), I64(stmt_later(clock_wall_us(), c->us)), TEXT(c->reason)),
        &id, &found, err));
    return expect(found, err);
}

enum status
job_store_retry(struct store *store, int64_t id, int64_t fence, uint64_t delay_us,
                struct slice reason, struct err *err)
{
    struct change c = {.id = id, .fence = fence, .us = delay_us, .reason = reason};

    return store_write(store, retry, &c, err);
}

/* ---- the queue ---- */

struct addition {
    const char *kind;
    struct slice key;
};

static enum status
add(struct db *db, void *context, struct err *err)
{
    const struct addition *a = context;

    return job_store_put(db, a->kind, a->key, clock_wall_us(), err);
}

enum status
job_store_add(struct store *store, const char *kind, struct slice key, struct err *err)
{
    struct addition a = {kind, key};

    return store_write(store, add, &a, err);
}

struct next {
    const char *kind;
    uint64_t wait_us;
};

static const struct query NEXT = {
    "SELECT runnable_at FROM job WHERE kind = $1 ORDER BY runnable_at, id LIMIT 1", "t", "i"};

static enum status
next(struct db *db, void *context, struct err *err)
{
    struct next *n = context;
    int64_t at = 0, now = clock_wall_us();
    bool found;

    TRY(stmt_number(db, &NEXT, VALUES(WORD(n->kind)), &at, &found, err));
    if (!found)
        n->wait_us = UINT64_MAX;
    else
        n->wait_us = at <= now ? 0 : (uint64_t)(at - now);
    return OK;
}

enum status
job_store_next(struct store *store, const char *kind, uint64_t *ret_wait_us, struct err *err)
{
    struct next n = {.kind = kind};

    TRY(store_read(store, next, &n, err));
    *ret_wait_us = n.wait_us;
    return OK;
}
