/*
 * torch.save's zip container, PyTorch's default since 1.6:
 *
 *     <root>/data.pkl     the object, its tensors as calls, their storages as persistent ids
 *     <root>/data/<key>   a storage's bytes, as they lie in memory
 *     <root>/version, byteorder, .format_version, .storage_alignment, .data/serialization_id
 *
 * As PyTorch's reader does it (caffe2/serialize/inline_container.cc), the root is the text before the
 * first '/' of the first entry in the directory, whatever the file is called. Loaders open
 * <root>/data.pkl and nothing else, but every member that looks like a pickle is judged: what a
 * scanner and a loader would not both see is where attacks hide.
 *
 * Not read here: TorchScript archives (constants.pkl) and torch.export's (.pt2), which are formats of
 * their own.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/safety.h"
#include "common/formats/torch_containers.h"
#include "common/formats/torch_metadata.h"
#include "common/formats/zip.h"

enum {
    RECORD_BYTES_MAX = 64,    /* of the small records: a number, "little" */
    NAME_BYTES_MAX = 1 << 17, /* of a record's name, root and all: zip has 65,535 */
    VERSION_MAX = 10,         /* the newest that PyTorch 2.13 takes */
};

/* What was said of a storage already. */
enum {
    NOTED_MISMATCH = 1 << 0,
    NOTED_COMPRESSED = 1 << 1,
    NOTED_ODD = 1 << 2,
};

struct archive {
    const struct limits *limits;
    struct inspection *in;
    struct zip_directory directory;
    struct slice root;
    struct buf name; /* of the record that is looked for */
    struct arena scratch;
    struct pickle_budget budget;
    struct safety_judge judge;
    bool is_big_endian;
    size_t judged;            /* members that were judged besides data.pkl */
    size_t pickle_bytes_left; /* of the members that are no data.pkl, together */
    uint64_t *told;           /* bytes, of each member that is a storage: what the first id said */
    uint8_t *noted;
};

static void
archive_done(struct archive *a)
{
    buf_done(&a->name);
    safety_done(&a->judge);
    arena_done(&a->scratch);
}

/* Any zip that no other format claims: a broken one may hold a pickle all the same. */
static unsigned
probe(const struct zip_directory *directory)
{
    (void)directory;
    return 32;
}

/* The member <root>/<folder><key>, or NULL. */
static const struct zip_member *
find_record(struct archive *a, const char *folder, struct slice key)
{
    buf_clear(&a->name);
    buf_slice(&a->name, a->root);
    buf_char(&a->name, '/');
    buf_text(&a->name, folder);
    buf_slice(&a->name, key);
    return a->name.failed == OK ? zip_directory_find(&a->directory, buf_slice_of(&a->name)) : NULL;
}

static const struct zip_member *
record(struct archive *a, const char *name)
{
    return find_record(a, "", slice_of(name));
}

/* ---- what kind of archive ---- */

static bool
all_end_with(const struct zip_directory *d, const char *suffix)
{
    for (size_t i = 0; i < d->count; i++) {
        if (!slice_ends(d->members[i].name, slice_of(suffix)))
            return false;
    }
    return true;
}

/* Zips of other writers that hold weights, too. */
static enum status
refuse_others(struct archive *a, struct err *err)
{
    struct slice none = {0};
    bool has_data = record(a, "data.pkl") != NULL;

    FAIL_IF(record(a, "archive_format") != NULL, err, UNSUPPORTED, 0,
            "a torch.export archive (.pt2), which is not read yet: save the weights with "
            "torch.save(program.state_dict, …)");
    FAIL_IF(zip_directory_find(&a->directory, slice_of("serialized_exported_program.json")) != NULL,
            err, UNSUPPORTED, 0,
            "a torch.export archive (.pt2) of PyTorch 2.1 to 2.7, which is not read yet: save the "
            "weights with torch.save(program.state_dict, …)");
    FAIL_IF(has_data && record(a, "constants.pkl") != NULL, err, UNSUPPORTED, 0,
            "a TorchScript archive (torch.jit.save), which is not read yet: save the weights with "
            "torch.save(module.state_dict(), …)");
    FAIL_IF(record(a, "model.json") != NULL, err, UNSUPPORTED, 0,
            "a TorchScript archive of PyTorch 1.0 or 1.1, which is not read");
    FAIL_IF(!has_data && find_record(a, ".data/version", none) != NULL, err, UNSUPPORTED, 0,
            "a torch.package archive, which is not read");
    FAIL_IF(!has_data && all_end_with(&a->directory, ".npy"), err, UNSUPPORTED, 0,
            "a NumPy .npz archive, which is not read yet");
    FAIL_IF(zip_directory_find(&a->directory, slice_of("config.json")) != NULL &&
                zip_directory_find(&a->directory, slice_of("model.weights.h5")) != NULL,
            err, UNSUPPORTED, 0, "a Keras archive (.keras), which is not read yet");
    return OK;
}

