#include "common/formats/keras_config.h"

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/map.h"
#include "common/formats/pickle_globals.h"

/* Packages whose classes Keras makes without being told so; what is below them on a dot's boundary,
 * too. */
static const char *const known[] = {
    "keras",
    "keras_core",
    "keras_hub",
    "keras_nlp",
    "keras_cv",
    "keras_tuner",
    "keras_rs",
    "keras_preprocessing",
    "tf_keras",
    "keras_applications",
    "tensorflow.keras",
    "tensorflow.python.keras",
    "tensorflow_addons",
};

/* Functions of Keras' own that read and write files or fetch them: CVE-2025-8747 and its kin called
 * them by name. */
static const char *const reaching[] = {
    "keras.utils",         "keras.src.utils",     "keras.saving",       "keras.src.saving",
    "keras.models",        "keras.src.models",    "keras.src.legacy",   "keras.src.export",
    "keras.config",        "tf_keras.utils",      "tf_keras.src.utils", "tf_keras.saving",
    "tf_keras.src.saving", "keras.preprocessing", "keras.datasets",
};

/* An open object or array. */
struct frame {
    bool is_object;
    struct slice key;  /* of an object: the last one read */
    struct slice role; /* the key under which it stands itself, or its array does */
    struct slice class_name, module, registered_name, function;
};

struct judge {
    struct inspection *in;
    const struct limits *limits;
    const char *where;
    struct keras_summary *summary;
    struct json json;
    struct map told; /* what has its finding */
    struct frame frames[JSON_DEPTH_MAX + 1];
    size_t depth;
};

static void
judge_done(struct judge *j)
{
    json_done(&j->json);
    map_done(&j->told);
}

static bool
is_below(struct slice module, const char *package)
{
    struct slice prefix = slice_of(package);

    return slice_starts(module, prefix) &&
           (module.length == prefix.length || module.at[prefix.length] == '.');
}

static bool
is_below_any(struct slice module, const char *const *packages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_below(module, packages[i]))
            return true;
    return false;
}

/* ---- findings ---- */

/* One finding a name, however many layers have it. */
static enum status
note(struct judge *j, enum safety safety, struct slice name, const char *what, struct err *err)
{
    uint32_t present;

    if (j->in->safety < safety)
        j->in->safety = safety;
    TRY(map_add(&j->told, name, 0, &present, err));
    if (present != MAP_NONE)
        return OK;
    return inspection_note(j->in, j->limits,
                           safety == SAFETY_DANGEROUS ? FINDING_KERAS_CODE : FINDING_KERAS_CLASS,
                           name, err, "%s %s", j->where, what);
}

static enum status
judge_module(struct judge *j, const struct frame *f, struct err *err)
{
    bool is_function = slice_is(f->class_name, "function");
    struct pickle_global g = {
        .module = f->module,
        .modern_module = f->module,
        .name = is_function && f->function.length > 0 ? f->function : f->class_name,
    };
    struct slice dotted;

    g.modern_name = g.name;
    TRY(pickle_dotted(f->module, g.name, &j->in->arena, &dotted, err));
    if (pickle_globals_find(&g).listing == PICKLE_DANGEROUS)
        return note(j, SAFETY_DANGEROUS, dotted,
                    "names a function that a model has no use for: loading it calls it", err);
    if (is_function && is_below_any(f->module, reaching, ARRAY_LENGTH(reaching)))
        return note(j, SAFETY_DANGEROUS, dotted,
                    "names a function of Keras' own that reads, writes or fetches files", err);
    if (!is_below_any(f->module, known, ARRAY_LENGTH(known)))
        return note(j, SAFETY_UNLISTED, dotted,
                    "names something outside Keras, which loading it imports", err);
    return OK;
}

/* Whether the name is "package>Class" with a package that is not Keras' own. */
static bool
is_registered(struct slice name)
{
    struct slice rest = name, package = slice_cut(&rest, '>');

    return rest.at != NULL && !is_below_any(package, known, ARRAY_LENGTH(known));
}

/* An object is complete: what would loading make of it? Older releases have package and class in
 * class_name. */
static enum status
judge_object(struct judge *j, const struct frame *f, struct err *err)
{
    if (f->class_name.length == 0)
        return OK;
    if (slice_is(f->class_name, "__lambda__"))
        return note(j, SAFETY_DANGEROUS, f->class_name,
                    "carries Python code in a Lambda layer: loading the model runs it", err);
    if (f->module.length > 0)
        return judge_module(j, f, err);
    if (is_registered(f->registered_name) || is_registered(f->class_name))
        return note(j, SAFETY_UNLISTED,
                    is_registered(f->registered_name) ? f->registered_name : f->class_name,
                    "names a class that somebody registered with Keras", err);
    return OK;
}

