/*
 * The files' layouts, from DeepSpeed (runtime/engine.py, utils/zero_to_fp32.py) and Megatron-LM
 * (training/checkpointing.py):
 *
 *     [bf16_]zero_pp_rank_N_mp_rank_MM_optim_states.pt   optimizer_state_dict: zero_stage,
 *                                                        partition_count, … of data rank N
 *     mp_rank_MM_model_states.pt                         module, param_shapes, ds_version …
 *     zero_pp_rank_N_mp_rank_MM_model_states.pt          the same, of stage 3: parameters are empty
 *     layer_NN-model_MM-model_states.pt                  a layer of a pipeline
 *     mp_rank_TT[_PPP]/model_optim_rng.pt                args, model, optimizer … of Megatron-LM
 */
#include "common/formats/torch_part.h"

#include "common/base/attr.h"
#include "common/formats/builder.h"
#include "common/formats/set_name.h"
#include "common/formats/torch_value.h"

/* A part's number and of how many, where known. */
struct part {
    bool has_rank;
    uint32_t rank;
    uint64_t of; /* 0: not known */
};

static struct part
part_of(struct slice name, const char *word, uint64_t of)
{
    struct part p = {.of = of};

    p.has_rank = set_name_after(name, word, &p.rank);
    return p;
}

/* "rank 3 of 8", "a rank of 8", "rank 3", "a rank". */
static enum status
say(struct torch_reader *r, const struct part *p, struct slice *ret_text, struct err *err)
{
    struct slice rank = slice_of("a rank");

    if (p->has_rank)
        TRY(arena_printf(&r->in->arena, &rank, err, "rank %u", p->rank));
    if (p->of == 0) {
        *ret_text = rank;
        return OK;
    }
    return arena_printf(&r->in->arena, ret_text, err, "%.*s of %llu", SLICE_PRINT(rank),
                        (unsigned long long)p->of);
}

static enum status
keep(struct torch_reader *r, const char *scheme, const struct part *p, struct err *err)
{
    struct slice rank = slice_of("null"), of = slice_of("null");

    if (p->has_rank)
        TRY(arena_printf(&r->in->arena, &rank, err, "%u", p->rank));
    if (p->of > 0)
        TRY(arena_printf(&r->in->arena, &of, err, "%llu", (unsigned long long)p->of));
    return arena_printf(&r->in->arena, &r->in->part, err,
                        "{\"scheme\":\"%s\",\"rank\":%.*s,\"of\":%.*s}", scheme, SLICE_PRINT(rank),
                        SLICE_PRINT(of));
}

static void
mark_fragments(struct inspection *in)
{
    for (size_t i = 0; i < in->container_count; i++) {
        if (in->containers[i].kind != CONTAINER_OUTER &&
            in->containers[i].kind != CONTAINER_OPTIMIZER)
            in->containers[i].kind = CONTAINER_FRAGMENT;
    }
}

static uint64_t
number_of(const struct pickle_value *v)
{
    uint64_t number = 0;
    struct pickle_items items;

    if (v == NULL)
        return 0;
    if (pickle_list(*v, &items) && items.count > 0) /* a number for each parameter group */
        v = &items.at[0];
    return pickle_as_u64(*v, &number) ? number : 0;
}

/* ---- DeepSpeed ---- */

static enum status
read_partition(struct torch_reader *r, struct pickle_value state, struct err *err)
{
    const struct pickle_value *stage = pickle_get(state, "zero_stage");
    struct part p =
        part_of(r->in->path, "pp_rank_", number_of(pickle_get(state, "partition_count")));
    struct slice which;

    mark_fragments(r->in);
    TRY(say(r, &p, &which, err));
    TRY(keep(r, "zero", &p, err));
    return inspection_note(
        r->in, r->limits, FINDING_FRAGMENT, r->in->path, err,
        "%.*s: a ZeRO stage %llu optimizer partition. To load it takes the other "
        "ranks' files and mp_rank_*_model_states.pt; DeepSpeed's zero_to_fp32.py "
        "joins them into one state dict",
        SLICE_PRINT(which), (unsigned long long)number_of(stage));
}

/* One parameter of param_shapes: name and torch.Size. */
static enum status
add_shape(struct torch_reader *r, struct builder *b, const struct pickle_pair *pair,
          struct err *err)
{
    struct built_tensor t = {.tensor.dtype = DTYPE_FLOAT32, .layout = LAYOUT_META};
    struct pickle_items sizes;
    struct slice name;
    uint64_t *dims;

