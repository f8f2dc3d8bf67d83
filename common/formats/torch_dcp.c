/*
 * torch.distributed.checkpoint: a folder of .metadata, which is one pickle, and __<rank>_<n>.distcp,
 * which are runs of torch.save archives, one for each chunk of a tensor and each other object.
 *
 *     Metadata   state_dict_metadata   {name: TensorStorageMetadata | BytesStorageMetadata}
 *                planner_data          {name: path in the nested dicts, a tuple}
 *                storage_data          {MetadataIndex(name, offset, index): _StorageInfo(
 *                                       relative_path, offset, length[, transform_descriptors])}
 *
 * Source: torch/distributed/checkpoint/metadata.py and filesystem.py. PyTorch loads .metadata with
 * plain pickle.load and the other objects with weights_only=False, so all of them are judged; tensors
 * it loads with weights_only=True. torch.load itself is not what opens any of it.
 */
#include "common/formats/format.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/builder.h"
#include "common/formats/safety.h"
#include "common/formats/set_name.h"
#include "common/formats/tiles.h"
#include "common/formats/torch_kind.h"
#include "common/formats/torch_storage.h"
#include "common/formats/torch_value.h"

enum {
    TENSOR_ENTRIES = 64, /* of a chunk's archive */
    TENSOR_PICKLE_BYTES = 1 << 20,
};

/* One name of the checkpoint. */
struct item {
    struct slice name;           /* as the metadata have it: "model.fc.weight" */
    struct slice container, key; /* where it stands in the nested dicts */
    bool is_tensor, is_broken, is_transformed;
    enum dtype dtype;
    struct shape shape;
    struct pickle_items chunks;
    size_t stored;      /* runs of bytes that storage_data has for it */
    struct place place; /* of its only chunk */
};

/* A run of a .distcp file. */
struct run {
    uint32_t item;
    size_t file;
    uint64_t offset, length;
};

struct dcp {
    const struct fileset *files;
    const struct limits *limits;
    struct inspection *in;
    struct arena scratch;
    struct pickle_budget budget;
    struct safety_judge judge;
    struct slice folder;
    struct map paths;   /* of the set's files */
    struct map missing; /* files that have their finding */
    struct map by_name; /* the items */
    struct vec items;   /* struct item */
    struct vec runs;    /* struct run */
    bool is_incomplete;
};

static void
dcp_done(struct dcp *d)
{
    arena_done(&d->scratch);
    safety_done(&d->judge);
    map_done(&d->paths);
    map_done(&d->missing);
    map_done(&d->by_name);
    vec_done(&d->items);
    vec_done(&d->runs);
}

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    static const char name[] = "torch.distributed.checkpoint.metadata";

    (void)source;
    if (length < sizeof name || head[0] != 0x80)
        return 0;
    for (size_t i = 0; i + sizeof name - 1 <= length && i < 64; i++) {
        if (memcmp(head + i, name, sizeof name - 1) == 0)
            return 200;
    }
    return 0;
}

static enum status
note_chunks(struct dcp *d, struct slice name, const char *what, struct err *err)
{
    safety_at_least(&d->judge, SAFETY_MALFORMED);
    return inspection_note(d->in, d->limits, FINDING_DCP_CHUNKS, name, err, "%s", what);
}

/* ---- state_dict_metadata ---- */

static enum status
read_dims(struct dcp *d, const struct pickle_value *v, struct shape *ret_shape, bool *ret_ok,
          struct err *err)
{
    struct pickle_items items;
    uint64_t *dims;

    *ret_ok = false;
    if (v == NULL || !pickle_list(*v, &items) || items.count > d->limits->rank ||
        items.count > TENSOR_RANK_MAX)
        return OK;
    dims = arena_alloc(&d->in->arena, items.count, sizeof *dims);
    if (dims == NULL)
        return arena_fail(&d->in->arena, err);
    for (size_t i = 0; i < items.count; i++) {
        if (!pickle_as_u64(items.at[i], &dims[i]))
            return OK;
    }
    *ret_shape = (struct shape){.rank = (uint32_t)items.count, .dims = dims};
    *ret_ok = true;
    return OK;
}

