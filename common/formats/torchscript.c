/*
 * TorchScript archives, what torch.jit.save writes. Since PyTorch 1.3:
 *
 *     <root>/data.pkl          the module: objects of the archive's own classes, with their attributes
 *     <root>/data/<key>        storages
 *     <root>/constants.pkl     a tuple of the constants in the code, CONSTANTS.c0 …
 *     <root>/constants/<key>   their storages
 *     <root>/code/….py         the classes' code, in TorchScript's own language
 *     <root>/extra/<name>      whatever the caller added
 *     <root>/bytecode.pkl, mobile_debug_handles.pkl, code/….debug_pkl, version, byteorder …
 *
 * PyTorch 1.0 to 1.2 wrote model.json instead of data.pkl: torchscript_json.c.
 *
 * Sources: torch/csrc/jit/serialization/{export_module,import,import_source,unpickler,python_print}.cpp.
 * The state dict is what torch.jit.load(f).state_dict() gives: of each module, by the path of attributes
 * that leads to it, the tensors that its class lists as parameters and buffers. Other tensors below the
 * module (plain attributes, lists, packed parameters of quantized modules) are a container of their own,
 * "attributes", and the code's constants are "constants": no state_dict() gives them.
 *
 * Its code makes an archive unlisted at least: torch.jit.load compiles it, and runs what the classes say
 * is to be run on loading. It is no Python, but has operators that read and write files.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/base/json_writer.h"
#include "common/formats/torch_kind.h"
#include "common/formats/torch_tensor.h"
#include "common/formats/torch_value.h"
#include "common/formats/torchscript_code.h"
#include "common/formats/torchscript_read.h"

enum {
    PLACES_MAX = 1 << 20, /* values on the way at once */
    MODULE_VERSION = 1,   /* of a loaded module, whatever the original's class had */
    EXTRA_NAMES_MAX = 100,
};

/* A value on the way, and where it stands. */
struct script_place {
    struct pickle_value value;
    struct slice path; /* in the inspection's arena */
    size_t depth;
};

struct script {
    struct torch_archive *a;
    struct torch_reader r;
    struct script_code code;
    struct builder registered; /* what state_dict() gives */
    struct builder others;
    struct vec stack;                   /* struct script_place */
    struct zip_payload data, constants; /* their texts are borrowed to the end */
    struct slice producer;
    bool is_cut;
    bool has_mobile;
};

static void
script_done(struct script *s)
{
    vec_done(&s->stack);
    zip_payload_done(&s->constants);
    zip_payload_done(&s->data);
    builder_done(&s->others);
    builder_done(&s->registered);
    script_code_done(&s->code);
    torch_reader_done(&s->r);
}

static unsigned
probe(const struct zip_directory *directory)
{
    bool has_data = torch_archive_has(directory, "data.pkl");

    if (has_data && torch_archive_has(directory, "constants.pkl"))
        return 64;
    /* Beside data.pkl alone, model.json is nothing to torch.load, which reads data.pkl as a pickle. */
    return !has_data && torch_archive_has(directory, "model.json") ? 64 : 0;
}

/* ---- the walk over the module ---- */

static enum status
cut(struct script *s, struct err *err)
{
    if (s->is_cut)
        return OK;
    s->is_cut = true;
    return inspection_note(s->r.in, s->r.limits, FINDING_TOO_MANY, (struct slice){0}, err,
                           "the file nests more modules and values than are looked into; the rest "
                           "is left out");
}

static bool
take_steps(struct script *s, size_t count)
{
    if (s->r.steps_left < count) {
        s->r.steps_left = 0;
        return false;
    }
    s->r.steps_left -= count;
    return true;
}

static enum status
join(struct script *s, struct slice path, struct slice key, struct slice *ret_path, struct err *err)
{
    FAIL_IF(key.length > s->r.limits->name_bytes ||
                path.length > s->r.limits->name_bytes - key.length,
            err, LIMIT, 0, "a name of %zu bytes; the limit is %zu", path.length + key.length + 1,
            s->r.limits->name_bytes);
    if (path.length == 0)
        return arena_copy(&s->r.in->arena, key, ret_path, err);
    return arena_printf(&s->r.in->arena, ret_path, err, "%.*s.%.*s", SLICE_PRINT(path),
                        SLICE_PRINT(key));
}

static enum status
add_tensor(struct script *s, struct builder *b, struct pickle_value v, struct slice name,
           struct err *err)
{
    enum torch_answer answer;
    struct built_tensor t;

