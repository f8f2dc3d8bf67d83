/*
 * torch.export.save's archives (.pt2), of two generations.
 *
 * PyTorch 2.8 on, in PyTorch's own container:
 *
 *     <root>/archive_format                          "pt2"
 *     <root>/archive_version                         "0"
 *     <root>/models/<name>.json                      the program: torch_export_program.c
 *     <root>/data/weights/<name>_weights_config.json names, dtypes, shapes: torch_export_config.c
 *     <root>/data/weights/weight_<n>                 a storage's bytes, or an archive of torch.save
 *     <root>/data/constants/<name>_constants_config.json, tensor_<n>, custom_obj_<n>, opaque_obj_<n>
 *     <root>/data/sample_inputs/<name>.pt            an archive of torch.save
 *     <root>/data/aotinductor/<name>/…               machine code
 *     <root>/extra/<name>
 *
 * The first files of 2.8 had data/weights/<name>.pt and data/constants/<name>.pt instead: archives of
 * torch.save with a dict. PyTorch 2.1 to 2.7 wrote a plain zip without a root:
 *
 *     version, serialized_exported_program.json, serialized_state_dict.pt, serialized_constants.pt,
 *     serialized_example_inputs.pt, extra_files/<name>
 *
 * whose .pt are archives of torch.save, in the very first files called .json all the same.
 *
 * Sources: torch/export/__init__.py, torch/export/pt2_archive/_package.py. The state dict is what
 * torch.export.load(f).state_dict gives, of the model called "model" or else the first; other models are
 * containers by their names. Constants, which hold buffers that are not persistent too, are containers
 * of their own.
 *
 * torch.load does not read these files. torch.export.load runs the pickles in them without
 * weights_only, and opens what lies in data/aotinductor as a shared library.
 */
#include "common/formats/format.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "common/formats/torch_export_read.h"
#include "common/formats/torch_kind.h"
#include "common/formats/torch_tensor.h"
#include "common/formats/torch_value.h"

struct export
{
    struct torch_archive *a;
    struct torch_reader r;
    struct builder builder;
    struct export_program program; /* of the first model */
    struct export_names models;
    struct slice main; /* the name of the model that is the top */
    bool is_old;       /* of PyTorch 2.1 to 2.7 */
};

static void
export_done(struct export *e)
{
    builder_done(&e->builder);
    torch_reader_done(&e->r);
}

static unsigned
probe(const struct zip_directory *directory)
{
    if (torch_archive_has(directory, "archive_format"))
        return 64;
    return zip_directory_find(directory, slice_of("serialized_exported_program.json")) != NULL ? 64
                                                                                               : 0;
}

/* ---- containers ---- */

/* The builder's rows as the container at path; nothing where there are none, unless it is the top. */
static enum status
finish(struct export *e, struct slice path, struct err *err)
{
    struct inspection *in = e->r.in;

    if (e->builder.tensors.count == 0 && (path.length > 0 || e->builder.entries.count == 0)) {
        if (path.length > 0 || in->default_container != SIZE_MAX)
            return OK;
        TRY(inspection_note(in, e->r.limits, FINDING_EMPTY, (struct slice){0}, err,
                            "the program's state_dict is empty"));
    }
    if (in->container_count >= e->r.limits->containers)
        return inspection_note(in, e->r.limits, FINDING_TOO_MANY, path, err,
                               "the file has more models than are looked into; the rest is left "
                               "out");
    TRY(builder_finish(&e->builder, path, torch_kind_of(&e->builder, path), err));
    if (path.length == 0 && in->containers[in->container_count - 1].structure.count > 0)
        in->default_container = in->container_count - 1;
    return OK;
}

static void
clear(struct export *e)
{
    builder_done(&e->builder);
    builder_begin(&e->builder, e->r.in, e->r.limits);
}

