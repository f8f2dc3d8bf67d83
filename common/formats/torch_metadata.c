#include "common/formats/torch_metadata.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/json_writer.h"
#include "common/base/utf8.h"
#include "common/formats/torch_framework.h"
#include "common/formats/torch_kind.h"
#include "common/formats/torch_tensor.h"
#include "common/formats/torch_value.h"

enum {
    VALUE_BYTES_MAX = 32 << 10, /* of one key's value, as JSON */
    TEXT_BYTES_MAX = 4 << 10,   /* of one text in it */
    DEPTH_MAX = 12,
    ITEMS_MAX = 256,     /* of one list or dict */
    STEPS_MAX = 1000000, /* values looked at and keys compared, in all */
    DEVICE_BYTES_MAX = 64,
    CLASS_BYTES_MAX = 200,
    NAME_ROOM = 8 * CLASS_BYTES_MAX, /* for one more name, were it all escapes, and for the end */
};

/* Nested values are kept under these keys only: they describe a run. Others hold its state. */
static const char *const described[] = {
    "args",
    "opt",
    "opts",
    "cfg",
    "config",
    "conf",
    "hparams",
    "params",
    "hyper_parameters",
    "datamodule_hyper_parameters",
    "train_args",
    "training_args",
    "model_args",
    "model_config",
    "model_kwargs",
    "init_args",
    "kwargs",
    "options",
    "settings",
    "ds_config",
    "meta",
    "metadata",
    "metrics",
    "train_metrics",
    "val_metrics",
    "best_metrics",
    "metric",
    "results",
    "scores",
    "history",
    "dims",
    "hps",
    "versions",
    "info",
    "extra",
    "epoch_metrics",
    "arch",
    "model_name",
    "hparams_initial",
    "hyperparameters",
};

/* One open list, dict or object: what of it is still to be written. */
struct open_value {
    bool is_list;
    struct pickle_items items;
    struct pickle_pairs pairs;
    size_t at;
};

struct rendering {
    struct torch_reader *r;
    size_t *steps_left;
    struct json_writer json;
    struct open_value open[DEPTH_MAX];
    size_t depth;
    bool is_whole; /* false: something did not fit, the value is left out */
};

/* Whether v is small enough to be looked into; what the look costs is taken off. */
static bool
spend(size_t *steps_left, struct pickle_value v)
{
    size_t size = torch_value_size(v);

    *steps_left -= size < *steps_left ? size : *steps_left;
    return size <= ITEMS_MAX && *steps_left > 0;
}

/* Too many items, or too deep: what it is stands for what is in it. */
static enum status
push_pairs(struct rendering *g, struct pickle_pairs pairs)
{
    if (g->depth == DEPTH_MAX || pairs.count > ITEMS_MAX) {
        jw_text(&g->json, "dict");
        return OK;
    }
    g->open[g->depth++] = (struct open_value){.pairs = pairs};
    jw_object(&g->json);
    return OK;
}

static enum status
push_items(struct rendering *g, struct pickle_items items)
{
    if (g->depth == DEPTH_MAX || items.count > ITEMS_MAX) {
        jw_text(&g->json, "list");
        return OK;
    }
    g->open[g->depth++] = (struct open_value){.is_list = true, .items = items};
    jw_array(&g->json);
    return OK;
}

/* What JSON can spell, and readers of it take. */
static bool
is_spellable(struct slice text)
{
    return text.length <= TEXT_BYTES_MAX && utf8_is_valid(text) &&
           (text.length == 0 || memchr(text.at, '\0', text.length) == NULL);
}

/* A text that is too long is cut, at the end of a character. */
static void
write_text(struct rendering *g, struct slice text)
{
    if (text.length > TEXT_BYTES_MAX) {
        text.length = TEXT_BYTES_MAX;
        while (text.length > 0 && ((unsigned char)text.at[text.length] & 0xc0) == 0x80)
            text.length--;
    }
    if (is_spellable(text))
        jw_slice(&g->json, text);
    else
        jw_text(&g->json, "str");
}