    if (!pickle_text(pair->key, &name) || !pickle_list(pair->value, &sizes) ||
        sizes.count > TENSOR_RANK_MAX || sizes.count > r->limits->rank ||
        name.length > r->limits->name_bytes)
        return OK;
    dims = arena_alloc(&r->in->arena, sizes.count, sizeof *dims);
    if (dims == NULL)
        return arena_fail(&r->in->arena, err);
    for (size_t i = 0; i < sizes.count; i++) {
        if (!pickle_as_u64(sizes.at[i], &dims[i]))
            return OK;
    }
    t.tensor.shape = (struct shape){.dims = dims, .rank = (uint32_t)sizes.count};
    TRY(arena_copy(&r->in->arena, name, &t.tensor.name, err));
    return builder_tensor(b, &t, err);
}

static enum status
add_shapes(struct torch_reader *r, struct builder *b, struct pickle_value shapes, struct err *err)
{
    struct pickle_pairs pairs;
    bool is_mapping;

    TRY(torch_value_pairs(shapes, r->scratch, &is_mapping, &pairs, err));
    for (size_t i = 0; is_mapping && i < pairs.count && r->steps_left > 0; i++) {
        r->steps_left--;
        TRY(add_shape(r, b, &pairs.at[i], err));
    }
    return OK;
}

/* Whether a parameter that is told to have elements has none in the module's own dict. */
static bool
is_left_empty(const struct builder *b, const struct container *module)
{
    for (size_t i = 0; i < b->tensors.count; i++) {
        const struct tensor *told = &VEC_AT(&b->tensors, struct built_tensor, i).tensor;
        size_t at = structure_find(&module->structure, told->name);

        if (at != SIZE_MAX && told->elements > 0 && module->structure.tensors[at].elements == 0)
            return true;
    }
    return false;
}

/* Buffers are whole in every rank's module. */
static enum status
add_buffers(struct builder *b, const struct container *module, struct err *err)
{
    const struct structure *s = &module->structure;

    for (size_t i = 0; i < s->count; i++) {
        struct built_tensor t = {.tensor = s->tensors[i]};

        if (module->placement.places != NULL)
            t.place = module->placement.places[i];
        if (t.tensor.elements > 0)
            TRY(builder_tensor(b, &t, err));
    }
    return OK;
}

/* param_shapes is a dict for each parameter group, or one dict. */
static enum status
read_shapes(struct torch_reader *r, const struct pickle_value *shapes, bool *ret_is_stage3,
            struct err *err)
{
    CLEANUP(builder_done) struct builder b = {0};
    const struct container *module = inspection_container(r->in, slice_of("module"));
    struct pickle_items groups;

    *ret_is_stage3 = false;
    if (shapes == NULL || module == NULL || r->in->container_count >= r->limits->containers ||
        inspection_container(r->in, slice_of("param_shapes")) != NULL)
        return OK;
    builder_begin(&b, r->in, r->limits);
    if (!pickle_list(*shapes, &groups))
        groups = (struct pickle_items){.at = shapes, .count = 1};
    for (size_t i = 0; i < groups.count && r->steps_left > 0; i++) {
        r->steps_left--;
        TRY(add_shapes(r, &b, groups.at[i], err));
    }
    *ret_is_stage3 = is_left_empty(&b, module);
    if (!*ret_is_stage3)
        return OK;
    TRY(add_buffers(&b, module, err));
    return builder_finish(&b, slice_of("param_shapes"), CONTAINER_FRAGMENT, err);
}

static enum status
read_model_states(struct torch_reader *r, struct pickle_value root, struct err *err)
{
    struct part model =
        part_of(r->in->path, "mp_rank_", number_of(pickle_get(root, "mp_world_size")));
    struct part data =
        part_of(r->in->path, "pp_rank_", number_of(pickle_get(root, "dp_world_size")));
    struct slice which;
    bool is_stage3;

    TRY(read_shapes(r, pickle_get(root, "param_shapes"), &is_stage3, err));
    if (is_stage3) {
        mark_fragments(r->in);
        TRY(say(r, &data, &which, err));
        TRY(keep(r, "zero", &data, err));
        return inspection_note(
            r->in, r->limits, FINDING_FRAGMENT, r->in->path, err,
            "%.*s: model states of ZeRO stage 3. The parameters in `module` are empty; "
            "`param_shapes` has their shapes. The values lie in all ranks' "
            "zero_pp_rank_*_optim_states.pt: DeepSpeed's zero_to_fp32.py joins them",
            SLICE_PRINT(which));
    }
    if (model.of <= 1)
        return OK;
    mark_fragments(r->in);
    TRY(say(r, &model, &which, err));
    TRY(keep(r, "model-parallel", &model, err));
    return inspection_note(r->in, r->limits, FINDING_FRAGMENT, r->in->path, err,
                           "model-parallel %.*s of a DeepSpeed save: to load it takes the others",
                           SLICE_PRINT(which));
}

