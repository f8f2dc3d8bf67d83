/*
 * How the parts of a set become one inspection: which is the main one, what the containers are called,
 * what of the metadata is kept.
 */
#include "common/formats/set_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/utf8.h"
#include "common/formats/set_name.h"

enum { REASON_BYTES_MAX = 512 /* as the record takes it */ };

void
set_at_least(struct set *s, enum safety level)
{
    if (s->in->safety < level)
        s->in->safety = level;
}

enum status
set_note(struct set *s, enum finding_id id, struct slice subject, struct err *err,
         const char *message, ...)
{
    char text[512];
    va_list arguments;
    int length;

    va_start(arguments, message);
    length = vsnprintf(text, sizeof text, message, arguments);
    va_end(arguments);
    FAIL_IF(length < 0, err, INTERNAL, 0, "a message that cannot be formatted");
    return inspection_note(s->in, s->limits, id, subject, err, "%s", text);
}

static enum status
absorb_findings(struct set *s, const struct inspection *read, struct slice path, struct err *err)
{
    for (size_t i = 0; i < read->finding_count; i++) {
        const struct finding *f = &read->findings[i];

        if (f->id == FINDING_EMPTY && (set_name_is_state(path) || read->part.length > 0))
            continue; /* none was expected there */
        if (f->id == FINDING_FRAGMENT && s->is_joining && read->part.length == 0)
            continue;
        if (path.length == 0 || s->files->count == 1)
            TRY(set_note(s, f->id, f->subject, err, "%.*s", SLICE_PRINT(f->message)));
        else
            TRY(set_note(s, f->id, f->subject, err, "%.*s: %.*s", SLICE_PRINT(path),
                         SLICE_PRINT(f->message)));
    }
    s->in->findings_dropped += read->findings_dropped;
    return OK;
}

static enum status
absorb_weights_only(struct set *s, const struct weights_only *w, struct slice path, struct err *err)
{
    if (!w->applies)
        return OK;
    s->has_pickle = true;
    for (size_t i = 0; i < w->need_count; i++) {
        struct slice *added;

        TRY(vec_add(&s->needs, &added, "globals", err));
        *added = w->needs[i];
    }
    if (w->loads || w->need_count > 0) {
        if (w->reason.length == 0)
            return OK;
    }
    if (s->is_refused)
        return OK;
    s->is_refused = true;
    if (s->files->count == 1 || path.length == 0) {
        s->refusal = w->reason;
        return OK;
    }
    return arena_printf(&s->in->arena, &s->refusal, err, "%.*s: %.*s", SLICE_PRINT(path),
                        SLICE_PRINT(w->reason));
}

enum status
set_absorb(struct set *s, const struct inspection *read, struct slice path, struct err *err)
{
    TRY(absorb_findings(s, read, path, err));
    set_at_least(s, read->safety);
    return absorb_weights_only(s, &read->weights_only, path, err);
}

enum status
set_add_unit(struct set *s, struct slice name, const struct inspection *read, struct err *err)
{
    struct set_unit *unit;

    TRY(vec_add(&s->units, &unit, "files", err));
    *unit = (struct set_unit){.name = name, .read = *read};
    unit->read.arena = (struct arena){0};
    return OK;
}

enum status
set_add_remark(struct set *s, struct slice name, struct slice json, struct err *err)
{
    struct set_remark *remark;

    TRY(vec_add(&s->remarks, &remark, "files", err));
    *remark = (struct set_remark){.name = name, .json = json};
    return OK;
}

/* ---- which part is the main one ---- */

static bool
has_weights(const struct set_unit *u)
{
    return u->read.default_container < u->read.container_count;
}

static unsigned
kind_rank(enum container_kind kind)
{
    switch (kind) {
    case CONTAINER_WEIGHTS:
    case CONTAINER_QUANTIZED:
    case CONTAINER_MODULE:
        return 0;
    case CONTAINER_EMA:
        return 1;
    case CONTAINER_ADAPTER:
        return 2;
    case CONTAINER_FRAGMENT:
        return 3;
    case CONTAINER_OPTIMIZER:
    case CONTAINER_OUTER:
    case CONTAINER_KIND_COUNT:
        break;
    }
    return 4;
}

/* Whether a is to be taken before b: weights before what a training program keeps beside them, whole
 * before parts, formats without pickles before those with, larger before smaller. */
