#include "common/formats/source.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum status
source_read(const struct source *s, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    FAIL_IF(offset > s->size_bytes || n > s->size_bytes - offset, err, TRUNCATED, s->size_bytes,
            "%zu bytes at %llu lie past the end of the file (%llu bytes)", n,
            (unsigned long long)offset, (unsigned long long)s->size_bytes);
    if (n == 0)
        return OK;
    return s->read_at(s->context, offset, buffer, n, err);
}

static enum status
read_fd(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    const int *fd = context;
    char *at = buffer;

    while (n > 0) {
        ssize_t got = pread(*fd, at, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        FAIL_IF(got < 0, err, IO, offset, "reading failed with error %d", errno);
        FAIL_IF(got == 0, err, TRUNCATED, offset, "the file shrank while it was read");
        at += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return OK;
}

enum status
source_of_fd(const int *fd, struct source *ret_source, struct err *err)
{
    struct stat status;
    union {
        const int *in;
        void *out;
    } context = {.in = fd}; /* only ever read through */

    FAIL_IF(fstat(*fd, &status) != 0, err, IO, 0, "its size cannot be told (error %d)", errno);
    FAIL_IF(!S_ISREG(status.st_mode), err, IO, 0, "it is not a regular file");
    *ret_source = (struct source){
        .size_bytes = (uint64_t)status.st_size, .read_at = read_fd, .context = context.out};
    return OK;
}

static enum status
read_bytes(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    const struct slice *bytes = context;

    (void)err;
    memcpy(buffer, bytes->at + offset, n);
    return OK;
}

struct source
source_of_bytes(const struct slice *bytes)
{
    union {
        const struct slice *in;
        void *out;
    } context = {.in = bytes};

    return (struct source){
        .size_bytes = bytes->length, .read_at = read_bytes, .context = context.out};
}

static enum status
read_part(void *context, uint64_t offset, void *buffer, size_t n, struct err *err)
{
    const struct source_part *part = context;

    return source_read(part->whole, part->offset + offset, buffer, n, err);
}

enum status
source_of_part(const struct source_part *part, struct source *ret_source, struct err *err)
{
    union {
        const struct source_part *in;
        void *out;
    } context = {.in = part};

    FAIL_IF(part->offset > part->whole->size_bytes ||
                part->size_bytes > part->whole->size_bytes - part->offset,
            err, TRUNCATED, part->whole->size_bytes,
            "a part of the file, %llu bytes at %llu, reaches past its end",
            (unsigned long long)part->size_bytes, (unsigned long long)part->offset);
    *ret_source = (struct source){
        .size_bytes = part->size_bytes, .read_at = read_part, .context = context.out};
    return OK;
}

static struct slice
no_path(void *context, size_t i)
{
    (void)context;
    (void)i;
    return (struct slice){0};
}

static enum status
open_only(void *context, size_t i, struct source *ret_source, struct err *err)
{
    const struct source *source = context;

    (void)i;
    (void)err;
    *ret_source = *source;
    return OK;
}

struct fileset
fileset_of_source(const struct source *source)
{
    union {
        const struct source *in;
        void *out;
    } context = {.in = source};

    return (struct fileset){.count = 1, .path = no_path, .open = open_only, .context = context.out};
}

size_t
fileset_view_index(const struct fileset_view *view, size_t i)
{
    if (i == 0)
        return view->first;
    return i == view->first ? 0 : i;
}

static struct slice
view_path(void *context, size_t i)
{
    const struct fileset_view *view = context;

    return view->whole->path(view->whole->context, fileset_view_index(view, i));
}

static enum status
view_open(void *context, size_t i, struct source *ret_source, struct err *err)
{
    const struct fileset_view *view = context;

    if (i == 0 && view->instead != NULL) {
        *ret_source = *view->instead;
        return OK;
    }
    return view->whole->open(view->whole->context, fileset_view_index(view, i), ret_source, err);
}

struct fileset
fileset_of_view(const struct fileset_view *view)
{
    union {
        const struct fileset_view *in;
        void *out;
    } context = {.in = view};

    return (struct fileset){
        .count = view->whole->count, .path = view_path, .open = view_open, .context = context.out};
}
