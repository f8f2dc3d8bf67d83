#include "common/formats/hdf5_group.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/natural.h"
#include "common/formats/hdf5_dense.h"
#include "common/formats/hdf5_heap.h"

enum {
    SCRATCH_BYTES = 16, /* of a symbol table entry */
    CACHED_LINK = 2,    /* kind of that: a soft link */
    LEVELS_MAX = 64,    /* of an old group's B-tree; libhdf5 makes it with two or three */
    NODES_MAX = 1 << 20,
};

/* Flags of a link message, and kinds of links. */
enum { NAME_WIDTH = 3, HAS_ORDER = 4, HAS_KIND = 8, HAS_CHARSET = 16 };
enum { KIND_HARD = 0, KIND_SOFT = 1, KIND_EXTERNAL = 64 };

enum { ORDER_TRACKED = 1 }; /* flag of link information */

struct reading {
    struct hdf5_file *f;
    struct vec *links;
    bool is_tracked;
};

bool
hdf5_group_is(const struct hdf5_header *h)
{
    return hdf5_header_find(h, HDF5_SYMBOL_TABLE) != NULL ||
           hdf5_header_find(h, HDF5_LINK_INFO) != NULL || hdf5_header_find(h, HDF5_LINK) != NULL;
}

static enum status
add_link(struct reading *r, const struct hdf5_link *link, struct err *err)
{
    struct arena *arena = &r->f->in->arena;
    struct hdf5_link *kept;

    TRY(vec_add(r->links, &kept, "links in one group", err));
    *kept = *link;
    TRY(arena_copy(arena, link->name, &kept->name, err));
    return arena_copy(arena, link->target, &kept->target, err);
}

/* ---- symbol tables ---- */

struct tree_node {
    uint64_t address;
    unsigned level; /* one above the leaves' is 1; a symbol table node is asked for as 0 */
};

static enum status
read_symbol(struct reading *r, const struct hdf5_names *names, struct cursor *c, struct err *err)
{
    struct hdf5_link link = {.kind = HDF5_HARD};
    uint64_t name, cached = 0, target = 0;
    struct cursor scratch;
    const uint8_t *bytes;

    TRY(hdf5_file_address(r->f, c, &name, err));
    TRY(hdf5_file_address(r->f, c, &link.address, err));
    TRY(hdf5_file_uint(c, 4, &cached, err));
    TRY(hdf5_file_skip(c, 4, err));
    TRY(cursor_bytes(c, SCRATCH_BYTES, &bytes, err));
    TRY(hdf5_heap_name(names, name, &link.name, err));
    if (cached == CACHED_LINK) {
        scratch = cursor_over(bytes, SCRATCH_BYTES, c->offset - SCRATCH_BYTES);
        TRY(hdf5_file_uint(&scratch, 4, &target, err));
        TRY(hdf5_heap_name(names, target, &link.target, err));
        link.kind = HDF5_SOFT;
    }
    return add_link(r, &link, err);
}

static enum status
read_symbols(struct reading *r, const struct hdf5_names *names, uint64_t address, struct err *err)
{
    uint64_t count = 0, each = 2U * r->f->offset_bytes + 8 + SCRATCH_BYTES;
    struct cursor c;

    TRY(hdf5_file_cursor(r->f, address, 8, &c, err));
    TRY(hdf5_file_signature(&c, "SNOD", 1, err));
    TRY(hdf5_file_skip(&c, 1, err));
    TRY(hdf5_file_uint(&c, 2, &count, err));
    TRY(hdf5_file_cursor(r->f, address, 8 + count * each, &c, err));
    TRY(hdf5_file_skip(&c, 8, err));
    for (uint64_t i = 0; i < count; i++)
        TRY(read_symbol(r, names, &c, err));
    return OK;
}

/* Keys and children take turns, a key first; the last key is of no interest. */
static enum status
read_tree_node(struct reading *r, struct tree_node node, bool is_root, struct vec *pending,
               struct err *err)
{
    size_t head = 8U + 2U * r->f->offset_bytes, each = r->f->length_bytes + r->f->offset_bytes;
    uint64_t used = 0, ignored;
    uint8_t kind, level;
    struct cursor c;

