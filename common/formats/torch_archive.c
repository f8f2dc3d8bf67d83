#include "common/formats/torch_archive.h"

#include "common/base/attr.h"
#include "common/base/num.h"
#include "common/formats/torch_object.h"

enum {
    NAME_BYTES_MAX = 1 << 17, /* of a record's name, root and all: zip has 65,535 */
    VERSION_MAX = 10,         /* the newest that PyTorch 2.13 takes */
};

/* What was said of a storage already. */
enum {
    NOTED_MISMATCH = 1 << 0,
    NOTED_COMPRESSED = 1 << 1,
    NOTED_ODD = 1 << 2,
};

void
torch_work_begin(struct torch_work *w, const struct limits *limits, struct inspection *in)
{
    *w = (struct torch_work){
        .limits = limits,
        .in = in,
        .scratch = arena_with_cap(limits->arena_bytes),
        .budget = pickle_budget(limits),
        .pickle_bytes_left = limits->pickle_bytes,
        .nested_left = limits->zip_entries,
        .header_bytes_left = limits->header_bytes,
    };
    safety_begin(&w->judge, in, limits, &w->budget);
    safety_at_least(&w->judge, in->safety);
}

void
torch_work_done(struct torch_work *w)
{
    safety_done(&w->judge);
    arena_done(&w->scratch);
}

enum status
torch_archive_open(struct torch_work *w, const struct zip_directory *directory,
                   struct torch_archive *ret, struct err *err)
{
    *ret = (struct torch_archive){
        .work = w,
        .directory = directory,
        .root = torch_archive_root(directory),
        .folder = "data/",
        .name = buf_with_cap(NAME_BYTES_MAX),
        .told = arena_alloc(&w->scratch, directory->count, sizeof *ret->told),
        .noted = arena_alloc(&w->scratch, directory->count, sizeof *ret->noted),
        .first_number = w->numbers + 1,
    };
    w->numbers += directory->count;
    if (ret->told == NULL || ret->noted == NULL)
        return arena_fail(&w->scratch, err);
    return OK;
}

void
torch_archive_done(struct torch_archive *a)
{
    buf_done(&a->name);
}

/* ---- records by name ---- */

struct slice
torch_archive_root(const struct zip_directory *directory)
{
    struct slice rest = directory->count > 0 ? directory->members[0].name : (struct slice){0};
    struct slice root = slice_cut(&rest, '/');

    if (rest.at == NULL)
        return (struct slice){0};
    if (root.at == NULL)
        root.at = ""; /* a root without a name is a root */
    return root;
}

static const struct zip_member *
find(const struct zip_directory *directory, struct buf *name, struct slice root, const char *folder,
     struct slice key)
{
    buf_clear(name);
    if (root.at != NULL) {
        buf_slice(name, root);
        buf_char(name, '/');
    }
    buf_text(name, folder);
    buf_slice(name, key);
    return name->failed == OK ? zip_directory_find(directory, buf_slice_of(name)) : NULL;
}

bool
torch_archive_has(const struct zip_directory *directory, const char *name)
{
    CLEANUP(buf_done) struct buf whole = buf_with_cap(NAME_BYTES_MAX);
    struct slice root = torch_archive_root(directory);

    return root.at != NULL && find(directory, &whole, root, name, (struct slice){0}) != NULL;
}

const struct zip_member *
torch_archive_find(struct torch_archive *a, const char *folder, struct slice key)
{
    return find(a->directory, &a->name, a->root, folder, key);
}

const struct zip_member *
torch_archive_record(struct torch_archive *a, const char *name)
{
    return torch_archive_find(a, "", slice_of(name));
}

struct slice
torch_archive_name(const struct torch_archive *a, const struct zip_member *m)
{
    if (a->root.at == NULL)
        return m->name;
    if (m->name.length <= a->root.length || !slice_starts(m->name, a->root) ||
        m->name.at[a->root.length] != '/')
        return (struct slice){0};
    return slice_from(m->name, a->root.length + 1);
}

enum status
torch_archive_check_root(struct torch_archive *a, struct err *err)
{
    struct torch_work *w = a->work;

    if (a->root.at == NULL) {
        safety_at_least(&w->judge, SAFETY_MALFORMED);
        return inspection_note(
            w->in, w->limits, FINDING_ZIP_FOREIGN, a->directory->members[0].name, err,
            "the first member lies in no folder: torch.load refuses the archive");
    }
    for (size_t i = 0; i < a->directory->count; i++) {
        struct slice name = a->directory->members[i].name;
        bool is_inside = name.length > a->root.length && slice_starts(name, a->root) &&
                         name.at[a->root.length] == '/';

        if (!is_inside)
            TRY(inspection_note(w->in, w->limits, FINDING_ZIP_FOREIGN, name, err,
                                "it lies outside the archive's root, %.*s/: torch.load refuses "
                                "such an archive, other readers take it",
                                SLICE_PRINT(a->root)));
    }
    return OK;
}

/* ---- the small records ---- */

enum status
torch_archive_small(struct torch_archive *a, const struct zip_member *m, char *text,
                    struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    size_t length;

    text[0] = '\0';
    if (m == NULL || zip_payload_read(a->directory, m, TORCH_RECORD_BYTES_MAX, a->work->limits,
                                      &payload, NULL) != OK)
        return OK;
    FAIL_IF(payload.length > TORCH_RECORD_BYTES_MAX, err, INTERNAL, 0,
            "a record longer than its cap");
    for (length = payload.length; length > 0; length--) {
        char last = payload.bytes[length - 1];

        if (last != '\n' && last != '\r' && last != ' ')
            break;
    }
    if (length > 0)
        memcpy(text, payload.bytes, length);
    text[length] = '\0';
    return OK;
}

