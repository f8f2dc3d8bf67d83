#include "server/http/reply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

/* Of headers, and of a problem's members, which may be lists. */
enum { HEADERS_BYTES_MAX = 4 << 20, HEADER_BYTES_MAX = 8 * 1024 };

/* Let go of the body made so far; headers and members stay. */
static void
drop_body(struct reply *r)
{
    mem_free(r->owned);
    if (r->release != NULL)
        r->release(r->context);
    if (r->kind == REPLY_FILE)
        (void)close(r->fd);
    if (r->kind == REPLY_PRODUCED && r->producer->free != NULL)
        r->producer->free(r->context);
    r->owned = NULL;
    r->release = NULL;
    r->context = NULL;
    r->producer = NULL;
    r->bytes = (struct slice){0};
    r->media_type = NULL;
    r->kind = REPLY_EMPTY;
}

void
reply_done(struct reply *r)
{
    if (r == NULL)
        return;
    drop_body(r);
    arena_done(&r->arena);
    *r = (struct reply){0};
}

/* The first failure stays. */
static void
remember(struct reply *r, enum status status)
{
    if (r->failed == OK)
        r->failed = status;
}

static struct arena *
arena_of(struct reply *r)
{
    if (r->arena.cap_bytes == 0)
        r->arena = arena_with_cap(HEADERS_BYTES_MAX);
    return &r->arena;
}

/* A response must not be split by what a value carries. */
static void
disarm(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';
}

void
reply_header(struct reply *r, const char *name, const char *format, ...)
{
    CLEANUP(buf_done) struct buf value = buf_with_cap(HEADER_BYTES_MAX);
    struct slice copy;
    char text[256];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text) { /* rare: a Link or a long file name */
        char *large = mem_new((size_t)length + 1, 1);

        if (large != NULL) {
            va_start(arguments, format);
            (void)vsnprintf(large, (size_t)length + 1, format, arguments);
            va_end(arguments);
            buf_add(&value, large, (size_t)length);
        }
        mem_free(large);
    } else if (length >= 0)
        buf_add(&value, text, (size_t)length);
    if (length < 0 || buf_check(&value, NULL) != OK || r->header_count == REPLY_HEADERS_MAX) {
        remember(r, ERR_INTERNAL);
        return;
    }
    if (value.bytes != NULL)
        disarm(value.bytes, value.length);
    if (arena_copy(arena_of(r), buf_slice_of(&value), &copy, NULL) != OK) {
        remember(r, ERR_NO_MEMORY);
        return;
    }
    r->headers[r->header_count++] = (struct reply_header){.name = name, .value = copy.at};
}

void
reply_empty(struct reply *r, int status)
{
    drop_body(r);
    r->status = status;
}

static void
begin_body(struct reply *r, int status, const char *media_type, enum reply_kind kind)
{
    drop_body(r);
    r->status = status;
    r->kind = kind;
    r->media_type = media_type;
}

void
reply_bytes(struct reply *r, int status, const char *media_type, struct buf *body)
{
    enum status failed = buf_check(body, NULL);
    struct slice bytes = buf_slice_of(body);

    begin_body(r, status, media_type, REPLY_OWNED);
    if (failed != OK)
        remember(r, failed);
    r->owned = buf_take(body);
    r->bytes = (struct slice){.at = r->owned, .length = r->owned == NULL ? 0 : bytes.length};
}

void
reply_json(struct reply *r, int status, struct buf *body)
{
    reply_bytes(r, status, "application/json", body);
}

void
reply_static(struct reply *r, int status, const char *media_type, struct slice bytes)
{
    begin_body(r, status, media_type, REPLY_BORROWED);
    r->bytes = bytes;
}

void
reply_shared(struct reply *r, int status, const char *media_type, struct slice bytes,
             void (*release)(void *context), void *context)
{
    begin_body(r, status, media_type, REPLY_BORROWED);
    r->bytes = bytes;
    r->release = release;
    r->context = context;
}

void
reply_file(struct reply *r, const char *media_type, int fd, uint64_t offset, uint64_t length)
{
    begin_body(r, 200, media_type, REPLY_FILE);
    r->fd = fd;
    r->offset = offset;
    r->length = length;
}

void
reply_produced(struct reply *r, int status, const char *media_type, const struct producer *producer,
               void *context, uint64_t length)
{
    begin_body(r, status, media_type, REPLY_PRODUCED);
    r->producer = producer;
    r->context = context;
    r->length = length;
}

void
reply_etag(struct reply *r, struct slice etag)
{
    struct slice quoted;

    if (arena_printf(arena_of(r), &quoted, NULL, "\"%.*s\"", SLICE_PRINT(etag)) != OK)
        remember(r, ERR_NO_MEMORY);
    else
        r->etag = quoted.at;
}

void
reply_wake_key(struct reply *r, struct slice key)
{
    if (arena_copy(arena_of(r), key, &r->key, NULL) != OK)
        remember(r, ERR_NO_MEMORY);
}

void
reply_park(struct reply *r, struct slice key, uint64_t wait_ms)
{
    drop_body(r);
    r->kind = REPLY_PARKED;
    r->wait_ms = wait_ms;
    reply_wake_key(r, key);
}

void
reply_member(struct reply *r, const char *name, struct slice json)
{
    struct slice copy;

    if (r->member_count == REPLY_MEMBERS_MAX || arena_copy(arena_of(r), json, &copy, NULL) != OK) {
        remember(r, ERR_NO_MEMORY);
        return;
    }
    r->members[r->member_count].name = name;
    r->members[r->member_count++].json = copy;
}

void
reply_member_u64(struct reply *r, const char *name, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    reply_member(r, name, slice_of(text));
}
