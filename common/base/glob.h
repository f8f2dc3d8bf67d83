#pragma once
/*
 * Globs over names: '*' stands for any run of bytes, dots too, '?' for any one byte, and all else for
 * itself. The whole name must match. O(pattern × name) at worst, without recursion.
 */
#include "common/base/slice.h"

bool glob_match(struct slice pattern, struct slice name);
