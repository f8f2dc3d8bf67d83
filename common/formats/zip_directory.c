/*
 * A zip archive, from its end:
 *
 *     local header | payload [| descriptor] … | central directory | [zip64 end | locator |] end
 *
 * APPNOTE.TXT 6.3.10 by PKWARE, and what PyTorch's writer makes of it: payloads start at multiples of
 * 64, by padding in the local extra field that the central directory does not have; local headers
 * tell no sizes. So sizes come from the central directory and places from the local header:
 *
 *     payload = local header offset + 30 + local name length + local extra length
 *
 * Not read: archives of several disks, an encrypted or compressed central directory.
 */
#include "common/formats/zip_directory.h"

#include <string.h>

#include "common/base/attr.h"
#include "common/base/cursor.h"
#include "common/base/num.h"
#include "common/formats/window.h"
#include "common/formats/zip_audit.h"

enum {
    END_BYTES = 22,
    END_SIGNATURE = 0x06054b50,
    END_SEARCH_BYTES = END_BYTES + 65535, /* the longest comment */
    LOCATOR_BYTES = 20,
    LOCATOR_SIGNATURE = 0x07064b50,
    END64_BYTES = 56,
    END64_SIGNATURE = 0x06064b50,
    CENTRAL_BYTES = 46,
    CENTRAL_SIGNATURE = 0x02014b50,
    LOCAL_BYTES = 30,
    LOCAL_SIGNATURE = 0x04034b50,
    EXTRA_ZIP64 = 0x0001,
    FLAG_DESCRIPTOR = 0x0008,
    FLAGS_ODD = 0x0001 | 0x0020 | 0x0040, /* encrypted, patch data, strongly encrypted */
    DIRECTORY_AHEAD = 256 << 10,
    LOCAL_AHEAD = 512,    /* one local header and its payload's head */
    LOCAL_NEAR = 4 << 10, /* headers this close are read at once */
    LOCAL_AHEAD_MAX = 64 << 10,
};

/* What the end record says, the zip64 one's word taken where there is one. */
struct ending {
    uint64_t offset; /* of the record itself, or the zip64 one: the directory ends before it */
    uint64_t directory_offset;
    uint64_t directory_bytes;
    uint64_t count;
};

struct reading {
    const struct source *source;
    const struct limits *limits;
    struct inspection *in;
    struct zip_directory d;
    struct ending ending;
    struct window window;
};

static void
reading_done(struct reading *r)
{
    window_done(&r->window);
}

/* The directory cannot be trusted to look the same to every reader. */
static void
distrust(struct reading *r)
{
    if (r->in->safety < SAFETY_MALFORMED)
        r->in->safety = SAFETY_MALFORMED;
}

/*
 * The end record. Readers search it backwards and take the last signature; only few of them ask
 * whether its comment reaches the end of the file. Where the two rules differ we take the record whose
 * comment fits, and distrust the file.
 */
static enum status
find_end(struct reading *r, uint64_t *ret_offset, struct err *err)
{
    uint64_t size = r->source->size_bytes;
    size_t length = size < END_SEARCH_BYTES ? (size_t)size : END_SEARCH_BYTES;
    const uint8_t *tail;
    size_t last = SIZE_MAX, fitting = SIZE_MAX;

    FAIL_IF(size < END_BYTES, err, TRUNCATED, size, "%llu bytes cannot hold a zip archive",
            (unsigned long long)size);
    TRY(window_at(&r->window, size - length, length, &tail, err));
    for (size_t i = length - END_BYTES + 1; i-- > 0 && fitting == SIZE_MAX;) {
        if (memcmp(tail + i, "PK\5\6", 4) != 0)
            continue;
        if (last == SIZE_MAX)
            last = i;
        if ((size_t)(tail[i + 20] | tail[i + 21] << 8) == length - i - END_BYTES)
            fitting = i;
    }
    FAIL_IF(last == SIZE_MAX, err, TRUNCATED, size,
            "a zip archive without its directory: the file was cut off, or its upload did not end");
    if (fitting == SIZE_MAX) {
        TRY(inspection_note(r->in, r->limits, FINDING_ZIP_TRAILING, (struct slice){0}, err,
                            "the bytes after the archive's end are no part of it"));
        fitting = last;
    } else if (fitting != last) {
        distrust(r);
        TRY(inspection_note(
            r->in, r->limits, FINDING_ZIP_MALFORMED, (struct slice){0}, err,
            "the archive's comment holds another end record: readers disagree about which counts"));
    }
    *ret_offset = size - length + fitting;
    return OK;
}

