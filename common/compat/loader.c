#include "common/base/attr.h"
#include "common/compat/judge.h"

/* One row a loader. What differs between them in what raises is the judge's: it asks the row. */
static const struct {
    const char *name;
    const char *container;
} loaders[LOADER_COUNT] = {
    [LOADER_TORCH] = {"torch", ""},
    [LOADER_SAFETENSORS] = {"safetensors", ""},
    [LOADER_LIGHTNING] = {"lightning", "state_dict"},
};

enum loader
loader_find(struct slice name)
{
    enum loader loader = 0;

    while (loader < LOADER_COUNT && !slice_is(name, loaders[loader].name))
        loader++;
    return loader;
}

const char *
loader_name(enum loader loader)
{
    return loaders[loader].name;
}

struct slice
loader_container(enum loader loader)
{
    return slice_of(loaders[loader].container);
}
