/*
 * torch.save's stream before 1.6, and since then with _use_new_zipfile_serialization=False: five
 * pickles, one behind the other, and the storages (torch/serialization.py, _legacy_save):
 *
 *     119547037146038801333356       the magic number
 *     1001                           the format's version
 *     {protocol_version, little_endian, type_sizes}
 *     the object                     its storages as persistent ids:
 *                                    ('storage', class, key, location, elements, None or
 *                                     (view's key, offset, elements))
 *     [key, …]                       of the storages
 *     count of elements, bytes       of each storage, in the order of the keys; little-endian on
 *                                    every machine
 *
 * Nothing tells how long a pickle is, and where a storage lies only the sizes of those before it tell.
 * All five pickles are judged: torch.load runs each. A second stream may follow, of a program that
 * saved to an open file several times: torch.load reads the first, and so do we, but the others are
 * judged, too.
 *
 * Loaders only compare the first pickle's result with the number. A file that computes it is read as
 * any other, and called malformed: no writer does it.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/formats/pickle_stream.h"
#include "common/formats/torch_bytes.h"
#include "common/formats/torch_keys.h"
#include "common/formats/torch_legacy.h"
#include "common/formats/torch_object.h"

enum {
    PROBE_BITS = 96,
    STREAMS_MAX = 1000, /* that are judged, of one file */
};

enum pickle_number { MAGIC, VERSION, SYSTEM, OBJECT, KEYS };

static const char *const member_names[TORCH_LEGACY_PICKLES] = {
    "the magic number", "the version",        "the system's properties",
    "the object",       "the storages' keys",
};

/* How the number is spelled in protocol 2 and later, behind PROTO or FRAME; and before. */
static const char binary_magic[] = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
static const char text_magic[] = "L119547037146038801333356L\n.";
static const char frame[] = "\x95\x0d\0\0\0\0\0\0\0";

struct legacy {
    const struct limits *limits;
    struct inspection *in;
    const struct source *source;
    struct arena scratch;
    struct pickle_budget budget;
    struct safety_judge judge;
    struct torch_keys keys;
    struct pickle_stream streams[TORCH_LEGACY_PICKLES];
    struct pickle pickles[TORCH_LEGACY_PICKLES];
    uint64_t at;     /* what follows what was read */
    bool is_extra;   /* a stream behind the first */
    bool is_cut_off; /* what follows cannot be found */
};

static void
forget_stream(struct legacy *l)
{
    for (size_t i = 0; i < TORCH_LEGACY_PICKLES; i++) {
        pickle_stream_done(&l->streams[i]);
        l->pickles[i] = (struct pickle){0};
    }
    torch_keys_done(&l->keys);
}

static void
legacy_done(struct legacy *l)
{
    forget_stream(l);
    safety_done(&l->judge);
    arena_done(&l->scratch);
}

/* The first pickle, as a pickler writes it: the number and nothing else. */
static bool
begins_with_magic(struct slice bytes)
{
    const struct slice binary = {binary_magic, sizeof binary_magic - 1};
    const struct slice framed = {frame, sizeof frame - 1};

    if (slice_starts(bytes, slice_of(text_magic)))
        return true;
    if (bytes.length < 2 || bytes.at[0] != '\x80' || bytes.at[1] < 2 || bytes.at[1] > 5)
        return false;
    bytes = slice_from(bytes, 2);
    return slice_starts(bytes, binary) ||
           (slice_starts(bytes, framed) && slice_starts(slice_from(bytes, framed.length), binary));
}

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    (void)source;
    return begins_with_magic((struct slice){(const char *)head, length}) ? PROBE_BITS : 0;
}

/* What comes before the storages is not as torch.save writes it, and torch.load gives up. */
static enum status
note_header(struct legacy *l, const char *subject, const char *what, struct err *err)
{
    safety_at_least(&l->judge, SAFETY_MALFORMED);
    return inspection_note(l->in, l->limits, FINDING_HEADER_MALFORMED, slice_of(subject), err,
                           "%s: torch.load refuses the file", what);
}

