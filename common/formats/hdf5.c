#include "common/formats/hdf5.h"

#include <limits.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/hdf5_group.h"

enum {
    OBJECTS_PER_TENSOR = 4, /* groups come beside the datasets; no writer makes more of them */
    BOMB_BYTES_LOG2 = 32,   /* Keras' own rule: a shape of more than 4 GiB … */
    BOMB_RATIO = 1000,      /* … and of more than 1000 times what is stored for it */
};

/* An object that is still to be read. */
struct pending {
    uint64_t address;
    struct slice path;
};

struct walk {
    struct hdf5_file f;
    struct hdf5 *h;
    struct hdf5_header header, other; /* other: of a datatype that stands apart */
    bool (*wants)(struct slice name);
    struct vec pending; /* struct pending; the next one is the last */
    struct vec links;
    struct map seen;   /* the address of each object read, as bytes: its index, or NOT_LISTED */
    size_t chunked;    /* datasets stored in chunks */
    bool any_filtered; /* some of them compressed */
};

static const uint32_t NOT_LISTED = UINT32_MAX - 1;

static void
walk_done(struct walk *w)
{
    hdf5_file_done(&w->f);
    hdf5_header_done(&w->header);
    hdf5_header_done(&w->other);
    vec_done(&w->pending);
    vec_done(&w->links);
    map_done(&w->seen);
}

/* ---- datasets ---- */

/* A dataset's type, which may be a named one: then another object has it. */
static enum status
read_type(struct walk *w, const struct hdf5_message *m, struct hdf5_type *ret_type, struct err *err)
{
    struct cursor c = hdf5_header_body(&w->header, m);
    const struct hdf5_message *named;
    uint64_t address;

    if ((m->flags & HDF5_MESSAGE_SHARED) != 0) {
        TRY(hdf5_header_shared(&w->f, &c, &address, err));
        TRY(hdf5_header_read(&w->f, address, &w->other, err));
        named = hdf5_header_find(&w->other, HDF5_DATATYPE);
        FAIL_IF(named == NULL || (named->flags & HDF5_MESSAGE_SHARED) != 0, err, MALFORMED,
                m->offset, "the datatype that it names is none");
        c = hdf5_header_body(&w->other, named);
    }
    return hdf5_type_read(&c, ret_type, err);
}

/* Keras keeps bfloat16, which HDF5 long had no type for, as integers or opaque bytes of the same size,
 * with the dtype's name in an attribute. */
static void
rename_dtype(struct hdf5_object *o, const struct hdf5_type *type)
{
    const struct hdf5_attribute *a = hdf5_attribute_find(o->attributes, "dtype");
    enum dtype named = a != NULL && a->count == 1 ? dtype_find(a->texts[0]) : DTYPE_UNKNOWN;

    if ((type->is_opaque || dtype_kind(o->dtype) == DTYPE_KIND_INTEGER) &&
        dtype_kind(named) == DTYPE_KIND_FLOAT &&
        dtype_bits(named) == (uint64_t)type->size * CHAR_BIT)
        o->dtype = named;
}

/* More elements than anyone stored: whoever loads them pays for them. Of chunks no more can be stored
 * than the file is long. */
static enum status
check_bomb(struct walk *w, const struct hdf5_object *o, uint64_t declared, uint64_t stored,
           struct err *err)
{
    if (declared >> BOMB_BYTES_LOG2 == 0 || declared / BOMB_RATIO <= stored)
        return OK;
    return hdf5_file_blame(&w->f, FINDING_TENSOR_ODD, o->path, err,
                           "its shape needs %llu bytes of memory, but no more than %llu are "
                           "stored: loading it may exhaust the machine",
                           (unsigned long long)declared, (unsigned long long)stored);
}

static enum status
place(struct walk *w, struct hdf5_object *o, const struct hdf5_layout *layout, uint64_t declared,
      struct err *err)
{
    uint64_t size = w->f.source->size_bytes;
    uint64_t bytes = layout->has_bytes ? layout->bytes : declared;