static enum status
read_end(struct reading *r, uint64_t offset, struct ending *ret_ending, struct err *err)
{
    const uint8_t *bytes;
    struct cursor c;
    uint32_t signature, size32, offset32;
    uint16_t disk, directory_disk, count_here, count;

    TRY(window_at(&r->window, offset, END_BYTES, &bytes, err));
    c = cursor_over(bytes, END_BYTES, offset);
    TRY(cursor_u32(&c, &signature, err));
    TRY(cursor_u16(&c, &disk, err));
    TRY(cursor_u16(&c, &directory_disk, err));
    TRY(cursor_u16(&c, &count_here, err));
    TRY(cursor_u16(&c, &count, err));
    TRY(cursor_u32(&c, &size32, err));
    TRY(cursor_u32(&c, &offset32, err));
    FAIL_IF((disk != 0 && disk != UINT16_MAX) || directory_disk != disk || count_here != count, err,
            UNSUPPORTED, offset, "a zip archive of several disks");
    *ret_ending = (struct ending){
        .offset = offset, .directory_offset = offset32, .directory_bytes = size32, .count = count};
    return OK;
}

/* Where the 32-bit record tells a number itself, the two must agree: readers take either. */
static enum status
compare_endings(struct reading *r, const struct ending *narrow, const struct ending *wide,
                struct err *err)
{
    bool agree = (narrow->count == UINT16_MAX || narrow->count == wide->count) &&
                 (narrow->directory_bytes == UINT32_MAX ||
                  narrow->directory_bytes == wide->directory_bytes) &&
                 (narrow->directory_offset == UINT32_MAX ||
                  narrow->directory_offset == wide->directory_offset);

    if (agree)
        return OK;
    distrust(r);
    TRY(inspection_note(r->in, r->limits, FINDING_ZIP_MALFORMED, (struct slice){0}, err,
                        "the zip64 end record and the short one contradict each other"));
    return OK;
}

/* Take the zip64 record's word where a locator stands right before the end record. */
static enum status
read_end64(struct reading *r, struct ending *e, struct err *err)
{
    const uint8_t *bytes;
    struct cursor c;
    struct ending wide = {0};
    const uint8_t *skipped;
    uint64_t offset, here, count_here;
    uint32_t signature, disk, disks;

    if (e->offset < LOCATOR_BYTES)
        return OK;
    TRY(window_at(&r->window, e->offset - LOCATOR_BYTES, LOCATOR_BYTES, &bytes, err));
    c = cursor_over(bytes, LOCATOR_BYTES, e->offset - LOCATOR_BYTES);
    TRY(cursor_u32(&c, &signature, err));
    if (signature != LOCATOR_SIGNATURE)
        return OK;
    TRY(cursor_u32(&c, &disk, err));
    TRY(cursor_u64(&c, &offset, err));
    TRY(cursor_u32(&c, &disks, err));
    FAIL_IF(disk != 0 || disks > 1, err, UNSUPPORTED, e->offset, "a zip archive of several disks");
    FAIL_IF(offset > e->offset - LOCATOR_BYTES || e->offset - LOCATOR_BYTES - offset < END64_BYTES,
            err, MALFORMED, e->offset - LOCATOR_BYTES, "the zip64 locator points nowhere");

    TRY(window_at(&r->window, offset, END64_BYTES, &bytes, err));
    c = cursor_over(bytes, END64_BYTES, offset);
    TRY(cursor_u32(&c, &signature, err));
    FAIL_IF(signature != END64_SIGNATURE, err, MALFORMED, offset,
            "no zip64 end record where its locator says");
    TRY(cursor_bytes(&c, 12, &skipped, err)); /* the record's own size, versions */
    TRY(cursor_u64(&c, &here, err));          /* the numbers of two disks */
    FAIL_IF(here != 0, err, UNSUPPORTED, offset, "a zip archive of several disks");
    TRY(cursor_u64(&c, &count_here, err));
    TRY(cursor_u64(&c, &wide.count, err));
    TRY(cursor_u64(&c, &wide.directory_bytes, err));
    TRY(cursor_u64(&c, &wide.directory_offset, err));
    FAIL_IF(count_here != wide.count, err, UNSUPPORTED, offset, "a zip archive of several disks");
    wide.offset = offset;
    TRY(compare_endings(r, e, &wide, err));
    *e = wide;
    return OK;
}

