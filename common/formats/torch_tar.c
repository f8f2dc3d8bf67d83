/*
 * torch.save's first container, of PyTorch 0.1 to 0.1.9 (2016 and 2017): a tar archive with
 *
 *     sys_info   pickle {protocol_version, little_endian, type_sizes}
 *     storages   pickle n; n times: pickle (key, location, class), count of elements, bytes;
 *                then pickle [(key, root's key, offset, elements), …] of the views
 *     tensors    pickle n; n times: pickle (key, storage's key, class), int32 rank, 4 bytes unused,
 *                int64 sizes, int64 strides, int64 offset
 *     pickle     the object; its persistent ids are keys of tensors and storages, or
 *                (class, file, source) of modules
 *
 * all little-endian. No program writes it any more; torch.load still reads it
 * (torch/serialization.py, _legacy_load), but never under weights_only. Each pickle is judged: the ones
 * before the storages' and tensors' bytes run, too.
 *
 * Storages and tensors are made into the persistent ids and the arguments that the later formats have,
 * so that all is read by the same code from there on.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/pickle_stream.h"
#include "common/formats/tar.h"
#include "common/formats/torch_bytes.h"
#include "common/formats/torch_keys.h"
#include "common/formats/torch_object.h"

enum { PROBE_BITS = 128, ARGUMENTS = 4, ID_PARTS = 6, VIEW_PARTS = 3 };

enum member_number { STORAGES, TENSORS, PICKLE, MEMBERS }; /* that torch.load reads */

static const char *const member_names[MEMBERS] = {"storages", "tensors", "pickle"};

/* A tensor as _rebuild_tensor has it: storage, offset, size, stride. */
struct row {
    struct pickle_value arguments[ARGUMENTS];
};

struct archive {
    const struct limits *limits;
    struct inspection *in;
    const struct source *source;
    struct tar tar;
    const struct tar_member *members[MEMBERS]; /* NULL: it has none */
    struct arena scratch;
    struct pickle_budget budget;
    struct safety_judge judge;
    struct torch_keys keys;
    struct vec storages;     /* struct pickle_value: persistent ids */
    struct map storage_keys; /* of them, by key */
    struct vec tensors;      /* struct row */
    struct map tensor_keys;
};

static void
archive_done(struct archive *a)
{
    torch_keys_done(&a->keys);
    safety_done(&a->judge);
    vec_done(&a->storages);
    map_done(&a->storage_keys);
    vec_done(&a->tensors);
    map_done(&a->tensor_keys);
    arena_done(&a->scratch);
}

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    (void)source;
    return length == TAR_BLOCK_BYTES && tar_is_header(head) ? PROBE_BITS : 0;
}

/* Python's tarfile takes the last of several. */
static void
find_members(struct archive *a)
{
    for (size_t i = 0; i < a->tar.count; i++) {
        for (size_t k = 0; k < MEMBERS; k++) {
            if (slice_is(a->tar.members[i].name, member_names[k]))
                a->members[k] = &a->tar.members[i];
        }
    }
}

static enum status
note_malformed(struct archive *a, const char *member, const char *what, struct err *err)
{
    safety_at_least(&a->judge, SAFETY_MALFORMED);
    return inspection_note(a->in, a->limits, FINDING_HEADER_MALFORMED, slice_of(member), err, "%s",
                           what);
}

/* ---- one member, part by part ---- */

struct part {
    const char *member;
    uint64_t at, end;
};

/* Run and judge the pickle at p->at. Its bytes are kept in the scratch arena. */
static enum status
next_pickle(struct archive *a, struct part *p, struct pickle *ret, struct err *err)
{
    CLEANUP(pickle_stream_done) struct pickle_stream stream = {0};
    struct slice bytes;

    TRY(pickle_stream_read(&stream, a->source, p->at, p->end, a->limits->pickle_bytes, a->limits,
                           err));
    TRY(arena_copy(&a->scratch, (struct slice){stream.bytes, stream.length}, &bytes, err));
    TRY(pickle_run(bytes, &a->budget, &a->scratch, ret, err));
    TRY(safety_add(&a->judge, ret, slice_of(p->member), SAFETY_EXTRA, err));
    p->at = stream.end;
    return OK;
}

