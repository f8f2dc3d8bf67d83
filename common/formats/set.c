/*
 * Files are dealt with in this order, each once: distributed checkpoints with their .distcp files,
 * indexes with their shards, shards that only their names number, and each of the rest by itself.
 *
 * A file that cannot be read does not hide the others: it is a finding, and lowers the safety. Where
 * none of them can be read, the first one's error is the set's.
 */
#include "common/formats/set.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"
#include "common/formats/kind.h"
#include "common/formats/set_name.h"
#include "common/formats/set_private.h"

enum {
    SHARDS_MAX = 100000
}; /* numbered ones, of one state dict: names that tell of more are none */

struct slice
set_path(const struct set *s, size_t file)
{
    return s->files->path(s->files->context, file);
}

size_t
set_find(const struct set *s, struct slice path)
{
    uint32_t file = map_get(&s->paths, path);

    return file == MAP_NONE ? SIZE_MAX : file;
}

bool
set_is_local(enum status status)
{
    return status == ERR_TRUNCATED || status == ERR_MALFORMED || status == ERR_UNSUPPORTED ||
           status == ERR_UNRECOGNIZED || status == ERR_LIMIT;
}

static void
set_done(struct set *s)
{
    mem_free(s->is_taken);
    mem_free(s->is_used);
    vec_done(&s->others);
    map_done(&s->paths);
    vec_done(&s->units);
    vec_done(&s->remarks);
    vec_done(&s->needs);
}

/* ---- one file ---- */

/* The reader's file 0 is the set's `file`. */
static void
rename_places(const struct fileset_view *view, struct inspection *read)
{
    for (size_t i = 0; i < read->container_count; i++) {
        const struct container *c = &read->containers[i];
        /* They lie in the arena, which is ours. */
        struct place *places = (struct place *)(uintptr_t)c->placement.places;

        for (size_t k = 0; places != NULL && k < c->structure.count; k++) {
            if (places[k].has_bytes)
                places[k].file = (uint32_t)fileset_view_index(view, places[k].file);
        }
    }
}

/* The set as the reader of one file sees it: which of the others it opens is kept. */
struct watched {
    struct set *s;
    struct fileset_view view;
    struct fileset files;
};

static struct slice
watched_path(void *context, size_t i)
{
    const struct watched *w = context;

    return w->files.path(w->files.context, i);
}

static enum status
watched_open(void *context, size_t i, struct source *ret_source, struct err *err)
{
    struct watched *w = context;

    if (i != 0)
        w->s->is_used[fileset_view_index(&w->view, i)] = true;
    return w->files.open(w->files.context, i, ret_source, err);
}

enum status
set_read_file(struct set *s, size_t file, struct inspection *ret_read, struct err *err)
{
    struct watched w = {.s = s, .view = {.whole = s->files, .first = file}};
    struct fileset files = {
        .count = s->files->count, .path = watched_path, .open = watched_open, .context = &w};
    enum status status;

    w.files = fileset_of_view(&w.view);
    *ret_read = (struct inspection){.arena = s->in->arena, .default_container = SIZE_MAX};
    status = format_read_file(&files, s->limits, ret_read, err);
    s->in->arena = ret_read->arena;
    ret_read->arena = (struct arena){0};
    rename_places(&w.view, ret_read);
    if (status != OK && !set_is_local(status))
        return status;
    TRY(set_absorb(s, ret_read, set_path(s, file), status == OK ? err : NULL));
    return status;
}

/* What a file is for that no format reads. */
static enum status
note_other(struct set *s, const struct set_other *other, struct err *err)
{
    struct slice path = set_path(s, other->file), base = set_name_base(path);

    if (s->is_used[other->file])
        return OK; /* the external data of a model, say */
    if (slice_ends(base, slice_of(".py")))
        return set_note(s, FINDING_FILE_CODE, path, err,
                        "Python code: loaders that are told to trust it (trust_remote_code=True) "
                        "run it. It was not looked into");
    if (other->status == ERR_UNRECOGNIZED)
        return set_note(s, FINDING_FILE_OTHER, path, err, "no checkpoint: %s", other->why.text);
    set_at_least(s, other->status == ERR_UNSUPPORTED ? SAFETY_UNLISTED : SAFETY_MALFORMED);
    return set_note(s, FINDING_UNREADABLE, path, err, "it could not be read: %s", other->why.text);
}