/* ---- the pickles ---- */

static enum status
read_pickle(struct legacy *l, enum pickle_number i, struct err *err)
{
    struct pickle_stream *stream = &l->streams[i];
    enum safety_role role = l->is_extra ? SAFETY_EXTRA : SAFETY_LEGACY;

    TRY(pickle_stream_read(stream, l->source, l->at, l->source->size_bytes, l->limits->pickle_bytes,
                           l->limits, err));
    TRY(pickle_stream_run(stream, &l->budget, &l->scratch, &l->pickles[i], err));
    TRY(safety_add(&l->judge, &l->pickles[i], slice_of(member_names[i]), role, err));
    l->at = stream->end;
    l->is_cut_off = !l->pickles[i].has_stop;
    return OK;
}

static enum status
check_magic(struct legacy *l, struct err *err)
{
    const struct pickle *p = &l->pickles[MAGIC];

    if (!p->has_stop || begins_with_magic(p->bytes))
        return OK;
    safety_at_least(&l->judge, SAFETY_MALFORMED);
    return inspection_note(l->in, l->limits, FINDING_PICKLE_ODD, slice_of(member_names[MAGIC]), err,
                           "No writer makes the number like this; loaders take it, scanners may "
                           "not.");
}

static enum status
check_version(struct legacy *l, struct err *err)
{
    int64_t version = 0;

    if (!l->pickles[VERSION].has_stop ||
        (pickle_as_int(l->pickles[VERSION].root, &version) && version == TORCH_LEGACY_VERSION))
        return OK;
    return note_header(l, member_names[VERSION], "the format's version is not 1001", err);
}

/* Loaders do not look at it: the bytes are little-endian, whatever it says. */
static enum status
check_system(struct legacy *l, struct err *err)
{
    const struct pickle *p = &l->pickles[SYSTEM];
    const struct pickle_value *order = pickle_get(p->root, "little_endian");
    bool is_little = true;

    if (!p->has_stop)
        return OK;
    if (!pickle_is_mapping(p->root))
        return inspection_note(l->in, l->limits, FINDING_HEADER_ODD, slice_of(member_names[SYSTEM]),
                               err, "they are no dict; no writer makes that");
    if (order == NULL || !pickle_as_bool(*order, &is_little) || is_little)
        return OK;
    return inspection_note(l->in, l->limits, FINDING_HEADER_ODD, slice_of("little_endian"), err,
                           "the file comes from a big-endian machine; its storages are "
                           "little-endian all the same, as in all of these files");
}

/* ---- the storages ---- */

static enum status
collect_id(struct legacy *l, struct pickle_value v, struct err *err)
{
    struct pickle_items id;
    struct slice key;
    uint64_t elements;
    enum dtype dtype;

    if (!pickle_list(v, &id) || id.count < 5 || !pickle_is_text(id.at[0], "storage") ||
        id.at[1].kind != PICKLE_GLOBAL || !pickle_text(id.at[2], &key) ||
        !pickle_as_u64(id.at[4], &elements))
        return OK;
    dtype = torch_storage_class(id.at[1].is.global);
    return dtype == DTYPE_UNKNOWN ? OK : torch_keys_add(&l->keys, key, dtype, elements, err);
}

static enum status
collect_folded(struct legacy *l, const struct pickle_tensor *t, struct err *err)
{
    enum dtype dtype = torch_storage_class(t->kind->storage_class);

    if (dtype == DTYPE_UNKNOWN)
        return OK;
    return torch_keys_add(&l->keys, (struct slice){t->key, t->key_length}, dtype,
                          (uint64_t)t->elements, err);
}

/* The first id of a key says what its storage is. Ids and folded tensors are each in the order of their
 * opcodes. */
