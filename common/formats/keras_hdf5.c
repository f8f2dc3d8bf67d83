/*
 * Keras' files, and any other HDF5 file: its datasets are the tensors, their names the paths as h5py
 * tells them, without the slash before them.
 *
 *     .weights.h5  Keras 3: layers/dense/vars/0, …; optimizer/vars/0, … is the optimizer's
 *     .h5          whole model, Keras 1 to 3: model_weights/<layer>/<weight>, optimizer_weights/…,
 *                  attributes keras_version, backend, model_config, training_config
 *     .h5          weights alone: <layer>/<weight>
 *     .keras       a zip: config.json, metadata.json, model.weights.h5, assets
 *
 * In the older two the order of weights is told by the attributes layer_names (of the group) and
 * weight_names (of each layer), split into layer_names0, layer_names1 … where they are long; Keras
 * matches weights by it. What the configuration would run is judged by keras_config.c. Sources:
 * keras/src/legacy/saving/legacy_h5_format.py, keras/src/saving/saving_lib.py; HDF5 itself is read by
 * hdf5.c.
 *
 * Not read: .keras archives that keep their weights in an .npz, which are pickles of dicts.
 */
#include "common/formats/format.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/formats/builder.h"
#include "common/formats/hdf5.h"
#include "common/formats/hdf5_file.h"
#include "common/formats/keras_config.h"
#include "common/formats/zip.h"
#include "common/formats/zip_directory.h"

enum {
    METADATA_DEPTH = 8,           /* of what is kept of training_config */
    TRAINING_BYTES_MAX = 32 << 10 /* of the same */
};

static const char MODEL[] = "model_weights";
static const char OPTIMIZER[] = "optimizer_weights";

struct reader {
    struct inspection *in;
    const struct limits *limits;
    struct builder builder;
    struct hdf5 hdf5;
    struct map paths;  /* of the objects: their index */
    uint8_t *is_taken; /* by object: 1 where it was added, or its weights were */
    struct buf path;
    uint64_t shift;  /* of the HDF5 file, in file 0 of the set */
    bool has_places; /* false: it was inflated, and has no byte ranges */
    bool is_legacy, is_keras3;
    struct keras_summary summary;
    struct slice date_saved, keras_version; /* of a .keras archive; may be empty */
};

static void
reader_done(struct reader *r)
{
    builder_done(&r->builder);
    hdf5_done(&r->hdf5);
    map_done(&r->paths);
    mem_free(r->is_taken);
    buf_done(&r->path);
}

/* ---- attributes ---- */

/* "layer_names" and what it is split into: "layer_names0", "layer_names12". */
static bool
is_numbered(struct slice name, const char *stem)
{
    struct slice rest;

    if (!slice_starts(name, slice_of(stem)))
        return false;
    rest = slice_from(name, strlen(stem));
    for (size_t i = 0; i < rest.length; i++)
        if (rest.at[i] < '0' || rest.at[i] > '9')
            return false;
    return true;
}

static bool
wants(struct slice name)
{
    return slice_is(name, "keras_version") || slice_is(name, "backend") ||
           slice_is(name, "model_config") || slice_is(name, "training_config") ||
           slice_is(name, "dtype") || is_numbered(name, "layer_names") ||
           is_numbered(name, "weight_names");
}

/* The only text of an attribute, or an empty slice. */
static struct slice
text_of(const struct hdf5_object *o, const char *name)
{
    const struct hdf5_attribute *a = hdf5_attribute_find(o->attributes, name);

    return a != NULL && a->count == 1 ? a->texts[0] : (struct slice){0};
}

/* A part of a list: the whole where it is not split, and then no more; or the i-th part. */
static const struct hdf5_attribute *
list_part(const struct hdf5_object *o, const char *stem, unsigned i)
{
    const struct hdf5_attribute *whole = hdf5_attribute_find(o->attributes, stem);
    char name[32];

    if (whole != NULL)
        return i == 0 ? whole : NULL;
    (void)snprintf(name, sizeof name, "%s%u", stem, i);
    return hdf5_attribute_find(o->attributes, name);
}

/* ---- objects ---- */