/* pathlib's paths are calls with their parts: PosixPath("/", "data", "x"). */
static enum status
write_path(struct rendering *g, struct pickle_value v, struct err *err)
{
    CLEANUP(buf_done) struct buf path = buf_with_cap(TEXT_BYTES_MAX);
    struct slice part;

    for (size_t i = 0; i < pickle_argument_count(v); i++) {
        if (!pickle_text(pickle_argument(v, i), &part))
            continue;
        if (path.length > 0 && path.bytes[path.length - 1] != '/')
            buf_char(&path, '/');
        buf_slice(&path, part);
    }
    TRY(buf_check(&path, err));
    jw_slice(&g->json, buf_slice_of(&path));
    return OK;
}

static bool
is_path(struct pickle_value v)
{
    static const char *const names[] = {"PosixPath", "WindowsPath", "PurePosixPath",
                                        "PureWindowsPath", "Path"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (pickle_is_call(v, "pathlib", names[i]) || pickle_is_call(v, "pathlib._local", names[i]))
            return true;
    }
    return false;
}

/* A type's name stands for what has no plain value. */
static enum status
write_type(struct rendering *g, struct pickle_value v, struct err *err)
{
    struct slice type;

    TRY(pickle_type(v, g->r->scratch, &type, err));
    write_text(g, type);
    return OK;
}

/* torch.device("cuda", 0) as PyTorch prints it. */
static enum status
write_device(struct rendering *g, struct pickle_value v, struct err *err)
{
    struct slice text = {0};
    int64_t index;

    (void)pickle_text(pickle_argument(v, 0), &text);
    if (is_spellable(text) && pickle_as_int(pickle_argument(v, 1), &index))
        TRY(arena_printf(g->r->scratch, &text, err, "%.*s:%lld", SLICE_PRINT(text),
                         (long long)index));
    write_text(g, text);
    return OK;
}

/* A call: NumPy's numbers, paths, devices, and objects by their attributes. omegaconf keeps a node's
 * value in _val and a dict's or list's in _content. */
static enum status
write_call(struct rendering *g, struct pickle_value v, struct pickle_value *ret_instead,
           bool *ret_has_instead, struct err *err)
{
    static const char *const boxes[] = {"_content", "_val"};
    const struct pickle_value *state;
    struct pickle_pairs pairs = {0};
    bool is_mapping = false;

    *ret_has_instead = torch_value_scalar(v, ret_instead);
    if (*ret_has_instead)
        return OK;
    if (is_path(v))
        return write_path(g, v, err);
    if (pickle_is_call(v, "torch", "device"))
        return write_device(g, v, err);
    if (pickle_is_call(v, "_codecs", "encode") || torch_tensor_is(g->r, v))
        return write_type(g, v, err);
    if (!spend(g->steps_left, v))
        return write_type(g, v, err);
    for (size_t i = 0; i < ARRAY_LENGTH(boxes); i++) {
        state = pickle_attribute(v, boxes[i]);
        if (state == NULL)
            continue;
        *ret_instead = *state;
        *ret_has_instead = true;
        return OK;
    }
    state = pickle_state(v); /* a Namespace, a dataclass: the attributes */
    if (state != NULL)
        TRY(torch_value_pairs(*state, g->r->scratch, &is_mapping, &pairs, err));
    if (is_mapping)
        return push_pairs(g, pairs);
    return write_type(g, v, err);
}

static void
write_plain(struct rendering *g, struct pickle_value v)
{
    struct slice text;
    int64_t integer;
    double real;
    bool truth;

    if (pickle_as_bool(v, &truth))
        jw_bool(&g->json, truth);
    else if (pickle_as_int(v, &integer))
        jw_i64(&g->json, integer);
    else if (pickle_as_float(v, &real))
        jw_double(&g->json, real);
    else if (pickle_text(v, &text) && v.kind == PICKLE_STR)
        write_text(g, text);
    else
        jw_null(&g->json);
}