    TRY(torch_tensor_read(&s->r, v, name, &t, &answer, err));
    if (answer != TORCH_TENSOR)
        return OK;
    FAIL_IF(s->r.tensors_left == 0, err, LIMIT, 0, "more than %zu tensors", s->r.limits->tensors);
    s->r.tensors_left--;
    t.tensor.name = name;
    return builder_tensor(b, &t, err);
}

/* An object of a class in the archive, or NULL. */
static const struct pickle_global *
script_class_of(struct pickle_value v)
{
    const struct pickle_global *g;

    if (v.kind != PICKLE_CALL || v.is.call->callable.kind != PICKLE_GLOBAL)
        return NULL;
    g = v.is.call->callable.is.global;
    return slice_is(g->module, "__torch__") || slice_starts(g->module, slice_of("__torch__."))
               ? g
               : NULL;
}

/* What the unpickler's helpers give back: the first argument of build_intlist(…) and
 * restore_type_tag(value, type). */
static struct pickle_value
unwrap(struct pickle_value v)
{
    if (v.kind == PICKLE_CALL && v.is.call->callable.kind == PICKLE_GLOBAL &&
        slice_is(v.is.call->callable.is.global->module, "torch.jit._pickle"))
        return pickle_argument(v, 0);
    return v;
}

/* Whether tensors may be in it. */
static bool
may_hold(const struct script *s, struct pickle_value v)
{
    struct pickle_items items;

    if (torch_tensor_is(&s->r, v) || script_class_of(v) != NULL || pickle_is_mapping(v))
        return true;
    return pickle_list(v, &items) && items.count > 0;
}

static bool
is_too_long(const struct script *s, const struct script_place *at, struct slice key)
{
    return at->path.length > 0 && at->path.length + key.length + 1 > s->r.limits->name_bytes;
}

static enum status
push(struct script *s, const struct script_place *parent, struct slice key, struct pickle_value v,
     struct err *err)
{
    struct script_place *added;

    v = unwrap(v);
    if (!may_hold(s, v))
        return OK;
    if (s->stack.count == s->stack.cap || parent->depth >= s->r.limits->pickle_depth ||
        is_too_long(s, parent, key))
        return cut(s, err);
    TRY(vec_add(&s->stack, &added, "nested values", err));
    added->value = v;
    added->depth = parent->depth + 1;
    return join(s, parent->path, key, &added->path, err);
}

/* Everything in a list, last first, so that the first comes off the stack first. */
static enum status
push_items(struct script *s, const struct script_place *parent, struct pickle_items items,
           struct err *err)
{
    for (size_t i = items.count; i-- > 0;) {
        struct slice index;

        if (!take_steps(s, 1))
            return cut(s, err);
        if (!may_hold(s, unwrap(items.at[i])))
            continue;
        TRY(arena_printf(s->r.scratch, &index, err, "%zu", i));
        TRY(push(s, parent, index, items.at[i], err));
    }
    return OK;
}

static enum status
push_pairs(struct script *s, const struct script_place *parent, struct pickle_pairs pairs,
           struct err *err)
{
    for (size_t i = pairs.count; i-- > 0;) {
        struct slice key;
        bool is_text;

        if (!take_steps(s, 1))
            return cut(s, err);
        if (!may_hold(s, unwrap(pairs.at[i].value)))
            continue;
        TRY(torch_value_key(pairs.at[i].key, s->r.scratch, &key, &is_text, err));
        if (key.at != NULL)
            TRY(push(s, parent, key, pairs.at[i].value, err));
    }
    return OK;
}

/* The tensors that the class lists in one role, in the order of its attributes. */
static enum status
add_registered(struct script *s, const struct script_place *at, const struct pickle_global *g,
               struct pickle_pairs pairs, enum script_role role, struct err *err)
{
    for (size_t i = 0; i < pairs.count; i++) {
        struct slice key, name;

        if (!take_steps(s, 1))
            return cut(s, err);
        if (!pickle_text(pairs.at[i].key, &key) || !torch_tensor_is(&s->r, pairs.at[i].value) ||
            script_code_role(&s->code, g, key) != role)
            continue;
        if (is_too_long(s, at, key))
            return cut(s, err);
        TRY(join(s, at->path, key, &name, err));
        TRY(add_tensor(s, &s->registered, pairs.at[i].value, name, err));
    }
    return OK;
}

