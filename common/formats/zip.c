#include "common/formats/zip.h"

#include <string.h>
#include <zip.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

/*
 * What libzip is shown: a local header, the member's compressed bytes out of the source, a directory
 * of that one entry, and the end record. The entry's name is "m"; it has no extra fields.
 */
enum {
    LOCAL_BYTES = 30 + 1,
    CENTRAL_BYTES = 46 + 1,
    END_BYTES = 22,
    CRC_FEW_BYTES = 256,
    START_SLACK = 1 << 10,  /* compressed bytes beyond the inflated ones that a start may take */
    STORED_SLACK = 4 << 10, /* and that a whole member may take: no writer needs them */
    PIECE_BYTES = 256, /* asked of libzip at once: of the piece with the damage it gives nothing */
};

struct shown {
    const struct source *source;
    const struct zip_member *member;
    uint8_t local[LOCAL_BYTES];
    uint8_t ending[CENTRAL_BYTES + END_BYTES];
    uint64_t at;
    zip_error_t error;
};

void
zip_payload_done(struct zip_payload *p)
{
    mem_free(p->bytes);
    *p = (struct zip_payload){0};
}

static void
put16(uint8_t **at, unsigned value)
{
    *(*at)++ = (uint8_t)value;
    *(*at)++ = (uint8_t)(value >> 8);
}

static void
put32(uint8_t **at, uint64_t value)
{
    put16(at, (unsigned)(value & 0xffff));
    put16(at, (unsigned)(value >> 16 & 0xffff));
}

/* The fields from "version needed" to "name length", which both headers have. */
static void
put_shared(uint8_t **at, const struct zip_member *m)
{
    put16(at, 20); /* version needed: deflate */
    put16(at, 0);  /* flags: the sizes are told, nothing is encrypted */
    put16(at, ZIP_DEFLATED);
    put32(at, 0x00210000); /* 1980-01-01 */
    put32(at, m->crc32);
    put32(at, m->stored_bytes);
    put32(at, m->size_bytes);
    put16(at, 1); /* name length */
    put16(at, 0); /* extra length */
}

static void
make_frame(struct shown *s)
{
    uint8_t *at = s->local;

    put32(&at, 0x04034b50);
    put_shared(&at, s->member);
    *at = 'm';

    at = s->ending;
    put32(&at, 0x02014b50);
    put16(&at, 20); /* version made by */
    put_shared(&at, s->member);
    put16(&at, 0); /* comment length */
    put16(&at, 0); /* disk */
    put16(&at, 0); /* attributes */
    put32(&at, 0);
    put32(&at, 0); /* local header's offset */
    *at++ = 'm';

    put32(&at, 0x06054b50);
    put32(&at, 0); /* disks */
    put16(&at, 1); /* entries here, and in all */
    put16(&at, 1);
    put32(&at, CENTRAL_BYTES);
    put32(&at, LOCAL_BYTES + s->member->stored_bytes);
    put16(&at, 0); /* comment length */
}

static uint64_t
shown_bytes(const struct shown *s)
{
    return LOCAL_BYTES + s->member->stored_bytes + sizeof s->ending;
}

/* Copy what lies at s->at, up to the end of the part it is in. -1 where the source fails. */
static zip_int64_t
read_some(struct shown *s, void *buffer, uint64_t length)
{
    uint64_t middle = LOCAL_BYTES + s->member->stored_bytes;
    uint64_t end = s->at < LOCAL_BYTES ? LOCAL_BYTES : s->at < middle ? middle : shown_bytes(s);
    uint64_t n = end - s->at < length ? end - s->at : length;

    if (s->at < LOCAL_BYTES)
        memcpy(buffer, s->local + s->at, (size_t)n);
    else if (s->at >= middle)
        memcpy(buffer, s->ending + (s->at - middle), (size_t)n);
    else if (source_read(s->source, s->member->data_offset + (s->at - LOCAL_BYTES), buffer,
                         (size_t)n, NULL) != OK) {
        zip_error_set(&s->error, ZIP_ER_READ, 0);
        return -1;
    }
    s->at += n;
    return (zip_int64_t)n;
}

static zip_int64_t
read_all(struct shown *s, void *buffer, uint64_t length)
{
    uint64_t done = 0;

    while (done < length && s->at < shown_bytes(s)) {
        zip_int64_t n = read_some(s, (char *)buffer + done, length - done);

        if (n < 0)
            return n;
        done += (uint64_t)n;
    }
    return (zip_int64_t)done;
}