static enum status
add_value(struct export *e, struct slice key, struct pickle_value v, struct err *err)
{
    enum torch_answer answer;
    struct built_tensor t;
    struct entry entry = {.kind = ENTRY_OBJECT};
    struct slice name;

    FAIL_IF(key.length > e->r.limits->name_bytes, err, LIMIT, 0,
            "a key of %zu bytes; the limit is %zu", key.length, e->r.limits->name_bytes);
    TRY(arena_copy(&e->r.in->arena, key, &name, err));
    TRY(torch_tensor_read(&e->r, v, name, &t, &answer, err));
    if (answer == TORCH_NO_TENSOR) {
        TRY(torch_value_entry(v, &e->r.in->arena, &entry, err));
        entry.name = name;
        return builder_entry(&e->builder, &entry, err);
    }
    if (answer == TORCH_BROKEN)
        return OK;
    FAIL_IF(e->r.tensors_left == 0, err, LIMIT, 0, "more than %zu tensors", e->r.limits->tensors);
    e->r.tensors_left--;
    t.tensor.name = name;
    return builder_tensor(&e->builder, &t, err);
}

static enum status
read_pairs(struct export *e, struct pickle_value root, struct slice subject, struct err *err)
{
    struct pickle_pairs pairs = {0};
    bool is_mapping = false;

    e->r.devices.count = 0; /* their names end with the pickle */
    TRY(torch_value_pairs(root, e->r.scratch, &is_mapping, &pairs, err));
    for (size_t i = 0; is_mapping && i < pairs.count; i++) {
        struct slice key;

        if (pickle_text(pairs.at[i].key, &key))
            TRY(add_value(e, key, pairs.at[i].value, err));
        else
            TRY(inspection_note(e->r.in, e->r.limits, FINDING_KEY_ODD, subject, err,
                                "a key that is no text; its value is left out"));
    }
    return OK;
}

/* An archive of torch.save with a dict of tensors. An empty member stands for an empty dict. */
static enum status
read_dict(struct export *e, const struct zip_member *m, struct err *err)
{
    CLEANUP(torch_nested_done) struct torch_nested n = {0};
    void *outer = e->r.context;
    enum status status;
    bool is_open;

    if (m->size_bytes == 0)
        return OK;
    TRY(torch_nested_open(e->a, m, SAFETY_EXTRA, &n, &is_open, err));
    e->a->told[m - e->a->directory->members] = m->size_bytes; /* judged just now */
    if (!is_open)
        return OK;
    e->r.context = &n.archive;
    status = read_pairs(e, n.pickle.root, m->name, err);
    e->r.context = outer;
    return status;
}

static enum status
note_missing(struct export *e, const char *what, struct slice model, struct err *err)
{
    return inspection_note(e->r.in, e->r.limits, FINDING_TORCH_RECORD, model, err,
                           "the archive has no %s of this model: torch.export.load refuses it",
                           what);
}

/* data/<folder>/<model>.pt, or data/<folder>/<model>_<folder>_config.json. */
static enum status
read_table(struct export *e, const char *folder, struct slice model, struct slice path,
           struct err *err)
{
    CLEANUP(buf_done) struct buf name = buf_with_cap(1 << 17);
    CLEANUP(buf_done) struct buf place = buf_with_cap(64);
    const struct zip_member *m;

    buf_printf(&place, "data/%s/", folder);
    buf_slice(&name, model);
    buf_text(&name, ".pt");
    TRY(buf_check(&place, err));
    TRY(buf_check(&name, err));
    m = torch_archive_find(e->a, place.bytes, buf_slice_of(&name));
    if (m != NULL)
        TRY(read_dict(e, m, err));
    else {
        buf_clear(&name);
        buf_slice(&name, model);
        buf_printf(&name, "_%s_config.json", folder);
        TRY(buf_check(&name, err));
        m = torch_archive_find(e->a, place.bytes, buf_slice_of(&name));
        if (m == NULL)
            return note_missing(e, folder, model, err);
        TRY(export_config_read(e->a, m, place.bytes, &e->r, &e->builder, err));
    }
    return finish(e, path, err);
}

/* ---- models ---- */

/* The name in models/<name>.json; empty for any other member. */
static struct slice
model_of(const struct torch_archive *a, const struct zip_member *m)
{
    const struct slice folder = slice_of("models/"), ending = slice_of(".json");
    struct slice name = torch_archive_name(a, m);

    if (!slice_starts(name, folder) || !slice_ends(name, ending) ||
        name.length <= folder.length + ending.length)
        return (struct slice){0};
    return slice_part(name, folder.length, name.length - folder.length - ending.length);
}