static enum status
next_count(struct archive *a, struct part *p, uint64_t *ret_count, bool *ret_is_ok, struct err *err)
{
    struct pickle pickle;

    TRY(next_pickle(a, p, &pickle, err));
    *ret_is_ok = pickle.has_stop && pickle_as_u64(pickle.root, ret_count);
    return OK;
}

/* A key as torch.load compares it: a number, however it is written. */
static bool
key_number(struct pickle_value v, int64_t *ret_number)
{
    struct slice text;

    return pickle_as_int(v, ret_number) ||
           (pickle_text(v, &text) && num_parse_i64(text, ret_number));
}

static enum status
key_text(struct archive *a, struct pickle_value v, struct slice *ret_key, bool *ret_is_key,
         struct err *err)
{
    int64_t number;

    *ret_key = (struct slice){0};
    *ret_is_key = key_number(v, &number);
    if (!*ret_is_key)
        return OK;
    return arena_printf(&a->scratch, ret_key, err, "%lld", (long long)number);
}

static struct pickle_value
text_value(struct slice text)
{
    return (struct pickle_value){
        .kind = PICKLE_STR, .count = (uint32_t)text.length, .is.bytes = text.at};
}

static struct pickle_value
int_value(uint64_t number)
{
    return (struct pickle_value){.kind = PICKLE_INT, .is.integer = (int64_t)number};
}

static enum status
tuple_value(struct archive *a, const struct pickle_value *items, size_t count,
            struct pickle_value *ret_tuple, struct err *err)
{
    struct pickle_value *copy = arena_alloc(&a->scratch, count, sizeof *copy);

    if (copy == NULL)
        return arena_fail(&a->scratch, err);
    memcpy(copy, items, count * sizeof *copy);
    *ret_tuple =
        (struct pickle_value){.kind = PICKLE_TUPLE, .count = (uint32_t)count, .is.items = copy};
    return OK;
}

/* ---- storages ---- */

static enum status
add_storage(struct archive *a, struct slice key, const struct pickle_value *parts, struct err *err)
{
    struct pickle_persistent *id = arena_alloc(&a->scratch, 1, sizeof *id);
    struct pickle_value *added;

    if (id == NULL)
        return arena_fail(&a->scratch, err);
    TRY(tuple_value(a, parts, ID_PARTS, &id->id, err));
    TRY(map_set(&a->storage_keys, key, (uint32_t)a->storages.count, err));
    TRY(vec_add(&a->storages, &added, "storages", err));
    *added = (struct pickle_value){.kind = PICKLE_PERSISTENT, .is.persistent = id};
    return OK;
}

static const struct pickle_value *
find_storage(const struct archive *a, struct slice key)
{
    uint32_t i = map_get(&a->storage_keys, key);

    return i == MAP_NONE ? NULL : &VEC_AT(&a->storages, struct pickle_value, i);
}

static enum status
read_storage(struct archive *a, struct part *p, bool *ret_goes_on, struct err *err)
{
    struct pickle_value parts[ID_PARTS] = {{0}};
    struct pickle_items told;
    struct pickle pickle;
    struct torch_key *row;
    struct slice key = {0};
    enum dtype dtype;
    uint64_t count;
    bool is_there = false, is_key = false;

    *ret_goes_on = false;
    TRY(next_pickle(a, p, &pickle, err));
    if (pickle.has_stop && pickle_list(pickle.root, &told) && told.count == 3)
        TRY(key_text(a, told.at[0], &key, &is_key, err));
    dtype = is_key && told.at[2].kind == PICKLE_GLOBAL ? torch_storage_class(told.at[2].is.global)
                                                       : DTYPE_UNKNOWN;
    if (dtype == DTYPE_UNKNOWN)
        return note_malformed(a, p->member, "a storage without a key or a class", err);
    TRY(torch_keys_count(&a->keys, p->at, &count, &is_there, err));
    if (!is_there || count > INT64_MAX || p->end - p->at < TORCH_LEGACY_COUNT_BYTES)
        return note_malformed(a, p->member, "a storage without its count of elements", err);
    TRY(torch_keys_add(&a->keys, key, dtype, count, err));
    row = torch_keys_find(&a->keys, key);
    if (row == NULL || row->elements != count)
        return note_malformed(a, p->member, "a storage that no file can hold, or two of one key",
                              err);
    p->at += TORCH_LEGACY_COUNT_BYTES;
    TRY(torch_keys_place(&a->keys, row, p->at, p->end, err));
    p->at += row->held;
    *ret_goes_on = row->held == row->bytes;
    parts[0] = text_value(slice_of("storage"));
    parts[1] = told.at[2];
    parts[2] = text_value(key);
    parts[3] = told.at[1];
    parts[4] = int_value(count);
    return add_storage(a, key, parts, err);
}