static const struct hdf5_object *
object_at(const struct reader *r, size_t i)
{
    return &VEC_AT(&r->hdf5.objects, struct hdf5_object, i);
}

static uint32_t
index_of(const struct reader *r, struct slice path)
{
    return map_get(&r->paths, path);
}

static const struct hdf5_object *
find(const struct reader *r, const char *path)
{
    uint32_t i = index_of(r, slice_of(path));

    return i == MAP_NONE ? NULL : object_at(r, i);
}

static enum status
list_paths(struct reader *r, struct err *err)
{
    size_t count = r->hdf5.objects.count;
    uint32_t present;

    r->is_taken = mem_new(count + 1, 1);
    FAIL_IF(r->is_taken == NULL, err, NO_MEMORY, 0, "out of memory");
    TRY(map_reserve(&r->paths, count, err));
    for (size_t i = 0; i < count; i++)
        TRY(map_add(&r->paths, object_at(r, i)->path, (uint32_t)i, &present, err));
    return OK;
}

/* Which container a dataset belongs to: "" for all that is in none of the named groups. */
static const char *
container_of(const struct reader *r, struct slice path)
{
    struct slice rest = path, first = slice_cut(&rest, '/');

    if (rest.at == NULL)
        return "";
    if (r->is_legacy && slice_is(first, MODEL))
        return MODEL;
    if (r->is_legacy && slice_is(first, OPTIMIZER))
        return OPTIMIZER;
    return r->is_keras3 && slice_is(first, "optimizer") ? "optimizer" : "";
}

/* ---- tensors ---- */

static enum status
add_object(struct reader *r, size_t i, const char *container, struct err *err)
{
    const struct hdf5_object *o = object_at(r, i);
    size_t prefix = strlen(container);
    struct built_tensor t = {0};
    struct entry e = {.kind = ENTRY_NONE, .type = slice_of("h5py.Empty")};

    if (o->is_group || r->is_taken[i] || strcmp(container_of(r, o->path), container) != 0)
        return OK;
    r->is_taken[i] = 1;
    t.tensor.name = prefix == 0 ? o->path : slice_from(o->path, prefix + 1);
    if (o->is_null) {
        e.name = t.tensor.name;
        return builder_entry(&r->builder, &e, err);
    }
    t.tensor.dtype = o->dtype;
    t.tensor.shape = o->shape;
    t.storage = o->address + 1;
    if (o->has_bytes && r->has_places)
        t.place = (struct place){
            .has_bytes = true,
            .is_big_endian = o->is_big_endian,
            .offset = r->shift + o->offset,
            .stored_bytes = o->stored_bytes,
            .storage_bytes = o->stored_bytes,
        };
    return builder_tensor(&r->builder, &t, err);
}

/* The weight that a layer names; Keras fails where it is not there. */
static enum status
add_weight(struct reader *r, const struct hdf5_object *layer, struct slice weight,
           const char *container, struct err *err)
{
    uint32_t i;

    buf_clear(&r->path);
    buf_slice(&r->path, layer->path);
    if (layer->path.length > 0)
        buf_char(&r->path, '/');
    buf_slice(&r->path, weight);
    i = r->path.failed == OK ? index_of(r, buf_slice_of(&r->path)) : MAP_NONE;
    if (i != MAP_NONE)
        return add_object(r, i, container, err);
    if (r->in->safety < SAFETY_MALFORMED)
        r->in->safety = SAFETY_MALFORMED;
    return inspection_note(r->in, r->limits, FINDING_STORAGE_MISSING, weight, err,
                           "the group /%.*s names this weight, but does not have it",
                           SLICE_PRINT(layer->path));
}

static enum status
add_weights(struct reader *r, const struct hdf5_object *layer, const char *container,
            struct err *err)
{
    const struct hdf5_attribute *names;

    for (unsigned part = 0; (names = list_part(layer, "weight_names", part)) != NULL; part++)
        for (size_t i = 0; i < names->count; i++)
            TRY(add_weight(r, layer, names->texts[i], container, err));
    return OK;
}

/* In the order of layer_names: what is in none of the layers named follows later. */
static enum status
add_layers(struct reader *r, const struct hdf5_object *group, const char *container,
           struct err *err)
{
    const struct hdf5_attribute *names;

