/*
 * Versions of several files, while they are open and as they are committed. What a file's path may
 * stand beside is asked before its row is written; the unique index over lower(path) holds the twins
 * even where two daemons write.
 */
#include "common/base/attr.h"
#include "server/store/stmt.h"
#include "server/store/transact.h"
#include "server/store/within.h"
#include "server/work/clock.h"

/* ---- what the label has ---- */

static const struct query FIND_PLACE = {
    "SELECT v.id, v.state, v.expires_at, "
    "(SELECT count(*) FROM version_file f WHERE f.version_id = v.id) "
    "FROM version v WHERE v.model_id = $1 AND v.label = $2",
    "it", "itii"};
static const struct query FIND_FILE = {
    "SELECT f.size, b.digest FROM version_file f JOIN blob b ON b.id = f.blob_id "
    "WHERE f.version_id = $1 AND f.path = $2",
    "it", "it"};

static enum status
find_file(struct db *db, struct slice path, struct version_place *place, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};

    TRY(stmt_begin(&s, db, &FIND_FILE, VALUES(I64(place->id), TEXT(path)), err));
    TRY(stmt_row(&s, &place->has_file, err));
    if (!place->has_file)
        return OK;
    place->size = stmt_u64(&s, 0);
    return stmt_digest(&s, 1, &place->digest, err);
}

static enum status
find_place(struct db *db, int64_t model_id, const struct version_part *part,
           struct version_place *ret_place, struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    *ret_place = (struct version_place){.state = VERSION_OPEN};
    TRY(stmt_begin(&s, db, &FIND_PLACE, VALUES(I64(model_id), TEXT(part->label)), err));
    TRY(stmt_row(&s, &found, err));
    if (!found)
        return OK;
    ret_place->id = stmt_i64(&s, 0);
    ret_place->state = version_state_find(stmt_text(&s, 1));
    ret_place->expires_at_us = stmt_i64(&s, 2);
    ret_place->files = stmt_u64(&s, 3);
    return find_file(db, part->file.path, ret_place, err);
}

/* ---- may a path be added ---- */

struct folded {
    char text[REF_PATH_MAX + 2];
    size_t length;
};

static struct folded
fold(struct slice path)
{
    struct folded f = {.length = path.length < REF_PATH_MAX ? path.length : REF_PATH_MAX};

    for (size_t i = 0; i < f.length; i++)
        f.text[i] = path.at[i] >= 'A' && path.at[i] <= 'Z' ? (char)(path.at[i] | 0x20) : path.at[i];
    return f;
}

static const struct query FIND_TWIN = {
    "SELECT path FROM version_file WHERE version_id = $1 AND lower(path) = $2", "it", "t"};
static const struct query FIND_BELOW = {
    "SELECT path FROM version_file WHERE version_id = $1 AND lower(path) > $2 AND lower(path) < $3 "
    "LIMIT 1",
    "itt", "t"};

static enum status
check_twin(struct db *db, int64_t version_id, struct slice path, struct slice folded,
           struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    TRY(stmt_begin(&s, db, &FIND_TWIN, VALUES(I64(version_id), TEXT(folded)), err));
    TRY(stmt_row(&s, &found, err));
    if (!found)
        return OK;
    FAIL_IF(folded.length == path.length, err, CONFLICT, 0,
            "the version has a file %.*s, from which %.*s differs only in case",
            SLICE_PRINT(stmt_text(&s, 0)), SLICE_PRINT(path));
    FAIL(err, CONFLICT, 0, "%.*s is a file of the version, so it cannot be a folder for %.*s",
         SLICE_PRINT(stmt_text(&s, 0)), SLICE_PRINT(path));
}

/* '0' comes right after '/': between the two lies all that is below the folder. */
static enum status
check_below(struct db *db, int64_t version_id, struct slice path, const struct folded *folded,
            struct err *err)
{
    CLEANUP(stmt_done) struct stmt s = {0};
    struct folded from = *folded, to = *folded;
    bool found;

    from.text[from.length++] = '/';
    to.text[to.length++] = '0';
    TRY(stmt_begin(&s, db, &FIND_BELOW,
                   VALUES(I64(version_id), TEXT(((struct slice){from.text, from.length})),
                          TEXT(((struct slice){to.text, to.length}))),
                   err));
    TRY(stmt_row(&s, &found, err));
    FAIL_IF(found, err, CONFLICT, 0,
            "the version has a file %.*s, so %.*s is a folder and cannot be a file",
            SLICE_PRINT(stmt_text(&s, 0)), SLICE_PRINT(path));
    return OK;
}