static enum status
collect_keys(struct legacy *l, struct err *err)
{
    const struct pickle_persistent *p = l->pickles[OBJECT].persistents;
    const struct pickle_tensor *t = l->pickles[OBJECT].tensors;

    while (p != NULL || t != NULL) {
        if (t == NULL || (p != NULL && p->offset <= t->offset)) {
            TRY(collect_id(l, p->id, err));
            p = p->next;
        } else {
            TRY(collect_folded(l, t, err));
            t = t->next;
        }
    }
    return OK;
}

/* One storage of the list. Where what its head says and what its id says differ, nobody can tell where
 * the next one is. */
static enum status
place_storage(struct legacy *l, struct slice key, struct err *err)
{
    struct torch_key *row = torch_keys_find(&l->keys, key);
    uint64_t count;
    bool is_there;

    l->is_cut_off = true;
    if (row == NULL) {
        safety_at_least(&l->judge, SAFETY_MALFORMED);
        return inspection_note(l->in, l->limits, FINDING_HEADER_MALFORMED, key, err,
                               "the list of storages names one that no tensor has: torch.load "
                               "refuses the file, and where the storages behind it lie is not "
                               "known");
    }
    TRY(torch_keys_count(&l->keys, l->at, &count, &is_there, err));
    if (!is_there)
        return torch_keys_place(&l->keys, row, l->source->size_bytes, l->source->size_bytes, err);
    if (count != row->elements) {
        safety_at_least(&l->judge, SAFETY_MALFORMED);
        return inspection_note(l->in, l->limits, FINDING_HEADER_MALFORMED, key, err,
                               "the storage has %llu elements where its tensors tell of %llu: "
                               "torch.load refuses the file",
                               (unsigned long long)count, (unsigned long long)row->elements);
    }
    l->at += TORCH_LEGACY_COUNT_BYTES;
    TRY(torch_keys_place(&l->keys, row, l->at, l->source->size_bytes, err));
    l->at += row->held;
    l->is_cut_off = row->held < row->bytes;
    return OK;
}

static enum status
place_storages(struct legacy *l, struct err *err)
{
    struct pickle_items list;
    struct slice key;

    if (!pickle_list(l->pickles[KEYS].root, &list)) {
        l->is_cut_off = true;
        return note_header(l, member_names[KEYS], "they are no list", err);
    }
    for (size_t i = 0; i < list.count && !l->is_cut_off; i++) {
        if (!pickle_text(list.at[i], &key)) {
            l->is_cut_off = true;
            return note_header(l, member_names[KEYS], "one of them is no text", err);
        }
        TRY(place_storage(l, key, err));
    }
    return OK;
}

/* The rest behind a file's end has no bytes; without that, they were forgotten. */
static enum status
check_unlisted(struct legacy *l, struct err *err)
{
    for (size_t i = 0; i < l->keys.rows.count; i++) {
        const struct torch_key *row = &VEC_AT(&l->keys.rows, struct torch_key, i);

        if (row->is_listed || row->bytes == 0)
            continue;
        if (l->is_cut_off)
            TRY(inspection_note(l->in, l->limits, FINDING_STORAGE_SHORT, row->key, err,
                                "its bytes cannot be found: the file is cut off, or damaged, "
                                "before them"));
        else
            TRY(inspection_note(l->in, l->limits, FINDING_STORAGE_MISSING, row->key, err,
                                "the list of storages leaves it out: torch.load gives its tensors "
                                "whatever was in memory"));
    }
    return OK;
}

/* ---- the object ---- */

/* A module's class comes with its source, which torch.load compares and never runs. */
static enum status
note_sources(struct legacy *l, struct err *err)
{
    for (const struct pickle_persistent *p = l->pickles[OBJECT].persistents; p != NULL;
         p = p->next) {
        struct slice source, name;
        struct pickle_items id;

        if (!pickle_list(p->id, &id) || id.count < 4 || !pickle_is_text(id.at[0], "module") ||
            id.at[1].kind != PICKLE_GLOBAL || !pickle_text(id.at[3], &source))
            continue;
        TRY(pickle_type(id.at[1], &l->scratch, &name, err));
        TRY(inspection_note(l->in, l->limits, FINDING_FILE_CODE, name, err,
                            "the file carries the source of this class, which torch.load compares "
                            "with the installed one and does not run"));
    }
    return OK;
}