/* ---- the small records ---- */

/* A short text without the white space at its end; empty where it cannot be read. */
static enum status
read_small(struct archive *a, const struct zip_member *m, char *text, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    size_t length;

    text[0] = '\0';
    if (m == NULL ||
        zip_payload_read(&a->directory, m, RECORD_BYTES_MAX, a->limits, &payload, NULL) != OK)
        return OK;
    FAIL_IF(payload.length > RECORD_BYTES_MAX, err, INTERNAL, 0, "a record longer than its cap");
    for (length = payload.length; length > 0; length--) {
        char last = payload.bytes[length - 1];

        if (last != '\n' && last != '\r' && last != ' ')
            break;
    }
    memcpy(text, payload.bytes, length);
    text[length] = '\0';
    return OK;
}

static enum status
check_version(struct archive *a, struct err *err)
{
    const struct zip_member *m = find_record(a, ".data/version", (struct slice){0});
    char text[RECORD_BYTES_MAX + 1];
    uint64_t version;

    if (m == NULL)
        m = record(a, "version");
    if (m == NULL)
        return inspection_note(a->in, a->limits, FINDING_TORCH_RECORD, slice_of("version"), err,
                               "the archive has no version record: torch.load refuses it");
    TRY(read_small(a, m, text, err));
    if (num_parse_u64(slice_of(text), &version) && version >= 1 && version <= VERSION_MAX)
        return OK;
    return inspection_note(a->in, a->limits, FINDING_TORCH_RECORD, m->name, err,
                           "not a container version that PyTorch knows: torch.load refuses it");
}

static enum status
read_byteorder(struct archive *a, struct err *err)
{
    const struct zip_member *m = record(a, "byteorder");
    char text[RECORD_BYTES_MAX + 1];

    TRY(read_small(a, m, text, err));
    a->is_big_endian = slice_is(slice_of(text), "big");
    if (m == NULL || a->is_big_endian || slice_is(slice_of(text), "little"))
        return OK;
    return inspection_note(a->in, a->limits, FINDING_TORCH_RECORD, m->name, err,
                           "neither \"little\" nor \"big\": torch.load refuses it");
}

/* ---- storages ---- */

/* Whether a remark of a storage is still to be made. */
static bool
is_news(struct archive *a, size_t i, uint8_t remark)
{
    if ((a->noted[i] & remark) != 0)
        return false;
    a->noted[i] |= remark;
    return true;
}

