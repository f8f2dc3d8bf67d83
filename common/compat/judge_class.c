/*
 * The load rules of classes, by the class's name. torch.nn's own overrides of _load_from_state_dict
 * are those of its norms; all else in torch.nn loads by the general rule.
 */
#include "common/base/attr.h"
#include "common/compat/judge_work.h"

/* A tensor of the module itself. */
static struct slice
own(struct hearing *h, const struct manifest_module *module, const char *name)
{
    return hearing_name(h, module->path, name, (struct slice){0}, "");
}

/* Whether the module tracks running statistics: as said, or else judged by what it keeps. */
static bool
tracks_stats(struct hearing *h, const struct manifest_module *module)
{
    if (module->says_stats)
        return module->track_running_stats;
    return hearing_tensor(h, own(h, module, "running_mean")) != UINT32_MAX ||
           hearing_tensor(h, own(h, module, "num_batches_tracked")) != UINT32_MAX;
}

/* Version 2 of the norms added num_batches_tracked. A file that is older, or has no versions, need not
 * hold it: the module puts its own value into the dict before it looks. */
static enum status
norm(struct hearing *h, const struct manifest_module *module, struct err *err)
{
    int64_t version;
    bool has_version = hearing_version(h, module->path, &version);
    struct slice name;
    uint32_t tensor;

    if ((has_version && version >= 2) || !tracks_stats(h, module))
        return OK;
    name = own(h, module, "num_batches_tracked");
    if (hearing_key(h, name) != UINT32_MAX)
        return OK;
    tensor = hearing_tensor(h, name);
    if (tensor == UINT32_MAX) /* the buffer is None, and what was put in is in the way */
        return hearing_add(h, &h->unexpected, name, err);
    h->filled_by[tensor] = FILLED_BY_ITSELF;
    return OK;
}

/* Since version 1 an InstanceNorm keeps no running statistics by default. A file without versions that
 * has them is taken for an older one, and refused in both modes. */
static enum status
instance_norm(struct hearing *h, const struct manifest_module *module, struct err *err)
{
    static const char *const stats[] = {"running_mean", "running_var"};
    int64_t version;

    if (!hearing_version(h, module->path, &version) && !tracks_stats(h, module))
        for (size_t i = 0; i < ARRAY_LENGTH(stats); i++) {
            struct slice name = own(h, module, stats[i]);
            uint32_t key = hearing_key(h, name);

            if (key == UINT32_MAX)
                continue;
            hearing_take(h, key);
            TRY(hearing_say(h, &h->errors, err,
                            "Unexpected running stats buffer \"%.*s\" for %.*s with "
                            "track_running_stats=False",
                            SLICE_PRINT(name), SLICE_PRINT(module->type)));
        }
    return norm(h, module, err);
}

/* torchvision's own: statistics that never move, so num_batches_tracked is dropped. */
static enum status
frozen_norm(struct hearing *h, const struct manifest_module *module, struct err *err)
{
    uint32_t key = hearing_key(h, own(h, module, "num_batches_tracked"));

    (void)err;
    if (key != UINT32_MAX)
        hearing_take(h, key);
    return OK;
}

static const struct {
    const char *type;
    enum status (*rule)(struct hearing *h, const struct manifest_module *module, struct err *err);
} classes[] = {
    {"torch.nn.BatchNorm1d", norm},
    {"torch.nn.BatchNorm2d", norm},
    {"torch.nn.BatchNorm3d", norm},
    {"torch.nn.SyncBatchNorm", norm},
    {"torch.nn.LazyBatchNorm1d", norm},
    {"torch.nn.LazyBatchNorm2d", norm},
    {"torch.nn.LazyBatchNorm3d", norm},
    {"torch.nn.InstanceNorm1d", instance_norm},
    {"torch.nn.InstanceNorm2d", instance_norm},
    {"torch.nn.InstanceNorm3d", instance_norm},
    {"torch.nn.LazyInstanceNorm1d", instance_norm},
    {"torch.nn.LazyInstanceNorm2d", instance_norm},
    {"torch.nn.LazyInstanceNorm3d", instance_norm},
    {"torch.nn.modules.batchnorm._BatchNorm", norm},
    {"torch.nn.modules.batchnorm._NormBase", norm},
    {"torch.nn.modules.instancenorm._InstanceNorm", instance_norm},
    {"torchvision.ops.misc.FrozenBatchNorm2d", frozen_norm},
    {"torchvision.ops.FrozenBatchNorm2d", frozen_norm},
};

/* "torch.nn.modules.batchnorm.BatchNorm2d" is where Python keeps torch.nn.BatchNorm2d. */
static bool
is_class(struct slice type, const char *name)
{
    static const char home[] = "torch.nn.modules.";
    struct slice wanted = slice_of(name);

    if (slice_equal(type, wanted))
        return true;
    if (!slice_starts(type, slice_of(home)) || slice_starts(wanted, slice_of(home)))
        return false;
    type = slice_from(type, sizeof home - 1);
    (void)slice_cut(&type, '.');
    return slice_starts(wanted, slice_of("torch.nn.")) &&
           slice_equal(type, slice_from(wanted, strlen("torch.nn.")));
}

enum status
judge_class(struct hearing *h, const struct manifest_module *module, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LENGTH(classes); i++)
        if (is_class(module->type, classes[i].type) || is_class(module->base, classes[i].type))
            return classes[i].rule(h, module, err);
    return OK;
}
