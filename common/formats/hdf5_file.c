#include "common/formats/hdf5_file.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/num.h"

/* A fuzzer would never get past checksums: its builds look at none. */
#ifndef HDF5_CHECKSUMS
#define HDF5_CHECKSUMS 1
#endif

enum {
    SIGNATURE_BYTES = 8,
    FIRST_USERBLOCK = 512,
    READ_AHEAD = 4096,
    CHARGE_LEAST = 128, /* what the smallest read counts, so that tiny ones are not free */
    CHECKSUM_BYTES = 4,
    ENTRY_CACHE_BYTES = 24, /* of a symbol table entry: cache type, reserved, scratch pad */
};

static const char signature[SIGNATURE_BYTES] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};

bool
hdf5_file_find(const struct source *source, uint64_t *ret_offset)
{
    char bytes[SIGNATURE_BYTES];

    for (uint64_t offset = 0; offset < source->size_bytes;
         offset = offset == 0 ? FIRST_USERBLOCK : offset * 2) {
        if (source_read(source, offset, bytes, sizeof bytes, NULL) != OK)
            return false;
        if (memcmp(bytes, signature, sizeof bytes) == 0) {
            *ret_offset = offset;
            return true;
        }
    }
    return false;
}

/* ---- reading ---- */

enum status
hdf5_file_at(struct hdf5_file *f, uint64_t address, uint64_t length, const uint8_t **ret_bytes,
             struct err *err)
{
    uint64_t charge = length < CHARGE_LEAST ? CHARGE_LEAST : length;
    uint64_t offset;

    FAIL_IF(address == HDF5_UNDEFINED || !num_add(address, f->base, &offset), err, MALFORMED, 0,
            "an address that must lead somewhere is undefined");
    FAIL_IF(offset > f->source->size_bytes || length > f->source->size_bytes - offset, err,
            TRUNCATED, offset, "%llu bytes at address %llu lie past the end of the file",
            (unsigned long long)length, (unsigned long long)address);
    FAIL_IF(charge > f->bytes_left, err, LIMIT, offset,
            "its structures need more than %zu bytes to be read", f->limits->hdf5_bytes);
    f->bytes_left -= charge;
    return window_at(&f->window, offset, (size_t)length, ret_bytes, err);
}

enum status
hdf5_file_cursor(struct hdf5_file *f, uint64_t address, uint64_t length, struct cursor *ret_cursor,
                 struct err *err)
{
    const uint8_t *bytes;

    TRY(hdf5_file_at(f, address, length, &bytes, err));
    *ret_cursor = cursor_over(bytes, (size_t)length, f->base + address);
    return OK;
}

enum status
hdf5_file_uint(struct cursor *c, unsigned bytes, uint64_t *ret_value, struct err *err)
{
    const uint8_t *b;

    TRY(cursor_bytes(c, bytes, &b, err));
    *ret_value = 0;
    for (unsigned i = 0; i < bytes; i++)
        *ret_value |= (uint64_t)b[i] << (8 * i);
    return OK;
}

enum status
hdf5_file_address(const struct hdf5_file *f, struct cursor *c, uint64_t *ret_address,
                  struct err *err)
{
    uint64_t all_ones =
        f->offset_bytes == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * f->offset_bytes)) - 1;

    TRY(hdf5_file_uint(c, f->offset_bytes, ret_address, err));
    if (*ret_address == all_ones)
        *ret_address = HDF5_UNDEFINED;
    return OK;
}

enum status
hdf5_file_length(const struct hdf5_file *f, struct cursor *c, uint64_t *ret_length, struct err *err)
{
    return hdf5_file_uint(c, f->length_bytes, ret_length, err);
}

enum status
hdf5_file_skip(struct cursor *c, size_t bytes, struct err *err)
{
    const uint8_t *skipped;

    return cursor_bytes(c, bytes, &skipped, err);
}

enum status
hdf5_file_signature(struct cursor *c, const char *letters, unsigned version, struct err *err)
{
    const uint8_t *found;
    uint8_t byte;

    TRY(cursor_bytes(c, 4, &found, err));
    FAIL_IF(memcmp(found, letters, 4) != 0, err, MALFORMED, c->offset - 4,
            "a structure that begins with %s was expected at byte %llu, and is not there", letters,
            (unsigned long long)(c->offset - 4));
    TRY(cursor_u8(c, &byte, err));
    FAIL_IF(byte != version, err, UNSUPPORTED, c->offset - 1, "a %s structure of version %u",
            letters, byte);
    return OK;
}

/* ---- checksums ---- */

static uint32_t
rotated(uint32_t value, unsigned by)
{
    return value << by | value >> (32 - by);
}

/* Add up to twelve bytes to three words. */
static void
take_in(uint32_t *word, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        word[i / 4] += (uint32_t)bytes[i] << (8 * (i % 4));
}