/* Of a path that the open version does not have yet. */
static enum status
check_room(struct db *db, const struct version_part *part, const struct version_place *place,
           struct err *err)
{
    struct slice path = part->file.path;
    struct folded folded = fold(path);

    for (size_t i = 0; i <= folded.length; i++)
        if (i == folded.length || folded.text[i] == '/')
            TRY(check_twin(db, place->id, path, (struct slice){folded.text, i}, err));
    TRY(check_below(db, place->id, path, &folded, err));
    FAIL_IF(place->files >= part->files_max, err, LIMIT, part->files_max,
            "the version has %llu files, as many as one may have (--version-files)",
            (unsigned long long)place->files);
    return OK;
}

struct peek {
    const struct version_part *part;
    struct version_place *ret_place;
};

static enum status
peek(struct db *db, void *context, struct err *err)
{
    const struct peek *p = context;
    struct err why = {0};
    int64_t model_id;
    enum status status = model_store_find(db, p->part->namespace, p->part->model, &model_id, &why);

    *p->ret_place = (struct version_place){.state = VERSION_OPEN};
    if (status == ERR_NOT_FOUND)
        return OK;
    err_copy(err, &why);
    TRY(status);
    TRY(find_place(db, model_id, p->part, p->ret_place, err));
    if (p->ret_place->id == 0 || p->ret_place->has_file || p->ret_place->state != VERSION_OPEN)
        return OK;
    return check_room(db, p->part, p->ret_place, err);
}

enum status
version_store_peek_file(struct store *store, const struct version_part *part,
                        struct version_place *ret_place, struct err *err)
{
    struct peek p = {part, ret_place};

    return store_read(store, peek, &p, err);
}

/* ---- adding a file ---- */

struct add {
    const struct version_part *part;
    struct version_place place;
    int64_t now_us;
    bool must_wait; /* for a blob that is being deleted */
};

static const struct query ADD_OPEN = {
    "INSERT INTO version (id, model_id, label, serial, state, size, created_at, created_by, "
    "settled_at, failure_type, failure, wish, expires_at) "
    "VALUES ($1, $2, $3, $4, 'open', 0, $5, $6, 0, '', '', '', $7) "
    "ON CONFLICT (model_id, label) DO NOTHING RETURNING id",
    "iitiiti", "i"};

static enum status
add_version(struct db *db, struct add *a, int64_t model_id, struct err *err)
{
    const struct version_part *part = a->part;
    const char *by = part->by == NULL ? "" : part->by;
    int64_t id, serial;
    bool is_free;

    TRY(version_store_number(db, model_id, a->now_us, &id, &serial, err));
    TRY(stmt_number(db, &ADD_OPEN,
                    VALUES(I64(id), I64(model_id), TEXT(part->label), I64(serial), I64(a->now_us),
                           WORD(by), I64(stmt_later(a->now_us, part->open_us))),
                    &a->place.id, &is_free, err));
    FAIL_IF(!is_free, err, BUSY, 0, "the label %.*s was taken at the same moment",
            SLICE_PRINT(part->label));
    return event_store_add(db, "version.opened", id, a->now_us, by, (struct slice){0}, err);
}

enum status
version_store_refuse_file(const struct version_part *part, const struct version_place *place,
                          struct err *err)
{
    FAIL_IF(place->state != VERSION_OPEN && !place->has_file, err, LABEL_TAKEN, 0,
            "the version %.*s is committed, so it takes no other file; choose another label",
            SLICE_PRINT(part->label));
    FAIL_IF(place->state != VERSION_OPEN, err, LABEL_TAKEN, 0,
            "the version %.*s is committed, with other bytes in %.*s; choose another label",
            SLICE_PRINT(part->label), SLICE_PRINT(part->file.path));
    FAIL(err, CONFLICT, 0,
         "the open version %.*s has a file %.*s with other bytes, and a file is never replaced: "
         "choose another path, or begin anew under another label",
         SLICE_PRINT(part->label), SLICE_PRINT(part->file.path));
}

static const struct query TOUCH = {
    "UPDATE version SET size = size + $2, "
    "expires_at = CASE WHEN expires_at > $3 THEN expires_at ELSE $3 END "
    "WHERE id = $1 AND state = 'open' RETURNING expires_at",
    "iii", "i"};

