/*
 * A dict's key stands where it was set first and has the value that was set last. The machine only
 * appends pairs; here, once at the end, keys that are texts, bytes or ints are made unique. By
 * hashing; and by sorting for a dict whose keys were chosen to collide.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/pickle_machine.h"

enum {
    FEW = 8,                  /* compared each with each */
    PROBES_PER_KEY = 16,      /* on average; more is a collision by design */
    DEAD = PICKLE_KIND_COUNT, /* as a key's kind: the pair goes */
};

struct settler {
    struct machine *m;
    uint32_t *slots; /* index of a pair + 1; 0: empty */
    size_t capacity;
};

static void
settler_done(struct settler *s)
{
    mem_free(s->slots);
}

/* A bool is an int as a key, and Python 2's str a str. */
static bool
is_comparable(struct pickle_value key)
{
    return key.kind == PICKLE_STR || key.kind == PICKLE_BYTES || key.kind == PICKLE_INT ||
           key.kind == PICKLE_BOOL;
}

static int64_t
number_of(struct pickle_value key)
{
    return key.kind == PICKLE_BOOL ? (int64_t)key.is.truth : key.is.integer;
}

static int
class_of(struct pickle_value key)
{
    return key.kind == PICKLE_STR ? 0 : key.kind == PICKLE_BYTES ? 1 : 2;
}

static int
compare_keys(struct pickle_value a, struct pickle_value b)
{
    int order = class_of(a) - class_of(b);

    if (order != 0)
        return order;
    if (class_of(a) == 2)
        return (number_of(a) > number_of(b)) - (number_of(a) < number_of(b));
    return slice_compare((struct slice){a.is.bytes, a.count}, (struct slice){b.is.bytes, b.count});
}

static uint64_t
mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static uint64_t
hash_key(struct pickle_value key)
{
    uint64_t hash = (uint64_t)class_of(key) + key.count, word = 0;
    size_t at = 0;

    if (class_of(key) == 2)
        return mix(2, (uint64_t)number_of(key));
    for (; key.count - at >= 8; at += 8) {
        memcpy(&word, key.is.bytes + at, 8);
        hash = mix(hash, word);
    }
    word = 0;
    if (key.count > at)
        memcpy(&word, key.is.bytes + at, key.count - at);
    return mix(hash, word);
}

static void
replace(struct pickle_dict *d, uint32_t first, uint32_t later)
{
    d->pairs[first].value = d->pairs[later].value;
    d->pairs[later].key.kind = DEAD;
}

static void
settle_few(struct pickle_dict *d)
{
    for (uint32_t i = 1; i < d->count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (is_comparable(d->pairs[i].key) && is_comparable(d->pairs[j].key) &&
                compare_keys(d->pairs[i].key, d->pairs[j].key) == 0) {
                replace(d, j, i);
                break;
            }
}

struct sorted_key {
    struct pickle_value key;
    uint32_t index;
};

static int
compare_sorted(const void *a, const void *b)
{
    const struct sorted_key *left = a, *right = b;
    int order = compare_keys(left->key, right->key);

    return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

static enum status
settle_by_sorting(struct machine *m, struct pickle_dict *d)
{
    CLEANUP(mem_free_at) struct sorted_key *keys = mem_new(d->count, sizeof *keys);
    size_t count = 0;
    uint32_t first = 0;

    STOP_IF(keys == NULL, m, NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < d->count; i++)
        if (is_comparable(d->pairs[i].key))
            keys[count++] = (struct sorted_key){.key = d->pairs[i].key, .index = i};
    qsort(keys, count, sizeof *keys, compare_sorted);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_keys(keys[i - 1].key, keys[i].key) == 0)
            replace(d, first, keys[i].index);
        else
            first = keys[i].index;
    }
    return OK;
}

/* False where the keys collide too often. What was replaced so far stays right: pairs come in order,
 * and sorting goes on from there. */
static bool
settle_by_hashing(struct settler *s, struct pickle_dict *d, size_t slots)
{
    uint64_t probes = 0;

    memset(s->slots, 0, slots * sizeof *s->slots);
    for (uint32_t i = 0; i < d->count; i++) {
        struct pickle_value key = d->pairs[i].key;
        size_t slot;

        if (!is_comparable(key))
            continue;
        slot = (size_t)hash_key(key) & (slots - 1);
        while (s->slots[slot] != 0 && compare_keys(d->pairs[s->slots[slot] - 1].key, key) != 0) {
            if (++probes > (uint64_t)PROBES_PER_KEY * d->count)
                return false;
            slot = (slot + 1) & (slots - 1);
        }
        if (s->slots[slot] == 0)
            s->slots[slot] = i + 1;
        else
            replace(d, s->slots[slot] - 1, i);
    }
    return true;
}

static enum status
settle_many(struct settler *s, struct pickle_dict *d)
{
    size_t slots = FEW;

    while (slots < (size_t)d->count * 2)
        slots *= 2;
    if (slots > s->capacity) {
        mem_free(s->slots);
        s->capacity = 0;
        s->slots = mem_new(slots, sizeof *s->slots);
        STOP_IF(s->slots == NULL, s->m, NO_MEMORY, "out of memory");
        s->capacity = slots;
    }
    if (!settle_by_hashing(s, d, slots))
        return settle_by_sorting(s->m, d);
    return OK;
}

static void
compact(struct machine *m, struct pickle_dict *d)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < d->count; i++)
        if (d->pairs[i].key.kind != DEAD)
            d->pairs[kept++] = d->pairs[i];
    if (kept < d->count)
        machine_odd(m, PICKLE_ODD_DUPLICATE);
    d->count = kept;
}

enum status
pickle_settle(struct machine *m)
{
    CLEANUP(settler_done) struct settler s = {.m = m};

    for (struct pickle_dict *d = m->dicts; d != NULL; d = d->next) {
        if (d->count <= FEW)
            settle_few(d);
        else
            TRY(settle_many(&s, d));
        compact(m, d);
    }
    return OK;
}