    for (unsigned part = 0; (names = list_part(group, "layer_names", part)) != NULL; part++) {
        for (size_t i = 0; i < names->count; i++) {
            uint32_t layer;

            buf_clear(&r->path);
            buf_slice(&r->path, group->path);
            if (group->path.length > 0)
                buf_char(&r->path, '/');
            buf_slice(&r->path, names->texts[i]);
            layer = r->path.failed == OK ? index_of(r, buf_slice_of(&r->path)) : MAP_NONE;
            /* A layer that is named again adds nothing, and must not cost again. */
            if (layer != MAP_NONE && object_at(r, layer)->is_group && !r->is_taken[layer]) {
                r->is_taken[layer] = 1;
                TRY(add_weights(r, object_at(r, layer), container, err));
            }
        }
    }
    return add_weights(r, group, container, err);
}

static enum status
add_container(struct reader *r, const char *path, enum container_kind kind, bool even_if_empty,
              struct err *err)
{
    const struct hdf5_object *group = find(r, path);
    size_t index = r->in->container_count;

    if (group != NULL && group->is_group)
        TRY(add_layers(r, group, path, err));
    for (size_t i = 0; i < r->hdf5.objects.count; i++)
        TRY(add_object(r, i, path, err));
    if (r->builder.tensors.count == 0 && r->builder.entries.count == 0 && !even_if_empty)
        return OK;
    TRY(builder_finish(&r->builder, slice_of(path), kind, err));
    if (kind == CONTAINER_WEIGHTS && r->in->default_container == SIZE_MAX &&
        r->in->containers[index].structure.count > 0)
        r->in->default_container = index;
    return OK;
}

static enum status
add_containers(struct reader *r, struct err *err)
{
    const struct hdf5_object *model = find(r, MODEL), *root = object_at(r, 0);
    const struct hdf5_object *variables = find(r, "optimizer/vars");

    r->is_legacy = model != NULL && model->is_group &&
                   (list_part(model, "layer_names", 0) != NULL ||
                    hdf5_attribute_find(root->attributes, "keras_version") != NULL ||
                    hdf5_attribute_find(root->attributes, "model_config") != NULL);
    r->is_keras3 = !r->is_legacy && variables != NULL && variables->is_group;
    if (r->is_legacy)
        TRY(add_container(r, MODEL, CONTAINER_WEIGHTS, true, err));
    TRY(add_container(r, "", CONTAINER_WEIGHTS, !r->is_legacy, err));
    TRY(add_container(r, OPTIMIZER, CONTAINER_OPTIMIZER, false, err));
    TRY(add_container(r, "optimizer", CONTAINER_OPTIMIZER, false, err));
    if (r->in->default_container == SIZE_MAX)
        TRY(inspection_note(r->in, r->limits, FINDING_EMPTY, (struct slice){0}, err,
                            "there is no weight in it"));
    return OK;
}

/* ---- metadata ---- */

/* Whether the text is JSON that may be kept as it is. */
static bool
is_plain_json(struct reader *r, struct slice text)
{
    CLEANUP(json_done) struct json j = {0};
    struct limits limits = *r->limits;

    if (text.length == 0 || text.length > TRAINING_BYTES_MAX)
        return false;
    limits.json_depth = METADATA_DEPTH;
    json_open(&j, text, &limits, &r->in->arena);
    return json_skip(&j, NULL, NULL) == OK && json_finish(&j, NULL) == OK;
}

