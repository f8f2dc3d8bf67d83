#include "common/formats/hdf5_dense.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"

enum {
    NODE_HEAD_BYTES = 6, /* signature, version, type */
    CHECKSUM_BYTES = 4,
    DEPTH_MAX = 32, /* of a B-tree: each level multiplies what is below it */
    PENDING_MAX = 1 << 20,
    RECORD_BYTES_MAX = sizeof(((struct hdf5_record *)0)->bytes),
};

/* ---- B-trees of version 2 ---- */

/* What the header tells, and what follows from it for each level, leaves first. */
struct tree {
    struct hdf5_file *f;
    unsigned type;
    uint64_t node_bytes;
    unsigned record_bytes, depth;
    unsigned count_width;            /* of a child's own number of records */
    unsigned total_width[DEPTH_MAX]; /* of the number below it, by its level; 0 for leaves */
};

struct node {
    uint64_t address, records;
    unsigned level;
};

/* Bytes that numbers up to limit take. */
static unsigned
width_of(uint64_t limit)
{
    unsigned bytes = 1;

    while (bytes < 8 && limit >> (8 * bytes) != 0)
        bytes++;
    return bytes;
}

/* How many records fit in a node of each level decides how wide the numbers in its parent are. */
static enum status
measure(struct tree *t, struct err *err)
{
    uint64_t overhead = NODE_HEAD_BYTES + CHECKSUM_BYTES, most, below;

    FAIL_IF(t->depth >= DEPTH_MAX || t->record_bytes == 0 ||
                t->node_bytes < overhead + t->record_bytes,
            err, MALFORMED, 0, "a B-tree of depth %u with nodes of %llu bytes", t->depth,
            (unsigned long long)t->node_bytes);
    most = below = (t->node_bytes - overhead) / t->record_bytes;
    t->count_width = width_of(most);
    for (unsigned level = 1; level <= t->depth; level++) {
        uint64_t pointer = t->f->offset_bytes + t->count_width + t->total_width[level - 1];
        uint64_t children, total;

        FAIL_IF(t->node_bytes < overhead + pointer, err, MALFORMED, 0,
                "the nodes of a B-tree are too small");
        most = (t->node_bytes - overhead - pointer) / (t->record_bytes + pointer);
        /* Saturated, the numbers are eight bytes wide. */
        if (!num_mul(most + 1, below, &children) || !num_add(children, most, &total))
            total = UINT64_MAX;
        below = total;
        t->total_width[level] = width_of(below);
    }
    return OK;
}

static enum status
open_tree(struct hdf5_file *f, uint64_t address, enum hdf5_record_type type, struct tree *t,
          struct node *ret_root, struct err *err)
{
    size_t length = 16U + f->offset_bytes + 2U + f->length_bytes + CHECKSUM_BYTES;
    uint64_t node_bytes = 0, record_bytes = 0, depth = 0;
    struct cursor c;
    uint8_t found;

    TRY(hdf5_file_cursor(f, address, length, &c, err));
    TRY(hdf5_file_check(c.at, length, "a B-tree's header", c.offset, err));
    TRY(hdf5_file_signature(&c, "BTHD", 0, err));
    TRY(cursor_u8(&c, &found, err));
    FAIL_IF(found != (unsigned)type, err, MALFORMED, c.offset,
            "a B-tree with records of type %u where type %u was expected", found, (unsigned)type);
    TRY(hdf5_file_uint(&c, 4, &node_bytes, err));
    TRY(hdf5_file_uint(&c, 2, &record_bytes, err));
    TRY(hdf5_file_uint(&c, 2, &depth, err));
    TRY(hdf5_file_skip(&c, 2, err)); /* when to split and merge */
    *t = (struct tree){.f = f,
                       .type = (unsigned)type,
                       .node_bytes = node_bytes,
                       .record_bytes = (unsigned)record_bytes,
                       .depth = (unsigned)depth};
    TRY(hdf5_file_address(f, &c, &ret_root->address, err));
    TRY(hdf5_file_uint(&c, 2, &ret_root->records, err));
    ret_root->level = t->depth;
    FAIL_IF(record_bytes > RECORD_BYTES_MAX, err, UNSUPPORTED, c.offset,
            "a B-tree with records of %llu bytes", (unsigned long long)record_bytes);
    return measure(t, err);
}