/* ---- Megatron-LM ---- */

/* mp_rank_01_003: tensor rank 1, pipeline rank 3. */
static struct part
pipeline_part(struct slice path, uint64_t of)
{
    struct part p = {.of = of};
    struct slice folder = set_name_folder(path);

    if (folder.length > 0)
        folder.length--;
    folder = set_name_base(folder);
    if (slice_starts(folder, slice_of("mp_rank_")) && folder.length > 11)
        p.has_rank = set_name_after(slice_from(folder, 10), "_", &p.rank);
    return p;
}

static enum status
read_megatron(struct torch_reader *r, struct pickle_value args, struct err *err)
{
    struct part tensor = part_of(r->in->path, "mp_rank_",
                                 number_of(pickle_attribute(args, "tensor_model_parallel_size")));
    struct part pipeline = pipeline_part(
        r->in->path, number_of(pickle_attribute(args, "pipeline_model_parallel_size")));
    struct slice which, stage;

    if (tensor.of <= 1 && pipeline.of <= 1)
        return OK;
    mark_fragments(r->in);
    TRY(say(r, &tensor, &which, err));
    TRY(say(r, &pipeline, &stage, err));
    TRY(keep(r, "megatron", tensor.of > 1 ? &tensor : &pipeline, err));
    return inspection_note(r->in, r->limits, FINDING_FRAGMENT, r->in->path, err,
                           "tensor-parallel %.*s, pipeline-parallel %.*s of a Megatron-LM save: to "
                           "load it takes the others, or Megatron-LM's tools/checkpoint/convert.py",
                           SLICE_PRINT(which), SLICE_PRINT(stage));
}

/* ---- others ---- */

static bool
has_flat(const struct inspection *in)
{
    for (size_t i = 0; i < in->container_count; i++) {
        const struct container *c = &in->containers[i];

        if (c->kind != CONTAINER_FRAGMENT)
            continue;
        for (size_t k = 0; k < c->structure.count; k++) {
            if (slice_ends(c->structure.tensors[k].name, slice_of("flat_param")))
                return true;
        }
    }
    return false;
}

static enum status
read_named(struct torch_reader *r, struct err *err)
{
    struct slice base = set_name_base(r->in->path), which;
    struct part p = part_of(base, "rank_", 0);
    uint32_t number;

    if (has_flat(r->in)) {
        if (!p.has_rank)
            p.has_rank = set_name_after(base, "rank", &p.rank);
        TRY(say(r, &p, &which, err));
        TRY(keep(r, "fsdp", &p, err));
        return inspection_note(
            r->in, r->limits, FINDING_FRAGMENT, r->in->path, err,
            "%.*s of an FSDP save: a share of each module's parameters in one "
            "flat tensor. To load it takes all ranks and the same wrapping; save "
            "with FULL_STATE_DICT, or torch.distributed.checkpoint, instead",
            SLICE_PRINT(which));
    }
    if (!slice_ends(base, slice_of("model_states.pt")))
        return OK;
    if (set_name_after(base, "expert_", &number)) {
        mark_fragments(r->in);
        return inspection_note(r->in, r->limits, FINDING_FRAGMENT, r->in->path, err,
                               "expert %u of a DeepSpeed save: to load it takes the other experts "
                               "and the model states",
                               number);
    }
    if (!slice_starts(base, slice_of("layer_")) || !set_name_after(base, "layer_", &number))
        return OK;
    mark_fragments(r->in);
    return inspection_note(
        r->in, r->limits, FINDING_FRAGMENT, r->in->path, err,
        "layer %u of a pipeline that DeepSpeed saved: to load it takes the other "
        "layers",
        number);
}

enum status
torch_part_read(struct torch_reader *r, struct pickle_value root, struct err *err)
{
    const struct pickle_value *state = pickle_get(root, "optimizer_state_dict");
    const struct pickle_value *args = pickle_get(root, "args");

    if (state != NULL && pickle_get(*state, "partition_count") != NULL)
        return read_partition(r, *state, err);
    if (pickle_get(root, "module") != NULL && pickle_get(root, "ds_version") != NULL)
        return read_model_states(r, root, err);
    if (args != NULL && pickle_attribute(*args, "tensor_model_parallel_size") != NULL)
        return read_megatron(r, *args, err);
    return read_named(r, err);
}
