/*
 * How a checkpoint's dicts become containers. The walk is by breadth, with a queue of its own and a
 * budget of steps: the values of a pickle may contain themselves, and may stand in 2^40 places.
 *
 *     a dict with tensors            a container, its other values are entries
 *     the top, if it is a dict       a container in any case: loaders open it
 *     state + param_groups           one container of an optimizer, its tensors by their paths
 *     an nn.Module                   one container of what its state_dict() would give
 *     a list with tensors            a fragment, its tensors by their index
 */
#include "common/formats/torch_containers.h"

#include "common/base/attr.h"
#include "common/formats/torch_kind.h"
#include "common/formats/torch_part.h"
#include "common/formats/torch_tensor.h"
#include "common/formats/torch_value.h"

enum {
    PLACES_PER_CONTAINER = 1024
}; /* values in the queue, for each container that may be found */

/* A value on the way, and where it stands. */
struct place_in_file {
    struct pickle_value value;
    struct slice path; /* in the inspection's arena */
    size_t depth;
};

struct walk {
    struct torch_reader *r;
    struct builder builder;
    struct vec queue; /* struct place_in_file */
    bool is_cut;      /* a limit was reached, and a finding says so */
};

static void
walk_done(struct walk *w)
{
    builder_done(&w->builder);
    vec_done(&w->queue);
}

/* Too much to be walked: the containers that were found stay. */
static enum status
cut(struct walk *w, struct err *err)
{
    if (w->is_cut)
        return OK;
    w->is_cut = true;
    return inspection_note(w->r->in, w->r->limits, FINDING_TOO_MANY, (struct slice){0}, err,
                           "the file nests more dicts and lists than are looked into; the rest is "
                           "left out");
}

static bool
take_steps(struct walk *w, size_t count)
{
    if (w->r->steps_left < count) {
        w->r->steps_left = 0;
        return false;
    }
    w->r->steps_left -= count;
    return true;
}

static bool
take_step(struct walk *w)
{
    return take_steps(w, 1);
}

/* "path.key", or the key alone at the top. ERR_LIMIT past the length of a name. */
static enum status
join(struct walk *w, struct slice path, struct slice key, struct slice *ret_path, struct err *err)
{
    FAIL_IF(key.length > w->r->limits->name_bytes ||
                path.length > w->r->limits->name_bytes - key.length,
            err, LIMIT, 0, "a key of %zu bytes; the limit is %zu", path.length + key.length + 1,
            w->r->limits->name_bytes);
    if (path.length == 0)
        return arena_copy(&w->r->in->arena, key, ret_path, err);
    return arena_printf(&w->r->in->arena, ret_path, err, "%.*s.%.*s", SLICE_PRINT(path),
                        SLICE_PRINT(key));
}

/* Whether containers may be in it: a mapping, an object with attributes, a list. */
static bool
may_hold(const struct walk *w, struct pickle_value v)
{
    struct pickle_items items;

    if (torch_tensor_is(w->r, v))
        return false;
    if (v.kind == PICKLE_CALL && v.is.call->extra != NULL)
        return true;
    return pickle_is_mapping(v) || (pickle_list(v, &items) && items.count > 0);
}

static enum status
enqueue(struct walk *w, struct pickle_value v, const struct place_in_file *parent, struct slice key,
        struct err *err)
{
    struct place_in_file *place;

    if (!may_hold(w, v))
        return OK;
    if (w->queue.count == w->queue.cap || parent->depth >= w->r->limits->pickle_depth ||
        parent->path.length + key.length + 1 > w->r->limits->name_bytes)
        return cut(w, err);
    TRY(vec_add(&w->queue, &place, "nested values", err));
    place->value = v;
    place->depth = parent->depth + 1;
    return join(w, parent->path, key, &place->path, err);
}

/* ---- what goes into a container ---- */

static enum status
add_tensor(struct walk *w, struct pickle_value v, struct slice name, enum torch_answer *ret_answer,
           struct err *err)
{
    struct built_tensor t;

    TRY(torch_tensor_read(w->r, v, name, &t, ret_answer, err));
    if (*ret_answer != TORCH_TENSOR)
        return OK;
    FAIL_IF(w->r->tensors_left == 0, err, LIMIT, 0, "more than %zu tensors", w->r->limits->tensors);
    w->r->tensors_left--;
    t.tensor.name = name;
    return builder_tensor(&w->builder, &t, err);
}