static enum status
read_alone(struct set *s, size_t file, struct err *err)
{
    struct inspection read;
    struct err problem = {0};
    enum status status = set_read_file(s, file, &read, &problem);
    struct set_other *other;

    s->is_taken[file] = true;
    if (status == OK)
        return set_add_unit(s, set_path(s, file), &read, err);
    if (!set_is_local(status)) {
        err_copy(err, &problem);
        return status;
    }
    if (s->first.code == OK)
        err_copy(&s->first, &problem);
    TRY(vec_add(&s->others, &other, "files", err));
    *other = (struct set_other){.file = file, .status = status, .why = problem};
    return OK;
}

/* ---- numbered shards ---- */

static bool
is_same_save(const struct set_number *a, const struct set_number *b)
{
    return a->total == b->total && slice_equal(a->before, b->before) &&
           slice_equal(a->after, b->after) && (a->rank > 0) == (b->rank > 0);
}

static bool
is_numbered(const struct set *s, size_t file, struct set_number *n)
{
    return set_name_number(set_path(s, file), n) && n->total <= SHARDS_MAX &&
           (n->total > 1 || n->rank > 0);
}

static enum status
add_numbered(struct set *s, struct set_join *j, size_t file, const struct set_number *n,
             struct err *err)
{
    struct set_shard *shard;

    TRY(vec_add(&j->shards, &shard, "shards", err));
    *shard = (struct set_shard){.path = set_path(s, file), .file = file, .number = n->number};
    s->is_taken[file] = true;
    return OK;
}

/* The shards that are not there; their number is told, the first few by their names. */
static enum status
note_absent(struct set *s, struct set_join *j, const struct set_number *n, struct err *err)
{
    CLEANUP(mem_free_at) bool *seen = mem_new((size_t)n->total + 1, 1);
    uint32_t first = 1;

    FAIL_IF(seen == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < j->shards.count; i++)
        seen[VEC_AT(&j->shards, struct set_shard, i).number] = true;
    if (seen[0] && !seen[n->total])
        first = 0; /* some count from 0 */
    for (uint32_t i = first; i < n->total + first; i++) {
        if (seen[i])
            continue;
        if (j->missing++ < 10)
            TRY(set_note(s, FINDING_FRAGMENT_MISSING, j->name, err, "shard %u of %u is missing", i,
                         n->total));
    }
    if (j->missing > 10)
        return set_note(s, FINDING_FRAGMENT_MISSING, j->name, err, "%u of %u shards are missing",
                        j->missing, n->total);
    return OK;
}

static int
compare_numbers(const void *a, const void *b)
{
    const struct set_shard *const x = a;
    const struct set_shard *const y = b;

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return slice_compare(x->path, y->path);
}

static enum status
read_numbered(struct set *s, size_t file, const struct set_number *n, struct err *err)
{
    CLEANUP(set_join_done) struct set_join j = {0};

    TRY(set_join_begin(s, &j, err));
    j.is_chunked = n->rank > 0;
    TRY(arena_printf(&s->in->arena, &j.name, err, "%.*s%.*s", SLICE_PRINT(n->before),
                     SLICE_PRINT(n->after)));
    for (size_t i = file; i < s->files->count; i++) {
        struct set_number other;

        if (!s->is_taken[i] && set_name_number(set_path(s, i), &other) && is_same_save(n, &other))
            TRY(add_numbered(s, &j, i, &other, err));
    }
    if (j.shards.count > 1)
        qsort(j.shards.items, j.shards.count, sizeof(struct set_shard), compare_numbers);
    TRY(note_absent(s, &j, n, err));
    return set_join_read(s, &j, err);
}

/* ---- the order ---- */

static bool
begins_dcp(struct set *s, size_t file)
{
    static const char name[] = "torch.distributed.checkpoint.metadata";
    char head[FORMAT_HEAD_BYTES];
    struct source source;
    size_t length;

    if (!slice_is(set_name_base(set_path(s, file)), ".metadata") ||
        s->files->open(s->files->context, file, &source, NULL) != OK)
        return false;
    length = source.size_bytes < sizeof head ? (size_t)source.size_bytes : sizeof head;
    if (source_read(&source, 0, head, length, NULL) != OK)
        return false;
    for (size_t i = 0; i + sizeof name - 1 <= length; i++) {
        if (memcmp(head + i, name, sizeof name - 1) == 0)
            return true;
    }
    return false;
}