/* TensorProperties: an object with the attribute dtype, or its state, of which dtype is the first. */
static enum dtype
dtype_of(struct pickle_value properties)
{
    const struct pickle_value *dtype = pickle_attribute(properties, "dtype");
    const struct pickle_value *state = pickle_state(properties);
    struct pickle_items items;

    if (dtype == NULL && state != NULL && pickle_list(*state, &items) && items.count > 0)
        dtype = &items.at[0];
    return dtype == NULL ? DTYPE_UNKNOWN : torch_storage_dtype(*dtype);
}

static enum status
read_tensor(struct dcp *d, struct item *item, struct pickle_value v, struct err *err)
{
    const struct pickle_value *properties = pickle_attribute(v, "properties");
    const struct pickle_value *chunks = pickle_attribute(v, "chunks");
    bool ok;

    item->is_tensor = true;
    TRY(read_dims(d, pickle_attribute(v, "size"), &item->shape, &ok, err));
    if (properties != NULL)
        item->dtype = dtype_of(*properties);
    item->is_broken = !ok || chunks == NULL || !pickle_list(*chunks, &item->chunks);
    if (item->is_broken)
        return note_chunks(d, item->name, "its size or its chunks cannot be read", err);
    return OK;
}

static enum status
read_item(struct dcp *d, const struct pickle_pair *pair, struct err *err)
{
    struct item *item;
    struct slice name;
    uint32_t present;

    if (!pickle_text(pair->key, &name) || name.length > d->limits->name_bytes)
        return inspection_note(d->in, d->limits, FINDING_KEY_ODD, (struct slice){0}, err,
                               "a name that is no text, or too long; it is left out");
    TRY(arena_copy(&d->in->arena, name, &name, err));
    TRY(map_add(&d->by_name, name, (uint32_t)d->items.count, &present, err));
    if (present != MAP_NONE)
        return OK;
    TRY(vec_add(&d->items, &item, "tensors", err));
    *item = (struct item){.name = name, .key = name, .dtype = DTYPE_UNKNOWN};
    if (pickle_is_call(pair->value, "torch.distributed.checkpoint.metadata",
                       "TensorStorageMetadata"))
        return read_tensor(d, item, pair->value, err);
    return OK;
}

/* ---- planner_data: where in the nested dicts a name stands ---- */

static enum status
join_path(struct dcp *d, struct pickle_items path, size_t from, size_t to, struct slice *ret_path,
          struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(d->limits->name_bytes * 2 + 64);

    for (size_t i = from; i < to; i++) {
        struct slice key;
        bool is_text;

        TRY(torch_value_key(path.at[i], &d->scratch, &key, &is_text, err));
        buf_text(&text, i == from ? "" : ".");
        buf_slice(&text, key);
    }
    *ret_path = (struct slice){0};
    if (text.failed != OK || text.length > d->limits->name_bytes)
        return OK; /* the item keeps its whole name */
    return arena_copy(&d->in->arena, buf_slice_of(&text), ret_path, err);
}

/* A state dict is the dict that holds the tensors; an optimizer's is the whole of it. */
static enum status
place_item(struct dcp *d, const struct pickle_pair *pair, struct err *err)
{
    struct pickle_items path;
    struct slice name, container, key, segment;
    struct item *item;
    size_t cut;
    uint32_t at;

    if (!pickle_text(pair->key, &name) || !pickle_list(pair->value, &path) || path.count == 0 ||
        path.count > d->limits->pickle_depth)
        return OK;
    at = map_get(&d->by_name, name);
    if (at == MAP_NONE)
        return OK;
    item = &VEC_AT(&d->items, struct item, at);
    cut = path.count - 1;
    for (size_t i = cut; i-- > 0;) {
        if (pickle_text(path.at[i], &segment) && torch_kind_is_optimizer(segment))
            cut = i + 1;
    }
    TRY(join_path(d, path, 0, cut, &container, err));
    TRY(join_path(d, path, cut, path.count, &key, err));
    if (key.length == 0 || (cut > 0 && container.length == 0))
        return OK;
    item->container = container;
    item->key = key;
    return OK;
}

/* ---- storage_data ---- */