static bool
has_signature(struct reading *r, uint64_t offset, uint32_t signature)
{
    const uint8_t *bytes;
    struct cursor c;
    uint32_t found = 0;

    if (window_at(&r->window, offset, 4, &bytes, NULL) != OK)
        return false;
    c = cursor_over(bytes, 4, offset);
    return cursor_u32(&c, &found, NULL) == OK && found == signature;
}

/*
 * Where the directory begins. PyTorch takes the offset as it is told; Python's zipfile assumes that
 * the directory ends at the end record, and moves everything by the difference.
 */
static enum status
place_directory(struct reading *r, struct err *err)
{
    struct ending *e = &r->ending;
    uint64_t end, told = e->directory_offset;

    FAIL_IF(e->count > r->limits->zip_entries, err, LIMIT, e->offset,
            "a zip archive of %llu members; the limit is %zu", (unsigned long long)e->count,
            r->limits->zip_entries);
    FAIL_IF(!num_add(told, e->directory_bytes, &end) || end > e->offset, err, MALFORMED, e->offset,
            "the zip directory would lie outside the file");
    FAIL_IF(e->count > e->directory_bytes / CENTRAL_BYTES, err, MALFORMED, e->offset,
            "a zip directory of %llu bytes cannot hold %llu members",
            (unsigned long long)e->directory_bytes, (unsigned long long)e->count);
    if (end == e->offset)
        return OK;
    distrust(r);
    TRY(inspection_note(
        r->in, r->limits, FINDING_ZIP_PREFIX, (struct slice){0}, err,
        "%llu bytes lie between the zip directory and its end: readers disagree about where the "
        "archive begins",
        (unsigned long long)(e->offset - end)));
    return OK;
}

/* The zip64 extra field holds, in this order, those of the four that are all ones in the entry. */
static enum status
read_extra64(struct cursor extra, uint32_t size32, uint32_t stored32, uint32_t offset32,
             struct zip_member *m, struct err *err)
{
    while (cursor_left(&extra) >= 4) {
        uint16_t id, length;
        const uint8_t *bytes;
        struct cursor field;

        TRY(cursor_u16(&extra, &id, err));
        TRY(cursor_u16(&extra, &length, err));
        TRY(cursor_bytes(&extra, length, &bytes, err));
        if (id != EXTRA_ZIP64)
            continue;
        field = cursor_over(bytes, length, extra.offset - length);
        if (size32 == UINT32_MAX)
            TRY(cursor_u64(&field, &m->size_bytes, err));
        if (stored32 == UINT32_MAX)
            TRY(cursor_u64(&field, &m->stored_bytes, err));
        if (offset32 == UINT32_MAX)
            TRY(cursor_u64(&field, &m->local_offset, err));
        return OK;
    }
    return OK; /* a member of exactly 4 GiB - 1 needs none */
}