/* One value: whole, or its beginning, and then it is open. */
static enum status
write_value(struct rendering *g, struct pickle_value v, struct err *err)
{
    for (int boxes = 0; boxes<DEPTH_MAX && * g->steps_left> 0; boxes++) {
        struct pickle_pairs pairs;
        struct pickle_items items;
        struct pickle_value instead;
        bool is_mapping, has_instead = false;

        (*g->steps_left)--;
        TRY(torch_value_pairs(v, g->r->scratch, &is_mapping, &pairs, err));
        if (is_mapping)
            return push_pairs(g, pairs);
        if (pickle_list(v, &items))
            return push_items(g, items);
        switch ((enum pickle_kind)v.kind) {
        case PICKLE_CALL:
            TRY(write_call(g, v, &instead, &has_instead, err));
            if (!has_instead)
                return OK;
            v = instead;
            continue;
        case PICKLE_BIGINT:
        case PICKLE_BYTES:
        case PICKLE_BYTEARRAY:
        case PICKLE_GLOBAL:
        case PICKLE_PERSISTENT:
        case PICKLE_EXTENSION:
        case PICKLE_TENSOR:
            return write_type(g, v, err);
        case PICKLE_NONE:
        case PICKLE_BOOL:
        case PICKLE_INT:
        case PICKLE_FLOAT:
        case PICKLE_STR:
        case PICKLE_TUPLE:
        case PICKLE_LIST:
        case PICKLE_DICT:
        case PICKLE_SET:
        case PICKLE_FROZENSET:
        case PICKLE_KIND_COUNT:
            write_plain(g, v);
            return OK;
        }
    }
    g->is_whole = false;
    return OK;
}

/* Whether an earlier key of the dict reads alike: 1 and "1" are two keys for Python, one for JSON. */
static bool
is_repeated(struct rendering *g, const struct open_value *o, struct slice key)
{
    for (size_t i = 0; i<o->at && * g->steps_left> 0; i++) {
        struct slice other;
        int64_t number;
        char text[32];

        (*g->steps_left)--;
        if (pickle_as_int(o->pairs.at[i].key, &number)) {
            (void)snprintf(text, sizeof text, "%lld", (long long)number);
            other = slice_of(text);
        } else if (!pickle_text(o->pairs.at[i].key, &other))
            continue;
        if (slice_equal(other, key))
            return true;
    }
    return false;
}

/* The next of what is open; what has no name in JSON is left out. */
static enum status
write_next(struct rendering *g, struct open_value *o, struct err *err)
{
    struct pickle_value v;
    struct slice key;
    bool is_text;

    if (o->is_list)
        return write_value(g, o->items.at[o->at++], err);
    TRY(torch_value_key(o->pairs.at[o->at].key, g->r->scratch, &key, &is_text, err));
    if (key.at == NULL || !is_spellable(key) || is_repeated(g, o, key)) {
        o->at++;
        return OK;
    }
    v = o->pairs.at[o->at++].value;
    jw_key_slice(&g->json, key);
    return write_value(g, v, err);
}

/* Write what is open, innermost first, to its end. */
static enum status
write_rest(struct rendering *g, struct err *err)
{
    while (g->depth > 0 && g->is_whole && g->json.out->failed == OK) {
        struct open_value *o = &g->open[g->depth - 1];

        if (o->at < (o->is_list ? o->items.count : o->pairs.count)) {
            TRY(write_next(g, o, err));
            continue;
        }
        g->depth--;
        if (o->is_list)
            jw_array_end(&g->json);
        else
            jw_object_end(&g->json);
    }
    return OK;
}

/* The value as JSON in out; false where it does not fit. */
static enum status
render(struct torch_reader *r, struct pickle_value v, size_t *steps_left, struct buf *out,
       bool *ret_is_whole, struct err *err)
{
    struct rendering g = {
        .r = r, .steps_left = steps_left, .json = json_writer_to(out, 0), .is_whole = true};

    TRY(write_value(&g, v, err));
    TRY(write_rest(&g, err));
    if (out->failed == ERR_NO_MEMORY)
        return buf_check(out, err);
    *ret_is_whole = g.is_whole && out->failed == OK;
    return OK;
}

/* ---- which values ---- */