    if (bytes < declared)
        return hdf5_file_blame(&w->f, FINDING_STORAGE_SHORT, o->path, err,
                               "it has %llu bytes, but its shape and type need %llu",
                               (unsigned long long)bytes, (unsigned long long)declared);
    if (layout->offset > size || declared > size - layout->offset)
        return hdf5_file_blame(&w->f, FINDING_STORAGE_SHORT, o->path, err,
                               "its bytes lie past the end of the file");
    if (dtype_bits(o->dtype) == 0)
        return OK;
    o->has_bytes = true;
    o->offset = layout->offset;
    o->stored_bytes = declared;
    return OK;
}

static enum status
note_storage(struct walk *w, const struct hdf5_object *o, const struct hdf5_layout *layout,
             bool is_filtered, struct err *err)
{
    if (layout->storage == HDF5_ELSEWHERE)
        return hdf5_file_blame(&w->f, FINDING_HDF5_EXTERNAL, o->path, err,
                               "its data are said to lie in other files (external storage or a "
                               "virtual dataset): reading it would open files of the reader's "
                               "machine; never followed here");
    if (layout->storage == HDF5_UNALLOCATED)
        return inspection_note(w->f.in, w->f.limits, FINDING_TENSOR_ODD, o->path, err,
                               "no data were ever written to it: all elements are its fill value");
    w->chunked++; /* one finding for all of them, at the end */
    w->any_filtered = w->any_filtered || is_filtered;
    return OK;
}

static enum status
read_storage(struct walk *w, struct hdf5_object *o, const struct hdf5_space *space,
             const struct hdf5_type *type, const struct hdf5_layout *layout, struct err *err)
{
    bool is_filtered = hdf5_header_find(&w->header, HDF5_FILTERS) != NULL;
    struct hdf5_layout where = *layout;
    uint64_t declared, stored;

    FAIL_IF(!num_mul(space->elements, type->size, &declared), err, MALFORMED, 0,
            "its dimensions and its type's size multiply to more than 2^64");
    if (hdf5_header_find(&w->header, HDF5_EXTERNAL_FILES) != NULL)
        where.storage = HDF5_ELSEWHERE;
    stored = where.storage == HDF5_UNALLOCATED ? 0 : w->f.source->size_bytes;
    TRY(check_bomb(w, o, declared, stored, err));
    if (where.storage == HDF5_STORED && !is_filtered)
        return place(w, o, &where, declared, err);
    if (space->elements == 0 && where.storage != HDF5_ELSEWHERE)
        return OK;
    return note_storage(w, o, &where, is_filtered, err);
}

static enum status
read_dataset(struct walk *w, struct hdf5_object *o, const struct hdf5_message *type_message,
             const struct hdf5_message *space_message, struct err *err)
{
    const struct hdf5_message *layout_message = hdf5_header_find(&w->header, HDF5_LAYOUT);
    struct hdf5_layout layout = {.storage = HDF5_UNALLOCATED};
    struct hdf5_space space;
    struct hdf5_type type;
    struct cursor c;

    FAIL_IF((space_message->flags & HDF5_MESSAGE_SHARED) != 0, err, UNSUPPORTED,
            space_message->offset, "a dataspace that is kept apart from its dataset");
    c = hdf5_header_body(&w->header, space_message);
    TRY(hdf5_type_space(&w->f, &c, &space, err));
    o->shape = space.shape;
    o->is_null = space.is_null;
    TRY(read_type(w, type_message, &type, err));
    o->dtype = type.dtype;
    o->is_big_endian = type.is_big_endian;
    rename_dtype(o, &type);
    if (o->is_null)
        return OK;
    if (o->dtype == DTYPE_UNKNOWN)
        TRY(inspection_note(w->f.in, w->f.limits, FINDING_TENSOR_DTYPE, o->path, err,
                            "its elements are of a type that no tensor has: %s", type.name));
    if (layout_message != NULL) {
        c = hdf5_header_body(&w->header, layout_message);
        TRY(hdf5_type_layout(&w->f, &c, &layout, err));
    }
    return read_storage(w, o, &space, &type, &layout, err);
}

/* ---- links ---- */

static enum status
join(struct walk *w, struct slice parent, struct slice name, struct slice *ret_path,
     struct err *err)
{
    char *bytes;