static enum status
add_entry(struct walk *w, struct pickle_value v, struct slice name, bool is_broken, struct err *err)
{
    struct entry e = {.kind = ENTRY_OBJECT, .type = slice_of("torch.Tensor")};

    if (!is_broken)
        TRY(torch_value_entry(v, &w->r->in->arena, &e, err));
    e.name = name;
    return builder_entry(&w->builder, &e, err);
}

/* One key of a dict that is a container. */
static enum status
add_pair(struct walk *w, const struct pickle_pair *pair, struct err *err)
{
    enum torch_answer answer;
    struct slice key, name;
    bool is_text;

    TRY(torch_value_key(pair->key, &w->r->in->arena, &key, &is_text, err));
    if (key.at == NULL)
        return inspection_note(w->r->in, w->r->limits, FINDING_KEY_ODD, (struct slice){0}, err,
                               "a key that is neither text nor number; its value is left out");
    FAIL_IF(key.length > w->r->limits->name_bytes, err, LIMIT, 0,
            "a key of %zu bytes; the limit is %zu", key.length, w->r->limits->name_bytes);
    TRY(arena_copy(&w->r->in->arena, key, &name, err));
    TRY(add_tensor(w, pair->value, name, &answer, err));
    if (answer == TORCH_TENSOR) {
        if (!is_text)
            return inspection_note(w->r->in, w->r->limits, FINDING_KEY_ODD, name, err,
                                   "the key of a tensor is a number, no text");
        return OK;
    }
    return add_entry(w, pair->value, name, answer == TORCH_BROKEN, err);
}

/* torch.nn.utils.spectral_norm keeps versions of its own in a module's row, one a parameter:
 * {"spectral_norm": {"weight.version": 1}}. */
static enum status
add_spectral_versions(struct walk *w, struct slice module, struct pickle_value row, struct err *err)
{
    const struct pickle_value *versions = pickle_get(row, "spectral_norm");
    const struct slice suffix = slice_of(".version");
    struct pickle_pairs pairs;
    bool is_mapping = false;

    if (versions == NULL)
        return OK;
    TRY(torch_value_pairs(*versions, w->r->scratch, &is_mapping, &pairs, err));
    for (size_t i = 0; is_mapping && i < pairs.count && take_step(w); i++) {
        struct module_version v = {0};
        struct slice name;

        if (!pickle_text(pairs.at[i].key, &name) || !slice_ends(name, suffix))
            continue;
        name.length -= suffix.length;
        TRY(arena_printf(&w->r->in->arena, &v.module, err, "%.*s:spectral_norm.%.*s",
                         SLICE_PRINT(module), SLICE_PRINT(name)));
        v.has_version = pickle_as_int(pairs.at[i].value, &v.version);
        TRY(builder_version(&w->builder, &v, err));
    }
    return OK;
}

/* state_dict() hangs the modules' versions onto the dict as an attribute. */
static enum status
add_versions(struct walk *w, struct pickle_value dict, struct err *err)
{
    const struct pickle_value *metadata = pickle_attribute(dict, "_metadata"), *told;
    struct pickle_pairs pairs;
    bool is_mapping = false;

    if (metadata == NULL)
        return OK;
    TRY(torch_value_pairs(*metadata, w->r->scratch, &is_mapping, &pairs, err));
    if (!is_mapping)
        return OK;
    w->builder.has_metadata = true;
    for (size_t i = 0; i < pairs.count && take_step(w); i++) {
        struct module_version v = {0};
        struct slice module;

        if (!pickle_text(pairs.at[i].key, &module) ||
            !take_steps(w, torch_value_size(pairs.at[i].value)))
            continue;
        TRY(arena_copy(&w->r->in->arena, module, &v.module, err));
        told = pickle_get(pairs.at[i].value, "version");
        v.has_version = told != NULL && pickle_as_int(*told, &v.version);
        TRY(builder_version(&w->builder, &v, err));
        TRY(add_spectral_versions(w, v.module, pairs.at[i].value, err));
    }
    return OK;
}

static void
clear(struct walk *w)
{
    builder_done(&w->builder);
    builder_begin(&w->builder, w->r->in, w->r->limits);
}