static bool
is_described(struct slice key)
{
    for (size_t i = 0; i < ARRAY_LENGTH(described); i++) {
        if (slice_is(key, described[i]))
            return true;
    }
    return slice_ends(key, slice_of("_version")) || slice_ends(key, slice_of("_config")) ||
           slice_ends(key, slice_of("_args"));
}

static bool
is_plain(struct pickle_value v)
{
    switch ((enum pickle_kind)v.kind) {
    case PICKLE_BOOL:
    case PICKLE_INT:
    case PICKLE_FLOAT:
    case PICKLE_STR:
        return true;
    case PICKLE_CALL:
        return pickle_is_call(v, "numpy.core.multiarray", "scalar") ||
               pickle_is_call(v, "numpy._core.multiarray", "scalar") || is_path(v) ||
               pickle_is_call(v, "torch", "device");
    case PICKLE_NONE:
    case PICKLE_BIGINT:
    case PICKLE_BYTES:
    case PICKLE_BYTEARRAY:
    case PICKLE_TUPLE:
    case PICKLE_LIST:
    case PICKLE_DICT:
    case PICKLE_SET:
    case PICKLE_FROZENSET:
    case PICKLE_GLOBAL:
    case PICKLE_PERSISTENT:
    case PICKLE_EXTENSION:
    case PICKLE_TENSOR:
    case PICKLE_KIND_COUNT:
        return false;
    }
    return false;
}

/* A scheduler's state is not looked into; that it is there says that training can go on. */
static bool
is_scheduler(struct slice key)
{
    static const char *const names[] = {
        "scheduler",       "lr_scheduler",     "lr_schedulers",
        "schedulers",      "param_schedulers", "scheduler_state_dict",
        "scheduler_state", "lr_sched",         "opt_param_scheduler"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (slice_is(key, names[i]))
            return true;
    }
    return false;
}

/* Generators' states, so that training can go on as it would have. */
static bool
is_random_state(struct slice key)
{
    static const char *const names[] = {"rng",
                                        "rng_state",
                                        "rng_states",
                                        "random_state",
                                        "random_states",
                                        "random_rng_state",
                                        "np_rng_state",
                                        "numpy_rng_state",
                                        "torch_rng_state",
                                        "cuda_rng_state",
                                        "cuda_rng_state_all",
                                        "rng_tracker_states",
                                        "numpy_random_seed",
                                        "torch_manual_seed",
                                        "torch_cuda_manual_seed"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (slice_is(key, names[i]))
            return true;
    }
    return false;
}

static bool
is_optimizer(struct slice key, struct pickle_value v, size_t *steps_left)
{
    return torch_kind_is_optimizer(key) ||
           (*steps_left > 0 && spend(steps_left, v) && pickle_get(v, "param_groups") != NULL);
}

/* What has been written of the object, and what may still be spent on it. */
struct gathering {
    struct torch_reader *r;
    struct buf *out;
    struct json_writer json;
    size_t steps_left;
    bool has_optimizer;
    bool has_scheduler;
    bool has_random_state;
};

/* The object's own last keys need some room; an escape takes up to six bytes for one. */
static bool
has_room(const struct gathering *g, size_t length)
{
    return g->out->length + length + VALUE_BYTES_MAX <= g->out->cap_bytes;
}

/* Add one key and its value, if there is room for them. */
static enum status
add_value(struct gathering *g, struct slice key, struct pickle_value v, struct err *err)
{
    CLEANUP(buf_done) struct buf value = buf_with_cap(VALUE_BYTES_MAX);
    bool is_whole = false;

    if (g->steps_left == 0 || !has_room(g, 0))
        return OK;
    TRY(render(g->r, v, &g->steps_left, &value, &is_whole, err));
    if (!is_whole || !has_room(g, value.length + key.length * 6))
        return OK;
    jw_key_slice(&g->json, key);
    jw_raw(&g->json, buf_slice_of(&value));
    return OK;
}

