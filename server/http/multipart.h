#pragma once
/*
 * multipart/form-data (RFC 7578, RFC 2046 §5.1), read as it comes: pieces of any size go in, events
 * come out, and nothing of a part's content is kept. Pure. Stricter than the RFCs where readers would
 * disagree: a part has exactly one Content-Disposition with a name, a boundary is followed by its
 * line's end or by "--", nothing is encoded for transfer.
 *
 *     while (piece.length > 0) {
 *         TRY(multipart_next(&m, &piece, &event, &data, err));
 *         switch (event) …
 *     }
 *     …
 *     TRY(multipart_finish(&m, err));
 *
 * Errors are ERR_BAD_REQUEST, ERR_MEDIA_TYPE, ERR_LIMIT or ERR_NO_MEMORY; offset is the body's byte.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum { MULTIPART_BOUNDARY_MAX = 70 }; /* RFC 2046 §5.1.1 */

enum multipart_event {
    MULTIPART_NEED, /* the piece is used up: give the next */
    MULTIPART_PART, /* a part begins: m->part */
    MULTIPART_DATA, /* bytes of it, until the next call */
    MULTIPART_PART_END,
    MULTIPART_END, /* of the last part; what follows is ignored */
};

struct multipart_part {
    struct slice name;
    struct slice filename;   /* at == NULL: none was given */
    struct slice media_type; /* the same */
};

struct multipart {
    struct multipart_part part;                 /* in head: until the next part begins */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX]; /* CR LF "--" boundary */
    size_t delimiter_length;
    size_t matched; /* bytes of it, at the end of what was given */
    int state;
    struct buf head; /* of a part */
    size_t parts, parts_max;
    uint64_t offset; /* in the body */
};

/* content_type is the request's header. ERR_MEDIA_TYPE where it is another type. */
enum status multipart_init(struct multipart *m, struct slice content_type, size_t parts_max,
                           struct err *err) MUST_CHECK;
void multipart_done(struct multipart *m);

/* Take some of the piece (its beginning is cut off) and tell what that was. */
enum status multipart_next(struct multipart *m, struct slice *piece,
                           enum multipart_event *ret_event, struct slice *ret_data,
                           struct err *err) MUST_CHECK;

/* The body was given whole: it must have ended with its last boundary. */
enum status multipart_finish(const struct multipart *m, struct err *err) MUST_CHECK;