static enum status
read_object(struct legacy *l, struct err *err)
{
    const struct pickle *p = &l->pickles[OBJECT];
    CLEANUP(torch_reader_done)
    struct torch_reader r = torch_reader_of(l->in, l->limits, &l->scratch);

    r.pickle = p;
    r.budget = &l->budget;
    r.locate = torch_keys_locate;
    r.context = &l->keys;
    TRY(note_sources(l, err));
    return torch_object_read(&r, p->root, err);
}

/* ---- the whole ---- */

static enum status
read_stream(struct legacy *l, struct err *err)
{
    torch_keys_begin(&l->keys, l->source, l->in, l->limits);
    for (enum pickle_number i = MAGIC; i <= KEYS && !l->is_cut_off; i++)
        TRY(read_pickle(l, i, err));
    if (!l->is_extra) {
        TRY(check_magic(l, err));
        TRY(check_version(l, err));
        TRY(check_system(l, err));
    }
    TRY(collect_keys(l, err));
    if (l->pickles[KEYS].has_stop)
        TRY(place_storages(l, err));
    if (l->is_extra)
        return OK;
    TRY(check_unlisted(l, err));
    return l->pickles[OBJECT].has_stop ? read_object(l, err) : OK;
}

/* Another stream begins at the offset. */
static enum status
is_stream(struct legacy *l, bool *ret_is_stream, struct err *err)
{
    char head[64];
    uint64_t left = l->source->size_bytes - l->at;
    size_t length = left < sizeof head ? (size_t)left : sizeof head;

    TRY(source_read(l->source, l->at, head, length, err));
    *ret_is_stream = begins_with_magic((struct slice){head, length});
    return OK;
}

static enum status
read_others(struct legacy *l, struct err *err)
{
    bool goes_on = true;

    for (size_t i = 0; i < STREAMS_MAX && goes_on && !l->is_cut_off; i++) {
        if (l->at == l->source->size_bytes)
            return OK;
        TRY(is_stream(l, &goes_on, err));
        if (!goes_on)
            break;
        TRY(inspection_note(l->in, l->limits, FINDING_FILE_TRAILING, (struct slice){0}, err,
                            "another torch.save stream begins at byte %llu, which torch.load does "
                            "not read: the program saved to an open file more than once",
                            (unsigned long long)l->at));
        forget_stream(l);
        l->is_extra = true;
        TRY(read_stream(l, err));
    }
    if (l->is_cut_off || l->at == l->source->size_bytes)
        return OK;
    return torch_object_trailing(&l->judge, l->source, l->at, err);
}

enum status
torch_legacy_read(const struct source *source, const struct limits *limits, struct inspection *in,
                  struct err *err)
{
    CLEANUP(legacy_done)
    struct legacy l = {
        .limits = limits,
        .in = in,
        .source = source,
        .scratch = arena_with_cap(limits->arena_bytes),
        .budget = pickle_budget(limits),
    };

    safety_begin(&l.judge, in, limits, &l.budget);
    TRY(read_stream(&l, err));
    /* What torch.load makes of the first; what follows does not count for it. */
    TRY(torch_object_refuse(&l.judge, false, err));
    TRY(read_others(&l, err));
    return safety_end(&l.judge, err);
}

static enum status
read_legacy(const struct fileset *files, const struct limits *limits, struct inspection *in,
            struct err *err)
{
    struct source source;

    TRY(files->open(files->context, 0, &source, err));
    return torch_legacy_read(&source, limits, in, err);
}

const struct format format_torch_legacy = {
    .name = "torch-legacy", .probe = probe, .read = read_legacy};
