#pragma once
/*
 * A vector of equal objects, grown up to a cap. Items move when it grows: keep indexes, not
 * pointers. Typed access: VEC_AT(v, struct thing, i).
 */
#include <stddef.h>

#include "common/base/err.h"

struct vec {
    void *items;
    size_t count;
    size_t capacity;
    size_t cap;  /* items allowed */
    size_t size; /* bytes of one */
};

#define VEC_AT(v, type, i) (((type *)(v)->items)[i])

struct vec vec_of(size_t size, size_t cap);
void vec_done(struct vec *v);

/* Add one zeroed item and lend it. ERR_LIMIT names what, in the plural, for the message. */
enum status vec_add(struct vec *v, void *ret_item, const char *what, struct err *err) MUST_CHECK;
