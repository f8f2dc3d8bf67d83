/*
 * gzip (RFC 1952): members, one after the other, each
 *
 *     1f 8b 08 flags … | deflated bytes | CRC-32, u32 | length modulo 2^32, u32
 *
 * zlib reads the members; here is what makes a source of them: points to begin again from, and limits.
 * As gzip(1) and Python do, zero bytes after the last member are padding.
 */
#include "common/formats/gzip.h"

#include <zlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

enum {
    PIECE_BYTES = 1 << 16,
    POINTS_MAX = 380,       /* zlib's state takes some 40 KiB: 16 MiB in all */
    SPAN_BYTES = 1 << 20,   /* between points, at first */
    RATIO_BYTES = 16 << 20, /* no bomb below this size */
    GZIP_WINDOW = 15 + 16,  /* zlib: the largest window, gzip's header and trailer */
};

/* A state of zlib's, and where it stands. */
struct point {
    z_stream z;
    uint64_t packed; /* of the next byte to be read */
    uint64_t at;     /* of the next byte to be given */
    bool is_open;    /* z is to be ended */
};

struct gzip {
    struct source packed;
    const struct limits *limits;
    struct gzip_state state;
    uint64_t size_bytes;
    uint64_t work_left;
    struct point *points[POINTS_MAX]; /* ascending, the first at 0 */
    size_t point_count;
    uint64_t span;
    struct point now;
    bool is_ended; /* nothing comes after now */
    uint8_t in[PIECE_BYTES];
    uint8_t waste[PIECE_BYTES];
};

static voidpf
allocate(voidpf context, uInt count, uInt size)
{
    (void)context;
    return mem_new(count, size);
}

static void
release(voidpf context, voidpf block)
{
    (void)context;
    mem_free(block);
}

static void
point_done(struct point *p)
{
    if (p->is_open)
        (void)inflateEnd(&p->z);
    p->is_open = false;
}

static void
point_free(struct point *p)
{
    if (p != NULL)
        point_done(p);
    mem_free(p);
}

void
gzip_close_at(struct gzip **gzip)
{
    struct gzip *g = *gzip;

    if (g == NULL)
        return;
    for (size_t i = 0; i < g->point_count; i++)
        point_free(g->points[i]);
    point_done(&g->now);
    mem_free(g);
    *gzip = NULL;
}

static enum status
copy_point(struct point *to, struct point *from, struct err *err)
{
    point_done(to);
    to->packed = from->packed;
    to->at = from->at;
    FAIL_IF(inflateCopy(&to->z, &from->z) != Z_OK, err, NO_MEMORY, 0, "out of memory");
    to->is_open = true;
    to->z.avail_in = 0; /* to be read again, from packed on */
    return OK;
}

/* ---- forward ---- */

static enum status
refill(struct gzip *g, bool *ret_is_end, struct err *err)
{
    uint64_t left = g->packed.size_bytes - g->now.packed;
    size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

    *ret_is_end = n == 0;
    TRY(source_read(&g->packed, g->now.packed, g->in, n, err));
    g->now.z.next_in = g->in;
    g->now.z.avail_in = (uInt)n;
    return OK;
}

/* After a member: another, padding, the end, or something else. */
static enum status
next_member(struct gzip *g, struct err *err)
{
    uint64_t left = g->packed.size_bytes - g->now.packed;
    bool is_end, is_padding = left <= PIECE_BYTES;

    TRY(refill(g, &is_end, err));
    if (gzip_is(g->in, g->now.z.avail_in)) {
        FAIL_IF(inflateReset(&g->now.z) != Z_OK, err, INTERNAL, 0, "zlib's state is not one");
        return OK;
    }
    g->is_ended = true;
    for (size_t i = 0; i < g->now.z.avail_in; i++)
        is_padding = is_padding && g->in[i] == 0;
    g->state.tail_bytes = is_padding ? 0 : left;
    return OK;
}

/* zlib tells a wrong trailer apart from wrong bytes by its message alone. */
static bool
is_wrong_check(const char *message)
{
    return message != NULL && (strcmp(message, "incorrect data check") == 0 ||
                               strcmp(message, "incorrect length check") == 0);
}

static enum status
take_code(struct gzip *g, int code, struct err *err)
{
    if (code == Z_STREAM_END)
        return next_member(g, err);
    FAIL_IF(code == Z_MEM_ERROR, err, NO_MEMORY, 0, "out of memory");
    if (code == Z_OK || code == Z_BUF_ERROR)
        return OK;
    g->is_ended = true;
    g->state.is_check_wrong = is_wrong_check(g->now.z.msg);
    g->state.is_cut = !g->state.is_check_wrong;
    return OK;
}