static enum status
write_metadata(struct reader *r, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(r->limits->metadata_bytes);
    struct json_writer w = json_writer_to(&out, 0);
    const struct hdf5_object *root = object_at(r, 0), *model = find(r, MODEL);
    struct slice version = text_of(root, "keras_version"), backend = text_of(root, "backend");
    struct slice training = text_of(root, "training_config");

    if (version.length == 0)
        version = r->keras_version.length == 0 && model != NULL ? text_of(model, "keras_version")
                                                                : r->keras_version;
    if (backend.length == 0 && model != NULL)
        backend = text_of(model, "backend");
    jw_object(&w);
    if (version.length > 0)
        jw_pair_slice(&w, "keras_version", version);
    if (backend.length > 0)
        jw_pair_slice(&w, "backend", backend);
    if (r->date_saved.length > 0)
        jw_pair_slice(&w, "date_saved", r->date_saved);
    keras_config_show(&w, &r->summary);
    if (is_plain_json(r, training)) {
        jw_key(&w, "training_config");
        jw_raw(&w, training);
    }
    jw_key(&w, "hdf5");
    jw_object(&w);
    jw_pair_u64(&w, "superblock", r->hdf5.version);
    if (r->hdf5.userblock_bytes > 0)
        jw_pair_u64(&w, "userblock", r->hdf5.userblock_bytes);
    jw_object_end(&w);
    jw_object_end(&w);
    if (buf_check(&out, NULL) != OK) /* names too long to keep: better nothing than half of it */
        return OK;
    return arena_copy(&r->in->arena, buf_slice_of(&out), &r->in->metadata, err);
}

/* ---- an HDF5 file ---- */

static enum status
read_hdf5(struct reader *r, const struct source *source, struct err *err)
{
    struct keras_summary training = {0};
    struct slice text;

    builder_begin(&r->builder, r->in, r->limits);
    r->path = buf_with_cap(2 * r->limits->name_bytes);
    TRY(hdf5_read(source, r->limits, r->in, wants, &r->hdf5, err));
    TRY(list_paths(r, err));
    text = text_of(object_at(r, 0), "model_config");
    if (text.length > 0)
        TRY(keras_config_judge(r->in, r->limits, text, "model_config", &r->summary, err));
    text = text_of(object_at(r, 0), "training_config");
    if (text.length > 0)
        TRY(keras_config_judge(r->in, r->limits, text, "training_config", &training, err));
    TRY(add_containers(r, err));
    return write_metadata(r, err);
}

static unsigned
probe(const uint8_t *head, size_t length, const struct source *source)
{
    uint64_t offset;

    (void)head;
    (void)length;
    if (!hdf5_file_find(source, &offset))
        return 0;
    return offset == 0 ? 64 : 16; /* behind a userblock: whatever begins the file is surer */
}

static enum status
read_file(const struct fileset *files, const struct limits *limits, struct inspection *in,
          struct err *err)
{
    CLEANUP(reader_done)
    struct reader r = {.in = in, .limits = limits, .has_places = true};
    struct source source;

    TRY(files->open(files->context, 0, &source, err));
    return read_hdf5(&r, &source, err);
}

/* ---- a .keras archive ---- */

static const char CONFIG[] = "config.json";
static const char METADATA[] = "metadata.json";
static const char WEIGHTS[] = "model.weights.h5";
static const char ARRAYS[] = "model.weights.npz";

static const struct zip_member *
member(const struct zip_directory *d, const char *name)
{
    return zip_directory_find(d, slice_of(name));
}

static unsigned
probe_archive(const struct zip_directory *d)
{
    bool has_weights = member(d, WEIGHTS) != NULL || member(d, ARRAYS) != NULL;

    if (member(d, CONFIG) == NULL)
        return 0;
    return member(d, METADATA) != NULL || has_weights ? 64 : 0;
}

/* A member that is JSON, into the arena. What cannot be read is a finding, and *ret_text empty. */
static enum status
read_text(struct reader *r, const struct zip_directory *d, const char *name, struct slice *ret_text,
          struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    const struct zip_member *m = member(d, name);
    struct err why = {0};
    enum status status;

    *ret_text = (struct slice){0};
    if (m == NULL) {
        err_set(&why, ERR_MALFORMED, 0, "it is not in the archive");
        status = ERR_MALFORMED;
    } else
        status = zip_payload_read(d, m, r->limits->header_bytes, r->limits, &payload, &why);
    if (status == ERR_NO_MEMORY || status == ERR_IO) {
        err_copy(err, &why);
        return status;
    }
    if (status != OK || !payload.is_whole) {
        if (r->in->safety < SAFETY_MALFORMED)
            r->in->safety = SAFETY_MALFORMED;
        return inspection_note(r->in, r->limits, FINDING_UNREADABLE, slice_of(name), err,
                               "this part of the model cannot be read: %s",
                               status == OK ? "it is cut off or damaged" : why.text);
    }
    return arena_copy(&r->in->arena, (struct slice){payload.bytes, payload.length}, ret_text, err);
}

