/*
 * A member is a header of 512 bytes and its content, filled up to the next 512 (POSIX.1-1988, ustar):
 *
 *     0 name 100 · 124 size 12 · 148 checksum 8 · 156 type 1 · 257 "ustar" · 345 prefix 155
 *
 * Numbers are octal texts; of GNU's, a size whose first bit is set is binary, big-endian. Types L (GNU)
 * and x (pax) give the next member a longer name; x may give it another size, too. Two blocks of zeros
 * end the archive; many end without.
 *
 * What is not walked over here: sparse files, headers for all that follows (g), types that POSIX and GNU
 * do not have, two long names for one member, pax's records that are malformed. Readers differ in where
 * they find the next header then, or in what it is called, and a file could show each of them another
 * archive.
 */
#include "common/formats/tar.h"

#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/base/vec.h"
#include "common/formats/window.h"

enum {
    NAME_AT = 0,
    NAME_LENGTH = 100,
    SIZE_AT = 124,
    SIZE_LENGTH = 12,
    SUM_AT = 148,
    SUM_LENGTH = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    PREFIX_AT = 345,
    PREFIX_LENGTH = 155,
    EXTENDED_BYTES_MAX = 64 << 10, /* of a long name, or of pax's records */
};

struct walk {
    const struct limits *limits;
    struct arena *arena;
    struct window window;
    struct vec members;
    struct slice next_name; /* told by what came before; at is NULL where nothing did */
    uint64_t next_size;
    bool has_next_size;
    bool is_extended; /* something of type L or x came before */
};

static void
walk_done(struct walk *w)
{
    window_done(&w->window);
    vec_done(&w->members);
}

/* A number in octal, spaces and NULs around it; or binary. */
static bool
field_number(const uint8_t *field, size_t length, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t i = 0;

    if (field[0] == 0x80) {
        for (i = 1; i < length; i++) {
            if (value > UINT64_MAX >> 8)
                return false;
            value = value << 8 | field[i];
        }
        *ret_value = value;
        return true;
    }
    while (i < length && field[i] == ' ')
        i++;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (field[i] - (uint8_t)'0'); /* 12 digits fit */
    *ret_value = value;
    return i == length || field[i] == ' ' || field[i] == '\0';
}

/* Old writers summed signed bytes. */
bool
tar_is_header(const uint8_t block[TAR_BLOCK_BYTES])
{
    uint64_t told;
    int64_t sum = 0, signed_sum = 0;

    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        uint8_t b = i >= SUM_AT && i < SUM_AT + SUM_LENGTH ? ' ' : block[i];

        sum += b;
        signed_sum += (int8_t)b;
    }
    return field_number(block + SUM_AT, SUM_LENGTH, &told) && told > 0 &&
           ((int64_t)told == sum || (int64_t)told == signed_sum);
}

static struct slice
field_text(const uint8_t *field, size_t length)
{
    const void *end = memchr(field, '\0', length);

    return (struct slice){(const char *)field,
                          end == NULL ? length : (size_t)((const uint8_t *)end - field)};
}

static enum status
name_of(struct walk *w, const uint8_t *block, struct slice *ret_name, struct err *err)
{
    struct slice name = field_text(block + NAME_AT, NAME_LENGTH);
    struct slice prefix = field_text(block + PREFIX_AT, PREFIX_LENGTH);

    if (w->next_name.at != NULL) {
        *ret_name = w->next_name;
        return OK;
    }
    /* GNU's archives say "ustar  " and have times where others have a prefix. */
    if (memcmp(block + MAGIC_AT, "ustar\0", 6) != 0 || prefix.length == 0)
        return arena_copy(w->arena, name, ret_name, err);
    return arena_printf(w->arena, ret_name, err, "%.*s/%.*s", SLICE_PRINT(prefix),
                        SLICE_PRINT(name));
}

/* Cut one of pax's records off, "length key=value\n", the length of all of it; false for what is none. */
static bool
cut_record(struct slice *text, struct slice *ret_key, struct slice *ret_value)
{
    struct slice rest = *text, length = slice_cut(&rest, ' '), value;
    uint64_t size;

    if (rest.at == NULL || !num_parse_u64(length, &size) || size <= length.length + 1 ||
        size > text->length)
        return false;
    value = slice_part(*text, length.length + 1, (size_t)size - length.length - 1);
    *text = slice_from(*text, (size_t)size);
    *ret_key = slice_cut(&value, '=');
    if (value.at == NULL || value.length == 0 || value.at[value.length - 1] != '\n')
        return false;
    value.length--;
    *ret_value = value;
    return true;
}

static enum status
take_records(struct walk *w, struct slice text, struct tar *t, struct err *err)
{
    struct slice key, value;

    while (text.length > 0) {
        bool is_right = cut_record(&text, &key, &value);

        if (is_right && slice_is(key, "path")) {
            while (value.length > 0 && value.at[value.length - 1] == '/')
                value.length--; /* Python's tarfile does so */
            TRY(arena_copy(w->arena, value, &w->next_name, err));
        }
        if (is_right && slice_is(key, "size")) {
            w->has_next_size = num_parse_u64(value, &w->next_size);
            is_right = w->has_next_size;
        }
        if (!is_right || slice_starts(key, slice_of("GNU.sparse"))) {
            t->problem = "a member's pax records are malformed, or of a sparse file";
            return OK;
        }
    }
    return OK;
}