/* ---- the summary ---- */

static void
count_layer(struct judge *j, struct slice class_name)
{
    struct keras_summary *s = j->summary;
    size_t i = 0;

    s->layers++;
    while (i < s->class_count && !slice_equal(s->classes[i].class_name, class_name))
        i++;
    if (i == KERAS_CLASSES_MAX)
        return;
    if (i == s->class_count)
        s->classes[s->class_count++].class_name = class_name;
    s->classes[i].count++;
}

/* Layers are the objects in lists named layers, or config in the first releases. */
static void
summarize(struct judge *j, const struct frame *f)
{
    const struct frame *list = j->depth > 0 ? &j->frames[j->depth - 1] : NULL;

    if (j->depth == 0)
        j->summary->class_name = f->class_name;
    else if (list != NULL && !list->is_object && f->class_name.length > 0 &&
             (slice_is(list->role, "layers") || slice_is(list->role, "config")))
        count_layer(j, f->class_name);
}

void
keras_config_show(struct json_writer *w, const struct keras_summary *s)
{
    if (s->class_name.length > 0)
        jw_pair_slice(w, "class_name", s->class_name);
    if (s->name.length > 0)
        jw_pair_slice(w, "name", s->name);
    if (s->layers == 0)
        return;
    jw_pair_u64(w, "layers", s->layers);
    jw_key(w, "layer_classes");
    jw_object(w);
    for (size_t i = 0; i < s->class_count; i++) {
        jw_key_slice(w, s->classes[i].class_name);
        jw_u64(w, s->classes[i].count);
    }
    jw_object_end(w);
}

/* ---- the text ---- */

static void
open_frame(struct judge *j, bool is_object)
{
    const struct frame *outer = j->depth > 0 ? &j->frames[j->depth - 1] : NULL;
    struct frame f = {.is_object = is_object};

    if (outer != NULL)
        f.role = outer->is_object ? outer->key : outer->role;
    j->frames[j->depth++] = f; /* the tokenizer keeps the depth within JSON_DEPTH_MAX */
}

static enum status
take_text(struct judge *j, struct slice text, struct err *err)
{
    struct frame *f = &j->frames[j->depth - 1];

    if (!f->is_object)
        return OK;
    if (slice_is(f->key, "class_name"))
        f->class_name = text;
    else if (slice_is(f->key, "module"))
        f->module = text;
    else if (slice_is(f->key, "registered_name"))
        f->registered_name = text;
    else if (slice_is(f->key, "config"))
        f->function = text;
    else if (slice_is(f->key, "name") && j->depth == 2 && slice_is(f->role, "config"))
        j->summary->name = text;
    else if (slice_ends(f->key, slice_of("_type")) && slice_is(text, "lambda"))
        return note(j, SAFETY_DANGEROUS, slice_of("Lambda"),
                    "carries Python code in a Lambda layer: loading the model runs it", err);
    return OK;
}

static enum status
walk(struct judge *j, struct err *err)
{
    struct json_token t;

    do {
        TRY(json_next(&j->json, &t, err));
        if (t.kind == JSON_OBJECT || t.kind == JSON_ARRAY)
            open_frame(j, t.kind == JSON_OBJECT);
        else if (t.kind == JSON_OBJECT_END || t.kind == JSON_ARRAY_END) {
            const struct frame *f = &j->frames[--j->depth];

            if (t.kind == JSON_OBJECT_END) {
                summarize(j, f);
                TRY(judge_object(j, f, err));
            }
        } else if (t.kind == JSON_KEY)
            j->frames[j->depth - 1].key = t.text;
        else if (t.kind == JSON_STRING && j->depth > 0)
            TRY(take_text(j, t.text, err));
    } while (t.kind != JSON_END);
    return OK;
}

enum status
keras_config_judge(struct inspection *in, const struct limits *limits, struct slice text,
                   const char *where, struct keras_summary *ret_summary, struct err *err)
{
    struct limits deep = *limits;
    CLEANUP(judge_done)
    struct judge j = {.in = in, .limits = limits, .where = where, .summary = ret_summary};
    struct err why = {0};
    enum status status;

    deep.json_depth = JSON_DEPTH_MAX; /* models stand in models: nothing is kept of the depth */
    json_open(&j.json, text, &deep, &in->arena);
    status = walk(&j, &why);
    if (status == ERR_BAD_JSON || status == ERR_LIMIT) {
        if (in->safety < SAFETY_MALFORMED)
            in->safety = SAFETY_MALFORMED;
        return inspection_note(in, limits, FINDING_HEADER_MALFORMED, slice_of(where), err,
                               "it cannot be read, so what loading it would do is not known: %s",
                               why.text);
    }
    err_copy(err, &why);
    return status;
}