/* The builder's container is full: append it, unless there are too many. Paths can be alike where keys
 * have dots in them, or are numbers here and texts there: then the first is it. */
static enum status
finish(struct walk *w, struct slice path, enum container_kind kind, struct err *err)
{
    if (inspection_container(w->r->in, path) != NULL) {
        clear(w);
        return inspection_note(w->r->in, w->r->limits, FINDING_KEY_ODD, path, err,
                               "a second state dict at the same path; it is left out");
    }
    /* One that was not read to its end is none. */
    if (w->r->in->container_count < w->r->limits->containers && w->r->steps_left > 0)
        return builder_finish(&w->builder, path, kind, err);
    clear(w);
    return cut(w, err);
}

/* ---- the forms that hold tensors ---- */

/* One value below an optimizer's dict: a tensor, or more to look into. */
static enum status
read_optimizer_value(struct walk *w, struct vec *queue, const struct place_in_file *parent,
                     struct slice key, struct pickle_value v, struct err *err)
{
    enum torch_answer answer = TORCH_NO_TENSOR;
    struct place_in_file *added;
    struct slice path;

    if (key.at == NULL || parent->path.length + key.length >= w->r->limits->name_bytes)
        return OK;
    TRY(join(w, parent->path, key, &path, err));
    TRY(add_tensor(w, v, path, &answer, err));
    if (answer != TORCH_NO_TENSOR || parent->depth >= w->r->limits->pickle_depth)
        return OK;
    if (queue->count == queue->cap)
        return cut(w, err);
    TRY(vec_add(queue, &added, "nested values", err));
    *added = (struct place_in_file){.value = v, .path = path, .depth = parent->depth + 1};
    return OK;
}

/* The values directly in a dict or a list below an optimizer's dict. */
static enum status
read_optimizer_level(struct walk *w, struct vec *queue, const struct place_in_file *place,
                     struct err *err)
{
    struct pickle_pairs pairs = {0};
    struct pickle_items items = {0};
    bool is_mapping = false, is_text;

    TRY(torch_value_pairs(place->value, w->r->scratch, &is_mapping, &pairs, err));
    if (!is_mapping)
        (void)pickle_list(place->value, &items);
    for (size_t i = 0; i < (is_mapping ? pairs.count : items.count); i++) {
        struct pickle_value v = is_mapping ? pairs.at[i].value : items.at[i];
        struct slice key;

        if (!take_step(w))
            return cut(w, err);
        if (!torch_tensor_is(w->r, v) && !may_hold(w, v))
            continue;
        if (is_mapping)
            TRY(torch_value_key(pairs.at[i].key, w->r->scratch, &key, &is_text, err));
        else
            TRY(arena_printf(w->r->scratch, &key, err, "%zu", i));
        TRY(read_optimizer_value(w, queue, place, key, v, err));
    }
    return OK;
}

/* Tensors anywhere below an optimizer's dict, each by its path: "state.0.exp_avg". */
static enum status
read_optimizer(struct walk *w, const struct place_in_file *place, struct err *err)
{
    CLEANUP(vec_done)
    struct vec queue = vec_of(sizeof(struct place_in_file), w->queue.cap);
    struct place_in_file *first;

    TRY(vec_add(&queue, &first, "nested values", err));
    *first = (struct place_in_file){.value = place->value, .depth = place->depth};
    for (size_t at = 0; at < queue.count; at++) {
        struct place_in_file inner = VEC_AT(&queue, struct place_in_file, at);

        TRY(read_optimizer_level(w, &queue, &inner, err));
    }
    return OK;
}

/* A module's own parameters or buffers. Absent ones are None. */
static enum status
add_module_tensors(struct walk *w, struct pickle_value dict, struct slice prefix,
                   struct pickle_value transient, struct err *err)
{
    struct pickle_items left_out = {0};
    struct pickle_pairs pairs;
    bool is_mapping;

