#include "common/structure/record.h"

#include "common/base/cursor.h"
#include "common/base/json.h"

enum { RECORD_VERSION = 1 };

/* What a part begins with. */
enum part { PART_STRUCTURE = 'S', PART_FACTS = 'F', PART_PLACEMENT = 'P', PART_INSPECTION = 'I' };

/* Bits of a place's first byte; the compression stands above them. */
enum { PLACE_HAS_BYTES = 1, PLACE_BIG_ENDIAN = 2, PLACE_STRIDES = 4, PLACE_COMPRESSION_SHIFT = 4 };

static const uint32_t NO_CONTAINER = UINT32_MAX;

/* A reader of parts: where it stands, and what it may take. */
struct reader {
    struct cursor c;
    const struct limits *limits;
    struct arena *arena;
};

/* ---- common pieces ---- */

static void
add_part(struct buf *out, enum part part)
{
    buf_le8(out, (uint8_t)part);
    buf_le8(out, RECORD_VERSION);
}

static enum status
read_part(struct reader *r, enum part part, struct err *err)
{
    uint8_t kind, version;

    TRY(cursor_u8(&r->c, &kind, err));
    TRY(cursor_u8(&r->c, &version, err));
    FAIL_IF(kind != (uint8_t)part || version != RECORD_VERSION, err, MALFORMED, r->c.offset,
            "part %u of version %u where %c was expected", kind, version, (char)part);
    return OK;
}

/* A count of items of at least least_bytes each, which must still be there. */
static enum status
read_count(struct reader *r, size_t least_bytes, size_t limit, const char *what,
           uint32_t *ret_count, struct err *err)
{
    TRY(cursor_u32(&r->c, ret_count, err));
    FAIL_IF(*ret_count > cursor_left(&r->c) / least_bytes, err, TRUNCATED, r->c.offset,
            "%u %s cannot be in %zu bytes", *ret_count, what, cursor_left(&r->c));
    FAIL_IF(*ret_count > limit, err, LIMIT, r->c.offset, "%u %s; the limit is %zu", *ret_count,
            what, limit);
    return OK;
}

static enum status
read_text(struct reader *r, size_t limit, struct slice *ret_text, struct err *err)
{
    uint32_t length;
    const uint8_t *bytes;

    TRY(read_count(r, 1, limit, "bytes of a text", &length, err));
    TRY(cursor_bytes(&r->c, length, &bytes, err));
    return arena_copy(r->arena, (struct slice){(const char *)bytes, length}, ret_text, err);
}

static enum status
read_bool(struct reader *r, bool *ret_value, struct err *err)
{
    uint8_t value;

    TRY(cursor_u8(&r->c, &value, err));
    FAIL_IF(value > 1, err, MALFORMED, r->c.offset, "a flag of %u", value);
    *ret_value = value == 1;
    return OK;
}

static enum status
read_enum(struct reader *r, unsigned count, unsigned *ret_value, struct err *err)
{
    uint8_t value;

    TRY(cursor_u8(&r->c, &value, err));
    FAIL_IF(value >= count, err, MALFORMED, r->c.offset, "a code of %u where %u is the end", value,
            count);
    *ret_value = value;
    return OK;
}

static enum status
read_end(const struct reader *r, struct err *err)
{
    FAIL_IF(cursor_left(&r->c) > 0, err, MALFORMED, r->c.offset, "%zu bytes too many",
            cursor_left(&r->c));
    return OK;
}

static struct reader
reader_over(struct slice bytes, const struct limits *limits, struct arena *arena)
{
    return (struct reader){
        .c = cursor_over(bytes.at, bytes.length, 0), .limits = limits, .arena = arena};
}

/* ---- structure ---- */

void
record_add_structure(struct buf *out, const struct structure *s)
{
    add_part(out, PART_STRUCTURE);
    buf_le32(out, (uint32_t)s->count);
    for (size_t i = 0; i < s->count; i++) {
        const struct tensor *t = &s->tensors[i];

        buf_counted(out, t->name);
        buf_le8(out, (uint8_t)t->dtype);
        buf_le8(out, (uint8_t)t->shape.rank);
        for (uint32_t d = 0; d < t->shape.rank; d++)
            buf_le64(out, t->shape.dims[d]);
    }
}

