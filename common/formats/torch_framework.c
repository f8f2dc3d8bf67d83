#include "common/formats/torch_framework.h"

#include "common/base/attr.h"
#include "common/formats/torch_value.h"

enum {
    KEYS_MAX = 256,       /* of a dict that a training program writes; a state dict may have more */
    FRAMEWORK_KEYS = 4,   /* that tell one */
    ARGUMENTS_MAX = 4096, /* of a Namespace or configuration that is looked into */
    NAMES_LOOKED_AT = 64, /* of the default container's tensors */
};

/* Who writes which keys. A key with a dot is a key within a key. The first row that fits is it. */
static const struct {
    const char *name;
    const char *keys[FRAMEWORK_KEYS];
} frameworks[] = {
    {"pytorch-lightning", {"pytorch-lightning_version", "state_dict"}},
    {"pytorch-lightning", {"pytorch-ligthning_version", "state_dict"}}, /* as 0.7 spelled it */
    {"mmengine", {"meta.mmengine_version"}},
    {"mmcv", {"meta.mmcv_version"}},
    {"deepspeed", {"ds_version"}},
    {"deepspeed", {"dp_world_size", "mp_world_size", "module"}},
    {"deepspeed", {"optimizer_state_dict.zero_stage"}},
    {"megatron", {"checkpoint_version", "iteration"}},
    {"fairseq", {"optimizer_history", "model"}},
    {"fairseq", {"extra_state", "model", "last_optimizer_state"}},
    {"ultralytics", {"train_args", "model", "date"}},
    {"yolov5", {"best_fitness", "model", "ema"}},
    {"nnunet", {"network_weights", "trainer_name"}},
    {"whisper", {"dims", "model_state_dict"}},
    {"timm", {"arch", "state_dict", "version", "args"}},
    {"detectron2", {"__author__", "model"}},
    {"detectron2", {"matching_heuristics", "model"}},
    {"fvcore", {"model", "iteration", "trainer"}},
    {"pycls", {"model_state", "epoch", "cfg"}},
    {"dino", {"student", "teacher", "dino_loss"}},
    {"basicsr", {"params_ema"}},
    {"stylegan", {"g_ema"}},
    {"torchvision-references", {"model", "optimizer", "lr_scheduler", "epoch"}},
    {"transformers", {"python", "numpy", "cpu"}}, /* rng_state.pth */
    {"accelerate", {"random_state", "numpy_random_seed", "torch_manual_seed"}},
};

/* Where arguments are kept, and what the number of devices is called in them. */
static const char *const holders[] = {"args", "opt",    "hparams",    "hyper_parameters",
                                      "cfg",  "config", "train_args", "training_args"};
static const char *const device_counts[] = {"world_size",  "distributed_world_size",
                                            "n_gpu",       "num_gpus",
                                            "gpu_count",   "ngpus",
                                            "gpus",        "devices",
                                            "num_devices", "_n_gpu"};
static const struct {
    const char *argument;
    const char *told;
} dimensions[] = {
    {"data_parallel_size", "data"},
    {"tensor_model_parallel_size", "tensor"},
    {"pipeline_model_parallel_size", "pipeline"},
    {"context_parallel_size", "context"},
    {"expert_model_parallel_size", "expert"},
};

/* A dict's value or an object's attribute, NULL if there is none. */
static const struct pickle_value *
look(size_t *steps_left, struct pickle_value v, struct slice key)
{
    size_t size = torch_value_size(v);
    const struct pickle_value *state;

    if (size > ARGUMENTS_MAX || size >= *steps_left)
        return NULL;
    *steps_left -= size + 1;
    if (pickle_is_mapping(v))
        return pickle_get_slice(v, key);
    state = pickle_state(v); /* a Namespace: its attributes are a dict */
    return state != NULL && pickle_is_mapping(*state) ? pickle_get_slice(*state, key) : NULL;
}

static const struct pickle_value *
look_deep(size_t *steps_left, struct pickle_value v, const char *path)
{
    struct slice rest = slice_of(path);
    const struct pickle_value *found = look(steps_left, v, slice_cut(&rest, '.'));

    while (rest.at != NULL && found != NULL)
        found = look(steps_left, *found, slice_cut(&rest, '.'));
    return found;
}

static const char *
find_framework(size_t *steps_left, struct pickle_value root)
{
    struct pickle_value callable =
        root.kind == PICKLE_CALL ? root.is.call->callable : (struct pickle_value){0};

    /* training_args.bin is the Trainer's arguments themselves. */
    if (callable.kind == PICKLE_GLOBAL &&
        slice_starts(callable.is.global->module, slice_of("transformers.")))
        return "transformers";
    for (size_t i = 0; i < ARRAY_LENGTH(frameworks); i++) {
        bool fits = true;

        for (size_t k = 0; k < FRAMEWORK_KEYS && frameworks[i].keys[k] != NULL && fits; k++)
            fits = look_deep(steps_left, root, frameworks[i].keys[k]) != NULL;
        if (fits)
            return frameworks[i].name;
    }
    return NULL;
}

/* ---- how many devices ---- */

/* A number of devices, or a list of them: [0, 1, 2, 3]. -1 means all that there are. */
static bool
as_count(const struct pickle_value *v, uint64_t *ret_count)
{
    struct pickle_items items;

    if (v == NULL)
        return false;
    if (pickle_as_u64(*v, ret_count))
        return *ret_count > 0;
    if (v->kind == PICKLE_STR || !pickle_list(*v, &items))
        return false;
    *ret_count = items.count;
    return items.count > 0;
}