/* Jenkins' lookup3, hashlittle with 0 to start from: three words take in twelve bytes at a time. Each
 * step of mix and of the end works on one word, with its neighbours, and turns by its own number. */
uint32_t
hdf5_file_hash(const uint8_t *bytes, size_t length)
{
    static const unsigned mix[] = {4, 6, 8, 16, 19, 4};
    static const unsigned end[] = {14, 11, 25, 16, 4, 14, 24};
    uint32_t word[3];

    word[0] = word[1] = word[2] = UINT32_C(0xdeadbeef) + (uint32_t)length;
    if (length == 0)
        return word[2];
    for (; length > 12; bytes += 12, length -= 12) {
        take_in(word, bytes, 12);
        for (unsigned i = 0; i < ARRAY_LENGTH(mix); i++) {
            uint32_t *this = &word[i % 3], *before = &word[(i + 2) % 3];

            *this -= *before;
            *this ^= rotated(*before, mix[i]);
            *before += word[(i + 1) % 3];
        }
    }
    take_in(word, bytes, length);
    for (unsigned i = 0; i < ARRAY_LENGTH(end); i++) {
        uint32_t *this = &word[(i + 2) % 3], before = word[(i + 1) % 3];

        *this ^= before;
        *this -= rotated(before, end[i]);
    }
    return word[2];
}

bool
hdf5_file_sum_is(const uint8_t *bytes, size_t length, uint64_t told)
{
    return HDF5_CHECKSUMS == 0 || hdf5_file_hash(bytes, length) == told;
}

enum status
hdf5_file_check(const uint8_t *bytes, size_t length, const char *what, uint64_t offset,
                struct err *err)
{
    uint64_t told = 0;
    struct cursor c;

    FAIL_IF(length < CHECKSUM_BYTES, err, MALFORMED, offset, "%s has no room for its checksum",
            what);
    c = cursor_over(bytes + length - CHECKSUM_BYTES, CHECKSUM_BYTES, offset);
    TRY(hdf5_file_uint(&c, CHECKSUM_BYTES, &told, err));
    FAIL_IF(!hdf5_file_sum_is(bytes, length - CHECKSUM_BYTES, told), err, MALFORMED, offset,
            "the checksum of %s at byte %llu is wrong: the file is damaged", what,
            (unsigned long long)offset);
    return OK;
}

/* ---- findings ---- */

enum status
hdf5_file_blame(struct hdf5_file *f, enum finding_id id, struct slice subject, struct err *err,
                const char *message, ...)
{
    char text[sizeof err->text];
    va_list arguments;
    int length;

    va_start(arguments, message);
    length = vsnprintf(text, sizeof text, message, arguments);
    va_end(arguments);
    FAIL_IF(length < 0, err, INTERNAL, 0, "a message that cannot be formatted");
    if (f->in->safety < SAFETY_MALFORMED)
        f->in->safety = SAFETY_MALFORMED;
    return inspection_note(f->in, f->limits, id, subject, err, "%s", text);
}

enum status
hdf5_file_forgive(struct hdf5_file *f, enum status status, const struct err *why,
                  struct slice subject, struct err *err)
{
    if (status == OK)
        return OK;
    if (status == ERR_MALFORMED || status == ERR_TRUNCATED || status == ERR_UNSUPPORTED)
        return hdf5_file_blame(f, FINDING_TENSOR_MALFORMED, subject, err, "%s", why->text);
    err_copy(err, why);
    return status;
}

/* ---- the superblock ---- */

static bool
is_width(unsigned bytes)
{
    return bytes == 2 || bytes == 4 || bytes == 8;
}

static enum status
read_widths(struct hdf5_file *f, struct cursor *c, struct err *err)
{
    uint8_t offsets, lengths;

    TRY(cursor_u8(c, &offsets, err));
    TRY(cursor_u8(c, &lengths, err));
    FAIL_IF(!is_width(offsets) || !is_width(lengths), err, UNSUPPORTED, c->offset,
            "an HDF5 file with addresses of %u bytes and lengths of %u bytes", offsets, lengths);
    f->offset_bytes = offsets;
    f->length_bytes = lengths;
    return OK;
}

/* The file's end is told with the base address in it. */
static uint64_t
end_after_base(uint64_t end, uint64_t base)
{
    return end == HDF5_UNDEFINED || end < base ? HDF5_UNDEFINED : end - base;
}