static bool
is_before(const struct set_unit *a, const struct set_unit *b)
{
    const struct container *x = &a->read.containers[a->read.default_container];
    const struct container *y = &b->read.containers[b->read.default_container];
    bool x_state = set_name_is_state(a->name), y_state = set_name_is_state(b->name);

    if (x_state != y_state)
        return y_state;
    if (kind_rank(x->kind) != kind_rank(y->kind))
        return kind_rank(x->kind) < kind_rank(y->kind);
    if (x->structure.count / 2 > y->structure.count || y->structure.count / 2 > x->structure.count)
        return x->structure.count > y->structure.count;
    if (a->read.weights_only.applies != b->read.weights_only.applies)
        return b->read.weights_only.applies;
    if (x->structure.count != y->structure.count)
        return x->structure.count > y->structure.count;
    return slice_compare(a->name, b->name) < 0;
}

/* The main unit, or NULL. *ret_is_only: no other unit holds weights, but for training state. */
static struct set_unit *
find_main(const struct set *s, bool *ret_is_only)
{
    struct set_unit *main = NULL;
    size_t count = 0;

    for (size_t i = 0; i < s->units.count; i++) {
        struct set_unit *u = &VEC_AT(&s->units, struct set_unit, i);

        if (!has_weights(u))
            continue;
        count += !set_name_is_state(u->name);
        if (main == NULL || is_before(u, main))
            main = u;
    }
    *ret_is_only = main != NULL && (count == 1 || s->units.count == 1);
    if (main == NULL && s->units.count == 1) { /* an optimizer alone keeps its paths, too */
        *ret_is_only = true;
        return &VEC_AT(&s->units, struct set_unit, 0);
    }
    return main;
}

/* ---- containers ---- */

static enum status
path_of(struct set *s, const struct set_unit *u, struct slice own, struct slice *ret_path,
        struct err *err)
{
    *ret_path = u->name;
    if (own.length == 0 || u->name.length + own.length + 1 > s->limits->name_bytes)
        return OK;
    return arena_printf(&s->in->arena, ret_path, err, "%.*s:%.*s", SLICE_PRINT(u->name),
                        SLICE_PRINT(own));
}

static enum status
add_containers(struct set *s, const struct set_unit *u, bool keeps_paths, size_t room,
               struct err *err)
{
    for (size_t i = 0; i < u->read.container_count; i++) {
        struct container c = u->read.containers[i];

        if (!keeps_paths && c.kind == CONTAINER_OUTER)
            continue;
        if (!keeps_paths)
            TRY(path_of(s, u, c.path, &c.path, err));
        if (inspection_container(s->in, c.path) != NULL || c.path.length > s->limits->name_bytes) {
            TRY(set_note(s, FINDING_KEY_ODD, c.path, err,
                         "a second state dict at the same path; it is left out"));
            continue;
        }
        if (s->in->container_count == room)
            return set_note(s, FINDING_TOO_MANY, (struct slice){0}, err,
                            "the files hold more than %zu state dicts; the rest is left out", room);
        s->in->containers[s->in->container_count++] = c;
    }
    return OK;
}

static enum status
take_containers(struct set *s, const struct set_unit *main, bool is_only, struct err *err)
{
    size_t count = 0, room;

    for (size_t i = 0; i < s->units.count; i++)
        count += VEC_AT(&s->units, struct set_unit, i).read.container_count;
    room = count < s->limits->containers ? count : s->limits->containers;
    s->in->containers = arena_alloc(&s->in->arena, room, sizeof *s->in->containers);
    if (s->in->containers == NULL)
        return arena_fail(&s->in->arena, err);
    if (main != NULL) {
        struct slice path = {0};

        TRY(add_containers(s, main, is_only, room, err));
        if (has_weights(main)) {
            path = main->read.containers[main->read.default_container].path;
            if (!is_only)
                TRY(path_of(s, main, path, &path, err));
            for (size_t i = 0; i < s->in->container_count; i++)
                if (slice_equal(s->in->containers[i].path, path))
                    s->in->default_container = i;
        }
    }
    for (size_t i = 0; i < s->units.count; i++) {
        const struct set_unit *u = &VEC_AT(&s->units, struct set_unit, i);

        if (u != main && s->in->container_count < room)
            TRY(add_containers(s, u, false, room, err));
    }
    return OK;
}

/* ---- metadata ---- */

/* Whether one more value fits, since what is kept is whole, and JSON can spell its key. */
static bool
has_room(const struct set *s, const struct buf *out, struct slice key, struct slice value)
{
    size_t room = s->limits->metadata_bytes;

    if (!utf8_is_valid(key) || (key.length > 0 && memchr(key.at, '\0', key.length) != NULL))
        return false;
    return key.length < room / 8 && value.length < room &&
           out->length + value.length + key.length * 6 + 64 < room;
}

