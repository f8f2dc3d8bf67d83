#pragma once
/*
 * A slice is a run of bytes that somebody else owns: text from a file, without a terminator. The
 * empty slice is all-zero.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *at;
    size_t length;
};

/* For printf's "%.*s". */
#define SLICE_PRINT(s) ((int)(s).length), ((s).length == 0 ? "" : (s).at)

/* Over a terminated string, which must outlive the slice. */
static inline struct slice
slice_of(const char *text)
{
    return (struct slice){.at = text, .length = strlen(text)};
}

static inline struct slice
slice_part(struct slice s, size_t start, size_t length)
{
    /* C forbids even NULL + 0. */
    return (struct slice){.at = start == 0 ? s.at : s.at + start, .length = length};
}

static inline struct slice
slice_from(struct slice s, size_t start)
{
    return slice_part(s, start, s.length - start);
}

/* Bytewise order, as strcmp's sign: the order of every sorted list in this project. */
static inline int
slice_compare(struct slice a, struct slice b)
{
    size_t shared = a.length < b.length ? a.length : b.length;
    int order = shared == 0 ? 0 : memcmp(a.at, b.at, shared);

    if (order != 0)
        return order;
    return (a.length > b.length) - (a.length < b.length);
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
    if (a.length != b.length)
        return false;
    /* The second half of this is for analysers: bytes that are there are somewhere. */
    return a.length == 0 || (a.at != NULL && b.at != NULL && memcmp(a.at, b.at, a.length) == 0);
}

static inline bool
slice_is(struct slice s, const char *text)
{
    return slice_equal(s, slice_of(text));
}

static inline bool
slice_starts(struct slice s, struct slice prefix)
{
    return s.length >= prefix.length && slice_equal(slice_part(s, 0, prefix.length), prefix);
}

static inline bool
slice_ends(struct slice s, struct slice suffix)
{
    return s.length >= suffix.length &&
           slice_equal(slice_from(s, s.length - suffix.length), suffix);
}

/* Cut the text before the first separator off *rest and return it; all of it where there is none,
 * and then *rest is empty with at == NULL. Loop while rest.at != NULL. */
static inline struct slice
slice_cut(struct slice *rest, char separator)
{
    const char *found = rest->length == 0 ? NULL : memchr(rest->at, separator, rest->length);
    struct slice head = *rest;

    if (found == NULL) {
        *rest = (struct slice){0};
        return head;
    }
    head.length = (size_t)(found - rest->at);
    *rest = slice_from(*rest, head.length + 1);
    return head;
}