static void
add_names(const struct vec *names, const char *key, size_t length_max, struct json_writer *json)
{
    if (names->count == 0)
        return;
    jw_key(json, key);
    jw_flat_array(json);
    for (size_t i = 0; i < names->count; i++) {
        struct slice name = VEC_AT(names, struct slice, i);

        if (name.length <= length_max && is_spellable(name) &&
            json->out->length + NAME_ROOM <= json->out->cap_bytes)
            jw_slice(json, name);
    }
    jw_array_end(json);
}

/* Keys that we add: a file's own of these names give way. */
static bool
is_ours(struct slice key)
{
    static const char *const names[] = {"has_optimizer", "has_scheduler", "has_random_state",
                                        "framework",     "parallel",      "compiled",
                                        "devices",       "module_classes"};

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        if (slice_is(key, names[i]))
            return true;
    }
    return false;
}

static enum status
add_pair(struct gathering *g, const struct pickle_pair *pair, struct err *err)
{
    struct slice key;

    if (torch_tensor_is(g->r, pair->value) || !pickle_text(pair->key, &key) || !is_spellable(key) ||
        is_ours(key))
        return OK;
    g->has_optimizer = g->has_optimizer || is_optimizer(key, pair->value, &g->steps_left);
    g->has_scheduler = g->has_scheduler || is_scheduler(key);
    g->has_random_state = g->has_random_state || is_random_state(key);
    if (is_plain(pair->value) || is_described(key))
        return add_value(g, key, pair->value, err);
    return OK;
}

/* A file that is one part of a run's state: what it is shows at the top itself. */
static void
recognise_top(struct gathering *g, struct pickle_value root)
{
    if (!spend(&g->steps_left, root) || !pickle_is_mapping(root))
        return;
    if (pickle_get(root, "param_groups") != NULL && pickle_get(root, "state") != NULL)
        g->has_optimizer = true;
    if (pickle_get(root, "last_epoch") != NULL &&
        (pickle_get(root, "_last_lr") != NULL || pickle_get(root, "base_lrs") != NULL))
        g->has_scheduler = true;
    if (pickle_get(root, "python") != NULL && pickle_get(root, "numpy") != NULL &&
        pickle_get(root, "cpu") != NULL)
        g->has_random_state = true;
}

/* The top's keys, or an object's attributes (training_args.bin). */
static enum status
find_pairs(struct torch_reader *r, struct pickle_value root, struct pickle_pairs *ret_pairs,
           struct err *err)
{
    const struct pickle_value *state = pickle_state(root);
    struct torch_module module;
    bool is_mapping = false;

    TRY(torch_value_pairs(root, r->scratch, &is_mapping, ret_pairs, err));
    if (!is_mapping && state != NULL && !torch_value_module(root, &module))
        TRY(torch_value_pairs(*state, r->scratch, &is_mapping, ret_pairs, err));
    if (!is_mapping)
        *ret_pairs = (struct pickle_pairs){0};
    return OK;
}

enum status
torch_metadata_read(struct torch_reader *r, struct pickle_value root, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(r->limits->metadata_bytes);
    struct gathering g = {
        .r = r, .out = &out, .json = json_writer_to(&out, 0), .steps_left = STEPS_MAX};
    struct pickle_pairs pairs = {0};

    TRY(find_pairs(r, root, &pairs, err));
    jw_object(&g.json);
    for (size_t i = 0; i < pairs.count; i++)
        TRY(add_pair(&g, &pairs.at[i], err));
    recognise_top(&g, root);
    torch_framework_tell(r->in, root, &g.steps_left, &g.json);
    if (g.has_optimizer)
        jw_pair_bool(&g.json, "has_optimizer", true);
    if (g.has_scheduler)
        jw_pair_bool(&g.json, "has_scheduler", true);
    if (g.has_random_state)
        jw_pair_bool(&g.json, "has_random_state", true);
    add_names(&r->devices, "devices", DEVICE_BYTES_MAX, &g.json);
    add_names(&r->classes, "module_classes", CLASS_BYTES_MAX, &g.json);
    jw_object_end(&g.json);
    TRY(buf_check(&out, err));
    if (slice_is(buf_slice_of(&out), "{}"))
        return OK;
    return arena_copy(&r->in->arena, buf_slice_of(&out), &r->in->metadata, err);
}
