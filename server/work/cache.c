#include "server/work/cache.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/random.h>

#include "common/base/mem.h"
#include "server/work/clock.h"

enum {
    BUCKETS = 4096,
    ITEM_OVERHEAD_BYTES = 128, /* what the cache itself holds for each */
};

struct cache_item {
    struct cache *cache;
    struct cache_item *next_in_bucket;
    struct cache_item *newer, *older;
    char *key;
    size_t key_length;
    uint64_t hash;
    void *value;
    size_t bytes;
    uint64_t used_ms; /* when it was last lent */
    void (*free_value)(void *value);
    unsigned borrowers;
    bool is_kept; /* in the table; else it goes with its last borrower */
};

struct cache {
    pthread_mutex_t lock;
    size_t cap_bytes;
    uint64_t seed; /* so that nobody can choose keys that share a bucket */
    struct cache_item *buckets[BUCKETS];
    struct cache_item *newest, *oldest;
    struct cache_stats stats;
};

/* FNV-1a from a secret start: its only duty is to spread. */
static uint64_t
hash_key(const struct cache *cache, struct slice key)
{
    uint64_t hash = 14695981039346656037U ^ cache->seed;

    for (size_t i = 0; i < key.length; i++)
        hash = (hash ^ (uint8_t)key.at[i]) * 1099511628211U;
    return hash ^ hash >> 32;
}

enum status
cache_new(size_t cap_bytes, struct cache **ret_cache, struct err *err)
{
    struct cache *cache = mem_new(1, sizeof *cache);

    FAIL_IF(cache == NULL, err, NO_MEMORY, 0, "out of memory");
    cache->cap_bytes = cap_bytes;
    (void)pthread_mutex_init(&cache->lock, NULL);
    if (getrandom(&cache->seed, sizeof cache->seed, 0) != (ssize_t)sizeof cache->seed)
        cache->seed = (uint64_t)(uintptr_t)cache;
    *ret_cache = cache;
    return OK;
}

static void
item_free(struct cache_item *item)
{
    if (item->free_value != NULL)
        item->free_value(item->value);
    mem_free(item->key);
    mem_free(item);
}

static struct cache_item **
bucket(struct cache *cache, uint64_t hash)
{
    return &cache->buckets[hash % BUCKETS];
}

static struct cache_item *
find(struct cache *cache, struct slice key, uint64_t hash)
{
    struct cache_item *item = *bucket(cache, hash);

    while (item != NULL &&
           (item->hash != hash || !slice_equal(key, (struct slice){item->key, item->key_length})))
        item = item->next_in_bucket;
    return item;
}

static void
unlink_age(struct cache *cache, struct cache_item *item)
{
    if (item->newer != NULL)
        item->newer->older = item->older;
    else
        cache->newest = item->older;
    if (item->older != NULL)
        item->older->newer = item->newer;
    else
        cache->oldest = item->newer;
    item->newer = item->older = NULL;
}

static void
link_newest(struct cache *cache, struct cache_item *item)
{
    item->older = cache->newest;
    item->newer = NULL;
    if (cache->newest != NULL)
        cache->newest->newer = item;
    cache->newest = item;
    if (cache->oldest == NULL)
        cache->oldest = item;
}

/* Out of the table; the item itself is the caller's if nobody holds it. */
static void
drop(struct cache *cache, struct cache_item *item)
{
    struct cache_item **at = bucket(cache, item->hash);

    while (*at != item)
        at = &(*at)->next_in_bucket;
    *at = item->next_in_bucket;
    unlink_age(cache, item);
    item->is_kept = false;
    cache->stats.items--;
    cache->stats.bytes -= item->bytes;
}

/* Drop the oldest; it is put on the list of the dead if nobody holds it. */
static void
drop_oldest(struct cache *cache, struct cache_item **dead)
{
    struct cache_item *item = cache->oldest;

    drop(cache, item);
    if (item->borrowers > 0)
        return;
    item->next_in_bucket = *dead;
    *dead = item;
}