/* torch.export.load gives the one called "model"; a package's author may have called it otherwise. */
static void
choose_main(struct export *e)
{
    for (size_t i = 0; i < e->a->directory->count; i++) {
        struct slice name = model_of(e->a, &e->a->directory->members[i]);

        if (name.length > 0 && (e->main.length == 0 || slice_is(name, "model")))
            e->main = name;
    }
}

static enum status
note_program(struct export *e, const struct zip_member *m, const struct export_program *p,
             struct err *err)
{
    CLEANUP(buf_done) struct buf names = buf_with_cap(1 << 15);
    struct torch_work *w = e->a->work;

    if (p->has_guards) {
        safety_at_least(&w->judge, SAFETY_UNLISTED);
        TRY(inspection_note(w->in, w->limits, FINDING_FILE_CODE, m->name, err,
                            "its guards_code is Python, which program.module() runs"));
    }
    if (p->strangers.count == 0)
        return OK;
    safety_at_least(&w->judge, SAFETY_UNLISTED);
    for (size_t i = 0; i < p->strangers.count; i++) {
        buf_text(&names, i == 0 ? "" : ", ");
        buf_slice(&names, p->strangers.at[i]);
    }
    TRY(buf_check(&names, err));
    return inspection_note(w->in, w->limits, FINDING_FILE_CODE, m->name, err,
                           "it calls or evaluates what is not among PyTorch's own operators on "
                           "tensors and sizes: %.*s. Read what they do before you load or run it",
                           SLICE_PRINT(buf_slice_of(&names)));
}

static enum status
read_program(struct export *e, const struct zip_member *m, bool is_main, struct err *err)
{
    struct export_program program = {0};

    TRY(export_program_read(e->a, m, &program, err));
    if (is_main)
        e->program = program;
    return note_program(e, m, &program, err);
}

static enum status
read_model(struct export *e, const struct zip_member *m, struct slice name, struct err *err)
{
    bool is_main = slice_equal(name, e->main);
    struct slice path = slice_of(""), constants = slice_of("constants");

    TRY(export_names_add(&e->models, e->a->work, name, err));
    TRY(read_program(e, m, is_main, err));
    if (!is_main) {
        FAIL_IF(name.length + constants.length >= e->r.limits->name_bytes, err, LIMIT, 0,
                "a model's name of %zu bytes; the limit is %zu", name.length,
                e->r.limits->name_bytes);
        TRY(arena_copy(&e->r.in->arena, name, &path, err));
        TRY(arena_printf(&e->r.in->arena, &constants, err, "%.*s.constants", SLICE_PRINT(name)));
    }
    TRY(read_table(e, "weights", name, path, err));
    clear(e);
    TRY(read_table(e, "constants", name, constants, err));
    clear(e);
    return OK;
}

/* The main model first, then the others in the archive's order. */
static enum status
read_models(struct export *e, struct err *err)
{
    const struct zip_directory *d = e->a->directory;

    choose_main(e);
    for (int others = 0; others < 2; others++) {
        size_t count = 0;

        for (size_t i = 0; i < d->count; i++) {
            struct slice name = model_of(e->a, &d->members[i]);

            if (name.length == 0 || slice_equal(name, e->main) == (others == 1))
                continue;
            if (count++ == e->r.limits->containers)
                return inspection_note(e->r.in, e->r.limits, FINDING_TOO_MANY, name, err,
                                       "the file has more models than are looked into; the rest "
                                       "is left out");
            TRY(read_model(e, &d->members[i], name, err));
        }
    }
    return OK;
}

/* ---- PyTorch 2.1 to 2.7 ---- */

static enum status
read_old_dict(struct export *e, const char *name, struct slice path, struct err *err)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(64);
    const struct zip_member *m;

    buf_printf(&file, "%s.pt", name);
    TRY(buf_check(&file, err));
    m = torch_archive_record(e->a, file.bytes);
    if (m == NULL) {
        buf_clear(&file);
        buf_printf(&file, "%s.json", name);
        TRY(buf_check(&file, err));
        m = torch_archive_record(e->a, file.bytes);
    }
    if (m == NULL)
        return note_missing(e, name, (struct slice){0}, err);
    TRY(read_dict(e, m, err));
    TRY(finish(e, path, err));
    clear(e);
    return OK;
}

