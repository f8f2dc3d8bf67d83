#include "common/formats/zip_audit.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"

enum { NAME_BYTES_MAX = 511 }; /* PyTorch's own listing cuts longer ones */

static unsigned char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : (unsigned char)c;
}

static int
compare_folded(struct slice a, struct slice b)
{
    size_t shared = a.length < b.length ? a.length : b.length;

    for (size_t i = 0; i < shared; i++) {
        if (a.at[i] != b.at[i] && lower(a.at[i]) != lower(b.at[i]))
            return lower(a.at[i]) < lower(b.at[i]) ? -1 : 1;
    }
    return (a.length > b.length) - (a.length < b.length);
}

/* PyTorch's reader looks names up by their lower case (ASCII), others by the bytes: so those that
 * differ in case only stand together, in bytewise order. */
static int
compare_names(struct slice a, struct slice b)
{
    int order = compare_folded(a, b);

    return order != 0 ? order : slice_compare(a, b);
}

static int
compare_members(const void *left, const void *right)
{
    const struct zip_member *a = *(const struct zip_member *const *)left;
    const struct zip_member *b = *(const struct zip_member *const *)right;
    int order = compare_names(a->name, b->name);

    return order != 0 ? order : (a > b) - (a < b);
}

static int
compare_places(const void *left, const void *right)
{
    const struct zip_member *a = *(const struct zip_member *const *)left;
    const struct zip_member *b = *(const struct zip_member *const *)right;

    if (a->local_offset != b->local_offset)
        return a->local_offset < b->local_offset ? -1 : 1;
    return (a > b) - (a < b);
}

/* Why a name is one that no writer of checkpoints gives, and some extractor would follow. */
static const char *
oddity(struct slice name)
{
    struct slice rest = name;

    if (name.length == 0)
        return "a member without a name";
    if (name.length > NAME_BYTES_MAX)
        return "a name longer than PyTorch's reader keeps";
    if (!utf8_is_valid(name))
        return "a name that is not UTF-8";
    if (name.at[0] == '/')
        return "an absolute path";
    if (name.length >= 2 && name.at[1] == ':')
        return "a path with a drive letter";
    if (memchr(name.at, '\\', name.length) != NULL)
        return "a name with a backslash";
    if (memchr(name.at, '\0', name.length) != NULL)
        return "a name with a NUL";
    while (rest.at != NULL) {
        if (slice_is(slice_cut(&rest, '/'), ".."))
            return "a path that leads upwards";
    }
    return NULL;
}

/* Each byte of the word that is an ASCII capital in lower case. */
static uint64_t
lower_word(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = word & 0x7f * ones;
    uint64_t from_a = low + (0x80 - 'A') * ones, past_z = low + (0x7f - 'Z') * ones;

    return word | (((from_a ^ past_z) & ~word & 0x80 * ones) >> 2);
}

/* Of the name in lower case; seeded from where the slots lie, so that names cannot be made to collide
 * beforehand. */
static uint32_t
hash_folded(const struct zip_slot *seed, struct slice name)
{
    const uint64_t odd = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h = (uint64_t)(uintptr_t)seed ^ (name.length * odd);

    for (size_t at = 0; at < name.length; at += sizeof(uint64_t)) {
        size_t length = name.length - at;
        uint64_t word = 0;

        if (length >= sizeof word)
            memcpy(&word, name.at + at, sizeof word);
        else
            for (size_t i = 0; i < length; i++)
                word |= (uint64_t)(unsigned char)name.at[at + i] << 8 * i;
        h = (h ^ lower_word(word)) * odd;
        h ^= h >> 29;
    }
    h *= UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)(h >> 32);
}

/* Put all names into slots; false where two differ in case at most. */
static bool
index_names(struct zip_directory *d)
{
    size_t mask = d->slot_count - 1;

    for (size_t i = 0; i < d->count; i++) {
        struct slice name = d->members[i].name;
        uint32_t hash = hash_folded(d->slots, name);
        size_t at = hash & mask;

        for (; d->slots[at].member != 0; at = (at + 1) & mask) {
            if (d->slots[at].hash == hash &&
                compare_folded(d->members[d->slots[at].member - 1].name, name) == 0)
                return false;
        }
        d->slots[at] = (struct zip_slot){.hash = hash, .member = (uint32_t)i + 1};
    }
    return true;
}

static enum status
make_index(struct zip_directory *d, struct arena *arena, bool *ret_is_unique, struct err *err)
{
    FAIL_IF(d->count >= UINT32_MAX / 4, err, LIMIT, 0, "more members than can be counted");
    for (d->slot_count = 16; d->slot_count < d->count * 2;)
        d->slot_count *= 2;
    d->slots = arena_alloc(arena, d->slot_count, sizeof *d->slots);
    if (d->slots == NULL)
        return arena_fail(arena, err);
    *ret_is_unique = index_names(d);
    return OK;
}