/* What a member of type L or x says of the next. */
static enum status
take_extended(struct walk *w, const struct tar_member *m, char type, struct tar *t, struct err *err)
{
    const uint8_t *bytes;

    if (w->is_extended) {
        t->problem = "a member's name is told twice";
        return OK;
    }
    w->is_extended = true;
    TRY(window_at(&w->window, m->offset, (size_t)m->size_bytes, &bytes, err));
    if (type == 'L')
        return arena_copy(w->arena, field_text(bytes, (size_t)m->size_bytes), &w->next_name, err);
    return take_records(w, (struct slice){(const char *)bytes, (size_t)m->size_bytes}, t, err);
}

/* Types that all readers walk over in one way. The oldest archives tell a folder by the slash only, which
 * has no content, whatever size it tells. */
static bool
is_walked(const uint8_t *block, uint64_t size_bytes)
{
    static const char walked[] = {'0', '1', '2', '3', '4', '5', '6', '7', 'L', 'K', 'x'};
    struct slice name = field_text(block + NAME_AT, NAME_LENGTH);
    char type = (char)block[TYPE_AT];

    if (type == '\0')
        return size_bytes == 0 || name.length == 0 || name.at[name.length - 1] != '/';
    return memchr(walked, type, sizeof walked) != NULL;
}

static bool
is_zero(const uint8_t *block)
{
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        if (block[i] != 0)
            return false;
    }
    return true;
}

/* The member whose header is at offset. *ret_next is where the next header is. */
static enum status
read_member(struct walk *w, uint64_t offset, const uint8_t *block, struct tar *t,
            uint64_t *ret_next, struct err *err)
{
    struct tar_member m = {.offset = offset + TAR_BLOCK_BYTES}, *added;
    uint64_t left = w->window.source->size_bytes - m.offset, whole;
    char type = (char)block[TYPE_AT];
    bool is_extended = type == 'L' || type == 'x';

    if (!field_number(block + SIZE_AT, SIZE_LENGTH, &m.size_bytes)) {
        t->problem = "a member's size is no number";
        return OK;
    }
    if (w->has_next_size && !is_extended)
        m.size_bytes = w->next_size;
    if (!is_walked(block, m.size_bytes)) {
        t->problem = "a member is of a type that readers walk over differently";
        return OK;
    }
    /* Links and folders have no content, whatever size they tell. */
    m.is_file = type == '0' || type == '\0' || type == '7';
    if (!m.is_file && !is_extended && type != 'K')
        m.size_bytes = 0;
    if (m.size_bytes > left) {
        t->problem = "a member reaches beyond the file's end";
        if (!m.is_file)
            return OK;
        m.size_bytes = left;
    }
    whole = (m.size_bytes + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
    *ret_next = m.offset + (whole < left ? whole : left);
    if (is_extended && m.size_bytes > EXTENDED_BYTES_MAX) {
        t->problem = "a member's name is longer than any";
        return OK;
    }
    if (is_extended)
        return take_extended(w, &m, type, t, err);
    if (type == 'K')
        return OK;
    TRY(name_of(w, block, &m.name, err));
    w->next_name = (struct slice){0};
    w->has_next_size = w->is_extended = false;
    TRY(vec_add(&w->members, &added, "members of a tar archive", err));
    *added = m;
    return OK;
}

static enum status
read_members(struct walk *w, struct tar *t, struct err *err)
{
    uint64_t size = w->window.source->size_bytes;
    uint8_t block[TAR_BLOCK_BYTES];
    const uint8_t *lent;

    while (t->problem == NULL && t->end < size) {
        uint64_t next = t->end;

        if (size - t->end < TAR_BLOCK_BYTES) {
            t->problem = "it ends inside a header";
            return OK;
        }
        TRY(window_at(&w->window, t->end, TAR_BLOCK_BYTES, &lent, err));
        memcpy(block, lent, sizeof block);
        if (is_zero(block)) {
            t->end += TAR_BLOCK_BYTES;
            return OK;
        }
        if (!tar_is_header(block)) {
            t->problem = "a header's checksum is wrong";
            return OK;
        }
        TRY(read_member(w, t->end, block, t, &next, err));
        t->end = next;
    }
    return OK;
}

enum status
tar_read(const struct source *source, const struct limits *limits, struct arena *arena,
         struct tar *ret, struct err *err)
{
    CLEANUP(walk_done) struct walk w = {.limits = limits, .arena = arena};

    *ret = (struct tar){0};
    w.window = window_over(source, TAR_BLOCK_BYTES);
    w.members = vec_of(sizeof(struct tar_member), limits->zip_entries);
    TRY(read_members(&w, ret, err));
    ret->count = w.members.count;
    ret->members = arena_alloc(arena, ret->count, sizeof *ret->members);
    if (ret->members == NULL)
        return arena_fail(arena, err);
    if (ret->count > 0)
        memcpy(ret->members, w.members.items, ret->count * sizeof *ret->members);
    return OK;
}