static enum status
add_children(const struct tree *t, struct cursor *c, const struct node *node, struct vec *pending,
             struct err *err)
{
    for (uint64_t i = 0; i <= node->records; i++) {
        struct node child = {.level = node->level - 1}, *added;

        TRY(hdf5_file_address(t->f, c, &child.address, err));
        TRY(hdf5_file_uint(c, t->count_width, &child.records, err));
        TRY(hdf5_file_skip(c, t->total_width[child.level], err));
        TRY(vec_add(pending, &added, "nodes of a B-tree", err));
        *added = child;
    }
    return OK;
}

static enum status
read_node(const struct tree *t, const struct node *node, struct vec *records, struct vec *pending,
          struct err *err)
{
    uint64_t pointer = node->level == 0
                           ? 0
                           : t->f->offset_bytes + t->count_width + t->total_width[node->level - 1];
    uint64_t length = NODE_HEAD_BYTES + CHECKSUM_BYTES, part;
    struct cursor c;
    uint8_t type;

    FAIL_IF(!num_mul(node->records, t->record_bytes + pointer, &part) ||
                !num_add(length + pointer, part, &length) || length > t->node_bytes,
            err, MALFORMED, 0, "a node of a B-tree has more records than it has room for");
    TRY(hdf5_file_cursor(t->f, node->address, length, &c, err));
    TRY(hdf5_file_check(c.at, (size_t)length, "a B-tree's node", c.offset, err));
    TRY(hdf5_file_signature(&c, node->level == 0 ? "BTLF" : "BTIN", 0, err));
    TRY(cursor_u8(&c, &type, err));
    FAIL_IF(type != t->type, err, MALFORMED, c.offset, "a B-tree's node belongs to another tree");
    for (uint64_t i = 0; i < node->records; i++) {
        struct hdf5_record *record;
        const uint8_t *bytes;

        TRY(cursor_bytes(&c, t->record_bytes, &bytes, err));
        TRY(vec_add(records, &record, "links or attributes of one object", err));
        memcpy(record->bytes, bytes, t->record_bytes);
    }
    return node->level == 0 ? OK : add_children(t, &c, node, pending, err);
}

enum status
hdf5_dense_records(struct hdf5_file *f, uint64_t address, enum hdf5_record_type type,
                   struct vec *records, struct err *err)
{
    CLEANUP(vec_done) struct vec pending = vec_of(sizeof(struct node), PENDING_MAX);
    struct node root, *added;
    struct tree t;

    TRY(open_tree(f, address, type, &t, &root, err));
    if (root.address == HDF5_UNDEFINED) /* an empty tree */
        return OK;
    TRY(vec_add(&pending, &added, "nodes of a B-tree", err));
    *added = root;
    while (pending.count > 0) {
        struct node node = VEC_AT(&pending, struct node, --pending.count);

        TRY(read_node(&t, &node, records, &pending, err));
    }
    return OK;
}

/* ---- fractal heaps ---- */

enum { MANAGED, HUGE_OBJECT, TINY };        /* kinds of objects, in bits 4 and 5 of an id */
enum { BLOCKS_CHECKED = 2, BITS_MAX = 64 }; /* a flag; and the widest heap */
enum { TINY_SHORT_BYTES = 18, WIDTH_MAX = 1 << 15 };