    FAIL_IF(parent.length + name.length >= w->f.limits->name_bytes, err, LIMIT, 0,
            "a path of more than %zu bytes", w->f.limits->name_bytes);
    if (parent.length == 0) {
        *ret_path = name;
        return OK;
    }
    bytes = arena_alloc(&w->f.in->arena, parent.length + 1 + name.length, 1);
    if (bytes == NULL)
        return arena_fail(&w->f.in->arena, err);
    memcpy(bytes, parent.at, parent.length);
    bytes[parent.length] = '/';
    if (name.length > 0)
        memcpy(bytes + parent.length + 1, name.at, name.length);
    *ret_path = (struct slice){bytes, parent.length + 1 + name.length};
    return OK;
}

static enum status
follow(struct walk *w, const struct hdf5_link *link, struct slice parent, struct err *err)
{
    struct pending *next;
    struct slice path;

    TRY(join(w, parent, link->name, &path, err));
    if (link->kind == HDF5_FOREIGN)
        return hdf5_file_blame(&w->f, FINDING_HDF5_EXTERNAL, path, err,
                               "an external link to %.*s: reading it would open a file of the "
                               "reader's machine; never followed here",
                               SLICE_PRINT(link->target));
    if (link->kind == HDF5_SOFT)
        return inspection_note(w->f.in, w->f.limits, FINDING_KEY_ODD, path, err,
                               "a soft link to %.*s: not followed", SLICE_PRINT(link->target));
    TRY(vec_add(&w->pending, &next, "objects in the file", err));
    *next = (struct pending){link->address, path};
    return OK;
}

/* The last link first: what is pushed last is read next. */
static enum status
read_group(struct walk *w, struct slice path, struct err *err)
{
    w->links.count = 0;
    TRY(hdf5_group_links(&w->f, &w->header, path, &w->links, err));
    for (size_t i = w->links.count; i > 0; i--)
        TRY(follow(w, &VEC_AT(&w->links, struct hdf5_link, i - 1), path, err));
    return OK;
}

/* ---- objects ---- */

/* An address as a key of the map, which borrows it. */
static enum status
make_key(struct walk *w, uint64_t address, struct slice *ret_key, struct err *err)
{
    uint64_t *key = arena_alloc(&w->f.in->arena, 1, sizeof *key);

    if (key == NULL)
        return arena_fail(&w->f.in->arena, err);
    *key = address;
    *ret_key = (struct slice){(const char *)key, sizeof *key};
    return OK;
}

/* Hard links make a graph: a dataset may have several names, a group that comes again is not walked
 * again, or a circle would have no end. */
static enum status
add_again(struct walk *w, uint32_t present, struct slice path, struct err *err)
{
    struct hdf5_object *again, known;

    if (present == NOT_LISTED) /* a named datatype, or it has its finding already */
        return OK;
    known = VEC_AT(&w->h->objects, struct hdf5_object, present);
    if (known.is_group)
        return inspection_note(w->f.in, w->f.limits, FINDING_KEY_ODD, path, err,
                               "another name of the group /%.*s: what is in it is listed there "
                               "only",
                               SLICE_PRINT(known.path));
    TRY(vec_add(&w->h->objects, &again, "objects in the file", err));
    *again = known;
    again->path = path;
    return OK;
}

/* What the header in w makes the object. A named datatype is nothing that is listed. */
static enum status
read_kind(struct walk *w, struct hdf5_object *o, struct slice key, struct err *err)
{
    const struct hdf5_message *type = hdf5_header_find(&w->header, HDF5_DATATYPE);
    const struct hdf5_message *space = hdf5_header_find(&w->header, HDF5_DATASPACE);
    struct hdf5_object *kept;
    struct err why = {0};
    enum status status;

    o->is_group = hdf5_group_is(&w->header);
    if (!o->is_group && (type == NULL || space == NULL)) {
        FAIL_IF(type == NULL, err, MALFORMED, 0, "it is neither a group nor a dataset");
        return OK;
    }
    TRY(hdf5_attribute_read(&w->f, &w->header, w->wants, o->path, &o->attributes, err));
    if (!o->is_group) {
        status = read_dataset(w, o, type, space, &why);
        /* A dataset that is damaged keeps its name; of what it lost there is a finding. */
        if (status != OK)
            o->dtype = DTYPE_UNKNOWN;
        TRY(hdf5_file_forgive(&w->f, status, &why, o->path, err));
    }
    TRY(map_set(&w->seen, key, (uint32_t)w->h->objects.count, err));
    TRY(vec_add(&w->h->objects, &kept, "objects in the file", err));
    *kept = *o;
    return o->is_group ? read_group(w, o->path, err) : OK;
}