/* One entry of the central directory; ret_next is the offset of the one after it. */
static enum status
read_central(struct reading *r, uint64_t at, struct zip_member *m, uint64_t *ret_next,
             struct err *err)
{
    uint64_t end = r->ending.directory_offset + r->ending.directory_bytes;
    const uint8_t *bytes;
    struct cursor c;
    const uint8_t *skipped;
    uint64_t length;
    uint32_t signature, size32, stored32, offset32;
    uint16_t name, extra, comment, disk;

    FAIL_IF(end - at < CENTRAL_BYTES, err, MALFORMED, at, "the zip directory ends early");
    TRY(window_at(&r->window, at, CENTRAL_BYTES, &bytes, err));
    c = cursor_over(bytes, CENTRAL_BYTES, at);
    TRY(cursor_u32(&c, &signature, err));
    FAIL_IF(signature != CENTRAL_SIGNATURE, err, MALFORMED, at, "no zip directory entry here");
    TRY(cursor_bytes(&c, 4, &skipped, err)); /* versions */
    TRY(cursor_u16(&c, &m->flags, err));
    TRY(cursor_u16(&c, &m->method, err));
    TRY(cursor_bytes(&c, 4, &skipped, err)); /* time and date */
    TRY(cursor_u32(&c, &m->crc32, err));
    TRY(cursor_u32(&c, &stored32, err));
    TRY(cursor_u32(&c, &size32, err));
    TRY(cursor_u16(&c, &name, err));
    TRY(cursor_u16(&c, &extra, err));
    TRY(cursor_u16(&c, &comment, err));
    TRY(cursor_u16(&c, &disk, err));
    TRY(cursor_bytes(&c, 6, &skipped, err)); /* attributes */
    TRY(cursor_u32(&c, &offset32, err));
    FAIL_IF(disk != 0 && disk != UINT16_MAX, err, UNSUPPORTED, at,
            "a zip archive of several disks");

    length = (uint64_t)CENTRAL_BYTES + name + extra + comment;
    FAIL_IF(end - at < length, err, MALFORMED, at, "the zip directory ends early");
    TRY(window_at(&r->window, at, (size_t)length, &bytes, err));
    m->size_bytes = size32;
    m->stored_bytes = stored32;
    m->local_offset = offset32;
    TRY(read_extra64(cursor_over(bytes + CENTRAL_BYTES + name, extra, at + CENTRAL_BYTES + name),
                     size32, stored32, offset32, m, err));
    TRY(arena_copy(&r->in->arena, (struct slice){(const char *)bytes + CENTRAL_BYTES, name},
                   &m->name, err));
    *ret_next = at + length;
    return OK;
}

/* Read the entries. A directory that breaks off keeps what came before the break. */
static enum status
read_entries(struct reading *r, struct err *err)
{
    uint64_t at = r->ending.directory_offset;
    uint64_t end = at + r->ending.directory_bytes;

    r->d.members = arena_alloc(&r->in->arena, (size_t)r->ending.count, sizeof *r->d.members);
    if (r->d.members == NULL)
        return arena_fail(&r->in->arena, err);
    for (uint64_t i = 0; i < r->ending.count; i++) {
        struct err broken = {0};
        enum status status = read_central(r, at, &r->d.members[i], &at, &broken);

        if (status == ERR_MALFORMED || status == ERR_TRUNCATED) {
            FAIL_IF(i == 0, err, MALFORMED, broken.offset, "%s", broken.text);
            distrust(r);
            TRY(inspection_note(r->in, r->limits, FINDING_ZIP_MALFORMED, (struct slice){0}, err,
                                "entry %llu of %llu: %s", (unsigned long long)i + 1,
                                (unsigned long long)r->ending.count, broken.text));
            return OK;
        }
        if (status != OK) {
            err_copy(err, &broken);
            return status;
        }
        r->d.count++;
    }
    if (at != end) {
        distrust(r);
        TRY(inspection_note(
            r->in, r->limits, FINDING_ZIP_MALFORMED, (struct slice){0}, err,
            "the zip directory goes on for %llu bytes after the last member it counts",
            (unsigned long long)(end - at)));
    }
    return OK;
}