static enum status
add(struct db *db, void *context, struct err *err)
{
    struct add *a = context;
    int64_t model_id;
    bool is_free = true, found;
    enum status status;

    a->now_us = clock_wall_us();
    a->must_wait = false;
    TRY(model_store_ensure(db, a->part->namespace, a->part->model, a->now_us, &model_id, err));
    TRY(find_place(db, model_id, a->part, &a->place, err));
    if (a->place.has_file ? !digest_equal(&a->place.digest, &a->part->file.digest)
                          : a->place.state != VERSION_OPEN)
        return version_store_refuse_file(a->part, &a->place, err);
    a->place.outcome = a->place.has_file ? VERSION_REPEATED : VERSION_CREATED;
    if (a->place.state != VERSION_OPEN)
        return OK;
    if (a->place.id == 0)
        TRY(add_version(db, a, model_id, err));
    if (!a->place.has_file) {
        TRY(check_room(db, a->part, &a->place, err));
        status = version_store_put_file(db, a->place.id, &a->part->file, a->now_us, &is_free, err);
        a->must_wait = !is_free;
        TRY(status);
        a->place.files++;
    }
    return stmt_number(db, &TOUCH,
                       VALUES(I64(a->place.id), U64(a->place.has_file ? 0 : a->part->file.size),
                              I64(stmt_later(a->now_us, a->part->open_us))),
                       &a->place.expires_at_us, &found, err);
}

enum status
version_store_add_file(struct store *store, const struct version_part *part,
                       struct version_place *ret_place, struct err *err)
{
    struct add a = {.part = part};
    struct err trouble = {0};
    enum status status = store_write(store, add, &a, &trouble);

    *ret_place = a.place;
    if (status != OK && a.must_wait) {
        ret_place->outcome = VERSION_AGAIN;
        return OK;
    }
    err_copy(err, &trouble);
    return status;
}

struct touch {
    int64_t id;
    uint64_t open_us;
};

static enum status
touch(struct db *db, void *context, struct err *err)
{
    const struct touch *t = context;
    int64_t expires_at;
    bool found;

    return stmt_number(db, &TOUCH,
                       VALUES(I64(t->id), I64(0), I64(stmt_later(clock_wall_us(), t->open_us))),
                       &expires_at, &found, err);
}

enum status
version_store_touch(struct store *store, int64_t id, uint64_t open_us, struct err *err)
{
    struct touch t = {id, open_us};

    return store_write(store, touch, &t, err);
}

/* ---- committing ---- */

struct closing {
    const struct version_close *close;
    struct arena *arena;
    struct version_commit result;
    struct vec misfits[MISFIT_KINDS]; /* of struct version_file */
    uint64_t counts[MISFIT_KINDS];
    uint64_t file_count;
};

static enum status
note(struct closing *c, enum version_misfit kind, const struct version_file *file, struct err *err)
{
    struct version_file *row;

    if (c->counts[kind]++ >= VERSION_MISFITS_MAX)
        return OK;
    TRY(vec_add(&c->misfits[kind], &row, "differences", err));
    *row = *file;
    return OK;
}

static bool
fits(const struct version_wanted *w, const struct version_file *f)
{
    return (!w->has_size || w->size == f->size) &&
           (!w->has_digest || digest_equal(&w->digest, &f->digest));
}

/* Both lists ascend by path. */
static enum status
compare(struct closing *c, const struct version_file *files, size_t count, struct err *err)
{
    const struct version_wanted *wanted = c->close->wanted;
    size_t w = 0, f = 0;

    while (w < c->close->count || f < count) {
        int order = w == c->close->count ? 1
                    : f == count         ? -1
                                         : slice_compare(wanted[w].path, files[f].path);

        if (order < 0)
            TRY(note(c, MISFIT_MISSING, &(struct version_file){.path = wanted[w].path}, err));
        else if (order > 0)
            TRY(note(c, MISFIT_UNEXPECTED, &files[f], err));
        else if (!fits(&wanted[w], &files[f]))
            TRY(note(c, MISFIT_DIFFERENT, &files[f], err));
        w += order <= 0 ? 1 : 0;
        f += order >= 0 ? 1 : 0;
    }
    return OK;
}

static enum status
hold_against(struct closing *c, const struct version_file *files, size_t count, struct err *err)
{
    bool is_as_expected = true;

    for (int kind = 0; kind < MISFIT_KINDS; kind++) {
        c->misfits[kind].count = 0;
        c->counts[kind] = 0;
    }
    c->file_count = count;
    if (c->close->wanted != NULL)
        TRY(compare(c, files, count, err));
    else if (c->close->count > count)
        c->counts[MISFIT_MISSING] = c->close->count - count;
    else
        c->counts[MISFIT_UNEXPECTED] = count - c->close->count;
    for (int kind = 0; kind < MISFIT_KINDS; kind++)
        is_as_expected = is_as_expected && c->counts[kind] == 0;
    c->result.outcome = is_as_expected ? VERSION_CREATED : VERSION_DIFFERS;
    return OK;
}