static enum status
read_dcp(struct set *s, size_t file, struct err *err)
{
    struct slice folder = set_name_folder(set_path(s, file));

    for (size_t i = 0; i < s->files->count; i++) {
        struct slice path = set_path(s, i);

        if (slice_equal(set_name_folder(path), folder) && slice_ends(path, slice_of(".distcp")))
            s->is_taken[i] = true;
    }
    return read_alone(s, file, err);
}

/* Its parts' offsets are in the .metadata that is not there. */
static enum status
note_orphan(struct set *s, size_t file, struct err *err)
{
    s->is_taken[file] = true;
    set_at_least(s, SAFETY_UNLISTED);
    return set_note(
        s, FINDING_FRAGMENT_MISSING, set_path(s, file), err,
        "a part of a torch.distributed.checkpoint whose .metadata is missing: it cannot "
        "be read without");
}

static enum status
read_all(struct set *s, struct err *err)
{
    size_t count = s->files->count;

    for (size_t i = 0; i < count; i++) {
        if (begins_dcp(s, i))
            TRY(read_dcp(s, i, err));
    }
    for (size_t i = 0; i < count; i++) {
        if (!s->is_taken[i])
            TRY(set_read_json(s, i, err));
    }
    for (size_t i = 0; i < count; i++) {
        struct set_number n;

        if (!s->is_taken[i] && is_numbered(s, i, &n))
            TRY(read_numbered(s, i, &n, err));
        else if (!s->is_taken[i] && slice_ends(set_path(s, i), slice_of(".distcp")))
            TRY(note_orphan(s, i, err));
    }
    for (size_t i = 0; i < count; i++) {
        if (!s->is_taken[i])
            TRY(read_alone(s, i, err));
    }
    for (size_t i = 0; i < s->others.count; i++)
        TRY(note_other(s, &VEC_AT(&s->others, struct set_other, i), err));
    return OK;
}

static enum status
map_paths(struct set *s, struct err *err)
{
    TRY(map_reserve(&s->paths, s->files->count, err));
    for (size_t i = 0; i < s->files->count; i++)
        TRY(map_set(&s->paths, set_path(s, i), (uint32_t)i, err));
    return OK;
}

static enum status
begin(struct set *s, struct err *err)
{
    size_t count = s->files->count;

    s->is_taken = mem_new(count, sizeof *s->is_taken);
    s->is_used = mem_new(count, sizeof *s->is_used);
    FAIL_IF(s->is_taken == NULL || s->is_used == NULL, err, NO_MEMORY, 0, "out of memory");
    s->others = vec_of(sizeof(struct set_other), count);
    s->units = vec_of(sizeof(struct set_unit), count);
    s->remarks = vec_of(sizeof(struct set_remark), count * 2);
    s->needs = vec_of(sizeof(struct slice), s->limits->pickle_globals * 16);
    s->steps_left = s->limits->tile_steps;
    return map_paths(s, err);
}

/* One file that is no set of its own: an error is its own, unless it is an index without shards. */
static enum status
read_only(struct set *s, struct err *err)
{
    struct inspection read;
    struct set_number n;

    TRY(set_read_json(s, 0, err));
    if (s->is_taken[0])
        FAIL(err, UNRECOGNIZED, 0, "%s",
             s->first.code != OK ? s->first.text
                                 : "it is a JSON text beside a checkpoint, not one");
    if (is_numbered(s, 0, &n))
        return read_numbered(s, 0, &n, err);
    TRY(set_read_file(s, 0, &read, err));
    return set_add_unit(s, set_path(s, 0), &read, err);
}

enum status
set_read(const struct fileset *files, const struct limits *limits, struct inspection *in,
         struct err *err)
{
    CLEANUP(set_done) struct set s = {.files = files, .limits = limits, .in = in};

    FAIL_IF(files->count >= MAP_NONE, err, LIMIT, 0, "too many files");
    TRY(begin(&s, err));
    TRY(files->count == 1 ? read_only(&s, err) : read_all(&s, err));
    if (s.units.count == 0) {
        FAIL_IF(s.first.code == OK, err, UNRECOGNIZED, 0, "none of the %zu files is a checkpoint",
                files->count);
        err_set(err, s.first.code, s.first.offset, "none of the %zu files is a checkpoint: %s",
                files->count, s.first.text);
        return s.first.code;
    }
    TRY(set_finish(&s, err));
    in->path = in->part = (struct slice){0};
    return kind_settle(in, limits, err);
}