static enum status
copy_member(struct set *s, struct json_writer *w, struct map *keys, struct slice key,
            struct slice value, struct err *err)
{
    uint32_t present;

    if (!has_room(s, w->out, key, value))
        return OK;
    TRY(map_add(keys, key, 1, &present, err));
    if (present != MAP_NONE)
        return OK;
    jw_key_slice(w, key);
    jw_raw(w, value);
    return OK;
}

/* The main part's own members. What cannot be read again is left out. */
static enum status
copy_members(struct set *s, struct json_writer *w, struct map *keys, struct slice object,
             struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    struct limits deep = *s->limits;
    struct slice key, value;
    bool is_end = false;

    if (object.length == 0)
        return OK;
    deep.json_depth = JSON_DEPTH_MAX;
    json_open(&j, object, &deep, &s->in->arena);
    if (json_object(&j, "metadata", NULL) != OK)
        return OK;
    while (json_key(&j, &key, &is_end, NULL) == OK && !is_end && json_skip(&j, &value, NULL) == OK)
        TRY(copy_member(s, w, keys, key, value, err));
    return OK;
}

static enum status
write_metadata(struct set *s, const struct set_unit *main, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(s->limits->metadata_bytes);
    CLEANUP(map_done) struct map keys = {0};
    struct json_writer w = json_writer_to(&out, 0);

    if (main != NULL && s->units.count == 1 && s->remarks.count == 0 &&
        main->read.part.length == 0) {
        s->in->metadata = main->read.metadata;
        return OK;
    }
    jw_object(&w);
    if (main != NULL) {
        if (main->read.part.length > 0)
            TRY(copy_member(s, &w, &keys, slice_of("part"), main->read.part, err));
        TRY(copy_members(s, &w, &keys, main->read.metadata, err));
    }
    for (size_t i = 0; i < s->remarks.count; i++) {
        const struct set_remark *r = &VEC_AT(&s->remarks, struct set_remark, i);

        TRY(copy_member(s, &w, &keys, r->name, r->json, err));
    }
    for (size_t i = 0; i < s->units.count; i++) {
        const struct set_unit *u = &VEC_AT(&s->units, struct set_unit, i);
        struct slice json = u->read.metadata.length > 0 ? u->read.metadata : u->read.part;

        if (u != main && json.length > 0)
            TRY(copy_member(s, &w, &keys, u->name, json, err));
    }
    jw_object_end(&w);
    TRY(buf_check(&out, err));
    if (out.length > 2)
        TRY(arena_copy(&s->in->arena, buf_slice_of(&out), &s->in->metadata, err));
    return OK;
}

/* ---- the rest ---- */

static int
compare_slices(const void *a, const void *b)
{
    const struct slice *const x = a;
    const struct slice *const y = b;

    return slice_compare(*x, *y);
}

/* A reason may quote a name of any length: cut it at the end of a character. */
static struct slice
shorten(struct slice text)
{
    if (text.length <= REASON_BYTES_MAX)
        return text;
    text.length = REASON_BYTES_MAX;
    while (text.length > 0 && ((unsigned char)text.at[text.length] & 0xc0) == 0x80)
        text.length--;
    return text;
}

static enum status
write_weights_only(struct set *s, struct err *err)
{
    struct slice *given = s->needs.items, *needs;
    size_t count = 0;

    needs = arena_alloc(&s->in->arena, s->needs.count, sizeof *needs);
    if (needs == NULL)
        return arena_fail(&s->in->arena, err);
    if (s->needs.count > 1)
        qsort(given, s->needs.count, sizeof *given, compare_slices);
    for (size_t i = 0; i < s->needs.count; i++) {
        if (i == 0 || !slice_equal(given[i - 1], given[i]))
            needs[count++] = given[i];
    }
    s->in->weights_only = (struct weights_only){
        .applies = s->has_pickle,
        .loads = s->has_pickle && count == 0 && !s->is_refused,
        .needs = needs,
        .need_count = count,
        .reason = shorten(s->refusal),
    };
    return OK;
}

enum status
set_finish(struct set *s, struct err *err)
{
    bool is_only;
    struct set_unit *main = find_main(s, &is_only);

    TRY(take_containers(s, main, is_only, err));
    if (main != NULL)
        s->in->format = main->read.format;
    else if (s->units.count > 0)
        s->in->format = VEC_AT(&s->units, struct set_unit, 0).read.format;
    TRY(write_metadata(s, main, err));
    return write_weights_only(s, err);
}