/* (key, root's key, offset, elements) */
static enum status
read_view(struct archive *a, struct pickle_value view, struct err *err)
{
    struct pickle_value parts[ID_PARTS], part[VIEW_PARTS];
    const struct pickle_value *root = NULL;
    struct pickle_items told;
    struct slice key = {0}, root_key = {0};
    bool is_key = false, is_root = false;

    if (pickle_list(view, &told) && told.count == 4) {
        TRY(key_text(a, told.at[0], &key, &is_key, err));
        TRY(key_text(a, told.at[1], &root_key, &is_root, err));
    }
    if (is_key && is_root)
        root = find_storage(a, root_key);
    if (root == NULL)
        return note_malformed(a, "storages", "a view of a storage that there is not", err);
    memcpy(parts, root->is.persistent->id.is.items, sizeof parts);
    part[0] = text_value(key);
    part[1] = told.at[2];
    part[2] = told.at[3];
    TRY(tuple_value(a, part, VIEW_PARTS, &parts[5], err));
    return add_storage(a, key, parts, err);
}

static enum status
read_views(struct archive *a, struct part *p, struct err *err)
{
    struct pickle_items views;
    struct pickle pickle;

    TRY(next_pickle(a, p, &pickle, err));
    if (!pickle.has_stop || !pickle_list(pickle.root, &views))
        return note_malformed(a, p->member, "it ends without its list of views", err);
    for (size_t i = 0; i < views.count; i++)
        TRY(read_view(a, views.at[i], err));
    return OK;
}

static enum status
read_storages(struct archive *a, struct part *p, struct err *err)
{
    bool goes_on = false;
    uint64_t count;

    TRY(next_count(a, p, &count, &goes_on, err));
    if (!goes_on)
        return note_malformed(a, p->member, "it does not begin with a count", err);
    for (uint64_t i = 0; i < count && goes_on; i++)
        TRY(read_storage(a, p, &goes_on, err));
    return goes_on ? read_views(a, p, err) : OK;
}

/* ---- tensors ---- */

static uint64_t
number_at(const uint8_t *b, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = size; i-- > 0;)
        value = value << 8 | b[i];
    return value;
}

static enum status
numbers_tuple(struct archive *a, const uint8_t *b, size_t count, struct pickle_value *ret_tuple,
              struct err *err)
{
    struct pickle_value items[TENSOR_RANK_MAX];

    for (size_t i = 0; i < count; i++)
        items[i] = int_value(number_at(b + 8 * i, 8));
    return tuple_value(a, items, count, ret_tuple, err);
}

/* rank, 4 bytes, sizes, strides, offset */
static enum status
read_geometry(struct archive *a, struct part *p, struct row *row, bool *ret_is_ok, struct err *err)
{
    const uint8_t *b;
    size_t rank, length;

    *ret_is_ok = false;
    if (p->end - p->at < 8)
        return OK;
    TRY(window_at(&a->keys.window, p->at, 8, &b, err));
    if (number_at(b, 4) > TENSOR_RANK_MAX || number_at(b, 4) > a->limits->rank)
        return OK;
    rank = (size_t)number_at(b, 4);
    length = 8 * (2 * rank + 1);
    p->at += 8;
    if (p->end - p->at < length)
        return OK;
    TRY(window_at(&a->keys.window, p->at, length, &b, err));
    TRY(numbers_tuple(a, b, rank, &row->arguments[2], err));
    TRY(numbers_tuple(a, b + 8 * rank, rank, &row->arguments[3], err));
    row->arguments[1] = int_value(number_at(b + 16 * rank, 8));
    p->at += length;
    *ret_is_ok = true;
    return OK;
}

