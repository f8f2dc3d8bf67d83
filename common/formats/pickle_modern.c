#include "common/formats/pickle_modern.h"

#include "common/base/attr.h"

static const struct {
    const char *module, *name, *modern_module, *modern_name;
    bool is_torch;
} names[] = {
#define NAME(module, name, modern_module, modern_name, is_torch) \
    {module, name, modern_module, modern_name, is_torch},
#define MODULE(module, modern, is_torch)
#include "common/formats/pickle_modern_table.h"
#undef NAME
#undef MODULE
};

static const struct {
    const char *module, *modern;
    bool is_torch;
} modules[] = {
#define NAME(module, name, modern_module, modern_name, is_torch)
#define MODULE(module, modern, is_torch) {module, modern, is_torch},
#include "common/formats/pickle_modern_table.h"
#undef NAME
#undef MODULE
};

static void
modern(struct slice module, struct slice name, bool for_torch, struct slice *ret_module,
       struct slice *ret_name)
{
    *ret_module = module;
    *ret_name = name;
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if ((names[i].is_torch || !for_torch) && slice_is(module, names[i].module) &&
            slice_is(name, names[i].name)) {
            *ret_module = slice_of(names[i].modern_module);
            *ret_name = slice_of(names[i].modern_name);
            return;
        }
    for (size_t i = 0; i < ARRAY_LENGTH(modules); i++)
        if ((modules[i].is_torch || !for_torch) && slice_is(module, modules[i].module)) {
            *ret_module = slice_of(modules[i].modern);
            return;
        }
}

void
pickle_modern(struct slice module, struct slice name, struct slice *ret_module,
              struct slice *ret_name)
{
    modern(module, name, false, ret_module, ret_name);
}

void
pickle_modern_torch(struct slice module, struct slice name, struct slice *ret_module,
                    struct slice *ret_name)
{
    modern(module, name, true, ret_module, ret_name);
}