static bool
is_power(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static unsigned
log2_of(uint64_t n)
{
    return n == 0 ? 0 : 63U - (unsigned)__builtin_clzll(n);
}

static enum status
read_table(struct hdf5_heap *h, struct cursor *c, struct err *err)
{
    uint64_t bits = 0, rows = 0, row_bytes = 0;

    TRY(hdf5_file_uint(c, 2, &h->width, err));
    TRY(hdf5_file_length(h->f, c, &h->start_bytes, err));
    TRY(hdf5_file_length(h->f, c, &h->direct_max, err));
    TRY(hdf5_file_uint(c, 2, &bits, err));
    TRY(hdf5_file_skip(c, 2, err)); /* starting rows of the root */
    TRY(hdf5_file_address(h->f, c, &h->root, err));
    TRY(hdf5_file_uint(c, 2, &rows, err));
    FAIL_IF(!is_power(h->width) || h->width > WIDTH_MAX || !is_power(h->start_bytes) ||
                !is_power(h->direct_max) || h->direct_max < h->start_bytes ||
                h->direct_max > h->f->limits->header_bytes || bits > BITS_MAX || bits == 0 ||
                !num_mul(h->width, h->start_bytes, &row_bytes) || log2_of(row_bytes) > bits ||
                rows > bits - log2_of(row_bytes) + 1,
            err, MALFORMED, c->offset, "a fractal heap's table of blocks cannot be as it says");
    h->bits = (unsigned)bits;
    h->root_rows = (unsigned)rows;
    h->offset_width = (h->bits + 7) / 8;
    return OK;
}

enum status
hdf5_dense_open(struct hdf5_file *f, uint64_t address, struct hdf5_heap *ret_heap, struct err *err)
{
    size_t length = 22U + 12U * f->length_bytes + 3U * f->offset_bytes + CHECKSUM_BYTES;
    uint64_t id_bytes = 0, filter_bytes = 0, managed_max = 0, ignored;
    struct cursor c;
    uint8_t flags;

    *ret_heap = (struct hdf5_heap){
        .f = f, .address = address, .huge = vec_of(sizeof(struct hdf5_record), f->limits->tensors)};
    TRY(hdf5_file_cursor(f, address, length, &c, err));
    TRY(hdf5_file_signature(&c, "FRHP", 0, err));
    TRY(hdf5_file_uint(&c, 2, &id_bytes, err));
    TRY(hdf5_file_uint(&c, 2, &filter_bytes, err));
    FAIL_IF(filter_bytes != 0, err, UNSUPPORTED, c.offset, "a fractal heap that is compressed");
    TRY(hdf5_file_check(c.at - 9, length, "a fractal heap's header", f->base + address, err));
    TRY(cursor_u8(&c, &flags, err));
    TRY(hdf5_file_uint(&c, 4, &managed_max, err));
    TRY(hdf5_file_length(f, &c, &ignored, err)); /* the next number of a huge object */
    TRY(hdf5_file_address(f, &c, &ret_heap->huge_tree, err));
    TRY(hdf5_file_length(f, &c, &ignored, err));               /* free space */
    TRY(hdf5_file_address(f, &c, &ignored, err));              /* its manager */
    TRY(hdf5_file_skip(&c, (size_t)8 * f->length_bytes, err)); /* statistics */
    ret_heap->id_bytes = (unsigned)id_bytes;
    ret_heap->flags = flags;
    TRY(read_table(ret_heap, &c, err));
    ret_heap->length_width = (log2_of(ret_heap->direct_max) + 7) / 8;
    if (width_of(managed_max) < ret_heap->length_width)
        ret_heap->length_width = width_of(managed_max);
    FAIL_IF(id_bytes < 1U + ret_heap->offset_width + ret_heap->length_width ||
                id_bytes > RECORD_BYTES_MAX,
            err, MALFORMED, c.offset, "a fractal heap with ids of %llu bytes",
            (unsigned long long)id_bytes);
    return OK;
}

void
hdf5_dense_done(struct hdf5_heap *h)
{
    mem_free(h->block.bytes);
    vec_done(&h->huge);
    *h = (struct hdf5_heap){0};
}

/* Where an offset lies in the doubling table: the first two rows have blocks of the starting size,
 * each later one blocks twice as large as the one before. */
struct place_in_table {
    unsigned row;
    uint64_t column, start, block_bytes;
};

static struct place_in_table
locate(const struct hdf5_heap *h, uint64_t offset)
{
    uint64_t row_bytes = h->width * h->start_bytes;
    struct place_in_table p = {.block_bytes = h->start_bytes};

    if (offset >= row_bytes) {
        unsigned high = log2_of(offset);

        p.row = high - log2_of(row_bytes) + 1;
        p.start = (uint64_t)1 << high;
        p.block_bytes = h->start_bytes << (p.row - 1);
    }
    p.column = (offset - p.start) / p.block_bytes;
    p.start += p.column * p.block_bytes;
    return p;
}

/* The address of one child of an indirect block. */
static enum status
read_child(struct hdf5_heap *h, uint64_t address, unsigned rows, const struct place_in_table *p,
           uint64_t *ret_child, struct err *err)
{
    struct hdf5_file *f = h->f;
    size_t head = 5U + f->offset_bytes + h->offset_width;
    uint64_t length = head + CHECKSUM_BYTES + rows * h->width * f->offset_bytes;
    struct cursor c;
    uint64_t owner;

    FAIL_IF(p->row >= rows, err, MALFORMED, f->base + address,
            "an id of a fractal heap points past the heap");
    TRY(hdf5_file_cursor(f, address, length, &c, err));
    TRY(hdf5_file_check(c.at, (size_t)length, "a fractal heap's indirect block", c.offset, err));
    TRY(hdf5_file_signature(&c, "FHIB", 0, err));
    TRY(hdf5_file_address(f, &c, &owner, err));
    FAIL_IF(owner != h->address, err, MALFORMED, c.offset,
            "a block of a fractal heap belongs to another heap");
    TRY(hdf5_file_skip(&c, h->offset_width, err));
    TRY(hdf5_file_skip(&c, (size_t)((p->row * h->width + p->column) * f->offset_bytes), err));
    return hdf5_file_address(f, &c, ret_child, err);
}

/* The checksum of a direct block is computed with zeros in its own place. */
static enum status
check_block(struct hdf5_heap *h, size_t length, struct err *err)
{
    size_t at = 5U + h->f->offset_bytes + h->offset_width;
    struct cursor c = cursor_over(h->block.bytes, length, h->block.offset);
    uint64_t owner, told = 0;

    TRY(hdf5_file_signature(&c, "FHDB", 0, err));
    TRY(hdf5_file_address(h->f, &c, &owner, err));
    FAIL_IF(owner != h->address, err, MALFORMED, c.offset,
            "a block of a fractal heap belongs to another heap");
    TRY(hdf5_file_skip(&c, h->offset_width, err));
    if ((h->flags & BLOCKS_CHECKED) == 0)
        return OK;
    TRY(hdf5_file_uint(&c, CHECKSUM_BYTES, &told, err));
    memset(h->block.bytes + at, 0, CHECKSUM_BYTES);
    FAIL_IF(!hdf5_file_sum_is(h->block.bytes, length, told), err, MALFORMED, h->block.offset,
            "the checksum of a fractal heap's block at byte %llu is wrong: the file is damaged",
            (unsigned long long)h->block.offset);
    return OK;
}

static enum status
load_block(struct hdf5_heap *h, uint64_t address, uint64_t start, uint64_t length, struct err *err)
{
    const uint8_t *bytes;

    h->block.length = 0;
    TRY(hdf5_file_at(h->f, address, length, &bytes, err));
    mem_free(h->block.bytes);
    h->block.bytes = mem_new((size_t)length, 1);
    FAIL_IF(h->block.bytes == NULL, err, NO_MEMORY, 0, "out of memory");
    memcpy(h->block.bytes, bytes, (size_t)length);
    h->block.offset = h->f->base + address;
    TRY(check_block(h, (size_t)length, err));
    h->block.start = start;
    h->block.length = length;
    return OK;
}

/* Walk down the doubling tables to the direct block that holds an offset. A table has fewer rows than
 * the number of the row that it lies in, so this ends. */
static enum status
find_block(struct hdf5_heap *h, uint64_t offset, struct err *err)
{
    unsigned rows = h->root_rows;
    uint64_t address = h->root, start = 0;

    if (rows == 0)
        return load_block(h, address, 0, h->start_bytes, err);
    for (;;) {
        struct place_in_table p = locate(h, offset - start);

        TRY(read_child(h, address, rows, &p, &address, err));
        start += p.start;
        if (p.block_bytes <= h->direct_max)
            return load_block(h, address, start, p.block_bytes, err);
        FAIL_IF(p.row <= log2_of(h->width), err, MALFORMED, h->f->base + address,
                "a fractal heap's indirect block is smaller than one row");
        rows = p.row - log2_of(h->width);
    }
}

static enum status
read_managed(struct hdf5_heap *h, struct cursor *id, struct cursor *ret_object, struct err *err)
{
    uint64_t offset = 0, length = 0, at;

    TRY(hdf5_file_uint(id, h->offset_width, &offset, err));
    TRY(hdf5_file_uint(id, h->length_width, &length, err));
    if (h->block.length == 0 || offset < h->block.start ||
        offset - h->block.start >= h->block.length)
        TRY(find_block(h, offset, err));
    at = offset - h->block.start;
    FAIL_IF(at > h->block.length || length > h->block.length - at, err, MALFORMED, h->block.offset,
            "an object of a fractal heap does not lie in its block");
    *ret_object = cursor_over(h->block.bytes + at, (size_t)length, h->block.offset + at);
    return OK;
}

static int
compare_ranks(const void *a, const void *b)
{
    const struct hdf5_record *const x = a;
    const struct hdf5_record *const y = b;

    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void
sort_ranks(struct vec *records)
{
    if (records->count > 1)
        qsort(records->items, records->count, sizeof(struct hdf5_record), compare_ranks);
}

/* A record of a large object: where it is, and the number that ids call it by. */
static enum status
parse_huge(const struct hdf5_file *f, const struct hdf5_record *record, uint64_t *ret_address,
           uint64_t *ret_length, uint64_t *ret_number, struct err *err)
{
    struct cursor c = cursor_over(record->bytes, RECORD_BYTES_MAX, 0);

    TRY(hdf5_file_address(f, &c, ret_address, err));
    TRY(hdf5_file_length(f, &c, ret_length, err));
    return hdf5_file_length(f, &c, ret_number, err);
}

static enum status
list_huge(struct hdf5_heap *h, struct err *err)
{
    uint64_t address, length;

    if (h->has_huge)
        return OK;
    h->huge.count = 0;
    TRY(hdf5_dense_records(h->f, h->huge_tree, HDF5_RECORD_HUGE, &h->huge, err));
    for (size_t i = 0; i < h->huge.count; i++) {
        struct hdf5_record *record = &VEC_AT(&h->huge, struct hdf5_record, i);

        TRY(parse_huge(h->f, record, &address, &length, &record->rank, err));
    }
    sort_ranks(&h->huge);
    h->has_huge = true;
    return OK;
}

/* Objects that fit no block: the id is their address and length, or a number to look these up by. */
static enum status
read_huge(struct hdf5_heap *h, struct cursor *id, struct cursor *ret_object, struct err *err)
{
    struct hdf5_file *f = h->f;
    unsigned width = h->id_bytes - 1 < 8 ? h->id_bytes - 1 : 8;
    struct hdf5_record wanted = {0}, *found;
    uint64_t address, length, number;

    if (h->id_bytes > f->offset_bytes + f->length_bytes) {
        TRY(hdf5_file_address(f, id, &address, err));
        TRY(hdf5_file_length(f, id, &length, err));
        return hdf5_file_cursor(f, address, length, ret_object, err);
    }
    TRY(hdf5_file_uint(id, width, &wanted.rank, err));
    TRY(list_huge(h, err));
    found = h->huge.count == 0
                ? NULL
                : bsearch(&wanted, h->huge.items, h->huge.count, sizeof wanted, compare_ranks);
    FAIL_IF(found == NULL, err, MALFORMED, id->offset,
            "a large object of a fractal heap is not in its B-tree");
    TRY(parse_huge(f, found, &address, &length, &number, err));
    return hdf5_file_cursor(f, address, length, ret_object, err);
}

/* Objects that fit in their id. */
static enum status
read_tiny(struct hdf5_heap *h, const uint8_t *id, struct cursor *ret_object, struct err *err)
{
    size_t length = (id[0] & 15U) + 1, head = 1;

    if (h->id_bytes > TINY_SHORT_BYTES) {
        length = ((id[0] & 15U) << 8 | id[1]) + 1;
        head = 2;
    }
    FAIL_IF(length > h->id_bytes - head, err, MALFORMED, 0,
            "an object of a fractal heap is longer than the id that holds it");
    *ret_object = cursor_over(id + head, length, 0);
    return OK;
}

enum status
hdf5_dense_object(struct hdf5_heap *h, const uint8_t *id, struct cursor *ret_object,
                  struct err *err)
{
    struct cursor c = cursor_over(id + 1, h->id_bytes - 1, 0);

    FAIL_IF(id[0] >> 6 != 0, err, UNSUPPORTED, 0, "a fractal heap's id of version %u", id[0] >> 6);
    switch (id[0] >> 4 & 3) {
    case MANAGED:
        return read_managed(h, &c, ret_object, err);
    case HUGE_OBJECT:
        return read_huge(h, &c, ret_object, err);
    case TINY:
        return read_tiny(h, id, ret_object, err);
    default:
        FAIL(err, MALFORMED, 0, "a fractal heap's id of an unknown kind");
    }
}

void
hdf5_dense_sort(const struct hdf5_heap *h, struct vec *records, size_t id_at)
{
    for (size_t i = 0; i < records->count; i++) {
        struct hdf5_record *record = &VEC_AT(records, struct hdf5_record, i);
        const uint8_t *id = record->bytes + id_at;
        struct cursor c = cursor_over(id + 1, h->id_bytes - 1, 0);

        record->rank = 0;
        if ((id[0] >> 4 & 3) == MANAGED)
            IGNORE(hdf5_file_uint(&c, h->offset_width, &record->rank, NULL));
    }
    sort_ranks(records);
}
