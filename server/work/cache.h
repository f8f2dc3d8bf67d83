#pragma once
/*
 * A cache of immutable things by key: what was used longest ago goes first once all of it together
 * weighs more than the cap. A thing that is lent stays alive until it is given back, even if the
 * cache has dropped it by then. Any thread.
 *
 *     struct cache_item *item = cache_get(cache, key);
 *
 *     if (item == NULL)
 *         TRY(cache_put(cache, key, thing, bytes, thing_free, &item, err));
 *     use(cache_value(item));
 *     cache_release(item);
 */
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct cache;
struct cache_item;

struct cache_stats {
    size_t items;
    size_t bytes;
    uint64_t hits;
    uint64_t misses;
};

enum status cache_new(size_t cap_bytes, struct cache **ret_cache, struct err *err) MUST_CHECK;

/* Everything lent must have been given back. NULL is fine. */
void cache_free(struct cache *cache);

/* Borrow the thing with that key; NULL if it is not there. */
struct cache_item *cache_get(struct cache *cache, struct slice key);

/*
 * Put a thing of about so many bytes in, and borrow it. If another thread was faster, the new one is
 * freed and the one that is there is lent. value is the cache's from here on, also on failure. A
 * thing heavier than an eighth of the cap is lent but not kept.
 */
enum status cache_put(struct cache *cache, struct slice key, void *value, size_t bytes,
                      void (*free_value)(void *value), struct cache_item **ret_item,
                      struct err *err) MUST_CHECK;

void *cache_value(const struct cache_item *item);

/* Give back; NULL is fine. */
void cache_release(struct cache_item *item);

/* Drop what nobody has borrowed for so long, so that an idle daemon is a small one. */
void cache_age(struct cache *cache, uint64_t unused_ms);

struct cache_stats cache_stats(struct cache *cache);
