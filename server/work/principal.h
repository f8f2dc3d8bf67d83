#pragma once
/*
 * Who asks. The gate makes one of a request's credentials; before there are tokens there is one,
 * `local`, who may all. Store functions that list or look across models take it and filter by it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

enum scope {
    SCOPE_NONE, /* of a route: anybody may */
    SCOPE_READ = 1,
    SCOPE_WRITE = 2,
    SCOPE_DELETE = 4,
    SCOPE_ADMIN = 8,
};

struct principal {
    const char *id;              /* "local" */
    unsigned scopes;             /* of enum scope */
    const char *const *patterns; /* globs over namespaces; NULL = all */
    size_t pattern_count;
};