static enum status
read_tensor(struct archive *a, struct part *p, bool *ret_goes_on, struct err *err)
{
    const struct pickle_value *storage;
    struct row row = {0}, *added;
    struct pickle_items told;
    struct pickle pickle;
    struct slice key = {0}, storage_key = {0};
    bool is_key = false, is_storage = false;

    *ret_goes_on = false;
    TRY(next_pickle(a, p, &pickle, err));
    if (pickle.has_stop && pickle_list(pickle.root, &told) && told.count == 3) {
        TRY(key_text(a, told.at[0], &key, &is_key, err));
        TRY(key_text(a, told.at[1], &storage_key, &is_storage, err));
    }
    if (!is_key || !is_storage)
        return note_malformed(a, p->member, "a tensor without a key or a storage", err);
    TRY(read_geometry(a, p, &row, ret_goes_on, err));
    if (!*ret_goes_on)
        return note_malformed(a, p->member, "a tensor whose rank or sizes are cut off, or too many",
                              err);
    storage = find_storage(a, storage_key);
    if (storage == NULL)
        TRY(note_malformed(a, p->member, "a tensor of a storage that there is not", err));
    else
        row.arguments[0] = *storage;
    TRY(map_set(&a->tensor_keys, key, (uint32_t)a->tensors.count, err));
    TRY(vec_add(&a->tensors, &added, "tensors", err));
    *added = row;
    return OK;
}

static enum status
read_tensors(struct archive *a, struct part *p, struct err *err)
{
    bool goes_on = false;
    uint64_t count;

    TRY(next_count(a, p, &count, &goes_on, err));
    if (!goes_on)
        return note_malformed(a, p->member, "it does not begin with a count", err);
    for (uint64_t i = 0; i < count && goes_on; i++)
        TRY(read_tensor(a, p, &goes_on, err));
    return OK;
}

/* ---- the object ---- */

/* A torch_reader's find_tensor and locate have one context. */
static bool
find_tensor(void *context, struct pickle_value id, struct pickle_items *ret_arguments)
{
    struct archive *a = context;
    char text[32];
    struct buf key = buf_with_cap(sizeof text);
    int64_t number;
    uint32_t i;

    if (!key_number(id, &number))
        return false;
    buf_printf(&key, "%lld", (long long)number);
    i = key.failed == OK ? map_get(&a->tensor_keys, buf_slice_of(&key)) : MAP_NONE;
    buf_done(&key);
    if (i == MAP_NONE)
        return false;
    *ret_arguments = (struct pickle_items){VEC_AT(&a->tensors, struct row, i).arguments, ARGUMENTS};
    return true;
}

static enum status
locate(void *context, struct torch_storage *s, struct err *err)
{
    struct archive *a = context;

    return torch_keys_locate(&a->keys, s, err);
}

static enum status
read_pickle(struct archive *a, const struct tar_member *m, struct err *err)
{
    CLEANUP(pickle_stream_done) struct pickle_stream stream = {0};
    struct pickle p;

    TRY(pickle_stream_read(&stream, a->source, m->offset, m->offset + m->size_bytes,
                           a->limits->pickle_bytes, a->limits, err));
    TRY(pickle_stream_run(&stream, &a->budget, &a->scratch, &p, err));
    TRY(safety_add(&a->judge, &p, slice_of("pickle"), SAFETY_EXTRA, err));
    if (p.has_stop) {
        CLEANUP(torch_reader_done)
        struct torch_reader r = torch_reader_of(a->in, a->limits, &a->scratch);

        r.pickle = &p;
        r.budget = &a->budget;
        r.locate = locate;
        r.find_tensor = find_tensor;
        r.context = a;
        return torch_object_read(&r, p.root, err);
    }
    return OK;
}

/* ---- the whole ---- */