static enum status
read_shape(struct reader *r, struct shape *ret_shape, struct err *err)
{
    uint8_t rank;
    uint64_t *dims;

    TRY(cursor_u8(&r->c, &rank, err));
    FAIL_IF(rank > r->limits->rank || rank > TENSOR_RANK_MAX, err, LIMIT, r->c.offset,
            "a tensor of rank %u; the limit is %zu", rank, r->limits->rank);
    dims = arena_alloc(r->arena, rank, sizeof *dims);
    if (dims == NULL)
        return arena_fail(r->arena, err);
    for (uint8_t i = 0; i < rank; i++)
        TRY(cursor_u64(&r->c, &dims[i], err));
    *ret_shape = (struct shape){.rank = rank, .dims = dims};
    return OK;
}

static enum status
read_tensor(struct reader *r, struct tensor *t, struct err *err)
{
    unsigned dtype;

    TRY(read_text(r, r->limits->name_bytes, &t->name, err));
    TRY(read_enum(r, DTYPE_COUNT, &dtype, err));
    t->dtype = (enum dtype)dtype;
    TRY(read_shape(r, &t->shape, err));
    FAIL_IF(!shape_elements(t->shape, &t->elements) ||
                !shape_bytes(t->elements, t->dtype, &t->bytes),
            err, MALFORMED, r->c.offset, "a shape that overflows");
    return OK;
}

static enum status
read_structure(struct reader *r, struct structure *ret_structure, struct err *err)
{
    uint32_t count;
    struct tensor *tensors;

    TRY(read_part(r, PART_STRUCTURE, err));
    TRY(read_count(r, 6, r->limits->tensors, "tensors", &count, err));
    tensors = arena_alloc(r->arena, count, sizeof *tensors);
    if (tensors == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++) {
        TRY(read_tensor(r, &tensors[i], err));
        FAIL_IF(i > 0 && slice_compare(tensors[i - 1].name, tensors[i].name) >= 0, err, MALFORMED,
                r->c.offset, "tensors out of order");
    }
    *ret_structure = (struct structure){.tensors = tensors, .count = count};
    return OK;
}

enum status
record_read_structure(struct slice bytes, const struct limits *limits, struct arena *arena,
                      struct structure *ret_structure, struct err *err)
{
    struct reader r = reader_over(bytes, limits, arena);

    TRY(read_structure(&r, ret_structure, err));
    return read_end(&r, err);
}

/* ---- facts ---- */

static void
add_aliases(struct buf *out, const struct facts *f)
{
    buf_le32(out, (uint32_t)f->alias_count);
    for (size_t i = 0; i < f->alias_count; i++) {
        const struct alias_group *g = &f->aliases[i];

        buf_le8(out, g->is_tied);
        buf_le32(out, (uint32_t)g->count);
        for (size_t k = 0; k < g->count; k++)
            buf_le32(out, g->members[k]);
    }
}

void
record_add_facts(struct buf *out, const struct facts *f, const struct structure *s)
{
    add_part(out, PART_FACTS);
    buf_le8(out, f->has_metadata);
    buf_le32(out, (uint32_t)f->version_count);
    for (size_t i = 0; i < f->version_count; i++) {
        buf_counted(out, f->versions[i].module);
        buf_le8(out, f->versions[i].has_version);
        buf_le64(out, (uint64_t)f->versions[i].version);
    }
    buf_le32(out, (uint32_t)f->entry_count);
    for (size_t i = 0; i < f->entry_count; i++) {
        buf_counted(out, f->entries[i].name);
        buf_le8(out, (uint8_t)f->entries[i].kind);
        buf_counted(out, f->entries[i].type);
    }
    add_aliases(out, f);
    buf_le8(out, f->layouts != NULL);
    if (f->layouts != NULL)
        buf_add(out, f->layouts, s->count);
    buf_le8(out, f->order != NULL);
    for (size_t i = 0; f->order != NULL && i < s->count; i++)
        buf_le32(out, f->order[i]);
}