static enum status
find_file(struct dcp *d, struct slice name, size_t *ret_file, struct err *err)
{
    struct slice path;
    uint32_t file;

    *ret_file = SIZE_MAX;
    if (!set_name_is_plain(name) || memchr(name.at, '/', name.length) != NULL) {
        safety_at_least(&d->judge, SAFETY_MALFORMED);
        TRY(map_swap(&d->missing, name, 1, &file, err));
        return file != MAP_NONE
                   ? OK
                   : inspection_note(d->in, d->limits, FINDING_EXTERNAL_PATH, name, err,
                                     "the metadata name a file outside the checkpoint's folder; it "
                                     "was not opened");
    }
    TRY(arena_printf(&d->scratch, &path, err, "%.*s%.*s", SLICE_PRINT(d->folder),
                     SLICE_PRINT(name)));
    file = map_get(&d->paths, path);
    if (file != MAP_NONE) {
        *ret_file = file;
        return OK;
    }
    d->is_incomplete = true;
    TRY(map_swap(&d->missing, name, 1, &file, err));
    return file != MAP_NONE ? OK
                            : inspection_note(d->in, d->limits, FINDING_FRAGMENT_MISSING, name, err,
                                              "the file %.*s is missing: a part of the checkpoint "
                                              "lies in it",
                                              SLICE_PRINT(name));
}

static enum status
add_run(struct dcp *d, uint32_t at, struct pickle_value info, struct err *err)
{
    const struct pickle_value *path = pickle_attribute(info, "relative_path");
    const struct pickle_value *offset = pickle_attribute(info, "offset");
    const struct pickle_value *length = pickle_attribute(info, "length");
    const struct pickle_value *transforms = pickle_attribute(info, "transform_descriptors");
    struct item *item = &VEC_AT(&d->items, struct item, at);
    struct run run = {.item = at};
    struct pickle_items list;
    struct run *added;
    struct slice name;

    item->stored++;
    if (path == NULL || !pickle_text(*path, &name) || offset == NULL || length == NULL ||
        !pickle_as_u64(*offset, &run.offset) || !pickle_as_u64(*length, &run.length))
        return note_chunks(d, item->name, "where its bytes lie cannot be read", err);
    if (transforms != NULL && pickle_list(*transforms, &list) && list.count > 0)
        item->is_transformed = true;
    TRY(find_file(d, name, &run.file, err));
    if (run.file == SIZE_MAX)
        return OK;
    TRY(vec_add(&d->runs, &added, "chunks", err));
    *added = run;
    return OK;
}

static enum status
read_storage(struct dcp *d, const struct pickle_pair *pair, struct err *err)
{
    const struct pickle_value *fqn = pickle_attribute(pair->key, "fqn");
    struct slice name;
    uint32_t at;

    if (fqn == NULL || !pickle_text(*fqn, &name))
        return note_chunks(d, (struct slice){0}, "a row of storage_data names no tensor", err);
    at = map_get(&d->by_name, name);
    if (at == MAP_NONE)
        return note_chunks(d, name, "storage_data tell of it, state_dict_metadata do not", err);
    return add_run(d, at, pair->value, err);
}

/* ---- chunks ---- */

static enum status
check_chunks(struct dcp *d, struct item *item, size_t *steps_left, struct err *err)
{
    CLEANUP(mem_free_at) struct tile *tiles = mem_new(item->chunks.count + 1, sizeof *tiles);
    struct slice text;
    enum tiles_answer answer;

    FAIL_IF(tiles == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < item->chunks.count; i++) {
        struct shape offsets, sizes;
        bool has_offsets, has_sizes;

        TRY(read_dims(d, pickle_attribute(item->chunks.at[i], "offsets"), &offsets, &has_offsets,
                      err));
        TRY(read_dims(d, pickle_attribute(item->chunks.at[i], "sizes"), &sizes, &has_sizes, err));
        if (!has_offsets || !has_sizes || offsets.rank != item->shape.rank ||
            sizes.rank != item->shape.rank)
            return note_chunks(d, item->name, "a chunk has no offsets and sizes of its rank", err);
        tiles[i] = (struct tile){.offsets = offsets.dims, .sizes = sizes.dims};
    }
    answer = tiles_check(item->shape, tiles, item->chunks.count, steps_left);
    if (answer == TILES_COVER)
        return OK;
    TRY(arena_printf(&d->in->arena, &text, err, "its chunks %s", tiles_say(answer)));
    return note_chunks(d, item->name, text.at, err);
}

