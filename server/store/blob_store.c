#include "server/store/blob_store.h"

#include "common/base/attr.h"
#include "common/base/vec.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"
#include "server/work/clock.h"

static const char *const states[BLOB_STATE_COUNT] = {
    [BLOB_LIVE] = "live",
    [BLOB_CONDEMNED] = "condemned",
    [BLOB_DELETING] = "deleting",
};

/* ---- within a version's commit ---- */

static const struct query ATTACH = {
    "INSERT INTO blob (digest, size, state, changed_at) VALUES ($1, $2, 'live', $3) "
    "ON CONFLICT (digest) DO UPDATE SET state = 'live', changed_at = excluded.changed_at "
    "WHERE blob.state <> 'deleting' RETURNING id",
    "tii", "i"};

enum status
blob_store_attach(struct db *db, const struct digest *digest, uint64_t size, int64_t now_us,
                  int64_t *ret_id, bool *ret_free, struct err *err)
{
    return stmt_number(db, &ATTACH, VALUES(DIGEST(digest), U64(size), I64(now_us)), ret_id,
                       ret_free, err);
}

/* ---- reading ---- */

struct get {
    const struct digest *digest;
    enum blob_state *ret_state;
    uint64_t *ret_size;
    bool *ret_found;
};

static const struct query GET = {"SELECT state, size FROM blob WHERE digest = $1", "t", "ti"};

static enum status
get(struct db *db, void *context, struct err *err)
{
    const struct get *g = context;
    CLEANUP(stmt_done) struct stmt s = {0};

    TRY(stmt_begin(&s, db, &GET, VALUES(DIGEST(g->digest)), err));
    TRY(stmt_row(&s, g->ret_found, err));
    if (!*g->ret_found)
        return OK;
    *g->ret_size = stmt_u64(&s, 1);
    for (int i = 0; i < BLOB_STATE_COUNT; i++)
        if (slice_is(stmt_text(&s, 0), states[i]))
            *g->ret_state = (enum blob_state)i;
    return OK;
}

enum status
blob_store_get(struct store *store, const struct digest *digest, enum blob_state *ret_state,
               uint64_t *ret_size, bool *ret_found, struct err *err)
{
    struct get g = {digest, ret_state, ret_size, ret_found};

    return store_read(store, get, &g, err);
}

struct left {
    struct arena *arena;
    struct vec rows;
};

static const struct query LEFT = {
    "SELECT digest, owner FROM blob WHERE state = 'deleting' ORDER BY changed_at LIMIT 100000", "",
    "tT"};

static enum status
list_left(struct db *db, void *context, struct err *err)
{
    struct left *l = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &LEFT, NO_VALUES, err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct blob_left *row;

        TRY(vec_add(&l->rows, &row, "blobs being deleted", err));
        TRY(stmt_digest(&s, 0, &row->digest, err));
        TRY(stmt_copy(&s, 1, l->arena, &row->owner, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return OK;
}

enum status
blob_store_deleting(struct store *store, struct arena *arena, struct blob_left **ret_left,
                    size_t *ret_count, struct err *err)
{
    struct left l = {.arena = arena, .rows = vec_of(sizeof(struct blob_left), 100000)};
    CLEANUP(vec_done) struct vec rows = {0};
    enum status status = store_read(store, list_left, &l, err);

    rows = l.rows;
    TRY(status);
    return stmt_rows(&rows, arena, ret_left, ret_count, err);
}

static const struct query TOTALS = {
    "SELECT count(*), coalesce(sum(size), 0) FROM blob WHERE state = 'live'", "", "ii"};

static enum status
total(struct db *db, void *context, struct err *err)
{
    struct blob_totals *totals = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &TOTALS, NO_VALUES, err));
    TRY(stmt_row(&s, &has_row, err));
    *totals = (struct blob_totals){.blobs = stmt_u64(&s, 0), .bytes = stmt_u64(&s, 1)};
    return OK;
}

enum status
blob_store_totals(struct store *store, struct blob_totals *ret_totals, struct err *err)
{
    return store_read(store, total, ret_totals, err);
}

/* ---- deleting ---- */

struct ownership {
    const struct digest *digest;
    uint64_t size;
    const char *dead_owner;
    const char *owner;
    bool is_owned;
};

static const struct query OWN_ORPHAN = {
    "INSERT INTO blob (digest, size, state, owner, changed_at) "
    "VALUES ($1, $2, 'deleting', $3, $4) ON CONFLICT (digest) DO NOTHING RETURNING id",
    "titi", "i"};

static enum status
own_orphan(struct db *db, void *context, struct err *err)
{
    struct ownership *o = context;
    int64_t id;

    return stmt_number(
        db, &OWN_ORPHAN,
        VALUES(DIGEST(o->digest), U64(o->size), WORD(o->owner), I64(clock_wall_us())), &id,
        &o->is_owned, err);
}