static enum status
read_versions(struct reader *r, struct facts *f, struct err *err)
{
    uint32_t count;
    struct module_version *list;
    uint64_t version;

    TRY(read_count(r, 13, r->limits->tensors, "module versions", &count, err));
    list = arena_alloc(r->arena, count, sizeof *list);
    if (list == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++) {
        TRY(read_text(r, r->limits->name_bytes, &list[i].module, err));
        TRY(read_bool(r, &list[i].has_version, err));
        TRY(cursor_u64(&r->c, &version, err));
        list[i].version = (int64_t)version;
        FAIL_IF(i > 0 && slice_compare(list[i - 1].module, list[i].module) >= 0, err, MALFORMED,
                r->c.offset, "module versions out of order");
    }
    f->versions = list;
    f->version_count = count;
    return OK;
}

static enum status
read_entries(struct reader *r, struct facts *f, struct err *err)
{
    uint32_t count;
    struct entry *list;
    unsigned kind;

    TRY(read_count(r, 9, r->limits->tensors, "entries", &count, err));
    list = arena_alloc(r->arena, count, sizeof *list);
    if (list == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++) {
        TRY(read_text(r, r->limits->name_bytes, &list[i].name, err));
        TRY(read_enum(r, ENTRY_KIND_COUNT, &kind, err));
        list[i].kind = (enum entry_kind)kind;
        TRY(read_text(r, r->limits->name_bytes, &list[i].type, err));
        FAIL_IF(i > 0 && slice_compare(list[i - 1].name, list[i].name) >= 0, err, MALFORMED,
                r->c.offset, "entries out of order");
    }
    f->entries = list;
    f->entry_count = count;
    return OK;
}

static enum status
read_members(struct reader *r, size_t tensors, struct alias_group *g, struct err *err)
{
    uint32_t count;
    uint32_t *members;

    TRY(read_bool(r, &g->is_tied, err));
    TRY(read_count(r, 4, tensors, "members of an alias group", &count, err));
    FAIL_IF(count < 2, err, MALFORMED, r->c.offset, "an alias group of %u", count);
    members = arena_alloc(r->arena, count, sizeof *members);
    if (members == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++) {
        TRY(cursor_u32(&r->c, &members[i], err));
        FAIL_IF(members[i] >= tensors || (i > 0 && members[i] <= members[i - 1]), err, MALFORMED,
                r->c.offset, "an alias group out of order");
    }
    g->members = members;
    g->count = count;
    return OK;
}

static enum status
read_aliases(struct reader *r, size_t tensors, struct facts *f, struct err *err)
{
    uint32_t count;
    struct alias_group *list;

    TRY(read_count(r, 13, tensors, "alias groups", &count, err));
    list = arena_alloc(r->arena, count, sizeof *list);
    if (list == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++)
        TRY(read_members(r, tensors, &list[i], err));
    f->aliases = list;
    f->alias_count = count;
    return OK;
}

static enum status
read_layouts(struct reader *r, size_t tensors, struct facts *f, struct err *err)
{
    bool is_there;
    unsigned layout;
    uint8_t *list;

    TRY(read_bool(r, &is_there, err));
    if (!is_there)
        return OK;
    FAIL_IF(tensors > cursor_left(&r->c), err, TRUNCATED, r->c.offset, "layouts are missing");
    list = arena_alloc(r->arena, tensors, sizeof *list);
    if (list == NULL)
        return arena_fail(r->arena, err);
    for (size_t i = 0; i < tensors; i++) {
        TRY(read_enum(r, LAYOUT_COUNT, &layout, err));
        list[i] = (uint8_t)layout;
    }
    f->layouts = list;
    return OK;
}