static enum status
check_items(struct dcp *d, struct err *err)
{
    size_t steps_left = d->limits->tile_steps;

    for (size_t i = 0; i < d->items.count; i++) {
        struct item *item = &VEC_AT(&d->items, struct item, i);
        size_t wanted = item->is_tensor ? item->chunks.count : 1;

        if (item->is_broken)
            continue;
        if (item->is_tensor)
            TRY(check_chunks(d, item, &steps_left, err));
        if (item->stored != wanted)
            TRY(note_chunks(d, item->name,
                            item->stored < wanted ? "chunks of it are stored nowhere"
                                                  : "more is stored of it than it has chunks",
                            err));
    }
    return OK;
}

/* ---- the archives ---- */

/* Take over what an archive's inspection noted, but for what is the same in each. */
static enum status
absorb(struct dcp *d, const struct item *item, const struct inspection *read, struct err *err)
{
    safety_at_least(&d->judge, read->safety);
    for (size_t i = 0; i < read->finding_count; i++) {
        const struct finding *f = &read->findings[i];

        if (f->id != FINDING_EMPTY)
            TRY(inspection_note(d->in, d->limits, f->id, f->subject, err, "%.*s: %.*s",
                                SLICE_PRINT(item->name), SLICE_PRINT(f->message)));
    }
    return OK;
}

/* A tensor in one chunk has a place: its archive's only storage. */
static void
take_place(struct item *item, const struct run *run, const struct inspection *read)
{
    const struct container *c = read->container_count > 0 ? &read->containers[0] : NULL;

    if (!item->is_tensor || item->chunks.count != 1 || c == NULL || c->structure.count != 1 ||
        c->placement.places == NULL || !c->placement.places[0].has_bytes ||
        c->placement.places[0].strides != NULL || c->structure.tensors[0].dtype != item->dtype ||
        !shape_equal(c->structure.tensors[0].shape, item->shape))
        return;
    item->place = c->placement.places[0];
    item->place.file = (uint32_t)run->file;
    item->place.offset += run->offset;
}

/* Thousands of runs may be told to be one and the same large archive: each is read as no more than what
 * PyTorch writes for a chunk. */
static struct limits
limits_of(const struct dcp *d, const struct run *run, const struct item *item)
{
    struct limits limits = *d->limits;

    limits.gzip_bytes = 0;
    if (run->length < limits.pickle_bytes)
        limits.pickle_bytes = (size_t)run->length;
    if (!item->is_tensor)
        return limits;
    limits.zip_entries = TENSOR_ENTRIES;
    if (limits.pickle_bytes > TENSOR_PICKLE_BYTES)
        limits.pickle_bytes = TENSOR_PICKLE_BYTES;
    return limits;
}

static enum status
read_archive(struct dcp *d, const struct run *run, struct item *item, const struct source *whole,
             struct err *err)
{
    CLEANUP(inspection_done)
    struct inspection read = {.arena = arena_with_cap(d->limits->arena_bytes),
                              .default_container = SIZE_MAX};
    struct source_part part = {.whole = whole, .offset = run->offset, .size_bytes = run->length};
    struct limits limits = limits_of(d, run, item);
    struct source source;
    struct fileset files;
    struct err problem = {0};
    enum status status;

    status = source_of_part(&part, &source, &problem);
    if (status == OK) {
        files = fileset_of_source(&source);
        status = format_read_file(&files, &limits, &read, &problem);
    }
    if (status == ERR_NO_MEMORY || status == ERR_IO) {
        err_copy(err, &problem);
        return status;
    }
    TRY(absorb(d, item, &read, err));
    if (status == OK) {
        take_place(item, run, &read);
        return OK;
    }
    safety_at_least(&d->judge, SAFETY_MALFORMED);
    return inspection_note(d->in, d->limits, FINDING_UNREADABLE, item->name, err,
                           "its archive, %llu bytes at %llu of its file, cannot be read: %s",
                           (unsigned long long)run->length, (unsigned long long)run->offset,
                           problem.text);
}