static enum status
read_old(struct export *e, struct err *err)
{
    const struct zip_member *m = torch_archive_record(e->a, "serialized_exported_program.json");

    if (torch_archive_record(e->a, "version") == NULL)
        TRY(inspection_note(e->r.in, e->r.limits, FINDING_TORCH_RECORD, slice_of("version"), err,
                            "the archive has no version record: torch.export.load refuses it"));
    if (m != NULL)
        TRY(read_program(e, m, true, err));
    TRY(read_old_dict(e, "serialized_state_dict", slice_of(""), err));
    return read_old_dict(e, "serialized_constants", slice_of("constants"), err);
}

/* ---- the rest of the archive ---- */

static enum status
check_format(struct export *e, struct err *err)
{
    static const struct {
        const char *name, *value;
    } records[] = {{"archive_format", "pt2"}, {"archive_version", "0"}};

    for (size_t i = 0; i < ARRAY_LENGTH(records); i++) {
        const struct zip_member *m = torch_archive_record(e->a, records[i].name);
        char text[TORCH_RECORD_BYTES_MAX + 1];

        TRY(torch_archive_small(e->a, m, text, err));
        if (m != NULL && slice_is(slice_of(text), records[i].value))
            continue;
        TRY(inspection_note(e->r.in, e->r.limits, FINDING_TORCH_RECORD, slice_of(records[i].name),
                            err, "it is not \"%s\": torch.export.load refuses the archive",
                            records[i].value));
    }
    return OK;
}

/* data/aotinductor, and any member that is a program. */
static enum status
note_native(struct export *e, struct err *err)
{
    const struct zip_directory *d = e->a->directory;
    const struct zip_member *first = NULL;
    size_t count = 0;

    for (size_t i = 0; i < d->count; i++) {
        const struct zip_member *m = &d->members[i];
        struct slice name = torch_archive_name(e->a, m);
        bool is_program = m->head_length >= 4 && memcmp(m->head,
                                                        "\x7f"
                                                        "ELF",
                                                        4) == 0;

        if (!is_program && !slice_starts(name, slice_of("data/aotinductor/")))
            continue;
        count++;
        if (first == NULL || slice_ends(name, slice_of(".so")))
            first = m;
    }
    if (first == NULL)
        return OK;
    safety_at_least(&e->a->work->judge, SAFETY_UNLISTED);
    return inspection_note(e->r.in, e->r.limits, FINDING_FILE_NATIVE, first->name, err,
                           "it holds machine code or its sources, %zu members, which "
                           "torch.export.load opens as a shared library: nothing can say what it "
                           "does. Load it where you trust whoever compiled it",
                           count);
}

/* Members that torch.export.load reads as pickles, or as archives of them. */
static enum torch_member
what_is(struct slice name)
{
    static const char *const known[] = {"data/constants/opaque_obj_", "data/sample_inputs/"};

    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        if (slice_starts(name, slice_of(known[i])))
            return TORCH_MEMBER_KNOWN;
    }
    return slice_is(name, "serialized_example_inputs.pt") ? TORCH_MEMBER_KNOWN
                                                          : TORCH_MEMBER_STRANGE;
}

/* ---- metadata ---- */

static void
write_names(struct json_writer *w, const char *key, const struct export_names *names)
{
    if (names->count == 0)
        return;
    jw_key(w, key);
    jw_flat_array(w);
    for (size_t i = 0; i < names->count; i++)
        jw_slice(w, names->at[i]);
    jw_array_end(w);
}

static enum status
extra_names(struct export *e, struct export_names *ret, struct err *err)
{
    struct slice folder = slice_of(e->is_old ? "extra_files/" : "extra/");

    for (size_t i = 0; i < e->a->directory->count; i++) {
        struct slice name = torch_archive_name(e->a, &e->a->directory->members[i]);

        if (ret->count == EXPORT_NAMES_MAX)
            return OK;
        if (slice_starts(name, folder) && name.length > folder.length)
            TRY(export_names_add(ret, e->a->work, slice_from(name, folder.length), err));
    }
    return OK;
}

