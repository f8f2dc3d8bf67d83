#include "common/base/map.h"

#include "common/base/mem.h"

enum { FIRST_CAPACITY = 16 };

struct map_entry {
    struct slice key; /* at is NULL where the entry is free */
    uint32_t hash;
    uint32_t value;
};

void
map_done(struct map *m)
{
    mem_free(m->entries);
    *m = (struct map){0};
}

/* 64-bit multiply and fold, eight bytes a step; good mixing is all that is asked of it. */
static uint32_t
hash_of(const struct map_entry *seed, struct slice key)
{
    const uint64_t odd = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h = (uint64_t)(uintptr_t)seed ^ (key.length * odd);
    size_t at = 0;

    for (; key.length - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, key.at + at, sizeof word);
        h = (h ^ word) * odd;
        h ^= h >> 29;
    }
    if (at < key.length) {
        uint64_t word = 0;

        for (size_t i = 0; i < key.length - at; i++)
            word |= (uint64_t)(unsigned char)key.at[at + i] << 8 * i;
        h = (h ^ word) * odd;
        h ^= h >> 29;
    }
    h *= UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)(h >> 32);
}

/* The key's entry, or the free one where it belongs. */
static struct map_entry *
locate(const struct map *m, struct slice key, uint32_t hash)
{
    size_t mask = m->capacity - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *entry = &m->entries[i];

        if (entry->key.at == NULL)
            return entry;
        if (entry->hash == hash && slice_equal(entry->key, key))
            return entry;
    }
}

static enum status
resize(struct map *m, size_t capacity, struct err *err)
{
    struct map bigger = {.entries = mem_new(capacity, sizeof(struct map_entry)),
                         .capacity = capacity,
                         .count = m->count};

    FAIL_IF(bigger.entries == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < m->capacity; i++) {
        struct map_entry entry = m->entries[i];

        if (entry.key.at == NULL)
            continue;
        entry.hash = hash_of(bigger.entries, entry.key);
        *locate(&bigger, entry.key, entry.hash) = entry;
    }
    mem_free(m->entries);
    *m = bigger;
    return OK;
}

enum status
map_reserve(struct map *m, size_t count, struct err *err)
{
    size_t capacity = m->capacity == 0 ? FIRST_CAPACITY : m->capacity;

    FAIL_IF(count > SIZE_MAX / 4, err, NO_MEMORY, 0, "out of memory");
    while (capacity / 4 * 3 < count)
        capacity *= 2;
    return capacity == m->capacity ? OK : resize(m, capacity, err);
}

/* The empty text needs an address, too. */
static struct slice
addressed(struct slice key)
{
    return key.at == NULL ? (struct slice){.at = ""} : key;
}

/* The key's entry, made where there was none: then its value is MAP_NONE. */
static enum status
place(struct map *m, struct slice key, struct map_entry **ret_entry, struct err *err)
{
    struct map_entry *entry;
    uint32_t hash;

    TRY(map_reserve(m, m->count + 1, err));
    hash = hash_of(m->entries, key);
    entry = locate(m, key, hash);
    if (entry->key.at == NULL) {
        *entry = (struct map_entry){.key = addressed(key), .hash = hash, .value = MAP_NONE};
        m->count++;
    }
    *ret_entry = entry;
    return OK;
}

enum status
map_add(struct map *m, struct slice key, uint32_t value, uint32_t *ret_present, struct err *err)
{
    struct map_entry *entry;

    TRY(place(m, key, &entry, err));
    *ret_present = entry->value;
    if (entry->value == MAP_NONE)
        entry->value = value;
    return OK;
}

enum status
map_swap(struct map *m, struct slice key, uint32_t value, uint32_t *ret_old, struct err *err)
{
    struct map_entry *entry;

    TRY(place(m, key, &entry, err));
    *ret_old = entry->value;
    entry->value = value;
    return OK;
}

enum status
map_set(struct map *m, struct slice key, uint32_t value, struct err *err)
{
    uint32_t old;

    return map_swap(m, key, value, &old, err);
}

uint32_t
map_get(const struct map *m, struct slice key)
{
    const struct map_entry *entry;

    if (m->capacity == 0)
        return MAP_NONE;
    entry = locate(m, key, hash_of(m->entries, key));
    return entry->key.at == NULL ? MAP_NONE : entry->value;
}