    TRY(hdf5_file_cursor(r->f, node.address, head, &c, err));
    FAIL_IF(memcmp(c.at, "TREE", 4) != 0, err, MALFORMED, c.offset,
            "a group's B-tree is not where it should be");
    TRY(hdf5_file_skip(&c, 4, err));
    TRY(cursor_u8(&c, &kind, err));
    TRY(cursor_u8(&c, &level, err));
    TRY(hdf5_file_uint(&c, 2, &used, err));
    FAIL_IF(kind != 0 || (is_root ? level >= LEVELS_MAX : level + 1U != node.level), err, MALFORMED,
            c.offset, "a node of kind %u and level %u does not belong into a group's B-tree", kind,
            level);
    TRY(hdf5_file_cursor(r->f, node.address, head + used * each, &c, err));
    TRY(hdf5_file_skip(&c, head, err));
    for (uint64_t i = 0; i < used; i++) {
        struct tree_node *child;

        TRY(hdf5_file_length(r->f, &c, &ignored, err));
        TRY(vec_add(pending, &child, "nodes of a group's B-tree", err));
        TRY(hdf5_file_address(r->f, &c, &child->address, err));
        child->level = level;
    }
    return OK;
}

/* Depth first, the first child first. */
static enum status
read_symbol_table(struct reading *r, struct cursor c, struct err *err)
{
    CLEANUP(hdf5_heap_names_done) struct hdf5_names names = {0};
    CLEANUP(vec_done) struct vec pending = vec_of(sizeof(struct tree_node), NODES_MAX);
    uint64_t tree, heap;
    bool is_root = true;

    TRY(hdf5_file_address(r->f, &c, &tree, err));
    TRY(hdf5_file_address(r->f, &c, &heap, err));
    TRY(hdf5_heap_names(r->f, heap, &names, err));
    for (struct tree_node node = {.address = tree};; is_root = false) {
        if (!is_root && node.level == 0)
            TRY(read_symbols(r, &names, node.address, err));
        else
            TRY(read_tree_node(r, node, is_root, &pending, err));
        if (pending.count == 0)
            return OK;
        node = VEC_AT(&pending, struct tree_node, --pending.count);
    }
}

/* ---- link messages ---- */

/* Of an external link: a byte of version and flags, a file's name, a path in it. */
static struct slice
external_target(const uint8_t *bytes, size_t length)
{
    struct slice s = {(const char *)bytes, length};

    if (s.length > 0)
        s = slice_from(s, 1);
    while (s.length > 0 && s.at[s.length - 1] == '\0')
        s.length--;
    return s;
}

static enum status
read_target(struct reading *r, struct cursor *c, unsigned kind, struct hdf5_link *link,
            struct err *err)
{
    const uint8_t *bytes;
    uint16_t length;

    if (kind == KIND_HARD)
        return hdf5_file_address(r->f, c, &link->address, err);
    TRY(cursor_u16(c, &length, err));
    TRY(cursor_bytes(c, length, &bytes, err));
    FAIL_IF(kind != KIND_SOFT && kind != KIND_EXTERNAL, err, UNSUPPORTED, c->offset,
            "a link of the user-defined kind %u", kind);
    link->kind = kind == KIND_SOFT ? HDF5_SOFT : HDF5_FOREIGN;
    link->target = kind == KIND_SOFT ? (struct slice){(const char *)bytes, length}
                                     : external_target(bytes, length);
    return OK;
}

static enum status
read_link(struct reading *r, struct cursor c, struct err *err)
{
    struct hdf5_link link = {.kind = HDF5_HARD};
    uint8_t version, flags, kind = KIND_HARD;
    uint64_t length = 0;
    const uint8_t *name;

    TRY(cursor_u8(&c, &version, err));
    TRY(cursor_u8(&c, &flags, err));
    FAIL_IF(version != 1, err, UNSUPPORTED, c.offset, "a link of version %u", version);
    if ((flags & HAS_KIND) != 0)
        TRY(cursor_u8(&c, &kind, err));
    if ((flags & HAS_ORDER) != 0)
        TRY(hdf5_file_uint(&c, 8, &link.order, err));
    if ((flags & HAS_CHARSET) != 0)
        TRY(hdf5_file_skip(&c, 1, err));
    TRY(hdf5_file_uint(&c, 1U << (flags & NAME_WIDTH), &length, err));
    FAIL_IF(length > cursor_left(&c), err, TRUNCATED, c.offset,
            "the name of a link is longer than the link");
    TRY(cursor_bytes(&c, (size_t)length, &name, err));
    link.name = (struct slice){(const char *)name, (size_t)length};
    TRY(read_target(r, &c, kind, &link, err));
    return add_link(r, &link, err);
}

