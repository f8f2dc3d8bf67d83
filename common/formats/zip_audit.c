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

int
zip_audit_compare_names(struct slice a, struct slice b)
{
    int order = compare_folded(a, b);

    return order != 0 ? order : slice_compare(a, b);
}

static int
compare_members(const void *left, const void *right)
{
    const struct zip_member *a = *(const struct zip_member *const *)left;
    const struct zip_member *b = *(const struct zip_member *const *)right;
    int order = zip_audit_compare_names(a->name, b->name);

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

static enum status
audit_names(struct zip_directory *d, const struct limits *limits, struct inspection *in,
            struct err *err)
{
    struct zip_member *previous = NULL;

    for (size_t i = 0; i < d->count; i++) {
        const char *odd = oddity(d->members[i].name);

        if (odd != NULL)
            TRY(inspection_note(in, limits, FINDING_ZIP_BAD_NAME, d->members[i].name, err, "%s",
                                odd));
    }
    qsort(d->by_name, d->count, sizeof(struct zip_member *), compare_members);
    for (size_t i = 0; i < d->count; i++) {
        struct zip_member *m = &d->members[d->by_name[i] - d->members];
        bool is_twin = previous != NULL && compare_folded(previous->name, m->name) == 0;

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
    d->by_name = arena_alloc(&in->arena, d->count, sizeof *d->by_name);
    if (d->by_name == NULL)
        return arena_fail(&in->arena, err);
    for (size_t i = 0; i < d->count; i++)
        d->by_name[i] = by_place[i] = &d->members[i];
    TRY(audit_places(d, by_place, limits, in, err));
    return audit_names(d, limits, in, err);
}