/* Versions 0 and 1: the root group is a symbol table entry. */
static enum status
read_old(struct hdf5_file *f, struct cursor *c, uint64_t *ret_end, struct err *err)
{
    uint64_t ignored, base = 0;

    TRY(hdf5_file_skip(c, 4, err)); /* versions of parts, and a reserved byte */
    TRY(read_widths(f, c, err));
    TRY(hdf5_file_skip(c, f->version == 0 ? 9 : 13, err)); /* ranks of B-trees, flags */
    TRY(hdf5_file_address(f, c, &base, err));
    TRY(hdf5_file_address(f, c, &ignored, err)); /* free space */
    TRY(hdf5_file_address(f, c, ret_end, err));
    *ret_end = end_after_base(*ret_end, base);
    TRY(hdf5_file_address(f, c, &ignored, err)); /* driver information */
    TRY(hdf5_file_address(f, c, &ignored, err)); /* the root's name */
    return hdf5_file_address(f, c, &f->root, err);
}

/* Versions 2 and 3: fewer members, and a checksum. */
static enum status
read_new(struct hdf5_file *f, struct cursor *c, uint64_t *ret_end, struct err *err)
{
    const uint8_t *begin = c->at - SIGNATURE_BYTES - 1;
    struct err why = {0};
    uint64_t ignored, base = 0;
    enum status status;

    TRY(read_widths(f, c, err));
    TRY(hdf5_file_skip(c, 1, err)); /* flags */
    TRY(hdf5_file_address(f, c, &base, err));
    TRY(hdf5_file_address(f, c, &ignored, err)); /* extension */
    TRY(hdf5_file_address(f, c, ret_end, err));
    *ret_end = end_after_base(*ret_end, base);
    TRY(hdf5_file_address(f, c, &f->root, err));
    TRY(hdf5_file_skip(c, CHECKSUM_BYTES, err));
    status = hdf5_file_check(begin, (size_t)(c->at - begin), "the superblock", f->base, &why);
    return hdf5_file_forgive(f, status, &why, (struct slice){0}, err);
}

/* Where the file should end and does not. The library opens no file that ends too early. */
static enum status
check_end(struct hdf5_file *f, uint64_t end, struct err *err)
{
    uint64_t size = f->source->size_bytes - f->base;

    if (end == HDF5_UNDEFINED || end > size)
        return hdf5_file_blame(f, FINDING_STORAGE_SHORT, (struct slice){0}, err,
                               "the file is cut off: %llu bytes are there, fewer than its "
                               "superblock tells; copy it again",
                               (unsigned long long)size);
    if (end < size)
        return inspection_note(f->in, f->limits, FINDING_FILE_TRAILING, (struct slice){0}, err,
                               "%llu bytes follow the end that the superblock tells",
                               (unsigned long long)(size - end));
    return OK;
}

/* Whatever stands before the signature, no HDF5 reader looks at it. */
static enum status
check_userblock(struct hdf5_file *f, struct err *err)
{
    char bytes[FIRST_USERBLOCK];

    if (f->base == 0)
        return OK;
    TRY(source_read(f->source, 0, bytes, sizeof bytes, err));
    for (size_t i = 0; i < sizeof bytes; i++)
        if (bytes[i] != 0)
            return inspection_note(f->in, f->limits, FINDING_POLYGLOT, (struct slice){0}, err,
                                   "%llu bytes of something else stand before the HDF5 file",
                                   (unsigned long long)f->base);
    return OK;
}

enum status
hdf5_file_open(struct hdf5_file *f, const struct source *source, const struct limits *limits,
               struct inspection *in, struct err *err)
{
    enum { SUPERBLOCK_MAX = 64 + 5 * 8 + ENTRY_CACHE_BYTES };
    uint64_t end = 0, offset = 0, room;
    struct cursor c;
    uint8_t version;

    *f = (struct hdf5_file){.in = in,
                            .limits = limits,
                            .source = source,
                            .window = window_over(source, READ_AHEAD),
                            .bytes_left = limits->hdf5_bytes};
    FAIL_IF(!hdf5_file_find(source, &offset), err, UNRECOGNIZED, 0,
            "it has no signature of an HDF5 file");
    /* As the library does: addresses count from where the signature is, whatever the base address
     * told; it stays behind where a userblock is put before a file, or cut off. */
    f->base = offset;
    room =
        source->size_bytes - offset < SUPERBLOCK_MAX ? source->size_bytes - offset : SUPERBLOCK_MAX;
    TRY(hdf5_file_cursor(f, 0, room, &c, err));
    TRY(hdf5_file_skip(&c, SIGNATURE_BYTES, err));
    TRY(cursor_u8(&c, &version, err));
    f->version = version;
    FAIL_IF(version > 3, err, UNSUPPORTED, c.offset, "an HDF5 file with a superblock of version %u",
            version);
    if (version < 2)
        TRY(read_old(f, &c, &end, err));
    else
        TRY(read_new(f, &c, &end, err));
    TRY(check_userblock(f, err));
    return check_end(f, end, err);
}

void
hdf5_file_done(struct hdf5_file *f)
{
    window_done(&f->window);
}
