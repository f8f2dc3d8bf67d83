#pragma once
/*
 * One pickle out of a source in which other things follow it, and where its length is told nowhere. It
 * is read opcode by opcode up to its STOP, and not a byte further. Long runs of bytes and text in it
 * (NumPy's arrays, storages) are passed over: each is a hole, and a short text stands in its place,
 * different for each, which tells how long it is and where it lies. Of a text its beginning stays before
 * that, so that it is still longer than any name may be; and only what is UTF-8 is left out. So memory
 * follows what the pickle says, not what it carries.
 */
#include "common/base/vec.h"
#include "common/formats/pickle.h"
#include "common/formats/source.h"

/* Bytes of the source. */
struct pickle_range {
    uint64_t offset;
    uint64_t length;
};

struct pickle_stream {
    const struct source *source;
    char *bytes; /* the pickle, holes closed */
    size_t length;
    size_t capacity;
    uint64_t offset;    /* of the pickle in the source */
    uint64_t end;       /* after its STOP, or where reading ended */
    struct vec holes;   /* ascending */
    bool is_over_limit; /* it goes on, but more was not to be read */
};

void pickle_stream_done(struct pickle_stream *s);

/* Read from offset on, at most to end, and keep at most cap_bytes. What ends without STOP, or has an
 * opcode that there is not, is given up to there: the machine says so. source must outlive it. */
enum status pickle_stream_read(struct pickle_stream *ret, const struct source *source,
                               uint64_t offset, uint64_t end, size_t cap_bytes,
                               const struct limits *limits, struct err *err) MUST_CHECK;

/* As pickle_run. ret->stream is s, which must outlive what is made of ret. */
enum status pickle_stream_run(const struct pickle_stream *s, struct pickle_budget *budget,
                              struct arena *arena, struct pickle *ret, struct err *err) MUST_CHECK;

/* The offset in the source of a byte of the pickle; s NULL: the same number. */
uint64_t pickle_stream_offset(const struct pickle_stream *s, uint64_t at);

/* Where a value's bytes lie in the source, whole, if they lie there as they are; *ret_is_hole: what is
 * in memory is but a sign of them. False for bytes that were made in another way, and for s NULL. */
bool pickle_stream_find(const struct pickle_stream *s, struct slice bytes,
                        struct pickle_range *ret_range, bool *ret_is_hole);
