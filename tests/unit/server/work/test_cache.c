#include "server/work/cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/unit.h"

enum { CAP = 16384 };

static int freed;

static void
free_number(void *value)
{
    __atomic_add_fetch(&freed, 1, __ATOMIC_RELAXED);
    free(value);
}

static struct cache_item *
put(struct cache *cache, const char *key, int number, size_t bytes)
{
    int *value = malloc(sizeof *value);
    struct cache_item *item = NULL;

    *value = number;
    ck_assert_int_eq(cache_put(cache, slice_of(key), value, bytes, free_number, &item, NULL), OK);
    return item;
}

static struct cache *
new_cache(void)
{
    struct cache *cache = NULL;

    freed = 0;
    ck_assert_int_eq(cache_new(CAP, &cache, NULL), OK);
    return cache;
}

START_TEST(cache__lends_what_was_put_in)
{
    struct cache *cache = new_cache();
    struct cache_item *item;

    cache_release(put(cache, "a", 7, 100));
    item = cache_get(cache, slice_of("a"));
    ck_assert_ptr_nonnull(item);
    ck_assert_int_eq(*(int *)cache_value(item), 7);
    cache_release(item);
    ck_assert_ptr_null(cache_get(cache, slice_of("b")));
    ck_assert_uint_eq(cache_stats(cache).hits, 1);
    ck_assert_uint_eq(cache_stats(cache).misses, 1);
    cache_free(cache);
    ck_assert_int_eq(freed, 1);
}
END_TEST

START_TEST(cache__drops_what_was_used_longest_ago)
{
    struct cache *cache = new_cache();
    char key[16];

    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        cache_release(put(cache, key, i, 1500));
        cache_release(cache_get(cache, slice_of("0")));
    }
    ck_assert_uint_le(cache_stats(cache).bytes, CAP);
    ck_assert_ptr_null(cache_get(cache, slice_of("1")));
    cache_release(cache_get(cache, slice_of("0")));
    ck_assert_uint_gt(cache_stats(cache).hits, 20);
    cache_free(cache);
    ck_assert_int_eq(freed, 20);
}
END_TEST

START_TEST(cache__keeps_what_is_lent_alive)
{
    struct cache *cache = new_cache();
    struct cache_item *held = put(cache, "held", 42, 1500);
    char key[16];

    for (int i = 0; i < 40; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        cache_release(put(cache, key, i, 1500));
    }
    ck_assert_ptr_null(cache_get(cache, slice_of("held")));
    ck_assert_int_eq(*(int *)cache_value(held), 42);
    cache_release(held);
    cache_free(cache);
    ck_assert_int_eq(freed, 41);
}
END_TEST

START_TEST(cache__lends_a_heavy_thing_without_keeping_it)
{
    struct cache *cache = new_cache();
    struct cache_item *item = put(cache, "heavy", 1, CAP);

    ck_assert_ptr_null(cache_get(cache, slice_of("heavy")));
    cache_release(item);
    ck_assert_int_eq(freed, 1);
    cache_free(cache);
}
END_TEST

START_TEST(cache__the_first_of_two_equal_keys_stays)
{
    struct cache *cache = new_cache();
    struct cache_item *first = put(cache, "k", 1, 10), *second = put(cache, "k", 2, 10);

    ck_assert_ptr_eq(first, second);
    ck_assert_int_eq(*(int *)cache_value(second), 1);
    cache_release(first);
    cache_release(second);
    cache_free(cache);
    ck_assert_int_eq(freed, 2);
}
END_TEST

START_TEST(cache__drops_what_nobody_has_used_for_long)
{
    struct cache *cache = new_cache();
    struct cache_item *held = put(cache, "held", 1, 100);

    cache_release(put(cache, "idle", 2, 100));
    cache_age(cache, 60000);
    ck_assert_uint_eq(cache_stats(cache).items, 2);
    cache_age(cache, 0);
    ck_assert_uint_eq(cache_stats(cache).items, 0);
    ck_assert_int_eq(freed, 1);
    cache_release(held);
    ck_assert_int_eq(freed, 2);
    cache_free(cache);
}
END_TEST

static void *
hammer(void *context)
{
    char key[16];

    for (int i = 0; i < 5000; i++) {
        struct cache_item *item;

        (void)snprintf(key, sizeof key, "%d", i * 7 % 31);
        item = cache_get(context, slice_of(key));
        if (item == NULL)
            item = put(context, key, i * 7 % 31, 900);
        ck_assert_int_eq(*(int *)cache_value(item), i * 7 % 31);
        cache_release(item);
    }
    return NULL;
}

START_TEST(cache__may_be_used_by_many_threads)
{
    struct cache *cache = new_cache();
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        (void)pthread_create(&threads[i], NULL, hammer, cache);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    cache_free(cache);
}
END_TEST

SUITE(cache)
{
    return suite_with(
        "cache", TEST(cache__lends_what_was_put_in), TEST(cache__drops_what_was_used_longest_ago),
        TEST(cache__keeps_what_is_lent_alive), TEST(cache__lends_a_heavy_thing_without_keeping_it),
        TEST(cache__the_first_of_two_equal_keys_stays),
        TEST(cache__drops_what_nobody_has_used_for_long), TEST(cache__may_be_used_by_many_threads));
}