static const struct query FIND_OPEN = {
    "SELECT id, serial, state, digest FROM version WHERE model_id = $1 AND label = $2", "it",
    "iitT"};

static enum status
find_version(struct db *db, struct closing *c, struct err *err)
{
    const struct version_close *close = c->close;
    struct version_commit *r = &c->result;
    CLEANUP(stmt_done) struct stmt s = {0};
    bool found;

    TRY(model_store_find(db, close->namespace, close->model, &r->model_id, err));
    TRY(stmt_begin(&s, db, &FIND_OPEN, VALUES(I64(r->model_id), TEXT(close->label)), err));
    TRY(stmt_row(&s, &found, err));
    FAIL_IF(!found, err, NOT_FOUND, 0,
            "%.*s/%.*s has no version %.*s; its first file makes it: PUT …/files/{path}",
            SLICE_PRINT(close->namespace), SLICE_PRINT(close->model), SLICE_PRINT(close->label));
    r->id = stmt_i64(&s, 0);
    r->serial = stmt_u64(&s, 1);
    r->state = version_state_find(stmt_text(&s, 2));
    if (close->label.length < sizeof r->label)
        memcpy(r->label, close->label.at, close->label.length);
    return stmt_digest(&s, 3, &r->digest, err);
}

static const struct query CLOSE = {
    "UPDATE version SET state = $2, digest = $3, fileset = $4, settled_at = $5, failure_type = $6, "
    "failure = $7, wish = $8, inspection_id = $9, expires_at = 0 "
    "WHERE id = $1 AND state = 'open' RETURNING id",
    "itttitttI", "i"};

static enum status
close_version(struct db *db, struct closing *c, const struct version_file *files, size_t count,
              struct err *err)
{
    struct version_commit *r = &c->result;
    struct committed done = {.result = r,
                             .metadata = c->close->metadata,
                             .metadata_count = c->close->metadata_count,
                             .wish = c->close->wish,
                             .by = c->close->by,
                             .now_us = clock_wall_us()};
    struct inspection_found found;
    int64_t id;

    TRY(version_store_digest(files, count, &r->digest, err));
    done.fileset = version_store_fileset_of(files, count, &r->digest);
    TRY(inspection_store_find(db, &done.fileset, c->close->reader_revision, c->arena, &found, err));
    r->state = version_store_first_state(&found);
    TRY(stmt_number(db, &CLOSE,
                    VALUES(I64(r->id), WORD(version_state_name(r->state)), DIGEST(&r->digest),
                           DIGEST(&done.fileset), I64(found.id == 0 ? 0 : done.now_us),
                           TEXT(found.failure_type), TEXT(found.failure), TEXT(c->close->wish),
                           found.id == 0 ? NOTHING : I64(found.id)),
                    &id, NULL, err));
    return version_store_follow_up(db, &done, err);
}

static enum status
commit(struct db *db, void *context, struct err *err)
{
    struct closing *c = context;
    struct version_file *files;
    size_t count;

    c->result = (struct version_commit){0};
    TRY(find_version(db, c, err));
    TRY(version_store_read_files(db, c->result.id, c->arena, &files, &count, err));
    TRY(hold_against(c, files, count, err));
    if (c->result.outcome == VERSION_DIFFERS)
        return OK;
    if (c->result.state == VERSION_OPEN)
        return close_version(db, c, files, count, err);
    c->result.outcome = VERSION_REPEATED;
    return OK;
}

static enum status
tell_misfits(struct closing *c, struct version_misfits *ret_misfits, struct err *err)
{
    *ret_misfits = (struct version_misfits){.files = c->file_count};
    for (int kind = 0; kind < MISFIT_KINDS; kind++) {
        ret_misfits->kinds[kind].count = c->counts[kind];
        TRY(stmt_rows(&c->misfits[kind], c->arena, &ret_misfits->kinds[kind].files,
                      &ret_misfits->kinds[kind].listed, err));
    }
    return OK;
}

enum status
version_store_commit_open(struct store *store, const struct version_close *close,
                          struct arena *arena, struct version_commit *ret_commit,
                          struct version_misfits *ret_misfits, struct err *err)
{
    struct closing c = {.close = close, .arena = arena};
    enum status status;

    for (int kind = 0; kind < MISFIT_KINDS; kind++)
        c.misfits[kind] = vec_of(sizeof(struct version_file), VERSION_MISFITS_MAX);
    status = store_write(store, commit, &c, err);
    if (status == OK)
        status = tell_misfits(&c, ret_misfits, err);
    for (int kind = 0; kind < MISFIT_KINDS; kind++)
        vec_done(&c.misfits[kind]);
    *ret_commit = c.result;
    return status;
}