static zip_int64_t
seek(struct shown *s, void *data, uint64_t length)
{
    zip_int64_t at = zip_source_seek_compute_offset(s->at, shown_bytes(s), data, length, &s->error);

    if (at < 0)
        return -1;
    s->at = (uint64_t)at;
    return 0;
}

/* libzip asks; see zip_source_function(3). */
static zip_int64_t
answer(void *context, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    struct shown *s = context;
    zip_stat_t *stat = data;

    switch (command) {
    case ZIP_SOURCE_OPEN:
        s->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return read_all(s, data, length);
    case ZIP_SOURCE_SEEK:
        return seek(s, data, length);
    case ZIP_SOURCE_TELL:
        return (zip_int64_t)s->at;
    case ZIP_SOURCE_STAT:
        zip_stat_init(stat);
        stat->valid = ZIP_STAT_SIZE;
        stat->size = shown_bytes(s);
        return sizeof *stat;
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&s->error, data, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE: /* it is the caller's */
        return 0;
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_SEEKABLE;
    default:
        zip_error_set(&s->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

static void
discard(zip_t **archive)
{
    if (*archive != NULL)
        zip_discard(*archive);
}

static void
close_file(zip_file_t **file)
{
    if (*file != NULL)
        (void)zip_fclose(*file);
}

/* Inflate up to cap bytes of m into bytes. A checksum that is wrong is told by libzip only after all
 * bytes were given; of a stream that breaks off, what came before the piece with the break is. */
static enum status
inflate_member(const struct source *source, const struct zip_member *m, char *bytes, uint64_t cap,
               size_t *ret_length, struct err *err)
{
    struct shown shown = {.source = source, .member = m};
    CLEANUP(discard) zip_t *archive = NULL;
    CLEANUP(close_file) zip_file_t *file = NULL;
    zip_source_t *from;
    uint64_t length = 0;

    FAIL_IF(m->stored_bytes > UINT32_MAX / 2 || m->size_bytes >= UINT32_MAX, err, LIMIT,
            m->data_offset, "%.*s is too large to be inflated", SLICE_PRINT(m->name));
    make_frame(&shown);
    zip_error_init(&shown.error);
    from = zip_source_function_create(answer, &shown, NULL);
    FAIL_IF(from == NULL, err, NO_MEMORY, 0, "out of memory");
    archive = zip_open_from_source(from, ZIP_RDONLY, NULL);
    if (archive == NULL)
        zip_source_free(from);
    FAIL_IF(archive == NULL, err, NO_MEMORY, m->data_offset, "libzip cannot begin to inflate %.*s",
            SLICE_PRINT(m->name));
    file = zip_fopen_index(archive, 0, 0);
    FAIL_IF(file == NULL, err, NO_MEMORY, m->data_offset, "libzip cannot begin to inflate %.*s",
            SLICE_PRINT(m->name));
    while (length < cap) {
        uint64_t room = cap - length;
        zip_int64_t n = zip_fread(file, bytes + length, room < PIECE_BYTES ? room : PIECE_BYTES);

        if (n <= 0)
            break;
        length += (uint64_t)n;
    }
    *ret_length = (size_t)length;
    return OK;
}

/* table[k][b]: what byte b does to the checksum once k more bytes have gone by. */
struct crc_table {
    uint32_t rows[8][256];
};

static void
make_crc_table(struct crc_table *table)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
        table->rows[0][b] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (uint32_t b = 0; b < 256; b++) {
            uint32_t crc = table->rows[k - 1][b];

            table->rows[k][b] = crc >> 8 ^ table->rows[0][crc & 0xff];
        }
    }
}

static uint32_t
word_at(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Of a few bytes, for which a table is not worth its making. */
static uint32_t
crc32_of_few(const uint8_t *at, size_t length)
{
    uint32_t crc = UINT32_MAX;

    for (; length > 0; at++, length--) {
        crc ^= *at;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* CRC-32 as zip has it (APPNOTE.TXT 4.4.7), eight bytes at a time. */
static uint32_t
crc32_of(const char *bytes, size_t length)
{
    const uint8_t *at = (const uint8_t *)bytes;
    struct crc_table t;
    uint32_t crc = UINT32_MAX;

    if (length <= CRC_FEW_BYTES)
        return crc32_of_few(at, length);
    make_crc_table(&t);
    for (; length >= 8; at += 8, length -= 8) {
        uint32_t low = crc ^ word_at(at), high = word_at(at + 4);

        crc = t.rows[7][low & 0xff] ^ t.rows[6][low >> 8 & 0xff] ^ t.rows[5][low >> 16 & 0xff] ^
              t.rows[4][low >> 24] ^ t.rows[3][high & 0xff] ^ t.rows[2][high >> 8 & 0xff] ^
              t.rows[1][high >> 16 & 0xff] ^ t.rows[0][high >> 24];
    }
    for (; length > 0; at++, length--)
        crc = crc >> 8 ^ t.rows[0][(crc ^ *at) & 0xff];
    return ~crc;
}

enum status
zip_payload_read(const struct zip_directory *d, const struct zip_member *m, size_t cap_bytes,
                 const struct limits *limits, struct zip_payload *ret_payload, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload p = {0};
    uint64_t size = m->method == ZIP_STORED ? m->stored_bytes : m->size_bytes;

    FAIL_IF(!m->is_usable, err, MALFORMED, m->local_offset, "%.*s lies outside the file",
            SLICE_PRINT(m->name));
    FAIL_IF(m->method != ZIP_STORED && m->method != ZIP_DEFLATED, err, UNSUPPORTED, m->data_offset,
            "%.*s has compression %u", SLICE_PRINT(m->name), m->method);
    FAIL_IF(size > cap_bytes, err, LIMIT, m->data_offset, "%.*s is %llu bytes; the limit is %zu",
            SLICE_PRINT(m->name), (unsigned long long)size, cap_bytes);
    FAIL_IF(m->method == ZIP_DEFLATED && size / limits->zip_ratio > m->stored_bytes, err, LIMIT,
            m->data_offset, "%.*s inflates to more than %zu times its size", SLICE_PRINT(m->name),
            limits->zip_ratio);

    /* Empty blocks without end take time, and give nothing that a budget would count. */
    FAIL_IF(m->method == ZIP_DEFLATED && m->stored_bytes > STORED_SLACK &&
                m->stored_bytes - STORED_SLACK > size + size / 8,
            err, MALFORMED, m->data_offset, "%.*s has %llu compressed bytes for %llu",
            SLICE_PRINT(m->name), (unsigned long long)m->stored_bytes, (unsigned long long)size);

    p.cost_bytes = size > m->stored_bytes ? size : m->stored_bytes;
    p.bytes = mem_new((size_t)size + 1, 1);
    FAIL_IF(p.bytes == NULL, err, NO_MEMORY, 0, "out of memory");
    if (m->method == ZIP_STORED) {
        TRY(source_read(d->source, m->data_offset, p.bytes, (size_t)size, err));
        p.length = (size_t)size;
        p.is_whole = true;
    } else {
        /* The byte of room shows a stream that goes on; then it becomes the terminator. */
        TRY(inflate_member(d->source, m, p.bytes, size + 1, &p.length, err));
        p.is_whole = p.length == size;
        p.length = p.length > size ? (size_t)size : p.length;
        p.bytes[p.length] = '\0';
    }
    p.is_crc_right = crc32_of(p.bytes, p.length) == m->crc32;
    *ret_payload = p;
    p = (struct zip_payload){0};
    return OK;
}

enum status
zip_payload_start(const struct zip_directory *d, const struct zip_member *m, uint8_t *bytes,
                  size_t room, size_t *ret_length, struct err *err)
{
    struct zip_member start = *m;
    struct err problem = {0};
    enum status status;

    *ret_length = 0;
    if (!m->is_usable || (m->method != ZIP_STORED && m->method != ZIP_DEFLATED))
        return OK;
    if (room > m->size_bytes)
        room = (size_t)m->size_bytes;
    if (m->method == ZIP_STORED) {
        if (room > m->stored_bytes)
            room = (size_t)m->stored_bytes;
        TRY(source_read(d->source, m->data_offset, bytes, room, err));
        *ret_length = room;
        return OK;
    }
    /* libzip is shown a stream that breaks off behind what is wanted: it never sees how long the
     * member is, and need not be able to count it. */
    if (start.stored_bytes > room + START_SLACK)
        start.stored_bytes = room + START_SLACK;
    if (start.size_bytes > UINT32_MAX / 2)
        start.size_bytes = UINT32_MAX / 2;
    status = inflate_member(d->source, &start, (char *)bytes, room, ret_length, &problem);
    if (status == ERR_NO_MEMORY)
        err_copy(err, &problem);
    return status == ERR_NO_MEMORY ? status : OK;
}

enum status
zip_payload_head(const struct zip_directory *d, const struct zip_member *m, uint8_t *head,
                 size_t *ret_length, struct err *err)
{
    if (m->method == ZIP_STORED) {
        memcpy(head, m->head, m->head_length);
        *ret_length = m->head_length;
        return OK;
    }
    return zip_payload_start(d, m, head, ZIP_HEAD_BYTES, ret_length, err);
}