/* Objects first: they are unpickled whatever is in them. All of them share a budget of bytes. */
static enum status
read_archives(struct dcp *d, bool tensors, size_t *left, uint64_t *bytes_left, size_t *unseen,
              struct err *err)
{
    for (size_t i = 0; i < d->runs.count; i++) {
        const struct run *run = &VEC_AT(&d->runs, struct run, i);
        struct item *item = &VEC_AT(&d->items, struct item, run->item);
        struct source source;

        if (item->is_tensor != tensors)
            continue;
        if (item->is_transformed || *left == 0 || (!tensors && run->length > *bytes_left)) {
            ++*unseen;
            continue;
        }
        --*left;
        if (!tensors)
            *bytes_left -= run->length;
        TRY(d->files->open(d->files->context, run->file, &source, err));
        TRY(read_archive(d, run, item, &source, err));
    }
    return OK;
}

static enum status
judge_archives(struct dcp *d, struct err *err)
{
    size_t left = d->limits->dcp_chunks, unseen = 0;
    uint64_t bytes_left = d->limits->pickle_bytes;

    TRY(read_archives(d, false, &left, &bytes_left, &unseen, err));
    TRY(read_archives(d, true, &left, &bytes_left, &unseen, err));
    if (unseen == 0)
        return OK;
    safety_at_least(&d->judge, SAFETY_UNLISTED);
    return inspection_note(d->in, d->limits, FINDING_PICKLE_LIMIT, (struct slice){0}, err,
                           "%zu of the checkpoint's %zu archives were not looked into: they are "
                           "transformed (compressed), or too many",
                           unseen, d->runs.count);
}

/* ---- containers ---- */

static int
compare_items(const void *a, const void *b)
{
    const struct item *const x = *(const struct item *const *)a;
    const struct item *const y = *(const struct item *const *)b;
    int order = slice_compare(x->container, y->container);

    if (order != 0)
        return order;
    return (x > y) - (x < y); /* the metadata's order */
}

static enum status
add_item(struct builder *b, const struct item *item, struct err *err)
{
    struct built_tensor t = {
        .tensor = {.name = item->key, .dtype = item->dtype, .shape = item->shape},
        .place = item->place};
    struct entry e = {.name = item->key, .kind = ENTRY_OBJECT, .type = slice_of("object")};

    if (item->is_tensor && !item->is_broken)
        return builder_tensor(b, &t, err);
    if (item->is_tensor)
        e.type = slice_of("torch.Tensor");
    return builder_entry(b, &e, err);
}

static enum status
finish_container(struct dcp *d, struct builder *b, struct slice path, struct err *err)
{
    enum container_kind kind = torch_kind_of(b, path);

    if (torch_kind_is_optimizer(path))
        kind = CONTAINER_OPTIMIZER;
    else if (d->is_incomplete && kind != CONTAINER_OUTER)
        kind = CONTAINER_FRAGMENT;
    if (b->tensors.count > 0 || path.length == 0)
        return builder_finish(b, path, kind, err);
    b->entries.count = 0; /* a dict of plain values is no state dict */
    return OK;
}

static enum status
make_containers(struct dcp *d, struct err *err)
{
    CLEANUP(builder_done) struct builder b = {0};
    CLEANUP(mem_free_at) struct item **sorted = mem_new(d->items.count + 1, sizeof *sorted);

    FAIL_IF(sorted == NULL, err, NO_MEMORY, 0, "out of memory");
    builder_begin(&b, d->in, d->limits);
    for (size_t i = 0; i < d->items.count; i++)
        sorted[i] = &VEC_AT(&d->items, struct item, i);
    if (d->items.count > 1)
        qsort(sorted, d->items.count, sizeof *sorted, compare_items);
    for (size_t i = 0; i < d->items.count; i++) {
        if (i > 0 && !slice_equal(sorted[i]->container, sorted[i - 1]->container))
            TRY(finish_container(d, &b, sorted[i - 1]->container, err));
        if (d->in->container_count == d->limits->containers)
            return inspection_note(d->in, d->limits, FINDING_TOO_MANY, (struct slice){0}, err,
                                   "more than %zu state dicts; the rest is left out",
                                   d->limits->containers);
        TRY(add_item(&b, sorted[i], err));
    }
    if (d->items.count > 0)
        TRY(finish_container(d, &b, sorted[d->items.count - 1]->container, err));
    d->in->default_container = torch_kind_default(d->in);
    return OK;
}