/* What is no parameter and no buffer: modules, and whatever may hold tensors. */
static enum status
push_others(struct script *s, const struct script_place *at, const struct pickle_global *g,
            struct pickle_pairs pairs, struct err *err)
{
    for (size_t i = pairs.count; i-- > 0;) {
        struct slice key;

        if (!take_steps(s, 1))
            return cut(s, err);
        if (!pickle_text(pairs.at[i].key, &key) ||
            (torch_tensor_is(&s->r, pairs.at[i].value) &&
             script_code_role(&s->code, g, key) != SCRIPT_PLAIN))
            continue;
        TRY(push(s, at, key, pairs.at[i].value, err));
    }
    return OK;
}

/* A module's version in state_dict()._metadata is that of the class into which modules are loaded. */
static enum status
add_version(struct script *s, const struct script_place *at, struct err *err)
{
    struct module_version v = {.module = at->path, .has_version = true, .version = MODULE_VERSION};

    s->registered.has_metadata = true;
    return builder_version(&s->registered, &v, err);
}

static enum status
note_unknown_class(struct script *s, const struct pickle_global *g, struct err *err)
{
    struct slice name;

    if (slice_starts(g->module, slice_of("__torch__.torch.classes")))
        return OK; /* of C++: packed parameters, and other libraries' */
    safety_at_least(&s->a->work->judge, SAFETY_MALFORMED);
    TRY(pickle_dotted(g->module, g->name, &s->r.in->arena, &name, err));
    return inspection_note(s->r.in, s->r.limits, FINDING_TORCH_RECORD, name, err,
                           "the archive has no code for this class: torch.jit.load refuses it");
}

/* A module's attributes are a dict, or, where it has __getstate__, what that returned. */
static enum status
read_script_object(struct script *s, const struct script_place *at, const struct pickle_global *g,
                   struct err *err)
{
    const struct pickle_value *state = pickle_state(at->value);
    enum script_class kind = script_code_class(&s->code, g);
    struct pickle_pairs pairs = {0};
    struct pickle_items items;
    bool is_mapping = false;

    if (kind == SCRIPT_UNKNOWN)
        TRY(note_unknown_class(s, g, err));
    if (kind == SCRIPT_MODULE)
        TRY(add_version(s, at, err));
    if (state == NULL)
        return OK;
    if (!take_steps(s, torch_value_size(*state)))
        return cut(s, err);
    TRY(torch_value_pairs(*state, s->r.scratch, &is_mapping, &pairs, err));
    if (is_mapping && kind == SCRIPT_MODULE) {
        TRY(add_registered(s, at, g, pairs, SCRIPT_PARAMETER, err));
        TRY(add_registered(s, at, g, pairs, SCRIPT_BUFFER, err));
        return push_others(s, at, g, pairs, err);
    }
    if (is_mapping)
        return push_pairs(s, at, pairs, err);
    if (torch_tensor_is(&s->r, *state))
        return add_tensor(s, &s->others, *state, at->path, err);
    return pickle_list(unwrap(*state), &items) ? push_items(s, at, items, err) : OK;
}

static enum status
read_place(struct script *s, const struct script_place *at, struct err *err)
{
    const struct pickle_global *g = script_class_of(at->value);
    struct pickle_pairs pairs = {0};
    struct pickle_items items;
    bool is_mapping = false;

    if (!take_steps(s, torch_value_size(at->value)))
        return cut(s, err);
    if (torch_tensor_is(&s->r, at->value))
        return add_tensor(s, &s->others, at->value, at->path, err);
    if (g != NULL)
        return read_script_object(s, at, g, err);
    TRY(torch_value_pairs(at->value, s->r.scratch, &is_mapping, &pairs, err));
    if (is_mapping)
        return push_pairs(s, at, pairs, err);
    return pickle_list(at->value, &items) ? push_items(s, at, items, err) : OK;
}

static enum status
walk(struct script *s, struct pickle_value root, struct slice path, struct err *err)
{
    struct script_place *first;

    TRY(vec_add(&s->stack, &first, "nested values", err));
    *first = (struct script_place){.value = unwrap(root), .path = path};
    while (s->stack.count > 0) {
        struct script_place at = VEC_AT(&s->stack, struct script_place, s->stack.count - 1);

        s->stack.count--;
        TRY(read_place(s, &at, err));
    }
    return OK;
}

/* ---- the members ---- */

static enum status
finish_state_dict(struct script *s, struct err *err)
{
    struct inspection *in = s->r.in;
    bool has_tensors = s->registered.tensors.count > 0;

    TRY(builder_finish(&s->registered, slice_of(""), torch_kind_of(&s->registered, slice_of("")),
                       err));
    in->default_container = has_tensors ? in->container_count - 1 : SIZE_MAX;
    if (has_tensors)
        return OK;
    return inspection_note(in, s->r.limits, FINDING_EMPTY, (struct slice){0}, err,
                           "its state_dict() is empty: a frozen module keeps its weights among the "
                           "constants of its code, where they have no names");
}