    (void)pickle_list(transient, &left_out);
    TRY(torch_value_pairs(dict, w->r->scratch, &is_mapping, &pairs, err));
    for (size_t i = 0; is_mapping && i < pairs.count && take_step(w); i++) {
        enum torch_answer answer;
        struct slice key, name;
        bool is_left_out = false;

        if (!pickle_text(pairs.at[i].key, &key) || !torch_tensor_is(w->r, pairs.at[i].value))
            continue;
        for (size_t k = 0; k < left_out.count && !is_left_out && take_step(w); k++) {
            struct slice other;

            is_left_out = pickle_text(left_out.at[k], &other) && slice_equal(key, other);
        }
        if (is_left_out)
            continue;
        TRY(join(w, prefix, key, &name, err));
        TRY(add_tensor(w, pairs.at[i].value, name, &answer, err));
    }
    return OK;
}

static enum status
push_children(struct walk *w, struct vec *stack, struct pickle_value modules,
              const struct place_in_file *parent, struct err *err)
{
    struct pickle_pairs pairs;
    struct torch_module module;
    bool is_mapping;

    TRY(torch_value_pairs(modules, w->r->scratch, &is_mapping, &pairs, err));
    for (size_t i = is_mapping ? pairs.count : 0; i-- > 0;) { /* the first comes off first */
        struct place_in_file *child;
        struct slice key;

        if (!take_step(w) || stack->count == stack->cap ||
            parent->depth >= w->r->limits->pickle_depth)
            return cut(w, err);
        if (!pickle_text(pairs.at[i].key, &key) ||
            !take_steps(w, torch_value_size(pairs.at[i].value)) ||
            !torch_value_module(pairs.at[i].value, &module))
            continue;
        TRY(vec_add(stack, &child, "modules", err));
        child->value = pairs.at[i].value;
        child->depth = parent->depth + 1;
        TRY(join(w, parent->path, key, &child->path, err));
    }
    return OK;
}

/* The class is code that whoever loads the file must have. */
static enum status
name_class(struct walk *w, struct pickle_value module, struct err *err)
{
    struct entry e = {0};

    TRY(torch_value_entry(module, w->r->scratch, &e, err));
    return torch_reader_name(w->r, &w->r->classes, e.type, err);
}

/* What the module's state_dict() would give, in its order. */
static enum status
read_module(struct walk *w, const struct place_in_file *place, struct err *err)
{
    CLEANUP(vec_done)
    struct vec stack = vec_of(sizeof(struct place_in_file), w->queue.cap);
    struct place_in_file *top;
    struct entry e = {0};

    TRY(torch_value_entry(place->value, &w->r->in->arena, &e, err));
    TRY(inspection_note(w->r->in, w->r->limits, FINDING_MODULE_PICKLED, e.type, err,
                        "a whole pickled nn.Module%s%.*s: to load it takes the code of its class; "
                        "save its state_dict() instead",
                        place->path.length > 0 ? " at " : "", SLICE_PRINT(place->path)));
    TRY(vec_add(&stack, &top, "modules", err));
    *top = (struct place_in_file){.value = place->value};
    while (stack.count > 0) {
        struct place_in_file at = VEC_AT(&stack, struct place_in_file, stack.count - 1);
        struct torch_module module = {0};

        stack.count--;
        (void)torch_value_module(at.value, &module);
        TRY(name_class(w, at.value, err));
        TRY(add_module_tensors(w, module.parameters, at.path, (struct pickle_value){0}, err));
        TRY(add_module_tensors(w, module.buffers, at.path, module.transient, err));
        TRY(push_children(w, &stack, module.modules, &at, err));
    }
    return finish(w, place->path, CONTAINER_MODULE, err);
}

/* ---- the walk ---- */

static bool
is_optimizer(const struct place_in_file *place)
{
    const struct pickle_value *state = pickle_get(place->value, "state");
    const struct pickle_value *groups = pickle_get(place->value, "param_groups");
    struct pickle_items items;

    if (state != NULL && groups != NULL && pickle_is_mapping(*state) &&
        pickle_list(*groups, &items))
        return true;
    return place->path.length > 0 && torch_kind_is_optimizer(place->path);
}

/* An optimizer's own keys, beside the tensors that lie below them. */
static enum status
add_entries(struct walk *w, const struct pickle_pairs *pairs, struct err *err)
{
    for (size_t i = 0; i < pairs->count && take_step(w); i++) {
        struct slice key, name;

        if (!pickle_text(pairs->at[i].key, &key) || torch_tensor_is(w->r, pairs->at[i].value))
            continue;
        TRY(join(w, (struct slice){0}, key, &name, err));
        TRY(add_entry(w, pairs->at[i].value, name, false, err));
    }
    return OK;
}