/* The order must be a permutation: each tensor once. */
static enum status
read_order(struct reader *r, size_t tensors, struct facts *f, struct err *err)
{
    bool is_there;
    uint8_t *seen;
    uint32_t *list;

    TRY(read_bool(r, &is_there, err));
    if (!is_there)
        return OK;
    FAIL_IF(tensors > cursor_left(&r->c) / 4, err, TRUNCATED, r->c.offset, "the order is missing");
    list = arena_alloc(r->arena, tensors, sizeof *list);
    if (list == NULL)
        return arena_fail(r->arena, err);
    seen = arena_alloc(r->arena, tensors, sizeof *seen);
    if (seen == NULL)
        return arena_fail(r->arena, err);
    for (size_t i = 0; i < tensors; i++) {
        TRY(cursor_u32(&r->c, &list[i], err));
        FAIL_IF(list[i] >= tensors || seen[list[i]], err, MALFORMED, r->c.offset,
                "an order that is none");
        seen[list[i]] = 1;
    }
    f->order = list;
    return OK;
}

static enum status
read_facts(struct reader *r, const struct structure *s, struct facts *ret_facts, struct err *err)
{
    struct facts f = {0};

    TRY(read_part(r, PART_FACTS, err));
    TRY(read_bool(r, &f.has_metadata, err));
    TRY(read_versions(r, &f, err));
    TRY(read_entries(r, &f, err));
    TRY(read_aliases(r, s->count, &f, err));
    TRY(read_layouts(r, s->count, &f, err));
    TRY(read_order(r, s->count, &f, err));
    *ret_facts = f;
    return OK;
}

enum status
record_read_facts(struct slice bytes, const struct structure *s, const struct limits *limits,
                  struct arena *arena, struct facts *ret_facts, struct err *err)
{
    struct reader r = reader_over(bytes, limits, arena);

    TRY(read_facts(&r, s, ret_facts, err));
    return read_end(&r, err);
}

/* ---- placement ---- */

static void
add_place(struct buf *out, const struct place *p, uint32_t rank)
{
    unsigned flags = (unsigned)p->compression << PLACE_COMPRESSION_SHIFT;

    flags |= p->has_bytes ? PLACE_HAS_BYTES : 0U;
    flags |= p->is_big_endian ? PLACE_BIG_ENDIAN : 0U;
    flags |= p->strides != NULL ? PLACE_STRIDES : 0U;
    buf_le8(out, (uint8_t)flags);
    if (!p->has_bytes)
        return;
    buf_le32(out, p->file);
    buf_le64(out, p->offset);
    buf_le64(out, p->stored_bytes);
    buf_le64(out, p->storage_bytes);
    buf_le64(out, p->first_element);
    for (uint32_t i = 0; p->strides != NULL && i < rank; i++)
        buf_le64(out, (uint64_t)p->strides[i]);
}

void
record_add_placement(struct buf *out, const struct placement *p, const struct structure *s)
{
    add_part(out, PART_PLACEMENT);
    buf_le8(out, p->places != NULL);
    for (size_t i = 0; p->places != NULL && i < s->count; i++)
        add_place(out, &p->places[i], s->tensors[i].shape.rank);
}

static enum status
read_strides(struct reader *r, uint32_t rank, const int64_t **ret_strides, struct err *err)
{
    int64_t *strides;
    uint64_t stride;

    strides = arena_alloc(r->arena, rank, sizeof *strides);
    if (strides == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < rank; i++) {
        TRY(cursor_u64(&r->c, &stride, err));
        FAIL_IF(stride > INT64_MAX, err, MALFORMED, r->c.offset, "a negative stride");
        strides[i] = (int64_t)stride;
    }
    *ret_strides = strides;
    return OK;
}