/* ---- the whole ---- */

/* Each row of one of the metadata's dicts. */
static enum status
each_pair(struct dcp *d, struct pickle_value root, const char *member,
          enum status (*take)(struct dcp *d, const struct pickle_pair *pair, struct err *err),
          struct err *err)
{
    const struct pickle_value *dict = pickle_attribute(root, member);
    struct pickle_pairs pairs;
    bool is_mapping;

    if (dict == NULL)
        return OK;
    TRY(torch_value_pairs(*dict, &d->scratch, &is_mapping, &pairs, err));
    for (size_t i = 0; is_mapping && i < pairs.count; i++)
        TRY(take(d, &pairs.at[i], err));
    return OK;
}

static enum status
read_metadata(struct dcp *d, struct pickle_value root, struct err *err)
{
    if (!pickle_is_call(root, "torch.distributed.checkpoint.metadata", "Metadata") ||
        pickle_attribute(root, "state_dict_metadata") == NULL) {
        safety_at_least(&d->judge, SAFETY_MALFORMED);
        return inspection_note(d->in, d->limits, FINDING_UNREADABLE, (struct slice){0}, err,
                               "the pickle is no Metadata of torch.distributed.checkpoint");
    }
    TRY(each_pair(d, root, "state_dict_metadata", read_item, err));
    TRY(each_pair(d, root, "planner_data", place_item, err));
    TRY(each_pair(d, root, "storage_data", read_storage, err));
    TRY(check_items(d, err));
    TRY(judge_archives(d, err));
    return make_containers(d, err);
}

static enum status
read_bytes(const struct source *source, const struct limits *limits, char **ret_bytes,
           struct err *err)
{
    CLEANUP(mem_free_at) char *bytes = NULL;

    FAIL_IF(source->size_bytes > limits->pickle_bytes, err, LIMIT, 0,
            "a .metadata of %llu bytes; the limit is %zu", (unsigned long long)source->size_bytes,
            limits->pickle_bytes);
    bytes = mem_new((size_t)source->size_bytes + 1, 1);
    FAIL_IF(bytes == NULL, err, NO_MEMORY, 0, "out of memory");
    TRY(source_read(source, 0, bytes, (size_t)source->size_bytes, err));
    *ret_bytes = TAKE(bytes);
    return OK;
}

static enum status
read_dcp(const struct fileset *files, const struct limits *limits, struct inspection *in,
         struct err *err)
{
    CLEANUP(mem_free_at) char *bytes = NULL;
    CLEANUP(dcp_done)
    struct dcp d = {.files = files,
                    .limits = limits,
                    .in = in,
                    .scratch = arena_with_cap(limits->arena_bytes),
                    .budget = pickle_budget(limits)};
    struct source source;
    struct pickle p;

    d.items = vec_of(sizeof(struct item), limits->tensors);
    d.runs = vec_of(sizeof(struct run), limits->tensors);
    d.folder = set_name_folder(files->path(files->context, 0));
    safety_begin(&d.judge, in, limits, &d.budget);
    for (size_t i = 1; i < files->count; i++)
        TRY(map_set(&d.paths, files->path(files->context, i), (uint32_t)i, err));
    TRY(files->open(files->context, 0, &source, err));
    TRY(read_bytes(&source, limits, &bytes, err));
    TRY(pickle_run((struct slice){bytes, (size_t)source.size_bytes}, &d.budget, &d.scratch, &p,
                   err));
    TRY(safety_add(&d.judge, &p, slice_of(".metadata"), SAFETY_EXTRA, err));
    if (p.has_stop)
        TRY(read_metadata(&d, p.root, err));
    return safety_end(&d.judge, err);
}

const struct format format_torch_dcp = {.name = "torch-dcp", .probe = probe, .read = read_dcp};