static bool
find_count(size_t *steps_left, struct pickle_value v, uint64_t *ret_count)
{
    for (size_t i = 0; i < ARRAY_LENGTH(device_counts); i++)
        if (as_count(look(steps_left, v, slice_of(device_counts[i])), ret_count))
            return true;
    return false;
}

/* The arguments, wherever they are; NULL past the last holder. */
static const struct pickle_value *
find_arguments(size_t *steps_left, struct pickle_value root, size_t *holder)
{
    while (*holder < ARRAY_LENGTH(holders)) {
        const struct pickle_value *found = look(steps_left, root, slice_of(holders[(*holder)++]));

        if (found != NULL)
            return found;
    }
    return NULL;
}

static bool
find_gpus(size_t *steps_left, struct pickle_value root, uint64_t *ret_gpus)
{
    const struct pickle_value *arguments, *inner;
    uint64_t data = 0, model = 0;
    size_t holder = 0;

    if (as_count(look_deep(steps_left, root, "dp_world_size"), &data) &&
        as_count(look_deep(steps_left, root, "mp_world_size"), &model) && data < UINT32_MAX &&
        model < UINT32_MAX) {
        *ret_gpus = data * model;
        return true;
    }
    if (find_count(steps_left, root, ret_gpus))
        return true;
    while ((arguments = find_arguments(steps_left, root, &holder)) != NULL) {
        if (find_count(steps_left, *arguments, ret_gpus))
            return true;
        inner = look(steps_left, *arguments, slice_of("distributed_training")); /* fairseq */
        if (inner != NULL && find_count(steps_left, *inner, ret_gpus))
            return true;
    }
    return false;
}

/* ---- what wrappers did ---- */

static bool
has_segment(struct slice name, const char *segment)
{
    while (name.at != NULL)
        if (slice_is(slice_cut(&name, '.'), segment))
            return true;
    return false;
}

struct wrappers {
    bool is_data_parallel, is_sharded, is_compiled;
};

/* A few names tell: wrappers are put round the whole, or round every layer. */
static struct wrappers
find_wrappers(const struct inspection *in)
{
    const struct container *c = inspection_default(in);
    struct wrappers w = {.is_data_parallel = true};
    size_t count = c == NULL ? 0 : c->structure.count;
    size_t step = count / NAMES_LOOKED_AT + 1;

    for (size_t i = 0; i < count; i += step) {
        struct slice name = c->structure.tensors[i].name;

        w.is_data_parallel = w.is_data_parallel && slice_starts(name, slice_of("module."));
        w.is_compiled = w.is_compiled || has_segment(name, "_orig_mod");
        w.is_sharded = w.is_sharded || has_segment(name, "_fsdp_wrapped_module") ||
                       has_segment(name, "_flat_param") || has_segment(name, "flat_param");
    }
    w.is_data_parallel = w.is_data_parallel && count > 0;
    return w;
}

static void
write_dimensions(size_t *steps_left, struct pickle_value root, struct json_writer *w)
{
    const struct pickle_value *arguments = look(steps_left, root, slice_of("args"));
    const struct pickle_value *stage =
        look_deep(steps_left, root, "optimizer_state_dict.zero_stage");
    uint64_t size;

    if (stage == NULL)
        stage = look_deep(steps_left, root, "ds_config.zero_optimization.stage");
    if (stage != NULL && pickle_as_u64(*stage, &size))
        jw_pair_u64(w, "zero_stage", size);
    for (size_t i = 0; arguments != NULL && i < ARRAY_LENGTH(dimensions); i++)
        if (as_count(look(steps_left, *arguments, slice_of(dimensions[i].argument)), &size))
            jw_pair_u64(w, dimensions[i].told, size);
}

static void
write_parallel(size_t *steps_left, struct pickle_value root, const char *framework,
               const struct wrappers *found, struct json_writer *w)
{
    bool is_deepspeed = framework != NULL && slice_is(slice_of(framework), "deepspeed");
    bool is_megatron = framework != NULL && slice_is(slice_of(framework), "megatron");
    const char *kind = is_deepspeed              ? "deepspeed"
                       : is_megatron             ? "megatron"
                       : found->is_sharded       ? "fsdp"
                       : found->is_data_parallel ? "data-parallel"
                                                 : NULL;
    uint64_t gpus = 0;
    bool has_gpus = find_gpus(steps_left, root, &gpus);

    if (kind == NULL && !has_gpus)
        return;
    jw_key(w, "parallel");
    jw_object(w);
    if (kind != NULL)
        jw_pair_text(w, "kind", kind);
    if (has_gpus)
        jw_pair_u64(w, "gpus", gpus);
    write_dimensions(steps_left, root, w);
    jw_object_end(w);
}

void
torch_framework_tell(const struct inspection *in, struct pickle_value root, size_t *steps_left,
                     struct json_writer *w)
{
    struct wrappers found = find_wrappers(in);
    const char *framework = NULL;

    if (torch_value_size(root) > KEYS_MAX)
        root = (struct pickle_value){0}; /* a bare state dict: nothing but its names can tell */
    framework = find_framework(steps_left, root);
    if (framework != NULL)
        jw_pair_text(w, "framework", framework);
    write_parallel(steps_left, root, framework, &found, w);
    if (found.is_compiled)
        jw_pair_bool(w, "compiled", true);
}