static enum status
read_object(struct walk *w, struct pending at, struct err *err)
{
    struct hdf5_object o = {.path = at.path, .address = at.address};
    uint32_t present;
    struct slice key;

    TRY(make_key(w, at.address, &key, err));
    TRY(map_add(&w->seen, key, NOT_LISTED, &present, err));
    if (present != MAP_NONE)
        return add_again(w, present, at.path, err);
    TRY(hdf5_header_read(&w->f, at.address, &w->header, err));
    return read_kind(w, &o, key, err);
}

/* ---- overlaps ---- */

static int
compare_offsets(const void *a, const void *b)
{
    const struct hdf5_object *const x = *(const struct hdf5_object *const *)a;
    const struct hdf5_object *const y = *(const struct hdf5_object *const *)b;

    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->address > y->address) - (x->address < y->address);
}

/* Two datasets that share bytes, but are not one: no writer makes them. */
static enum status
check_overlaps(struct walk *w, struct err *err)
{
    const struct hdf5_object *objects = w->h->objects.items;
    CLEANUP(mem_free_at)
    const struct hdf5_object **sorted = mem_new(w->h->objects.count + 1, sizeof *sorted);
    const struct hdf5_object *longest = NULL;
    size_t count = 0;

    FAIL_IF(sorted == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < w->h->objects.count; i++)
        if (objects[i].has_bytes && objects[i].stored_bytes > 0)
            sorted[count++] = &objects[i];
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_offsets);
    for (size_t i = 0; i < count; i++) {
        const struct hdf5_object *o = sorted[i];

        if (longest != NULL && o->offset < longest->offset + longest->stored_bytes &&
            o->address != longest->address)
            TRY(hdf5_file_blame(&w->f, FINDING_TENSOR_OVERLAP, o->path, err,
                                "it shares bytes with %.*s", SLICE_PRINT(longest->path)));
        if (longest == NULL ||
            o->offset + o->stored_bytes > longest->offset + longest->stored_bytes)
            longest = o;
    }
    return OK;
}

/* ---- the file ---- */

static enum status
walk(struct walk *w, struct err *err)
{
    struct pending at = {.address = w->f.root};

    TRY(read_object(w, at, err)); /* without a root there is nothing to tell */
    FAIL_IF(w->h->objects.count == 0 || !VEC_AT(&w->h->objects, struct hdf5_object, 0).is_group,
            err, MALFORMED, w->f.base, "its root is no group");
    while (w->pending.count > 0) {
        struct err why = {0};
        enum status status;

        at = VEC_AT(&w->pending, struct pending, --w->pending.count);
        status = read_object(w, at, &why);
        TRY(hdf5_file_forgive(&w->f, status, &why, at.path, err));
    }
    if (w->chunked > 0)
        TRY(inspection_note(w->f.in, w->f.limits, FINDING_STORAGE_COMPRESSED, (struct slice){0},
                            err, "%zu datasets are stored in chunks%s: they have no byte ranges",
                            w->chunked, w->any_filtered ? ", compressed or filtered" : ""));
    return check_overlaps(w, err);
}

enum status
hdf5_read(const struct source *source, const struct limits *limits, struct inspection *in,
          bool (*wants)(struct slice name), struct hdf5 *ret_hdf5, struct err *err)
{
    size_t objects = limits->tensors > UINT32_MAX / OBJECTS_PER_TENSOR
                         ? UINT32_MAX
                         : limits->tensors * OBJECTS_PER_TENSOR;
    CLEANUP(walk_done)
    struct walk w = {
        .h = ret_hdf5,
        .wants = wants,
        .pending = vec_of(sizeof(struct pending), objects),
        .links = vec_of(sizeof(struct hdf5_link), objects),
    };

    *ret_hdf5 = (struct hdf5){.objects = vec_of(sizeof(struct hdf5_object), objects)};
    TRY(hdf5_file_open(&w.f, source, limits, in, err));
    ret_hdf5->version = w.f.version;
    ret_hdf5->userblock_bytes = w.f.base;
    return walk(&w, err);
}

void
hdf5_done(struct hdf5 *h)
{
    vec_done(&h->objects);
}
