#pragma once
/*
 * A gzip stream as a source. Reading one anywhere takes inflating it: once whole, when it is opened,
 * to learn its size and to check it; then from the nearest of some hundred points whose state was
 * kept on the way. So, unlike everything else here, the cost grows with the file's bytes. Memory does
 * not: the points are at most 16 MiB together, and lie farther apart in larger files.
 *
 * Not for more than one thread at once.
 */
#include "common/base/limits.h"
#include "common/formats/source.h"

struct gzip;

/* What was odd about the stream. */
struct gzip_state {
    bool is_cut;         /* it ends, or is damaged, before its end */
    bool is_check_wrong; /* a member's checksum or length is not that of its bytes */
    uint64_t tail_bytes; /* after the last member, neither members nor padding */
};

/* Whether a file that begins so is a gzip stream. */
bool gzip_is(const uint8_t *head, size_t length);

/* Inflate it once. The packed source must outlive *ret_gzip. ERR_LIMIT past limits->gzip_bytes or
 * limits->zip_ratio; ERR_MALFORMED where not even a member's header can be read. */
enum status gzip_open(const struct source *packed, const struct limits *limits,
                      struct gzip **ret_gzip, struct err *err) MUST_CHECK;

/* Close it; for CLEANUP on a struct gzip *. */
void gzip_close_at(struct gzip **gzip);

/* What was inflated of it. ERR_LIMIT of a read: limits->gzip_bytes were inflated by jumping about. */
struct source gzip_source(struct gzip *gzip);

struct gzip_state gzip_state_of(const struct gzip *gzip);
