#pragma once
/*
 * Python 2 had other names for the modules that Python 3 has, and a pickle of protocol 0 to 2 spells
 * them so, whichever Python wrote it. Everything that judges or recognises a global does it by the
 * modern name.
 */
#include <stdbool.h>

#include "common/base/slice.h"

/* The names as Python 3 spells them: other slices, or the same. */
void pickle_modern(struct slice module, struct slice name, struct slice *ret_module,
                   struct slice *ret_name);

/* As PyTorch's weights_only loader does it, which knows fewer of them. */
void pickle_modern_torch(struct slice module, struct slice name, struct slice *ret_module,
                         struct slice *ret_name);