/* PyTorch's reader folds case, and so do scanners; NumPy's does not, and W.npy and w.npy are two arrays. */
static bool
are_arrays(struct slice a, struct slice b)
{
    return slice_ends(a, slice_of(".npy")) && slice_ends(b, slice_of(".npy")) && !slice_equal(a, b);
}

static enum status
audit_twins(struct zip_directory *d, const struct limits *limits, struct inspection *in,
            struct err *err)
{
    struct zip_member *previous = NULL;

    d->by_name = arena_alloc(&in->arena, d->count, sizeof *d->by_name);
    if (d->by_name == NULL)
        return arena_fail(&in->arena, err);
    for (size_t i = 0; i < d->count; i++)
        d->by_name[i] = &d->members[i];
    qsort(d->by_name, d->count, sizeof(struct zip_member *), compare_members);
    for (size_t i = 0; i < d->count; i++) {
        struct zip_member *m = &d->members[d->by_name[i] - d->members];
        bool is_twin = previous != NULL && compare_folded(previous->name, m->name) == 0 &&
                       !are_arrays(previous->name, m->name);

        if (is_twin) {
            previous->is_ambiguous = m->is_ambiguous = true;
            if (in->safety < SAFETY_MALFORMED)
                in->safety = SAFETY_MALFORMED;
            TRY(inspection_note(in, limits, FINDING_ZIP_DUPLICATE, m->name, err,
                                slice_equal(previous->name, m->name)
                                    ? "two members have this name: loaders disagree about which "
                                      "counts"
                                    : "another member's name differs in case only: loaders "
                                      "disagree about which counts"));
        }
        previous = m;
    }
    return OK;
}

static enum status
audit_names(struct zip_directory *d, const struct limits *limits, struct inspection *in,
            struct err *err)
{
    bool is_unique = false;

    for (size_t i = 0; i < d->count; i++) {
        const char *odd = oddity(d->members[i].name);

        if (odd != NULL)
            TRY(inspection_note(in, limits, FINDING_ZIP_BAD_NAME, d->members[i].name, err, "%s",
                                odd));
    }
    TRY(make_index(d, &in->arena, &is_unique, err));
    return is_unique ? OK : audit_twins(d, limits, in, err);
}

/* Each member's header and payload must end before the next begins, the last before the directory:
 * else few bytes pose as many (zip bombs), or two readers see different payloads. */
static enum status
audit_places(struct zip_directory *d, const struct zip_member **by_place,
             const struct limits *limits, struct inspection *in, struct err *err)
{
    const struct zip_member *highest = NULL;
    uint64_t end = 0;
    bool is_sorted = true;

    /* Writers put the directory in the members' order. */
    for (size_t i = 1; i < d->count && is_sorted; i++)
        is_sorted = compare_places(&by_place[i - 1], &by_place[i]) <= 0;
    if (!is_sorted)
        qsort(by_place, d->count, sizeof *by_place, compare_places);
    for (size_t i = 0; i <= d->count; i++) {
        const struct zip_member *m = i < d->count ? by_place[i] : NULL;
        uint64_t begin = m != NULL ? m->local_offset : d->offset;

        if (m != NULL && !m->is_usable)
            continue;
        if (begin < end) {
            if (in->safety < SAFETY_MALFORMED)
                in->safety = SAFETY_MALFORMED;
            TRY(inspection_note(in, limits, FINDING_ZIP_OVERLAP, highest->name, err,
                                "its bytes overlap those of %s",
                                m != NULL ? "another member" : "the archive's directory"));
        }
        if (m != NULL && m->data_offset + m->stored_bytes >= end) {
            end = m->data_offset + m->stored_bytes;
            highest = m;
        }
    }
    return OK;
}

static void
free_index(const struct zip_member ***index)
{
    mem_free(*index);
}

enum status
zip_audit(struct zip_directory *d, const struct limits *limits, struct inspection *in,
          struct err *err)
{
    CLEANUP(free_index) const struct zip_member **by_place = mem_new(d->count, sizeof *by_place);

    FAIL_IF(by_place == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < d->count; i++)
        by_place[i] = &d->members[i];
    TRY(audit_places(d, by_place, limits, in, err));
    return audit_names(d, limits, in, err);
}

static const struct zip_member *
find_sorted(const struct zip_directory *d, struct slice name)
{
    size_t low = 0, high = d->count;

    /* The first that is not below the name. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_names(d->by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == d->count || !slice_equal(d->by_name[low]->name, name))
        return NULL;
    return d->by_name[low];
}

const struct zip_member *
zip_audit_find(const struct zip_directory *d, struct slice name)
{
    uint32_t hash;

    if (d->by_name != NULL)
        return find_sorted(d, name);
    if (d->slot_count == 0)
        return NULL;
    hash = hash_folded(d->slots, name);
    for (size_t at = hash & (d->slot_count - 1); d->slots[at].member != 0;
         at = (at + 1) & (d->slot_count - 1)) {
        const struct zip_member *m = &d->members[d->slots[at].member - 1];

        if (d->slots[at].hash == hash && slice_equal(m->name, name))
            return m;
    }
    return NULL;
}