/* {"keras_version": "3.15.1", "date_saved": "2026-11-25@05:15:03"} */
static enum status
parse_metadata(struct reader *r, struct slice text, struct err *err)
{
    CLEANUP(json_done) struct json j = {0};
    struct slice key, *wanted;
    struct json_token t;
    bool is_end;

    json_open(&j, text, r->limits, &r->in->arena);
    TRY(json_object(&j, METADATA, err));
    for (;;) {
        TRY(json_key(&j, &key, &is_end, err));
        if (is_end)
            return json_finish(&j, err);
        wanted = slice_is(key, "keras_version") ? &r->keras_version
                 : slice_is(key, "date_saved")  ? &r->date_saved
                                                : NULL;
        TRY(json_peek(&j, &t, err));
        if (wanted != NULL && t.kind == JSON_STRING)
            *wanted = t.text;
        TRY(json_skip(&j, NULL, err));
    }
}

static enum status
read_metadata(struct reader *r, const struct zip_directory *d, struct err *err)
{
    struct err why = {0};
    struct slice text;
    enum status status;

    TRY(read_text(r, d, METADATA, &text, err));
    if (text.length == 0)
        return OK;
    status = parse_metadata(r, text, &why);
    if (status == ERR_BAD_JSON || status == ERR_LIMIT)
        return inspection_note(r->in, r->limits, FINDING_HEADER_ODD, slice_of(METADATA), err,
                               "it is not what Keras writes: %s", why.text);
    err_copy(err, &why);
    return status;
}

/* The weights: a stored member is read where it lies, a deflated one is inflated first. */
static enum status
read_weights(struct reader *r, const struct zip_directory *d, const struct zip_member *m,
             struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct source_part part = {d->source, m->data_offset, m->stored_bytes};
    struct source source;
    struct slice bytes;

    FAIL_IF(!m->is_usable, err, MALFORMED, m->local_offset,
            "the archive's member %s is not where its directory says", WEIGHTS);
    if (m->method == ZIP_STORED) {
        TRY(source_of_part(&part, &source, err));
        r->has_places = true;
        r->shift = m->data_offset;
        return read_hdf5(r, &source, err);
    }
    TRY(zip_payload_read(d, m, r->limits->pickle_bytes, r->limits, &payload, err));
    FAIL_IF(!payload.is_whole, err, TRUNCATED, m->data_offset,
            "the archive's member %s is cut off or damaged", WEIGHTS);
    TRY(inspection_note(r->in, r->limits, FINDING_STORAGE_COMPRESSED, slice_of(WEIGHTS), err,
                        "the weights are compressed: they have no byte ranges"));
    bytes = (struct slice){payload.bytes, payload.length};
    source = source_of_bytes(&bytes);
    return read_hdf5(r, &source, err);
}

static enum status
read_archive(const struct zip_directory *d, const struct fileset *files,
             const struct limits *limits, struct inspection *in, struct err *err)
{
    CLEANUP(reader_done) struct reader r = {.in = in, .limits = limits};
    const struct zip_member *weights = member(d, WEIGHTS);
    struct slice config;

    (void)files;
    TRY(read_metadata(&r, d, err));
    TRY(read_text(&r, d, CONFIG, &config, err));
    if (config.length > 0)
        TRY(keras_config_judge(in, limits, config, CONFIG, &r.summary, err));
    if (weights != NULL)
        return read_weights(&r, d, weights, err);
    FAIL_IF(member(d, ARRAYS) != NULL, err, UNSUPPORTED, 0,
            "a Keras archive whose weights are in %s, a NumPy archive of pickles, which is not "
            "read: save it as %s",
            ARRAYS, WEIGHTS);
    FAIL(err, MALFORMED, 0, "a Keras archive without weights: %s is not in it", WEIGHTS);
}

const struct format format_keras_hdf5 = {
    .name = "keras-hdf5",
    .probe = probe,
    .read = read_file,
    .probe_zip = probe_archive,
    .read_zip = read_archive,
};