/* What the local header says besides the place. Writers that know no sizes yet tell 0 and set the
 * descriptor bit; zip64 ones tell all ones. */
static enum status
compare_local(struct reading *r, const struct zip_member *m, uint16_t flags, uint16_t method,
              uint32_t stored32, uint32_t size32, struct err *err)
{
    bool is_told = (flags & FLAG_DESCRIPTOR) == 0 || stored32 != 0 || size32 != 0;

    if (is_told && stored32 != UINT32_MAX && size32 != UINT32_MAX &&
        (stored32 != m->stored_bytes || size32 != m->size_bytes))
        TRY(inspection_note(
            r->in, r->limits, FINDING_ZIP_LOCAL, m->name, err,
            "its local header tells other sizes than the directory, whose word is taken"));
    if (method != m->method)
        TRY(inspection_note(
            r->in, r->limits, FINDING_ZIP_LOCAL, m->name, err,
            "its local header tells another compression than the directory, whose word is taken"));
    return OK;
}

static enum status
reject(struct reading *r, const struct zip_member *m, const char *why, struct err *err)
{
    distrust(r);
    TRY(inspection_note(r->in, r->limits, FINDING_ZIP_MALFORMED, m->name, err, "%s", why));
    return OK;
}

/* Read the local header and the head of the payload. */
static enum status
read_local(struct reading *r, struct zip_member *m, struct err *err)
{
    uint64_t size = r->source->size_bytes, rest;
    const uint8_t *bytes, *skipped;
    struct cursor c;
    uint32_t signature, header_bytes, stored32, size32;
    uint16_t flags, method, name, extra;

    if (m->local_offset > size || size - m->local_offset < LOCAL_BYTES)
        return reject(r, m, "its local header would lie outside the file", err);
    TRY(window_at(&r->window, m->local_offset, LOCAL_BYTES, &bytes, err));
    c = cursor_over(bytes, LOCAL_BYTES, m->local_offset);
    TRY(cursor_u32(&c, &signature, err));
    if (signature != LOCAL_SIGNATURE)
        return reject(r, m, "no local header is where the directory says", err);
    TRY(cursor_bytes(&c, 2, &skipped, err)); /* version needed */
    TRY(cursor_u16(&c, &flags, err));
    TRY(cursor_u16(&c, &method, err));
    TRY(cursor_bytes(&c, 8, &skipped, err)); /* time, date, checksum */
    TRY(cursor_u32(&c, &stored32, err));
    TRY(cursor_u32(&c, &size32, err));
    TRY(cursor_u16(&c, &name, err));
    TRY(cursor_u16(&c, &extra, err));
    header_bytes = (uint32_t)LOCAL_BYTES + name + extra;
    rest = size - m->local_offset;
    if (rest < header_bytes || rest - header_bytes < m->stored_bytes)
        return reject(r, m, "its bytes would lie outside the file", err);
    m->data_offset = m->local_offset + header_bytes;
    m->is_usable = true;

    TRY(compare_local(r, m, flags, method, stored32, size32, err));
    TRY(window_at(&r->window, m->local_offset + LOCAL_BYTES, name, &bytes, err));
    if (!slice_equal(m->name, (struct slice){(const char *)bytes, name}))
        TRY(inspection_note(
            r->in, r->limits, FINDING_ZIP_NAMES, m->name, err,
            "its local header has another name than the directory, whose word is taken"));
    m->head_length =
        m->stored_bytes < ZIP_HEAD_BYTES ? (uint8_t)m->stored_bytes : (uint8_t)ZIP_HEAD_BYTES;
    TRY(window_at(&r->window, m->data_offset, m->head_length, &bytes, err));
    memcpy(m->head, bytes, m->head_length);
    return OK;
}