static enum status
read_place(struct reader *r, uint32_t rank, struct place *p, struct err *err)
{
    uint8_t flags;
    unsigned compression;

    TRY(cursor_u8(&r->c, &flags, err));
    compression = (unsigned)flags >> PLACE_COMPRESSION_SHIFT;
    FAIL_IF(compression >= COMPRESSION_COUNT, err, MALFORMED, r->c.offset, "compression %u",
            compression);
    p->has_bytes = (flags & PLACE_HAS_BYTES) != 0;
    p->is_big_endian = (flags & PLACE_BIG_ENDIAN) != 0;
    p->compression = (enum compression)compression;
    if (!p->has_bytes)
        return OK;
    TRY(cursor_u32(&r->c, &p->file, err));
    TRY(cursor_u64(&r->c, &p->offset, err));
    TRY(cursor_u64(&r->c, &p->stored_bytes, err));
    TRY(cursor_u64(&r->c, &p->storage_bytes, err));
    TRY(cursor_u64(&r->c, &p->first_element, err));
    if ((flags & PLACE_STRIDES) != 0)
        TRY(read_strides(r, rank, &p->strides, err));
    return OK;
}

static enum status
read_placement(struct reader *r, const struct structure *s, struct placement *ret_placement,
               struct err *err)
{
    bool is_there;
    struct place *places = NULL;

    TRY(read_part(r, PART_PLACEMENT, err));
    TRY(read_bool(r, &is_there, err));
    if (is_there) {
        FAIL_IF(s->count > cursor_left(&r->c), err, TRUNCATED, r->c.offset, "places are missing");
        places = arena_alloc(r->arena, s->count, sizeof *places);
        if (places == NULL)
            return arena_fail(r->arena, err);
        for (size_t i = 0; i < s->count; i++)
            TRY(read_place(r, s->tensors[i].shape.rank, &places[i], err));
    }
    ret_placement->places = places;
    return OK;
}

enum status
record_read_placement(struct slice bytes, const struct structure *s, const struct limits *limits,
                      struct arena *arena, struct placement *ret_placement, struct err *err)
{
    struct reader r = reader_over(bytes, limits, arena);

    TRY(read_placement(&r, s, ret_placement, err));
    return read_end(&r, err);
}

/* ---- inspection ---- */

void
record_add_inspection(struct buf *out, const struct inspection *in)
{
    add_part(out, PART_INSPECTION);
    buf_counted(out, in->format);
    buf_le32(out, (uint32_t)in->container_count);
    for (size_t i = 0; i < in->container_count; i++) {
        const struct container *c = &in->containers[i];

        buf_counted(out, c->path);
        buf_le8(out, (uint8_t)c->kind);
        record_add_structure(out, &c->structure);
        record_add_facts(out, &c->facts, &c->structure);
        record_add_placement(out, &c->placement, &c->structure);
    }
    buf_le32(out, in->default_container < in->container_count ? (uint32_t)in->default_container
                                                              : NO_CONTAINER);
    buf_counted(out, in->metadata);
    buf_le32(out, (uint32_t)in->finding_count);
    for (size_t i = 0; i < in->finding_count; i++) {
        buf_le8(out, (uint8_t)in->findings[i].id);
        buf_counted(out, in->findings[i].subject);
        buf_counted(out, in->findings[i].message);
    }
    buf_le64(out, in->findings_dropped);
    buf_le8(out, (uint8_t)in->safety);
    buf_le8(out, in->weights_only.applies);
    buf_le8(out, in->weights_only.loads);
    buf_le32(out, (uint32_t)in->weights_only.need_count);
    for (size_t i = 0; i < in->weights_only.need_count; i++)
        buf_counted(out, in->weights_only.needs[i]);
    buf_counted(out, in->weights_only.reason);
}