static enum status
check_size(struct archive *a, const struct zip_member *m, size_t i, const struct torch_storage *s,
           struct err *err)
{
    if (a->told[i] == 0)
        a->told[i] = s->bytes;
    if (a->told[i] != s->bytes && is_news(a, i, NOTED_ODD))
        TRY(inspection_note(a->in, a->limits, FINDING_TENSOR_ODD, m->name, err,
                            "two tensors give its storage different sizes"));
    if (m->size_bytes == s->bytes || !is_news(a, i, NOTED_MISMATCH))
        return OK;
    if (m->size_bytes < s->bytes)
        return inspection_note(a->in, a->limits, FINDING_STORAGE_SHORT, m->name, err,
                               "it has %llu bytes where its tensors need %llu: the file is damaged",
                               (unsigned long long)m->size_bytes, (unsigned long long)s->bytes);
    return inspection_note(a->in, a->limits, FINDING_STORAGE_LONG, m->name, err,
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

static enum status
place_storage(struct archive *a, const struct zip_member *m, size_t i, struct torch_storage *s,
              struct err *err)
{
    bool is_deflated = m->method == ZIP_DEFLATED;

    s->place = (struct place){
        .is_big_endian = a->is_big_endian,
        .compression = is_deflated ? COMPRESSION_DEFLATE : COMPRESSION_NONE,
        .offset = m->data_offset,
        .stored_bytes = m->stored_bytes,
        .storage_bytes = m->size_bytes,
    };
    s->has_bytes = m->is_usable && !m->is_ambiguous &&
                   (is_deflated || (m->method == ZIP_STORED && m->stored_bytes == m->size_bytes));
    if (is_deflated && is_news(a, i, NOTED_COMPRESSED))
        return inspection_note(a->in, a->limits, FINDING_STORAGE_COMPRESSED, m->name, err,
                               "it is compressed: its tensors have no byte range in the file");
    return OK;
}

/* A torch_reader's locate. */
static enum status
locate(void *context, struct torch_storage *s, struct err *err)
{
    struct archive *a = context;
    const struct zip_member *m = find_record(a, "data/", s->key);
    size_t i;

    if (m == NULL) {
        s->number = key_hash(s->key); /* equal keys still are one storage */
        return inspection_note(a->in, a->limits, FINDING_STORAGE_MISSING, s->key, err,
                               "the archive has no record data/%.*s", SLICE_PRINT(s->key));
    }
    i = (size_t)(m - a->directory.members);
    s->number = i + 1;
    TRY(check_size(a, m, i, s, err));
    return place_storage(a, m, i, s, err);
}

/* ---- pickles ---- */

static enum status
note_crc(struct archive *a, const struct zip_member *m, const struct zip_payload *payload,
         struct err *err)
{
    if (!payload->is_whole) {
        safety_at_least(&a->judge, SAFETY_MALFORMED);
        TRY(inspection_note(a->in, a->limits, FINDING_ZIP_MALFORMED, m->name, err,
                            "its compressed bytes are damaged, or are not as many as told"));
    }
    if (payload->is_crc_right)
        return OK;
    return inspection_note(a->in, a->limits, FINDING_ZIP_CRC, m->name, err,
                           "its checksum is wrong, which stops no loader: some writers leave it "
                           "out, and some scanners stop there");
}

/* A line of text that begins a pickle of protocol 0: GLOBAL, or INST after a mark, and a module's
 * name. */
static bool
begins_with_global(const uint8_t *at, size_t length)
{
    size_t i = length > 1 && at[0] == '(' ? 1 : 0;
    size_t name = i + 1;

    if (length <= name || (at[i] != 'c' && at[i] != 'i'))
        return false;
    for (i = name; i < length; i++) {
        bool is_name = (at[i] >= 'a' && at[i] <= 'z') || (at[i] >= 'A' && at[i] <= 'Z') ||
                       (at[i] >= '0' && at[i] <= '9') || at[i] == '_' || at[i] == '.';

        if (at[i] == '\n')
            return i > name;
        if (!is_name)
            return false;
    }
    return length == ZIP_HEAD_BYTES; /* a longer name goes on past the head */
}

static bool
has_pickle_name(struct slice name)
{
    static const char *const endings[] = {".pkl", ".pickle", ".PKL", ".joblib"};

    for (size_t i = 0; i < ARRAY_LENGTH(endings); i++) {
        if (slice_ends(name, slice_of(endings[i])))
            return true;
    }
    return false;
}

static bool
looks_like_pickle(const uint8_t *head, size_t length)
{
    return (length >= 2 && head[0] == 0x80 && head[1] <= 5) || begins_with_global(head, length);
}

/* A storage that data.pkl names: its bytes are somebody's weights. */
static bool
is_storage(const struct archive *a, const struct zip_member *m)
{
    return a->told[m - a->directory.members] > 0;
}

/* Weights are random bytes: of sixteen thousand storages one begins like a pickle. So a storage that
 * data.pkl names is taken for one only if it ends like one, too. */
static bool
ends_like_pickle(const struct archive *a, const struct zip_member *m)
{
    char last = 0;

    return m->method == ZIP_STORED && m->stored_bytes > 0 &&
           source_read(a->directory.source, m->data_offset + m->stored_bytes - 1, &last, 1, NULL) ==
               OK &&
           last == '.';
}

/* Whether to run a member that torch.load does not look at. */
static enum status
wants_judging(struct archive *a, const struct zip_member *m, bool *ret_wants, struct err *err)
{
    uint8_t head[ZIP_HEAD_BYTES];
    size_t length;

    *ret_wants = has_pickle_name(m->name);
    if (*ret_wants)
        return OK;
    TRY(zip_payload_head(&a->directory, m, head, &length, err));
    if (length >= 4 && memcmp(head, "PK\3\4", 4) == 0 && !is_storage(a, m))
        return inspection_note(a->in, a->limits, FINDING_PICKLE_NESTED, m->name, err,
                               "an archive within the archive, which is not looked into");
    *ret_wants = looks_like_pickle(head, length) && (!is_storage(a, m) || ends_like_pickle(a, m));
    return OK;
}

/* The likeness of a member may be chance: unless its name says so, too, it is a pickle if it runs to
 * its end, or, where it is no storage, if it names a global before it breaks. */
static bool
is_pickle(const struct archive *a, const struct zip_member *m, const struct pickle *p)
{
    if (has_pickle_name(m->name) || p->is_complete)
        return true;
    return p->global_count > 0 && !is_storage(a, m);
}

static enum status
judge_member(struct archive *a, const struct zip_member *m, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct err problem = {0};
    struct pickle p = {0};
    enum status status =
        zip_payload_read(&a->directory, m, a->pickle_bytes_left, a->limits, &payload, &problem);

    if (status == ERR_NO_MEMORY || status == ERR_IO) {
        err_copy(err, &problem);
        return status;
    }
    if (status != OK && is_storage(a, m))
        return OK; /* chance, all the more where it is large */
    if (status != OK) {
        a->judged++;
        safety_at_least(&a->judge, SAFETY_MALFORMED);
        return inspection_note(a->in, a->limits,
                               status == ERR_LIMIT ? FINDING_PICKLE_LIMIT : FINDING_ZIP_MALFORMED,
                               m->name, err, "it could not be looked into: %s", problem.text);
    }
    a->pickle_bytes_left -= payload.length;
    TRY(pickle_run((struct slice){payload.bytes, payload.length}, &a->budget, &a->scratch, &p,
                   err));
    if (!is_pickle(a, m, &p))
        return OK;
    a->judged++;
    TRY(inspection_note(a->in, a->limits, FINDING_PICKLE_EXTRA, m->name, err,
                        "a pickle that torch.load does not read"));
    TRY(note_crc(a, m, &payload, err));
    return safety_add(&a->judge, &p, m->name, SAFETY_EXTRA, err);
}

static enum status
judge_members(struct archive *a, const struct zip_member *main, struct err *err)
{
    for (size_t i = 0; i < a->directory.count; i++) {
        const struct zip_member *m = &a->directory.members[i];
        bool wants;

        if (m == main || !m->is_usable)
            continue;
        TRY(wants_judging(a, m, &wants, err));
        if (wants)
            TRY(judge_member(a, m, err));
    }
    return OK;
}

/* ---- the whole ---- */

static enum status
find_root(struct archive *a, struct err *err)
{
    struct slice rest = a->directory.members[0].name;

    a->root = slice_cut(&rest, '/');
    if (rest.at == NULL) {
        a->root = (struct slice){0};
        safety_at_least(&a->judge, SAFETY_MALFORMED);
        return inspection_note(
            a->in, a->limits, FINDING_ZIP_FOREIGN, a->directory.members[0].name, err,
            "the first member lies in no folder: torch.load refuses the archive");
    }
    for (size_t i = 0; i < a->directory.count; i++) {
        struct slice name = a->directory.members[i].name;
        bool is_inside = name.length > a->root.length && slice_starts(name, a->root) &&
                         name.at[a->root.length] == '/';

        if (!is_inside)
            TRY(inspection_note(a->in, a->limits, FINDING_ZIP_FOREIGN, name, err,
                                "it lies outside the archive's root, %.*s/: torch.load refuses "
                                "such an archive, other readers take it",
                                SLICE_PRINT(a->root)));
    }
    return OK;
}

/* What torch.load gives, if the pickle has a result. */
static enum status
read_object(struct archive *a, const struct pickle *p, struct err *err)
{
    __attribute__((cleanup(torch_reader_done))) struct torch_reader r =
        torch_reader_of(a->in, a->limits, &a->scratch);

    r.locate = locate;
    r.context = a;
    TRY(torch_containers_read(&r, p->root, err));
    TRY(torch_metadata_read(&r, p->root, err));
    if (a->in->default_container == SIZE_MAX)
        TRY(inspection_note(a->in, a->limits, FINDING_EMPTY, (struct slice){0}, err,
                            "no state dict with tensors was found in it"));
    return OK;
}

static enum status
read_main(struct archive *a, const struct zip_member *m, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct pickle p;

    TRY(zip_payload_read(&a->directory, m, a->limits->pickle_bytes, a->limits, &payload, err));
    TRY(note_crc(a, m, &payload, err));
    TRY(pickle_run((struct slice){payload.bytes, payload.length}, &a->budget, &a->scratch, &p,
                   err));
    TRY(safety_add(&a->judge, &p, slice_of("data.pkl"), SAFETY_MAIN, err));
    /* Where loaders disagree about which data.pkl counts, neither is what the file holds. */
    if (p.has_stop && !m->is_ambiguous)
        return read_object(a, &p, err);
    return OK;
}

/* Findings after which torch.load gives up, as PyTorch 2.13 does, and why. */
static const struct {
    enum finding_id id;
    const char *reason;
} obstacles[] = {
    {FINDING_ZIP_MALFORMED, "the zip archive is malformed"},
    {FINDING_ZIP_FOREIGN, "members of the zip archive lie outside its root folder"},
    {FINDING_ZIP_FLAGS, "the zip archive says that members are encrypted"},
    {FINDING_ZIP_METHOD, "members of the zip archive have a compression that PyTorch cannot read"},
    {FINDING_TORCH_RECORD, "the archive's version or byteorder record is missing or unknown"},
    {FINDING_STORAGE_MISSING, "a storage's record is missing"},
    {FINDING_STORAGE_SHORT, "a storage's record is shorter than its tensors tell"},
    {FINDING_STORAGE_LONG, "a storage's record is longer than its tensors tell (PyTorch 2.10 on)"},
    {FINDING_TENSOR_OUTSIDE, "a tensor reaches beyond its storage"},
    {FINDING_TENSOR_MALFORMED, "a tensor cannot be built"},
};

static enum status
tell_obstacle(struct archive *a, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(obstacles); i++) {
        for (size_t k = 0; k < a->in->finding_count; k++) {
            if (a->in->findings[k].id == obstacles[i].id)
                return safety_refuse(&a->judge, err, "%s", obstacles[i].reason);
        }
    }
    return OK;
}

static enum status
read_archive(struct archive *a, struct err *err)
{
    const struct zip_member *main;
    size_t count = a->directory.count;

    safety_at_least(&a->judge, a->in->safety);
    TRY(find_root(a, err));
    TRY(refuse_others(a, err));
    a->told = arena_alloc(&a->scratch, count, sizeof *a->told);
    a->noted = arena_alloc(&a->scratch, count, sizeof *a->noted);
    if (a->told == NULL || a->noted == NULL)
        return arena_fail(&a->scratch, err);

    main = a->root.at != NULL ? record(a, "data.pkl") : NULL;
    if (main != NULL) {
        TRY(check_version(a, err));
        TRY(read_byteorder(a, err));
        TRY(read_main(a, main, err));
    }
    TRY(judge_members(a, main, err));
    FAIL_IF(main == NULL && a->judged == 0, err, UNRECOGNIZED, 0,
            "it is a zip archive, but not one that torch.save made: it has no data.pkl");
    if (main == NULL) {
        safety_at_least(&a->judge, SAFETY_MALFORMED);
        TRY(inspection_note(a->in, a->limits, FINDING_UNREADABLE, slice_of("data.pkl"), err,
                            "the archive has pickles, but none where torch.load looks for it"));
    }
    TRY(tell_obstacle(a, err));
    return safety_end(&a->judge, err);
}

static enum status
read_torch_zip(const struct zip_directory *directory, const struct fileset *files,
               const struct limits *limits, struct inspection *in, struct err *err)
{
    CLEANUP(archive_done)
    struct archive a = {
        .limits = limits,
        .in = in,
        .directory = *directory,
        .name = buf_with_cap(NAME_BYTES_MAX),
        .scratch = arena_with_cap(limits->arena_bytes),
        .budget = pickle_budget(limits),
        .pickle_bytes_left = limits->pickle_bytes,
    };

    (void)files;
    safety_begin(&a.judge, in, limits, &a.budget);
    return read_archive(&a, err);
}

const struct format format_torch_zip = {
    .name = "torch-zip", .probe_zip = probe, .read_zip = read_torch_zip};