/* Up to n bytes from now on; fewer only at the end. */
static enum status
inflate_on(struct gzip *g, uint8_t *to, size_t n, size_t *ret_got, struct err *err)
{
    z_stream *z = &g->now.z;
    uint64_t packed = g->now.packed, work;

    z->next_out = to;
    z->avail_out = (uInt)n;
    while (z->avail_out > 0 && !g->is_ended) {
        uInt before;
        int code;

        if (z->avail_in == 0)
            TRY(refill(g, &g->is_ended, err));
        if (g->is_ended) {
            g->state.is_cut = true;
            break;
        }
        before = z->avail_in;
        code = inflate(z, Z_NO_FLUSH);
        g->now.packed += before - z->avail_in;
        TRY(take_code(g, code, err));
    }
    *ret_got = n - z->avail_out;
    g->now.at += *ret_got;
    work = g->now.packed - packed > *ret_got ? g->now.packed - packed : *ret_got;
    FAIL_IF(work > g->work_left, err, LIMIT, g->now.packed,
            "more than %llu bytes had to be inflated: unpack the file before you upload it",
            (unsigned long long)g->limits->gzip_bytes);
    g->work_left -= work;
    return OK;
}

/* ---- the first time through ---- */

/* Keep every other point, twice as far apart. */
static void
thin_out(struct gzip *g)
{
    size_t kept = 0;

    for (size_t i = 0; i < g->point_count; i++) {
        if (i % 2 == 0)
            g->points[kept++] = g->points[i];
        else
            point_free(g->points[i]);
    }
    g->point_count = kept;
    g->span *= 2;
}

static enum status
add_point(struct gzip *g, struct err *err)
{
    struct point *p;

    if (g->point_count == POINTS_MAX)
        thin_out(g);
    p = mem_new(1, sizeof *p);
    FAIL_IF(p == NULL, err, NO_MEMORY, 0, "out of memory");
    g->points[g->point_count++] = p;
    return copy_point(p, &g->now, err);
}

static enum status
scan(struct gzip *g, struct err *err)
{
    TRY(add_point(g, err));
    while (!g->is_ended) {
        size_t got;

        TRY(inflate_on(g, g->waste, sizeof g->waste, &got, err));
        FAIL_IF(g->now.at > RATIO_BYTES && g->now.at / g->limits->zip_ratio > g->now.packed, err,
                LIMIT, g->now.packed,
                "a gzip stream that swells to more than %zu times its size: unpack the file before "
                "you upload it",
                g->limits->zip_ratio);
        if (!g->is_ended && g->now.at - g->points[g->point_count - 1]->at >= g->span)
            TRY(add_point(g, err));
    }
    g->size_bytes = g->now.at;
    FAIL_IF(g->size_bytes == 0 && g->state.is_cut, err, MALFORMED, g->now.packed,
            "it begins like a gzip stream, but nothing of it can be inflated");
    return OK;
}

enum status
gzip_open(const struct source *packed, const struct limits *limits, struct gzip **ret_gzip,
          struct err *err)
{
    CLEANUP(gzip_close_at) struct gzip *g = mem_new(1, sizeof *g);

    FAIL_IF(g == NULL, err, NO_MEMORY, 0, "out of memory");
    g->packed = *packed;
    g->limits = limits;
    g->span = SPAN_BYTES;
    g->work_left = limits->gzip_bytes;
    g->now.z.zalloc = allocate;
    g->now.z.zfree = release;
    FAIL_IF(inflateInit2(&g->now.z, GZIP_WINDOW) != Z_OK, err, NO_MEMORY, 0, "out of memory");
    g->now.is_open = true;
    TRY(scan(g, err));
    g->work_left = limits->gzip_bytes;
    *ret_gzip = TAKE(g);
    return OK;
}

/* ---- anywhere ---- */

/* Begin again where that is nearer than to go on. */
static enum status
go_to(struct gzip *g, uint64_t offset, struct err *err)
{
    size_t low = 0, high = g->point_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (g->points[middle]->at <= offset)
            low = middle;
        else
            high = middle;
    }
    if (!g->now.is_open || g->is_ended || g->now.at > offset || g->points[low]->at > g->now.at) {
        TRY(copy_point(&g->now, g->points[low], err));
        g->is_ended = false;
    }
    while (g->now.at < offset) {
        uint64_t left = offset - g->now.at;
        size_t got;

        TRY(inflate_on(g, g->waste, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, &got, err));
        FAIL_IF(got == 0, err, IO, g->now.packed, "the file changed while it was read");
    }
    return OK;
}

static enum status
read_at(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    struct gzip *g = context;
    uint8_t *to = buffer;

    TRY(go_to(g, offset, err));
    while (n > 0) {
        size_t piece = n < (size_t)1 << 30 ? n : (size_t)1 << 30; /* zlib counts in 32 bits */
        size_t got;

        TRY(inflate_on(g, to, piece, &got, err));
        FAIL_IF(got == 0, err, IO, g->now.packed, "the file changed while it was read");
        to += got;
        n -= got;
    }
    return OK;
}

struct source
gzip_source(struct gzip *gzip)
{
    return (struct source){.size_bytes = gzip->size_bytes, .read_at = read_at, .context = gzip};
}

struct gzip_state
gzip_state_of(const struct gzip *gzip)
{
    return gzip->state;
}

bool
gzip_is(const uint8_t *head, size_t length)
{
    return length >= 2 && head[0] == 0x1f && head[1] == 0x8b;
}