static enum status
check_member(struct reading *r, struct zip_member *m, struct err *err)
{
    if ((m->flags & FLAGS_ODD) != 0)
        TRY(inspection_note(r->in, r->limits, FINDING_ZIP_FLAGS, m->name, err,
                            "flag bits 0x%x call it encrypted or a patch; it is read as it lies",
                            (unsigned)(m->flags & FLAGS_ODD)));
    if (m->method == ZIP_STORED && m->stored_bytes != m->size_bytes) {
        distrust(r);
        TRY(inspection_note(
            r->in, r->limits, FINDING_ZIP_MALFORMED, m->name, err,
            "a stored member with two sizes, %llu and %llu: readers disagree about its bytes",
            (unsigned long long)m->stored_bytes, (unsigned long long)m->size_bytes));
    }
    if (m->method != ZIP_STORED && m->method != ZIP_DEFLATED)
        TRY(inspection_note(r->in, r->limits, FINDING_ZIP_METHOD, m->name, err,
                            "compression %u is read by no loader", m->method));
    return read_local(r, m, err);
}

/* Small members lie side by side: read their headers at once. ret_behind is the first member behind
 * them. Only this one read is long: headers that lead elsewhere do not each fetch so much. */
static enum status
read_ahead(struct reading *r, size_t first, size_t *ret_behind, struct err *err)
{
    const struct zip_member *m = r->d.members;
    uint64_t size = r->source->size_bytes, start = m[first].local_offset, last = start, length;
    const uint8_t *bytes;
    size_t i = first + 1;

    for (; i < r->d.count; i++) {
        uint64_t at = m[i].local_offset;

        if (at < last || at - last > LOCAL_NEAR || at - start > LOCAL_AHEAD_MAX - LOCAL_AHEAD)
            break;
        last = at;
    }
    *ret_behind = i;
    r->window.ahead = LOCAL_AHEAD;
    if (start >= size)
        return OK; /* which read_local tells */
    length = last - start + LOCAL_AHEAD;
    return window_at(&r->window, start, (size_t)(length < size - start ? length : size - start),
                     &bytes, err);
}

enum status
zip_directory_read(const struct source *source, const struct limits *limits, struct inspection *in,
                   struct zip_directory *ret_directory, struct err *err)
{
    CLEANUP(reading_done)
    struct reading r = {.source = source,
                        .limits = limits,
                        .in = in,
                        .d = {.source = source},
                        .window = window_over(source, DIRECTORY_AHEAD)};
    uint64_t end_offset = 0;

    TRY(find_end(&r, &end_offset, err));
    TRY(read_end(&r, end_offset, &r.ending, err));
    TRY(read_end64(&r, &r.ending, err));
    TRY(place_directory(&r, err));
    FAIL_IF(r.ending.count == 0, err, MALFORMED, r.ending.offset, "an empty zip archive");
    FAIL_IF(!has_signature(&r, r.ending.directory_offset, CENTRAL_SIGNATURE), err, MALFORMED,
            r.ending.directory_offset, "no zip directory where the end record says");
    TRY(read_entries(&r, err));
    r.d.offset = r.ending.directory_offset;

    for (size_t i = 0, known = 0; i < r.d.count; i++) {
        if (i >= known)
            TRY(read_ahead(&r, i, &known, err));
        TRY(check_member(&r, &r.d.members[i], err));
    }
    TRY(zip_audit(&r.d, limits, in, err));
    *ret_directory = r.d;
    return OK;
}

const struct zip_member *
zip_directory_find(const struct zip_directory *d, struct slice name)
{
    return zip_audit_find(d, name);
}
