#pragma once
/*
 * An arena owns many small things that die together: what a reader found in one file, what a parser
 * made of one manifest. Nothing is freed singly. Its cap bounds what a hostile input can make us
 * hold. All-zero with a cap set is ready for use; not for more than one thread at once.
 */
#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct arena_block;

struct arena {
    size_t cap_bytes; /* of what may be handed out */
    size_t used_bytes;
    struct arena_block *last;
    char *at; /* free space of the last block */
    size_t left;
    bool is_capped; /* the last failure was the cap, not the heap */
};

struct arena arena_with_cap(size_t cap_bytes);
void arena_done(struct arena *a);

/* count zeroed objects of size bytes, aligned for pointers and numbers of 64 bits; NULL where that overflows, exceeds the
 * cap, or there is no memory: then return arena_fail(a, err). */
void *arena_alloc(struct arena *a, size_t count, size_t size) MUST_CHECK;

/* Where the arena stands, to come back to: what was handed out since is taken back, all of it at once, and
 * must not be used any more. Marks are used in the reverse order of their making, or dropped. */
struct arena_mark {
    struct arena_block *last;
    char *at;
    size_t left;
    size_t used_bytes;
};

struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);

/* ERR_LIMIT or ERR_NO_MEMORY, whichever made the last arena_alloc fail. Inline, so that compilers and
 * analysers see that it is never OK. */
MUST_CHECK static inline enum status
arena_fail(const struct arena *a, struct err *err)
{
    FAIL_IF(a->is_capped, err, LIMIT, 0,
            "it needs more than the %zu bytes of memory allowed for it", a->cap_bytes);
    FAIL(err, NO_MEMORY, 0, "out of memory");
}

/* Give an object of that many bytes back before the arena ends: for arrays that have grown out of their
 * place. A small one, which shares a block with others, stays. No mark made since the object was may be
 * used any more. */
void arena_drop(struct arena *a, const void *object, size_t bytes);

/* A copy of the bytes, NUL-terminated besides. */
enum status arena_copy(struct arena *a, struct slice bytes, struct slice *ret_copy,
                       struct err *err) MUST_CHECK;

/* A formatted text, NUL-terminated besides. */
enum status arena_printf(struct arena *a, struct slice *ret_text, struct err *err,
                         const char *format, ...) MUST_CHECK __attribute__((format(printf, 4, 5)));