/* Make room; what nobody holds goes to the list of things to free outside the lock. */
static struct cache_item *
shrink(struct cache *cache)
{
    struct cache_item *dead = NULL;

    while (cache->stats.bytes > cache->cap_bytes && cache->oldest != NULL)
        drop_oldest(cache, &dead);
    return dead;
}

static void
free_all(struct cache_item *item)
{
    while (item != NULL) {
        struct cache_item *next = item->next_in_bucket;

        item_free(item);
        item = next;
    }
}

void
cache_free(struct cache *cache)
{
    if (cache == NULL)
        return;
    cache->cap_bytes = 0;
    free_all(shrink(cache));
    (void)pthread_mutex_destroy(&cache->lock);
    mem_free(cache);
}

struct cache_item *
cache_get(struct cache *cache, struct slice key)
{
    uint64_t hash = hash_key(cache, key);
    struct cache_item *item;

    (void)pthread_mutex_lock(&cache->lock);
    item = find(cache, key, hash);
    if (item != NULL) {
        item->borrowers++;
        item->used_ms = clock_ms();
        unlink_age(cache, item);
        link_newest(cache, item);
        cache->stats.hits++;
    } else {
        cache->stats.misses++;
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return item;
}

static struct cache_item *
item_new(struct cache *cache, struct slice key, void *value, size_t bytes,
         void (*free_value)(void *value))
{
    struct cache_item *item = mem_new(1, sizeof *item);

    if (item == NULL)
        return NULL;
    item->key = mem_copy(key.at, key.length);
    if (item->key == NULL) {
        mem_free(item);
        return NULL;
    }
    item->cache = cache;
    item->key_length = key.length;
    item->hash = hash_key(cache, key);
    item->value = value;
    item->bytes = bytes + key.length + ITEM_OVERHEAD_BYTES;
    item->free_value = free_value;
    item->borrowers = 1;
    item->used_ms = clock_ms();
    return item;
}

enum status
cache_put(struct cache *cache, struct slice key, void *value, size_t bytes,
          void (*free_value)(void *value), struct cache_item **ret_item, struct err *err)
{
    struct cache_item *item = item_new(cache, key, value, bytes, free_value);
    struct cache_item *there, *dead = NULL;

    if (item == NULL) {
        free_value(value);
        FAIL(err, NO_MEMORY, 0, "out of memory");
    }
    (void)pthread_mutex_lock(&cache->lock);
    there = find(cache, key, item->hash);
    if (there != NULL) {
        there->borrowers++;
    } else if (item->bytes <= cache->cap_bytes / 8) {
        item->is_kept = true;
        item->next_in_bucket = *bucket(cache, item->hash);
        *bucket(cache, item->hash) = item;
        link_newest(cache, item);
        cache->stats.items++;
        cache->stats.bytes += item->bytes;
        dead = shrink(cache);
    }
    (void)pthread_mutex_unlock(&cache->lock);
    free_all(dead);
    if (there != NULL)
        item_free(item);
    *ret_item = there != NULL ? there : item;
    return OK;
}

void
cache_age(struct cache *cache, uint64_t unused_ms)
{
    struct cache_item *dead = NULL;
    uint64_t now = clock_ms();

    (void)pthread_mutex_lock(&cache->lock);
    while (cache->oldest != NULL && now - cache->oldest->used_ms >= unused_ms)
        drop_oldest(cache, &dead);
    (void)pthread_mutex_unlock(&cache->lock);
    free_all(dead);
}

void *
cache_value(const struct cache_item *item)
{
    return item->value;
}

void
cache_release(struct cache_item *item)
{
    bool is_last;

    if (item == NULL)
        return;
    (void)pthread_mutex_lock(&item->cache->lock);
    is_last = --item->borrowers == 0 && !item->is_kept;
    (void)pthread_mutex_unlock(&item->cache->lock);
    if (is_last)
        item_free(item);
}

struct cache_stats
cache_stats(struct cache *cache)
{
    struct cache_stats stats;

    (void)pthread_mutex_lock(&cache->lock);
    stats = cache->stats;
    (void)pthread_mutex_unlock(&cache->lock);
    return stats;
}