enum status
blob_store_own_orphan(struct store *store, const struct digest *digest, uint64_t size,
                      const char *owner, bool *ret_owned, struct err *err)
{
    struct ownership o = {.digest = digest, .size = size, .owner = owner};

    TRY(store_write(store, own_orphan, &o, err));
    *ret_owned = o.is_owned;
    return OK;
}

struct condemned {
    const char *owner;
    size_t most;
    struct vec digests; /* of struct digest */
};

/* A commit revives what it needs: that none has it is asked all the same, for what is unlinked is gone. */
static const struct query OWN_CONDEMNED = {
    "UPDATE blob SET state = 'deleting', owner = $1, changed_at = $2 WHERE id IN "
    "(SELECT b.id FROM blob b WHERE b.state = 'condemned' AND b.state <> 'live' "
    "AND NOT EXISTS (SELECT 1 FROM version_file f WHERE f.blob_id = b.id) "
    "ORDER BY b.changed_at LIMIT $3) "
    "RETURNING digest",
    "tii", "t"};

static enum status
own_condemned(struct db *db, void *context, struct err *err)
{
    struct condemned *c = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    c->digests.count = 0;
    TRY(stmt_begin(&s, db, &OWN_CONDEMNED,
                   VALUES(WORD(c->owner), I64(clock_wall_us()), I64((int64_t)c->most)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct digest *digest;

        TRY(vec_add(&c->digests, &digest, "condemned blobs", err));
        TRY(stmt_digest(&s, 0, digest, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return OK;
}

enum status
blob_store_own_condemned(struct store *store, const char *owner, size_t most, struct arena *arena,
                         struct digest **ret_digests, size_t *ret_count, struct err *err)
{
    struct condemned c = {owner, most, vec_of(sizeof(struct digest), most)};
    CLEANUP(vec_done) struct vec digests = {0};
    enum status status = store_write(store, own_condemned, &c, err);

    digests = c.digests;
    TRY(status);
    return stmt_rows(&digests, arena, ret_digests, ret_count, err);
}

static const struct query OWN_LEFT = {
    "UPDATE blob SET owner = $3, changed_at = $4 "
    "WHERE digest = $1 AND state = 'deleting' AND owner = $2 RETURNING id",
    "ttti", "i"};

static enum status
own_left(struct db *db, void *context, struct err *err)
{
    struct ownership *o = context;
    int64_t id;

    return stmt_number(
        db, &OWN_LEFT,
        VALUES(DIGEST(o->digest), WORD(o->dead_owner), WORD(o->owner), I64(clock_wall_us())), &id,
        &o->is_owned, err);
}

enum status
blob_store_own_left(struct store *store, const struct digest *digest, const char *dead_owner,
                    const char *owner, bool *ret_owned, struct err *err)
{
    struct ownership o = {.digest = digest, .dead_owner = dead_owner, .owner = owner};

    TRY(store_write(store, own_left, &o, err));
    *ret_owned = o.is_owned;
    return OK;
}

static const struct query RELEASE = {
    "DELETE FROM blob WHERE digest = $1 AND state = 'deleting' AND owner = $2 RETURNING id", "tt",
    "i"};
static const struct query GIVE_BACK = {
    "UPDATE blob SET state = 'condemned', owner = NULL, changed_at = $3 "
    "WHERE digest = $1 AND state = 'deleting' AND owner = $2 RETURNING id",
    "tti", "i"};

static enum status
check_owned(const struct ownership *o, bool was_owned, struct err *err)
{
    FAIL_IF(!was_owned, err, CONFLICT, 0, "the blob %s is not %s's to delete",
            digest_text(o->digest).hex, o->owner);
    return OK;
}

static enum status
release(struct db *db, void *context, struct err *err)
{
    const struct ownership *o = context;
    bool found;
    int64_t id;

    TRY(stmt_number(db, &RELEASE, VALUES(DIGEST(o->digest), WORD(o->owner)), &id, &found, err));
    return check_owned(o, found, err);
}

enum status
blob_store_release(struct store *store, const struct digest *digest, const char *owner,
                   struct err *err)
{
    struct ownership o = {.digest = digest, .owner = owner};

    return store_write(store, release, &o, err);
}

static enum status
give_back(struct db *db, void *context, struct err *err)
{
    const struct ownership *o = context;
    bool found;
    int64_t id;

    TRY(stmt_number(db, &GIVE_BACK, VALUES(DIGEST(o->digest), WORD(o->owner), I64(clock_wall_us())),
                    &id, &found, err));
    return check_owned(o, found, err);
}

enum status
blob_store_give_back(struct store *store, const struct digest *digest, const char *owner,
                     struct err *err)
{
    struct ownership o = {.digest = digest, .owner = owner};

    return store_write(store, give_back, &o, err);
}