static enum status
finish_others(struct script *s, const char *path, struct err *err)
{
    if (s->others.tensors.count == 0)
        return OK;
    return builder_finish(&s->others, slice_of(path), torch_kind_of(&s->others, slice_of(path)),
                          err);
}

static enum status
note_old_buffers(struct script *s, struct err *err)
{
    if (s->code.lists_buffers || s->code.modules == 0 || s->others.tensors.count == 0)
        return OK;
    return inspection_note(s->r.in, s->r.limits, FINDING_HEADER_ODD, (struct slice){0}, err,
                           "its code does not list buffers, as before PyTorch 1.7: today's "
                           "torch.jit.load leaves them out of state_dict(); they are among the "
                           "attributes");
}

static enum status
read_data(struct script *s, const struct zip_member *m, struct err *err)
{
    struct pickle p;

    TRY(torch_archive_run(s->a, m, SAFETY_SCRIPT, &s->data, &p, err));
    if (!p.has_stop || m->is_ambiguous)
        return OK;
    s->a->folder = "data/";
    TRY(walk(s, p.root, slice_of(""), err));
    TRY(note_old_buffers(s, err));
    TRY(finish_state_dict(s, err));
    return finish_others(s, "attributes", err);
}

/* A tuple of what the code calls CONSTANTS.c0, CONSTANTS.c1 … */
static enum status
read_constants(struct script *s, const struct zip_member *m, struct err *err)
{
    struct script_place top = {.path = slice_of("")};
    struct pickle_items items = {0};
    struct pickle p;

    TRY(torch_archive_run(s->a, m, SAFETY_SCRIPT, &s->constants, &p, err));
    if (!p.has_stop || m->is_ambiguous)
        return OK;
    s->a->folder = "constants/";
    (void)pickle_list(unwrap(p.root), &items);
    for (size_t i = 0; i < items.count; i++) {
        struct slice name;

        if (!take_steps(s, 1))
            return cut(s, err);
        if (!may_hold(s, unwrap(items.at[i])))
            continue;
        TRY(arena_printf(&s->r.in->arena, &name, err, "c%zu", i));
        TRY(push(s, &top, name, items.at[i], err));
        while (s->stack.count > 0) {
            struct script_place at = VEC_AT(&s->stack, struct script_place, s->stack.count - 1);

            s->stack.count--;
            TRY(read_place(s, &at, err));
        }
    }
    return finish_others(s, "constants", err);
}

/* Members that the loaders for servers and for phones read besides data.pkl and constants.pkl. */
static enum torch_member
what_is(struct slice name)
{
    static const char *const known[] = {"bytecode.pkl", "mobile_debug_handles.pkl",
                                        "callstack_debug_map.pkl", "traced_inputs.pkl",
                                        "attributes.pkl"};

    if (slice_is(name, "data.pkl") || slice_is(name, "constants.pkl"))
        return TORCH_MEMBER_DONE;
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        if (slice_is(name, known[i]))
            return TORCH_MEMBER_KNOWN;
    }
    if (slice_starts(name, slice_of("code/")) && slice_ends(name, slice_of(".debug_pkl")))
        return TORCH_MEMBER_KNOWN;
    return TORCH_MEMBER_STRANGE;
}

/* Beside model.json no loader reads data.pkl or constants.pkl. */
static enum torch_member
what_is_beside_model(struct slice name)
{
    enum torch_member kind = what_is(name);

    return kind == TORCH_MEMBER_DONE ? TORCH_MEMBER_STRANGE : kind;
}

/* ---- safety and metadata ---- */

static enum status
note_code(struct script *s, struct err *err)
{
    CLEANUP(buf_done) struct buf names = buf_with_cap(4096);

    safety_at_least(&s->a->work->judge, SAFETY_UNLISTED);
    for (size_t i = 0; i < s->code.operators.count; i++) {
        buf_text(&names, i == 0 ? ", among it calls of " : ", ");
        buf_slice(&names, VEC_AT(&s->code.operators, struct slice, i));
    }
    TRY(buf_check(&names, err));
    return inspection_note(
        s->r.in, s->r.limits, FINDING_FILE_CODE, slice_of("code/"), err,
        "it holds TorchScript code%.*s, which torch.jit.load compiles and may run: it cannot run "
        "Python, but it can read and write files. Load it where you trust its author, or save "
        "torch.jit.load(f).state_dict() with torch.save",
        SLICE_PRINT(buf_slice_of(&names)));
}

