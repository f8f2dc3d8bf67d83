#include "server/store/model_store.h"

#include "common/base/attr.h"
#include "server/store/ref.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"

/* ---- coming into being ---- */

/* ASCII only, as names are. */
struct folded {
    char text[REF_PART_MAX + 1];
    size_t length;
};

static struct folded
fold(struct slice name)
{
    struct folded folded = {.length = name.length > REF_PART_MAX ? REF_PART_MAX : name.length};

    for (size_t i = 0; i < folded.length; i++) {
        char c = name.at[i];

        folded.text[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return folded;
}

#define FOLDED(f) TEXT(((struct slice){(f).text, (f).length}))

/* The id of the one row that a query for a folded name finds, which must be spelled the same. */
static enum status
read_twin(struct stmt *s, const char *what, struct slice name, int64_t *ret_id, bool *ret_found,
          struct err *err)
{
    TRY(stmt_row(s, ret_found, err));
    if (!*ret_found)
        return OK;
    *ret_id = stmt_i64(s, 0);
    FAIL_IF(!slice_equal(stmt_text(s, 1), name), err, CONFLICT, 0,
            "the %s %.*s differs only in case from %.*s, which is there already", what,
            SLICE_PRINT(name), SLICE_PRINT(stmt_text(s, 1)));
    return OK;
}

static const struct query NAMESPACE_TWIN = {"SELECT id, name FROM namespace WHERE folded = $1", "t",
                                            "it"};
static const struct query NAMESPACE_ADD = {
    "INSERT INTO namespace (name, folded) VALUES ($1, $2) RETURNING id", "tt", "i"};

static enum status
ensure_namespace(struct db *db, struct slice name, int64_t *ret_id, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    struct folded folded = fold(name);
    bool found;

    TRY(stmt_begin(&s, db, &NAMESPACE_TWIN, VALUES(FOLDED(folded)), err));
    TRY(read_twin(&s, "namespace", name, ret_id, &found, err));
    if (found)
        return OK;
    return stmt_number(db, &NAMESPACE_ADD, VALUES(TEXT(name), FOLDED(folded)), ret_id, NULL, err);
}

static const struct query MODEL_TWIN = {
    "SELECT id, name FROM model WHERE namespace_id = $1 AND folded = $2", "it", "it"};
static const struct query MODEL_ADD = {
    "INSERT INTO model (namespace_id, name, folded, created_at, updated_at, serials, versions) "
    "VALUES ($1, $2, $3, $4, $4, 0, 0) RETURNING id",
    "itti", "i"};

enum status
model_store_ensure(struct db *db, struct slice namespace, struct slice name, int64_t now_us,
                   int64_t *ret_id, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    struct folded folded = fold(name);
    int64_t namespace_id = 0;
    bool found;

    TRY(ensure_namespace(db, namespace, &namespace_id, err));
    TRY(stmt_begin(&s, db, &MODEL_TWIN, VALUES(I64(namespace_id), FOLDED(folded)), err));
    TRY(read_twin(&s, "model", name, ret_id, &found, err));
    if (found)
        return OK;
    return stmt_number(db, &MODEL_ADD,
                       VALUES(I64(namespace_id), TEXT(name), FOLDED(folded), I64(now_us)), ret_id,
                       NULL, err);
}

/* ---- reading ---- */

static const struct query FIND = {
    "SELECT m.id FROM model m JOIN namespace n ON n.id = m.namespace_id "
    "WHERE n.name = $1 AND m.name = $2",
    "tt", "i"};

enum status
model_store_find(struct db *db, struct slice namespace, struct slice name, int64_t *ret_id,
                 struct err *err)
{
    bool found;

    TRY(stmt_number(db, &FIND, VALUES(TEXT(namespace), TEXT(name)), ret_id, &found, err));
    FAIL_IF(!found, err, NOT_FOUND, 0, "there is no model %.*s/%.*s", SLICE_PRINT(namespace),
            SLICE_PRINT(name));
    return OK;
}

#define MODEL_ROW \
    "SELECT m.id, n.name, m.name, m.created_at, m.versions, m.updated_at, " \
    "(SELECT v.label FROM version v WHERE v.model_id = m.id AND v.state = 'ready' " \
    "ORDER BY v.serial DESC LIMIT 1) " \
    "FROM namespace n JOIN model m ON m.namespace_id = n.id "
#define MODEL_TYPES "ittiiiT"

static enum status
read_model(const struct stmt *s, struct arena *arena, struct model *m, struct err *err)
{
    *m = (struct model){
        .id = stmt_i64(s, 0),
        .created_at_us = stmt_i64(s, 3),
        .versions = stmt_u64(s, 4),
        .updated_at_us = stmt_i64(s, 5),
    };
    TRY(stmt_copy(s, 1, arena, &m->namespace, err));
    TRY(stmt_copy(s, 2, arena, &m->name, err));
    return stmt_copy(s, 6, arena, &m->latest, err);
}

struct get {
    struct slice namespace;
    struct slice name;
    struct arena *arena;
    struct model *ret_model;
};

static const struct query GET = {MODEL_ROW "WHERE n.name = $1 AND m.name = $2", "tt", MODEL_TYPES};

static enum status
get(struct db *db, void *context, struct err *err)
{
    const struct get *g = context;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    TRY(stmt_begin(&s, db, &GET, VALUES(TEXT(g->namespace), TEXT(g->name)), err));
    TRY(stmt_row(&s, &found, err));
    FAIL_IF(!found, err, NOT_FOUND, 0, "there is no model %.*s/%.*s", SLICE_PRINT(g->namespace),
            SLICE_PRINT(g->name));
    return read_model(&s, g->arena, g->ret_model, err);
}

enum status
model_store_get(struct store *store, struct slice namespace, struct slice name, struct arena *arena,
                struct model *ret_model, struct err *err)
{
    struct get g = {namespace, name, arena, ret_model};

    return store_read(store, get, &g, err);
}

/* ---- the list ---- */

/* The cursor's key is "namespace/name", of the last row of the page before. */
static const char CURSOR_KIND = 'm';

struct list {
    struct slice namespace; /* of this one only; empty: all */
    struct value patterns;
    struct slice after_namespace;
    struct slice after_name;
    size_t limit;
    struct arena *arena;
    struct model_list *ret_list;
};

/* The first condition on n.name is what an index can be used for; the second is exact. */
static const struct query LIST = {
    MODEL_ROW "WHERE n.name >= $2 AND (n.name > $2 OR m.name > $3) "
              "AND ckptd_visible(n.name, $1) = 1 ORDER BY n.name, m.name LIMIT $4",
    "Ttti", MODEL_TYPES};
static const struct query LIST_NAMESPACE = {
    MODEL_ROW "WHERE n.name = $2 AND m.name > $3 "
              "AND ckptd_visible(n.name, $1) = 1 ORDER BY m.name LIMIT $4",
    "Ttti", MODEL_TYPES};

static enum status
list(struct db *db, void *context, struct err *err)
{
    struct list *l = context;
    CLEANUP(vec_done) struct vec rows = vec_of(sizeof(struct model), l->limit);
    CLEANUP(stmt_done) struct stmt s = {0};
    bool is_all = l->namespace.length == 0;
    bool has_row;

    TRY(stmt_begin(&s, db, is_all ? &LIST : &LIST_NAMESPACE,
                   VALUES(l->patterns, TEXT(is_all ? l->after_namespace : l->namespace),
                          TEXT(l->after_name), I64((int64_t)l->limit + 1)),
                   err));
    TRY(stmt_row(&s, &has_row, err));
    while (has_row && rows.count < l->limit) {
        struct model *m;

        TRY(vec_add(&rows, &m, "models", err));
        TRY(read_model(&s, l->arena, m, err));
        TRY(stmt_row(&s, &has_row, err));
    }
    TRY(stmt_rows(&rows, l->arena, &l->ret_list->models, &l->ret_list->count, err));
    if (has_row) {
        const struct model *last = &l->ret_list->models[l->ret_list->count - 1];
        struct slice key;

        TRY(arena_printf(l->arena, &key, err, "%.*s/%.*s", SLICE_PRINT(last->namespace),
                         SLICE_PRINT(last->name)));
        TRY(page_cursor(CURSOR_KIND, key, 0, l->arena, &l->ret_list->next, err));
    }
    return OK;
}

enum status
model_store_list(struct store *store, const struct principal *who, struct slice namespace,
                 const struct page *page, struct arena *arena, struct model_list *ret_list,
                 struct err *err)
{
    struct list l = {
        .namespace = namespace, .limit = page_limit(page), .arena = arena, .ret_list = ret_list};

    *ret_list = (struct model_list){0};
    TRY(stmt_patterns(who, arena, &l.patterns, err));
    if (page->cursor.length > 0) {
        int64_t unused;

        TRY(page_parse(CURSOR_KIND, page->cursor, arena, &l.after_name, &unused, err));
        l.after_namespace = slice_cut(&l.after_name, '/');
    }
    return store_read(store, list, &l, err);
}