static enum status
write_metadata(struct export *e, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(e->r.limits->metadata_bytes);
    struct json_writer w = json_writer_to(&text, 0);
    const struct export_program *p = &e->program;
    struct export_names extras = {.count = 0};
    char schema[64];

    TRY(extra_names(e, &extras, err));
    jw_object(&w);
    if (p->torch_version.length > 0)
        jw_pair_slice(&w, "torch_version", p->torch_version);
    if (p->has_schema) {
        (void)snprintf(schema, sizeof schema, "%llu.%llu", (unsigned long long)p->schema_major,
                       (unsigned long long)p->schema_minor);
        jw_pair_text(&w, "schema_version", schema);
    }
    write_names(&w, "opsets", &p->opsets);
    write_names(&w, "inputs", &p->inputs);
    write_names(&w, "outputs", &p->outputs);
    write_names(&w, "models", &e->models);
    write_names(&w, "extra_files", &extras);
    jw_object_end(&w);
    if (text.failed == ERR_LIMIT)
        return OK;
    TRY(buf_check(&text, err));
    return arena_copy(&e->r.in->arena, buf_slice_of(&text), &e->r.in->metadata, err);
}

/* ---- the whole ---- */

/* torch.load looks for data.pkl and for nothing of this format. */
static enum status
refuse_load(struct export *e, struct err *err)
{
    struct torch_work *w = e->a->work;
    const struct zip_member *m = torch_archive_record(e->a, "data.pkl");

    if (e->is_old || m == NULL)
        return safety_refuse(&w->judge, err,
                             "an archive of torch.export, which torch.load does not read: "
                             "torch.export.load does, and it runs the pickles in it");
    safety_at_least(&w->judge, SAFETY_MALFORMED);
    TRY(inspection_note(w->in, w->limits, FINDING_HEADER_ODD, m->name, err,
                        "torch.load reads this, and torch.export.load the program: two loaders get "
                        "two things from one file. Save each in a file of its own"));
    return safety_refuse(&w->judge, err,
                         "it is an archive of torch.export and of torch.save at once");
}

static enum status
read_export(struct export *e, struct err *err)
{
    struct torch_archive *a = e->a;

    if (e->is_old)
        TRY(read_old(e, err));
    else {
        TRY(torch_archive_check_root(a, err));
        TRY(torch_archive_check_version(a, err));
        TRY(torch_archive_read_byteorder(a, err));
        TRY(check_format(e, err));
        TRY(read_models(e, err));
        if (e->models.count == 0)
            TRY(inspection_note(e->r.in, e->r.limits, FINDING_EMPTY, (struct slice){0}, err,
                                "the archive has no exported program, only what was compiled of "
                                "one: its weights have no names here"));
    }
    TRY(torch_archive_judge(a, SAFETY_EXTRA, what_is, NULL, err));
    TRY(note_native(e, err));
    TRY(refuse_load(e, err));
    TRY(write_metadata(e, err));
    return safety_end(&a->work->judge, err);
}

static enum status
read_torch_export(const struct zip_directory *directory, const struct fileset *files,
                  const struct limits *limits, struct inspection *in, struct err *err)
{
    CLEANUP(torch_work_done) struct torch_work w;
    CLEANUP(torch_archive_done) struct torch_archive a = {0};
    CLEANUP(export_done) struct export e = {.a = &a};

    (void)files;
    torch_work_begin(&w, limits, in);
    TRY(torch_archive_open(&w, directory, &a, err));
    a.opens_nested = true;
    e.is_old = !torch_archive_has(directory, "archive_format");
    if (e.is_old)
        a.root = (struct slice){0};
    e.r = torch_reader_of(in, limits, &w.scratch);
    e.r.locate = torch_archive_locate;
    builder_begin(&e.builder, in, limits);
    return read_export(&e, err);
}

const struct format format_torch_export = {
    .name = "torch-export", .probe_zip = probe, .read_zip = read_torch_export};