/* Members that torch.load does not read, or not first, where they begin like a pickle. */
static enum status
judge_others(struct archive *a, struct err *err)
{
    for (size_t i = 0; i < a->tar.count; i++) {
        const struct tar_member *m = &a->tar.members[i];
        struct part p = {"another member", m->offset, m->offset + m->size_bytes};
        struct pickle pickle;
        uint8_t head[2];
        bool is_read = false;

        for (size_t k = 0; k < MEMBERS; k++)
            is_read = is_read || a->members[k] == m;
        if (is_read || !m->is_file || m->size_bytes < sizeof head)
            continue;
        TRY(source_read(a->source, m->offset, head, sizeof head, err));
        if (slice_is(m->name, "sys_info"))
            p.member = "sys_info";
        else if (head[0] != 0x80 || head[1] > 5)
            continue;
        else
            TRY(inspection_note(a->in, a->limits, FINDING_PICKLE_EXTRA, m->name, err,
                                "a pickle that torch.load does not read"));
        TRY(next_pickle(a, &p, &pickle, err));
    }
    return OK;
}

/* The members that torch.load opens. */
static enum status
check_members(struct archive *a, struct err *err)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        const struct tar_member *m = a->members[i];

        if (m == NULL)
            TRY(note_malformed(a, member_names[i], "the archive has no such member", err));
        else if (!m->is_file)
            TRY(note_malformed(a, member_names[i], "it is no file: a link or a folder", err));
        for (size_t k = 0; m != NULL && k < a->tar.count; k++) {
            if (&a->tar.members[k] != m && slice_equal(a->tar.members[k].name, m->name))
                TRY(note_malformed(a, member_names[i],
                                   "the archive has two of it, and readers differ in "
                                   "which they take",
                                   err));
        }
    }
    if (a->tar.problem != NULL)
        TRY(note_malformed(a, "tar", a->tar.problem, err));
    return OK;
}

static enum status
read_members(struct archive *a, struct err *err)
{
    const struct tar_member *storages, *tensors, *pickle;

    find_members(a);
    storages = a->members[STORAGES];
    tensors = a->members[TENSORS];
    pickle = a->members[PICKLE];
    FAIL_IF(pickle == NULL && (storages == NULL || tensors == NULL), err, UNRECOGNIZED, 0,
            "it is a tar archive, but not one that PyTorch made: unpack it and upload what is in "
            "it");
    TRY(check_members(a, err));
    if (storages != NULL && storages->is_file)
        TRY(read_storages(
            a,
            &(struct part){"storages", storages->offset, storages->offset + storages->size_bytes},
            err));
    if (tensors != NULL && tensors->is_file)
        TRY(read_tensors(
            a, &(struct part){"tensors", tensors->offset, tensors->offset + tensors->size_bytes},
            err));
    if (pickle != NULL && pickle->is_file)
        TRY(read_pickle(a, pickle, err));
    return judge_others(a, err);
}

/* A name of a first member may be a pickle, for those who read it as one. */
static enum status
check_head(struct archive *a, struct err *err)
{
    uint8_t head[2];

    TRY(source_read(a->source, 0, head, sizeof head, err));
    if (head[0] != 0x80 || head[1] > 5)
        return OK;
    safety_at_least(&a->judge, SAFETY_MALFORMED);
    return inspection_note(a->in, a->limits, FINDING_POLYGLOT, (struct slice){0}, err,
                           "the archive begins like a pickle, too: who reads it as one finds "
                           "another file");
}

static enum status
read_torch_tar(const struct fileset *files, const struct limits *limits, struct inspection *in,
               struct err *err)
{
    CLEANUP(archive_done)
    struct archive a = {
        .limits = limits,
        .in = in,
        .scratch = arena_with_cap(limits->arena_bytes),
        .budget = pickle_budget(limits),
        .storages = vec_of(sizeof(struct pickle_value), limits->tensors),
        .tensors = vec_of(sizeof(struct row), limits->tensors),
    };
    struct source source;

    TRY(files->open(files->context, 0, &source, err));
    a.source = &source;
    safety_begin(&a.judge, in, limits, &a.budget);
    torch_keys_begin(&a.keys, &source, in, limits);
    TRY(tar_read(&source, limits, &a.scratch, &a.tar, err));
    TRY(check_head(&a, err));
    TRY(read_members(&a, err));
    /* In PyTorch's words. */
    TRY(safety_refuse(
        &a.judge, err,
        "Cannot use ``weights_only=True`` with files saved in the legacy .tar format"));
    return safety_end(&a.judge, err);
}

const struct format format_torch_tar = {
    .name = "torch-tar", .probe = probe, .read = read_torch_tar};