enum status
torch_archive_check_version(struct torch_archive *a, struct err *err)
{
    const struct zip_member *m = torch_archive_record(a, ".data/version");
    char text[TORCH_RECORD_BYTES_MAX + 1];
    uint64_t version;

    if (m == NULL)
        m = torch_archive_record(a, "version");
    if (m == NULL)
        return inspection_note(a->work->in, a->work->limits, FINDING_TORCH_RECORD,
                               slice_of("version"), err,
                               "the archive has no version record: torch.load refuses it");
    TRY(torch_archive_small(a, m, text, err));
    if (num_parse_u64(slice_of(text), &version) && version >= 1 && version <= VERSION_MAX)
        return OK;
    return inspection_note(a->work->in, a->work->limits, FINDING_TORCH_RECORD, m->name, err,
                           "not a container version that PyTorch knows: torch.load refuses it");
}

enum status
torch_archive_read_byteorder(struct torch_archive *a, struct err *err)
{
    const struct zip_member *m = torch_archive_record(a, "byteorder");
    char text[TORCH_RECORD_BYTES_MAX + 1];

    TRY(torch_archive_small(a, m, text, err));
    a->is_big_endian = slice_is(slice_of(text), "big");
    if (m == NULL || a->is_big_endian || slice_is(slice_of(text), "little"))
        return OK;
    return inspection_note(a->work->in, a->work->limits, FINDING_TORCH_RECORD, m->name, err,
                           "neither \"little\" nor \"big\": torch.load refuses it");
}

/* ---- storages ---- */

/* Whether a remark of a storage is still to be made. */
static bool
is_news(struct torch_archive *a, size_t i, uint8_t remark)
{
    if ((a->noted[i] & remark) != 0)
        return false;
    a->noted[i] |= remark;
    return true;
}

static enum status
check_size(struct torch_archive *a, const struct zip_member *m, size_t i,
           const struct torch_storage *s, struct err *err)
{
    struct torch_work *w = a->work;

    if (a->told[i] == 0)
        a->told[i] = s->bytes;
    if (a->told[i] != s->bytes && is_news(a, i, NOTED_ODD))
        TRY(inspection_note(w->in, w->limits, FINDING_TENSOR_ODD, m->name, err,
                            "two tensors give its storage different sizes"));
    if (m->size_bytes == s->bytes || !is_news(a, i, NOTED_MISMATCH))
        return OK;
    if (m->size_bytes < s->bytes)
        return inspection_note(w->in, w->limits, FINDING_STORAGE_SHORT, m->name, err,
                               "it has %llu bytes where its tensors need %llu: the file is damaged",
                               (unsigned long long)m->size_bytes, (unsigned long long)s->bytes);
    return inspection_note(w->in, w->limits, FINDING_STORAGE_LONG, m->name, err,
                           "it has %llu bytes where its tensors tell of %llu",
                           (unsigned long long)m->size_bytes, (unsigned long long)s->bytes);
}

static uint64_t
key_hash(struct slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < key.length; i++)
        hash = (hash ^ (unsigned char)key.at[i]) * UINT64_C(0x100000001b3);
    return (hash >> 2) | UINT64_C(1) << 63; /* the members' numbers lie below, bit 62 is clear */
}

enum status
torch_archive_place(struct torch_archive *a, const struct zip_member *m, struct place *ret_place,
                    bool *ret_has_bytes, struct err *err)
{
    bool is_deflated = m->method == ZIP_DEFLATED;

    *ret_place = (struct place){
        .is_big_endian = a->is_big_endian,
        .compression = is_deflated ? COMPRESSION_DEFLATE : COMPRESSION_NONE,
        .offset = a->offset + m->data_offset,
        .stored_bytes = m->stored_bytes,
        .storage_bytes = m->size_bytes,
    };
    *ret_has_bytes = m->is_usable && !m->is_ambiguous && !a->is_inflated &&
                     (is_deflated || (m->method == ZIP_STORED && m->stored_bytes == m->size_bytes));
    if (is_deflated && is_news(a, (size_t)(m - a->directory->members), NOTED_COMPRESSED))
        return inspection_note(a->work->in, a->work->limits, FINDING_STORAGE_COMPRESSED, m->name,
                               err, "it is compressed: its tensors have no byte range in the file");
    return OK;
}

enum status
torch_archive_locate(void *context, struct torch_storage *s, struct err *err)
{
    struct torch_archive *a = context;
    const struct zip_member *m = torch_archive_find(a, a->folder, s->key);
    size_t i;

    if (m == NULL) {
        s->number = key_hash(s->key) ^ a->first_number; /* equal keys still are one storage */
        return inspection_note(a->work->in, a->work->limits, FINDING_STORAGE_MISSING, s->key, err,
                               "the archive has no record %s%.*s", a->folder, SLICE_PRINT(s->key));
    }
    i = (size_t)(m - a->directory->members);
    s->number = a->first_number + i;
    TRY(check_size(a, m, i, s, err));
    return torch_archive_place(a, m, &s->place, &s->has_bytes, err);
}

/* ---- obstacles ---- */

enum status
torch_archive_tell_obstacle(struct torch_work *w, struct err *err)
{
    return torch_object_refuse(&w->judge, true, err);
}
