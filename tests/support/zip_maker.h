#pragma once
/*
 * Makes zip archives for tests, right ones and wrong ones: every field that a hostile writer would
 * falsify can be given. Stored members, or whatever bytes a method is said to have.
 */
#include <string.h>

#include "common/base/buf.h"

enum { ZIP_MADE_MAX = 8 };

struct made_member {
    const char *name;
    const char *bytes;
    size_t length;          /* 0: of the text in bytes */
    const char *local_name; /* NULL: name */
    uint16_t method;
    uint16_t flags;
    uint32_t crc32;
    int64_t told_size;   /* 0: length, both in the directory; else the inflated size told there */
    uint32_t local_size; /* told in the local header only, where it is not 0 */
    int64_t shift;       /* added to the local header's offset in the directory */
};

struct made_end {
    int count_shift;      /* added to the count of members */
    int64_t offset_shift; /* added to the directory's offset */
    const char *comment;
    const char *trailing; /* after the archive */
};

static inline void
made_le16(struct buf *b, unsigned value)
{
    buf_le8(b, (uint8_t)value);
    buf_le8(b, (uint8_t)(value >> 8));
}

static inline size_t
made_length(const struct made_member *m)
{
    return m->length != 0 ? m->length : m->bytes != NULL ? strlen(m->bytes) : 0;
}

static inline void
made_local(struct buf *b, const struct made_member *m)
{
    const char *name = m->local_name != NULL ? m->local_name : m->name;

    buf_add(b, "PK\3\4", 4);
    made_le16(b, 20);
    made_le16(b, m->flags);
    made_le16(b, m->method);
    buf_le32(b, 0);
    buf_le32(b, m->crc32);
    buf_le32(b, m->local_size != 0 ? m->local_size : (uint32_t)made_length(m));
    buf_le32(b, m->local_size != 0
                    ? m->local_size
                    : (uint32_t)(m->told_size != 0 ? m->told_size : (int64_t)made_length(m)));
    made_le16(b, (unsigned)strlen(name));
    made_le16(b, 0);
    buf_text(b, name);
    buf_add(b, m->bytes, made_length(m));
}

static inline void
made_central(struct buf *b, const struct made_member *m, uint64_t offset)
{
    buf_add(b, "PK\1\2", 4);
    made_le16(b, 20);
    made_le16(b, 20);
    made_le16(b, m->flags);
    made_le16(b, m->method);
    buf_le32(b, 0);
    buf_le32(b, m->crc32);
    buf_le32(b, (uint32_t)made_length(m));
    buf_le32(b, (uint32_t)(m->told_size != 0 ? m->told_size : (int64_t)made_length(m)));
    made_le16(b, (unsigned)strlen(m->name));
    for (int i = 0; i < 4; i++)
        made_le16(b, 0); /* extra, comment, disk, attributes */
    buf_le32(b, 0);
    buf_le32(b, (uint32_t)((int64_t)offset + m->shift));
    buf_text(b, m->name);
}

/* Append the archive to b. */
static inline void
made_zip(struct buf *b, const struct made_member *members, size_t count, struct made_end end)
{
    uint64_t offsets[ZIP_MADE_MAX] = {0};
    size_t directory;

    for (size_t i = 0; i < count; i++) {
        offsets[i] = b->length;
        made_local(b, &members[i]);
    }
    directory = b->length;
    for (size_t i = 0; i < count; i++)
        made_central(b, &members[i], offsets[i]);
    size_t bytes = b->length - directory;

    buf_add(b, "PK\5\6", 4);
    buf_le32(b, 0);
    made_le16(b, (unsigned)((int)count + end.count_shift));
    made_le16(b, (unsigned)((int)count + end.count_shift));
    buf_le32(b, (uint32_t)bytes);
    buf_le32(b, (uint32_t)((int64_t)directory + end.offset_shift));
    made_le16(b, end.comment != NULL ? (unsigned)strlen(end.comment) : 0);
    buf_text(b, end.comment != NULL ? end.comment : "");
    buf_text(b, end.trailing != NULL ? end.trailing : "");
}