static enum status
read_containers(struct reader *r, struct inspection *in, struct err *err)
{
    uint32_t count, chosen;
    unsigned kind;

    TRY(read_count(r, 16, r->limits->containers, "containers", &count, err));
    in->containers = arena_alloc(r->arena, count, sizeof *in->containers);
    if (in->containers == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++) {
        struct container *c = &in->containers[i];

        TRY(read_text(r, r->limits->name_bytes, &c->path, err));
        FAIL_IF(inspection_container(in, c->path) != NULL, err, MALFORMED, r->c.offset,
                "two containers at one path");
        TRY(read_enum(r, CONTAINER_KIND_COUNT, &kind, err));
        c->kind = (enum container_kind)kind;
        TRY(read_structure(r, &c->structure, err));
        TRY(read_facts(r, &c->structure, &c->facts, err));
        TRY(read_placement(r, &c->structure, &c->placement, err));
        in->container_count = i + 1;
    }
    TRY(cursor_u32(&r->c, &chosen, err));
    FAIL_IF(chosen != NO_CONTAINER && chosen >= count, err, MALFORMED, r->c.offset,
            "a default container that is not there");
    in->default_container = chosen == NO_CONTAINER ? SIZE_MAX : chosen;
    return OK;
}

/* The metadata is shown as it is wherever JSON goes, so it must be JSON. */
static enum status
read_metadata(struct reader *r, struct inspection *in, struct err *err)
{
    struct json j;
    struct err why = {0};
    enum status status;

    TRY(read_text(r, r->limits->metadata_bytes, &in->metadata, err));
    if (in->metadata.length == 0)
        return OK;
    json_open(&j, in->metadata, r->limits, r->arena);
    status = json_object(&j, "metadata", &why);
    while (status == OK && j.depth > 0) {
        struct json_token t;

        status = json_next(&j, &t, &why);
    }
    if (status == OK)
        status = json_finish(&j, &why);
    json_done(&j);
    FAIL_IF(status == ERR_BAD_JSON, err, MALFORMED, r->c.offset,
            "metadata that is no JSON object: %s", why.text);
    err_copy(err, &why);
    return status;
}

static enum status
read_findings(struct reader *r, struct inspection *in, struct err *err)
{
    uint32_t count;
    unsigned id;
    uint64_t dropped;

    TRY(read_count(r, 9, r->limits->findings, "findings", &count, err));
    in->findings = arena_alloc(r->arena, count, sizeof *in->findings);
    if (in->findings == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++) {
        TRY(read_enum(r, FINDING_COUNT, &id, err));
        in->findings[i] = (struct finding){.id = (enum finding_id)id};
        TRY(read_text(r, r->limits->name_bytes, &in->findings[i].subject, err));
        TRY(read_text(r, 512, &in->findings[i].message, err));
    }
    in->finding_count = count;
    TRY(cursor_u64(&r->c, &dropped, err));
    in->findings_dropped = (size_t)dropped;
    return OK;
}

static enum status
read_weights_only(struct reader *r, struct weights_only *w, struct err *err)
{
    uint32_t count;
    struct slice *needs;

    TRY(read_bool(r, &w->applies, err));
    TRY(read_bool(r, &w->loads, err));
    TRY(read_count(r, 4, r->limits->pickle_nodes, "globals", &count, err));
    needs = arena_alloc(r->arena, count, sizeof *needs);
    if (needs == NULL)
        return arena_fail(r->arena, err);
    for (uint32_t i = 0; i < count; i++)
        TRY(read_text(r, r->limits->name_bytes, &needs[i], err));
    w->needs = needs;
    w->need_count = count;
    return read_text(r, 512, &w->reason, err);
}

enum status
record_read_inspection(struct slice bytes, const struct limits *limits, struct inspection *ret,
                       struct err *err)
{
    struct reader r;
    unsigned safety;

    *ret = (struct inspection){.arena = arena_with_cap(limits->arena_bytes)};
    r = reader_over(bytes, limits, &ret->arena);
    TRY(read_part(&r, PART_INSPECTION, err));
    TRY(read_text(&r, 64, &ret->format, err));
    TRY(read_containers(&r, ret, err));
    TRY(read_metadata(&r, ret, err));
    TRY(read_findings(&r, ret, err));
    TRY(read_enum(&r, SAFETY_COUNT, &safety, err));
    ret->safety = (enum safety)safety;
    TRY(read_weights_only(&r, &ret->weights_only, err));
    return read_end(&r, err);
}