static void
write_extra_files(struct script *s, struct json_writer *w)
{
    const struct slice folder = slice_of("extra/");
    size_t count = 0;

    for (size_t i = 0; i < s->a->directory->count && count < EXTRA_NAMES_MAX; i++) {
        struct slice name = torch_archive_name(s->a, &s->a->directory->members[i]);

        if (!slice_starts(name, folder) || name.length > s->r.limits->name_bytes)
            continue;
        if (count++ == 0) {
            jw_key(w, "extra_files");
            jw_flat_array(w);
        }
        jw_slice(w, slice_from(name, folder.length));
    }
    if (count > 0)
        jw_array_end(w);
}

static enum status
write_metadata(struct script *s, struct err *err)
{
    CLEANUP(buf_done) struct buf text = buf_with_cap(s->r.limits->metadata_bytes);
    struct json_writer w = json_writer_to(&text, 0);

    jw_object(&w);
    if (s->producer.length > 0)
        jw_pair_slice(&w, "producer", s->producer);
    jw_pair_u64(&w, "classes", s->code.classes);
    if (s->has_mobile)
        jw_pair_bool(&w, "has_bytecode", true);
    write_extra_files(s, &w);
    if (s->r.devices.count > 0) {
        jw_key(&w, "devices");
        jw_flat_array(&w);
        for (size_t i = 0; i < s->r.devices.count; i++)
            jw_slice(&w, VEC_AT(&s->r.devices, struct slice, i));
        jw_array_end(&w);
    }
    jw_object_end(&w);
    if (text.failed == ERR_LIMIT)
        return OK; /* names of extra files alone can be as long */
    TRY(buf_check(&text, err));
    return arena_copy(&s->r.in->arena, buf_slice_of(&text), &s->r.in->metadata, err);
}

/* ---- the whole ---- */

static enum status
read_script(struct script *s, struct err *err)
{
    struct torch_archive *a = s->a;
    struct torch_work *w = a->work;
    const struct zip_member *model = torch_archive_record(a, "model.json"), *data, *constants;

    TRY(torch_archive_check_root(a, err));
    TRY(torch_archive_check_version(a, err));
    TRY(torch_archive_read_byteorder(a, err));
    TRY(script_code_read(a, &s->code, err));
    data = torch_archive_record(a, "data.pkl");
    constants = torch_archive_record(a, "constants.pkl");
    s->has_mobile = torch_archive_record(a, "bytecode.pkl") != NULL;
    /* As PyTorch does: model.json goes before data.pkl. */
    if (model != NULL) {
        TRY(torchscript_json_read(a, model, &s->producer, err));
        if (data != NULL)
            TRY(inspection_note(w->in, w->limits, FINDING_HEADER_ODD, model->name, err,
                                "both model.json and data.pkl are there; PyTorch reads the first"));
    } else {
        TRY(read_data(s, data, err));
        TRY(read_constants(s, constants, err));
    }
    TRY(torch_archive_judge(a, SAFETY_SCRIPT, model == NULL ? what_is : what_is_beside_model, NULL,
                            err));
    TRY(note_code(s, err));
    if (model != NULL)
        TRY(safety_refuse(
            &w->judge, err,
            "a TorchScript archive of PyTorch 1.0 to 1.2: torch.load does not read it, "
            "and today's torch.jit.load does not either"));
    TRY(safety_refuse(&w->judge, err,
                      "a TorchScript archive: torch.load refuses it with weights_only=True, "
                      "torch.jit.load reads it"));
    TRY(write_metadata(s, err));
    return safety_end(&w->judge, err);
}

static enum status
read_torchscript(const struct zip_directory *directory, const struct fileset *files,
                 const struct limits *limits, struct inspection *in, struct err *err)
{
    CLEANUP(torch_work_done) struct torch_work w;
    CLEANUP(torch_archive_done) struct torch_archive a = {0};
    CLEANUP(script_done) struct script s = {.a = &a};

    (void)files;
    torch_work_begin(&w, limits, in);
    TRY(torch_archive_open(&w, directory, &a, err));
    a.opens_nested = true;
    s.r = torch_reader_of(in, limits, &w.scratch);
    s.r.locate = torch_archive_locate;
    s.r.context = &a;
    s.stack = vec_of(sizeof(struct script_place), PLACES_MAX);
    builder_begin(&s.registered, in, limits);
    builder_begin(&s.others, in, limits);
    return read_script(&s, err);
}

const struct format format_torchscript = {
    .name = "torchscript", .probe_zip = probe, .read_zip = read_torchscript};
