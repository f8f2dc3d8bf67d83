#pragma once
/*
 * A reply as a handler makes it. It cannot fail visibly: what went wrong (no memory, too many
 * headers) is remembered and becomes a 503 when it is sent. Ranges, conditions, HEAD, request ids,
 * problem+json and Date are not the handler's business: http/ does them for all.
 *
 * A handler that returns an error need not touch the reply: the error becomes problem+json with the
 * table's status. Headers and problem members that it set by then are sent with it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum { REPLY_HEADERS_MAX = 32, REPLY_MEMBERS_MAX = 16 };
#define REPLY_LENGTH_UNKNOWN UINT64_MAX

/*
 * A body made while it is sent. All calls come from workers of the route's pool, one after the
 * other; no worker is held while the client is slow.
 */
enum produced {
    PRODUCED_MORE, /* some bytes; ask again */
    PRODUCED_END,  /* some or no bytes; that was all */
    PRODUCED_WAIT, /* some or no bytes; ask again once key is signalled, or after a second */
};
struct producer {
    /* Put up to room bytes into buffer. A failure cuts the connection: the client sees that the body
     * is not whole. */
    enum status (*read)(void *context, char *buffer, size_t room, size_t *ret_length,
                        enum produced *ret_produced, struct err *err);
    /* Begin at this offset instead of 0; NULL: ranges are not offered. Called before any read. */
    enum status (*seek)(void *context, uint64_t offset, struct err *err);
    void (*free)(void *context); /* once, at the end, on any thread; may be NULL */
};

enum reply_kind {
    REPLY_EMPTY,
    REPLY_OWNED,    /* bytes, freed when sent */
    REPLY_BORROWED, /* bytes that outlive the daemon, or are released by a call */
    REPLY_FILE,     /* a part of a descriptor */
    REPLY_PRODUCED,
    REPLY_PARKED, /* no reply yet */
};

struct reply_header {
    const char *name;
    const char *value;
};

struct reply {
    int status; /* 0: none was made */
    enum reply_kind kind;
    enum status failed;
    struct arena arena; /* of the headers */
    struct reply_header headers[REPLY_HEADERS_MAX];
    size_t header_count;
    struct {
        const char *name;
        struct slice json;
    } members[REPLY_MEMBERS_MAX];
    size_t member_count;

    const char *media_type; /* NULL: none, or the handler set Content-Type as a header */
    const char *etag;       /* quoted, or NULL */
    struct slice bytes;
    char *owned;
    void (*release)(void *context);
    int fd;
    uint64_t offset;
    uint64_t length;
    const struct producer *producer;
    void *context;

    struct slice key; /* of REPLY_PARKED and of a producer's wait */
    uint64_t wait_ms;
};

/* Frees everything that was not sent. */
void reply_done(struct reply *r);

/* A header; control characters in the value become spaces. The same name may be given again. */
void reply_header(struct reply *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* media_type below is a text that lives for ever. */

/* No body: 204, 304, a 3xx with Location. */
void reply_empty(struct reply *r, int status);

/* The buffer's bytes; the buffer becomes empty. Its failure becomes the reply's. */
void reply_bytes(struct reply *r, int status, const char *media_type, struct buf *body);
void reply_json(struct reply *r, int status, struct buf *body);

/* Bytes that live for ever: assets, constants. */
void reply_static(struct reply *r, int status, const char *media_type, struct slice bytes);

/* Bytes that are shared (a cache's): release(context) is called when they are no longer needed, on
 * any thread, also if the reply is never sent. */
void reply_shared(struct reply *r, int status, const char *media_type, struct slice bytes,
                  void (*release)(void *context), void *context);

/* length bytes of fd from offset; fd is closed by the reply. */
void reply_file(struct reply *r, const char *media_type, int fd, uint64_t offset, uint64_t length);

/* context is the reply's, and freed by producer->free. */
void reply_produced(struct reply *r, int status, const char *media_type,
                    const struct producer *producer, void *context, uint64_t length);

/* The representation's ETag, without quotes. A GET is then answered 304, 412 or 206 as its headers
 * say; without an ETag, If-Range never matches. */
void reply_etag(struct reply *r, struct slice etag);

/* For a producer that may say PRODUCED_WAIT: what wakes it. */
void reply_wake_key(struct reply *r, struct slice key);

/*
 * No reply yet: call this handler again once key is signalled (httpd_signal) or after wait_ms, with
 * wakeups counted and is_wait_over telling which. No worker is held meanwhile. A signal that came
 * while the handler ran is not lost: it is called again at once. It may come back for nothing.
 */
void reply_park(struct reply *r, struct slice key, uint64_t wait_ms);

/* A member of the problem+json that the error will become: its value as JSON text. */
void reply_member(struct reply *r, const char *name, struct slice json);
void reply_member_u64(struct reply *r, const char *name, uint64_t value);
