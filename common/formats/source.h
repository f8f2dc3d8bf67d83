#pragma once
/*
 * Where a reader's bytes come from: a descriptor today, a request to the daemon tomorrow. A reader
 * sees only this, never a path, and never maps a file.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct source {
    uint64_t size_bytes;
    /* Give exactly n bytes or fail; never asked for bytes past size_bytes by source_read. */
    enum status (*read_at)(void *context, uint64_t offset, void *buffer, size_t n, struct err *err);
    void *context;
};

/* Exactly n bytes from offset on; ERR_TRUNCATED where the source ends before. */
enum status source_read(const struct source *s, uint64_t offset, void *buffer, size_t n,
                        struct err *err) MUST_CHECK;

/* Over an open descriptor, which stays the caller's: read with pread(2). ERR_IO where it is no
 * regular file. The context is *fd, which must outlive the source. */
enum status source_of_fd(const int *fd, struct source *ret_source, struct err *err) MUST_CHECK;

/* Over bytes in memory, which must outlive the source. */
struct source source_of_bytes(const struct slice *bytes);

/* A run of another source's bytes, as a source: a member of an archive that is a file itself. The part
 * and the whole must outlive what source_of_part gives. */
struct source_part {
    const struct source *whole;
    uint64_t offset;
    uint64_t size_bytes;
};

/* ERR_TRUNCATED where the run does not lie in the whole. */
enum status source_of_part(const struct source_part *part, struct source *ret_source,
                           struct err *err) MUST_CHECK;

/* The files of one version: their paths are the version's, never the file system's. */
struct fileset {
    size_t count;
    struct slice (*path)(void *context, size_t i); /* borrowed */
    enum status (*open)(void *context, size_t i, struct source *ret_source, struct err *err);
    void *context;
    bool is_one; /* file 0 is what is read; the others stand by, for what it refers to */
};

/* A set of one file. The source must outlive it. */
struct fileset fileset_of_source(const struct source *source);

/* A set seen from another of its files: that one and file 0 change places, so that a reader of one
 * file, which is file 0 to it, finds it there and its siblings beside it. instead, if it is not NULL,
 * stands for the file's bytes. The view and what it refers to must outlive the set it gives. */
struct fileset_view {
    const struct fileset *whole;
    size_t first;
    const struct source *instead;
};
struct fileset fileset_of_view(const struct fileset_view *view);

/* What the view's file i is in the whole, and the whole's in the view. */
size_t fileset_view_index(const struct fileset_view *view, size_t i);
