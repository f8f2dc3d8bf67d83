#pragma once
/*
 * A map from text to a number. Nothing can be listed from it, so no result can come to depend on the
 * order of its buckets; its hash is seeded from where the table lies, so that names cannot be made to
 * collide beforehand. Keys are borrowed. Not for more than one thread at once.
 */
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct map_entry;

struct map {
    struct map_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

#define MAP_NONE UINT32_MAX

void map_done(struct map *m);

/* Make room for count entries at once; adding makes room by itself otherwise. */
enum status map_reserve(struct map *m, size_t count, struct err *err) MUST_CHECK;

/* The value under key; where there is none, value is put there and MAP_NONE comes back. */
enum status map_add(struct map *m, struct slice key, uint32_t value, uint32_t *ret_present,
                    struct err *err) MUST_CHECK;

/* Put value under key, over what was there, which comes back: MAP_NONE where there was nothing. */
enum status map_swap(struct map *m, struct slice key, uint32_t value, uint32_t *ret_old,
                     struct err *err) MUST_CHECK;

/* As map_swap, without asking what was there. */
enum status map_set(struct map *m, struct slice key, uint32_t value, struct err *err) MUST_CHECK;

/* The value under key, or MAP_NONE. */
uint32_t map_get(const struct map *m, struct slice key);
