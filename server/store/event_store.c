#include "server/store/event_store.h"

#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"

enum { EVENTS_MAX = 1000 }; /* in one list */

static const struct query ADD = {
    "INSERT INTO event (id, kind, model_id, version_id, label, at, by, detail) "
    "SELECT $1, $2, v.model_id, v.id, v.label, $4, $5, $6 FROM version v WHERE v.id = $3",
    "itiitt", ""};

enum status
event_store_add(struct db *db, const char *kind, int64_t version_id, int64_t now_us, const char *by,
                struct slice detail, struct err *err)
{
    int64_t id;

    TRY(counter_store_next(db, "event", &id, err));
    return stmt_run(
        db, &ADD, VALUES(I64(id), WORD(kind), I64(version_id), I64(now_us), WORD(by), TEXT(detail)),
        err);
}

struct list {
    struct value patterns;
    int64_t after;
    size_t limit;
    struct arena *arena;
    struct event_list *ret_list;
};

static const struct query LIST = {
    "SELECT e.id, e.kind, n.name, m.name, e.label, e.version_id, e.at, e.by, e.detail "
    "FROM event e JOIN model m ON m.id = e.model_id JOIN namespace n ON n.id = m.namespace_id "
    "WHERE e.id > $2 AND ckptd_visible(n.name, $1) = 1 ORDER BY e.id LIMIT $3",
    "Tii", "ittttiitt"};

static enum status
read_event(const struct stmt *s, struct arena *arena, struct event *e, struct err *err)
{
    e->id = stmt_i64(s, 0);
    e->version_id = stmt_i64(s, 5);
    e->at_us = stmt_i64(s, 6);
    TRY(stmt_copy(s, 1, arena, &e->kind, err));
    TRY(stmt_copy(s, 2, arena, &e->namespace, err));
    TRY(stmt_copy(s, 3, arena, &e->model, err));
    TRY(stmt_copy(s, 4, arena, &e->label, err));
    TRY(stmt_copy(s, 7, arena, &e->by, err));
    return stmt_copy(s, 8, arena, &e->detail, err);
}

static const struct query LAST = {"SELECT value FROM counter WHERE name = 'event'", "", "i"};

static enum status
list(struct db *db, void *context, struct err *err)
{
    struct list *l = context;
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct event), l->limit);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool has_row;

    TRY(stmt_begin(&s, db, &LIST, VALUES(l->patterns, I64(l->after), I64((int64_t)l->limit)), err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row) {
        struct event *e;

        TRY(vec_add(&rows, &e, "events", err));
        TRY(read_event(&s, l->arena, e, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    TRY(stmt_rows(&rows, l->arena, &l->ret_list->events, &l->ret_list->count, err));
    if (l->ret_list->count == l->limit)
        l->ret_list->last = l->ret_list->events[l->limit - 1].id;
    else /* all there were: what the principal may not see need not be looked at again */
        TRY(stmt_number(db, &LAST, NO_VALUES, &l->ret_list->last, NULL, err));
    return OK;
}

enum status
event_store_list(struct store *store, const struct principal *who, int64_t after, size_t limit,
                 struct arena *arena, struct event_list *ret_list, struct err *err)
{
    struct list l = {.after = after,
                     .limit = limit == 0 || limit > EVENTS_MAX ? EVENTS_MAX : limit,
                     .arena = arena,
                     .ret_list = ret_list};

    *ret_list = (struct event_list){0};
    TRY(stmt_patterns(who, arena, &l.patterns, err));
    return store_read(store, list, &l, err);
}

static enum status
last(struct db *db, void *context, struct err *err)
{
    int64_t *ret_id = context;

    return stmt_number(db, &LAST, NO_VALUES, ret_id, NULL, err);
}

enum status
event_store_last(struct store *store, int64_t *ret_id, struct err *err)
{
    return store_read(store, last, ret_id, err);
}