static enum status
read_dense(struct reading *r, uint64_t heap_address, uint64_t tree, struct slice subject,
           struct err *err)
{
    enum { ID_AT = 4 }; /* behind the name's hash */
    CLEANUP(hdf5_dense_done) struct hdf5_heap heap = {0};
    CLEANUP(vec_done)
    struct vec records = vec_of(sizeof(struct hdf5_record), r->f->limits->tensors);

    TRY(hdf5_dense_open(r->f, heap_address, &heap, err));
    FAIL_IF(ID_AT + heap.id_bytes > sizeof((struct hdf5_record *)0)->bytes, err, MALFORMED, 0,
            "a heap of links with ids of %u bytes", heap.id_bytes);
    TRY(hdf5_dense_records(r->f, tree, HDF5_RECORD_LINK, &records, err));
    hdf5_dense_sort(&heap, &records, ID_AT);
    for (size_t i = 0; i < records.count; i++) {
        struct err why = {0};
        struct cursor c;
        enum status status = hdf5_dense_object(
            &heap, VEC_AT(&records, struct hdf5_record, i).bytes + ID_AT, &c, &why);

        if (status == OK)
            status = read_link(r, c, &why);
        TRY(hdf5_file_forgive(r->f, status, &why, subject, err));
    }
    return OK;
}

static enum status
read_info(struct reading *r, struct cursor c, struct slice subject, struct err *err)
{
    uint64_t heap, tree;
    uint8_t version, flags;

    TRY(cursor_u8(&c, &version, err));
    TRY(cursor_u8(&c, &flags, err));
    FAIL_IF(version != 0, err, UNSUPPORTED, c.offset, "link information of version %u", version);
    r->is_tracked = (flags & ORDER_TRACKED) != 0;
    if (r->is_tracked)
        TRY(hdf5_file_skip(&c, 8, err)); /* the highest creation index */
    TRY(hdf5_file_address(r->f, &c, &heap, err));
    TRY(hdf5_file_address(r->f, &c, &tree, err));
    return heap == HDF5_UNDEFINED ? OK : read_dense(r, heap, tree, subject, err);
}

/* ---- order ---- */

static int
compare_names(const void *a, const void *b)
{
    const struct hdf5_link *const x = a;
    const struct hdf5_link *const y = b;

    return natural_compare(x->name, y->name);
}

static int
compare_orders(const void *a, const void *b)
{
    const struct hdf5_link *const x = a;
    const struct hdf5_link *const y = b;

    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return natural_compare(x->name, y->name);
}

static enum status
check_names(struct reading *r, struct slice subject, struct err *err)
{
    const struct hdf5_link *links = r->links->items;

    for (size_t i = 0; i < r->links->count; i++) {
        struct slice name = links[i].name;

        if (name.length == 0 || slice_is(name, ".") || memchr(name.at, '/', name.length) != NULL ||
            memchr(name.at, 0, name.length) != NULL)
            TRY(hdf5_file_blame(r->f, FINDING_KEY_ODD, subject, err,
                                "it has a link whose name no path can hold"));
        if (i > 0 && slice_equal(name, links[i - 1].name))
            TRY(hdf5_file_blame(r->f, FINDING_KEY_DUPLICATE, subject, err,
                                "it has two links with the same name"));
    }
    return OK;
}

static enum status
read_links(struct reading *r, const struct hdf5_header *h, const struct hdf5_message *m,
           struct slice subject, struct err *err)
{
    struct cursor c = hdf5_header_body(h, m);

    if (m->type == HDF5_SYMBOL_TABLE)
        return read_symbol_table(r, c, err);
    if (m->type == HDF5_LINK_INFO)
        return read_info(r, c, subject, err);
    return m->type == HDF5_LINK ? read_link(r, c, err) : OK;
}

enum status
hdf5_group_links(struct hdf5_file *f, const struct hdf5_header *h, struct slice subject,
                 struct vec *links, struct err *err)
{
    struct reading r = {.f = f, .links = links};

    for (size_t i = 0; i < h->messages.count; i++) {
        struct err why = {0};
        enum status status =
            read_links(&r, h, &VEC_AT(&h->messages, struct hdf5_message, i), subject, &why);

        TRY(hdf5_file_forgive(f, status, &why, subject, err));
    }
    if (links->count == 0)
        return OK;
    qsort(links->items, links->count, sizeof(struct hdf5_link), compare_names);
    TRY(check_names(&r, subject, err));
    if (r.is_tracked)
        qsort(links->items, links->count, sizeof(struct hdf5_link), compare_orders);
    return OK;
}