static enum status
read_dict(struct walk *w, const struct place_in_file *place, const struct pickle_pairs *pairs,
          struct err *err)
{
    bool is_container = place->depth == 0, is_text;
    bool is_state = is_optimizer(place);
    struct slice key;

    for (size_t i = 0; i < pairs->count && !is_container && !is_state; i++) {
        if (!take_step(w))
            return cut(w, err);
        is_container = torch_tensor_is(w->r, pairs->at[i].value);
    }
    if (is_state) {
        TRY(read_optimizer(w, place, err));
        TRY(add_entries(w, pairs, err));
        if (w->builder.tensors.count > 0 || is_container)
            return finish(w, place->path, CONTAINER_OPTIMIZER, err);
        clear(w);
        return OK;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        if (!take_step(w))
            return cut(w, err);
        if (is_container)
            TRY(add_pair(w, &pairs->at[i], err));
        TRY(torch_value_key(pairs->at[i].key, w->r->scratch, &key, &is_text, err));
        if (key.at != NULL)
            TRY(enqueue(w, pairs->at[i].value, place, key, err));
    }
    if (!is_container)
        return OK;
    TRY(add_versions(w, place->value, err));
    return finish(w, place->path, torch_kind_of(&w->builder, place->path), err);
}

static enum status
read_list(struct walk *w, const struct place_in_file *place, struct pickle_items items,
          struct err *err)
{
    for (size_t i = 0; i < items.count; i++) {
        enum torch_answer answer = TORCH_NO_TENSOR;
        struct slice index;

        if (!take_step(w))
            return cut(w, err);
        if (torch_tensor_is(w->r, items.at[i])) {
            TRY(arena_printf(&w->r->in->arena, &index, err, "%zu", i));
            TRY(add_tensor(w, items.at[i], index, &answer, err));
        } else if (may_hold(w, items.at[i])) {
            TRY(arena_printf(w->r->scratch, &index, err, "%zu", i));
            TRY(enqueue(w, items.at[i], place, index, err));
        }
    }
    if (w->builder.tensors.count == 0)
        return OK;
    return finish(w, place->path, CONTAINER_FRAGMENT, err);
}

static enum status
read_place(struct walk *w, const struct place_in_file *place, struct err *err)
{
    struct pickle_pairs pairs = {0};
    struct pickle_items items;
    struct torch_module module;
    bool is_mapping = false;

    if (!take_steps(w, torch_value_size(place->value)))
        return cut(w, err);
    if (torch_value_module(place->value, &module))
        return read_module(w, place, err);
    TRY(torch_value_pairs(place->value, w->r->scratch, &is_mapping, &pairs, err));
    if (is_mapping)
        return read_dict(w, place, &pairs, err);
    if (pickle_list(place->value, &items))
        return read_list(w, place, items, err);
    return OK;
}

/* A file that holds one tensor and nothing else: a container of one nameless tensor. */
static enum status
read_bare(struct walk *w, struct pickle_value root, struct err *err)
{
    enum torch_answer answer;
    struct slice name = slice_of("");

    TRY(add_tensor(w, root, name, &answer, err));
    if (answer != TORCH_TENSOR)
        return OK;
    return finish(w, name, CONTAINER_FRAGMENT, err);
}

enum status
torch_containers_read(struct torch_reader *r, struct pickle_value root, struct err *err)
{
    CLEANUP(walk_done)
    struct walk w = {
        .r = r,
        .queue = vec_of(sizeof(struct place_in_file), r->limits->containers * PLACES_PER_CONTAINER),
    };
    struct place_in_file *first;

    builder_begin(&w.builder, r->in, r->limits);
    if (torch_tensor_is(r, root))
        TRY(read_bare(&w, root, err));
    TRY(vec_add(&w.queue, &first, "nested values", err));
    *first = (struct place_in_file){.value = root, .path = slice_of("")};
    for (size_t i = 0; i < w.queue.count; i++) {
        struct place_in_file place = VEC_AT(&w.queue, struct place_in_file, i);

        TRY(read_place(&w, &place, err));
    }
    TRY(torch_part_read(r, root, err));
    r->in->default_container = torch_kind_default(r->in);
    return OK;
}
