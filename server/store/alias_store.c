#include "server/store/alias_store.h"

#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"

enum { ALIASES_MAX = 10000 }; /* of one model, listed */

static const struct query WISH = {
    "INSERT INTO alias (model_id, name, version_id, serial, moved_at) "
    "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (model_id, name) DO UPDATE "
    "SET version_id = excluded.version_id, serial = excluded.serial, moved_at = excluded.moved_at "
    "WHERE alias.serial < excluded.serial RETURNING version_id",
    "itiii", "i"};

enum status
alias_store_wish(struct db *db, int64_t model_id, struct slice name, int64_t version_id,
                 uint64_t serial, int64_t now_us, bool *ret_moved, struct err *err)
{
    int64_t unused;

    return stmt_number(db, &WISH,
                       VALUES(I64(model_id), TEXT(name), I64(version_id), U64(serial), I64(now_us)),
                       &unused, ret_moved, err);
}

struct list {
    struct slice namespace;
    struct slice model;
    struct arena *arena;
    struct alias **ret_aliases;
    size_t *ret_count;
};

/* `latest` is no row: it is computed, here as everywhere. */
static const struct query LIST = {
    "SELECT a.name, a.version_id, v.label, v.serial, a.moved_at FROM alias a "
    "JOIN version v ON v.id = a.version_id WHERE a.model_id = $1 "
    "UNION ALL SELECT 'latest', id, label, serial, settled_at FROM "
    "(SELECT id, label, serial, settled_at FROM version WHERE model_id = $1 AND state = 'ready' "
    "ORDER BY serial DESC LIMIT 1) newest "
    "ORDER BY 1 LIMIT $2",
    "ii", "titii"};

static enum status
list(struct db *db, void *context, struct err *err)
{
    const struct list *l = context;
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct alias), ALIASES_MAX);
    CLEANUP(stmt_done) struct stmt s = {0};
    int64_t model_id;
    bool has_row;

    TRY(model_store_find(db, l->namespace, l->model, &model_id, err));
    TRY(stmt_begin(&s, db, &LIST, VALUES(I64(model_id), I64(ALIASES_MAX)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct alias *a;

        TRY(vec_add(&rows, &a, "aliases", err));
        a->version_id = stmt_i64(&s, 1);
        a->serial = stmt_u64(&s, 3);
        a->moved_at_us = stmt_i64(&s, 4);
        TRY(stmt_copy(&s, 0, l->arena, &a->name, err));
        TRY(stmt_copy(&s, 2, l->arena, &a->label, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    return stmt_rows(&rows, l->arena, l->ret_aliases, l->ret_count, err);
}

enum status
alias_store_list(struct store *store, struct slice namespace, struct slice model,
                 struct arena *arena, struct alias **ret_aliases, size_t *ret_count,
                 struct err *err)
{
    struct list l = {namespace, model, arena, ret_aliases, ret_count};

    return store_read(store, list, &l, err);
}
