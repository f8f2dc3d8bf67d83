#include "common/base/glob.h"

#include <stdint.h>

bool
glob_match(struct slice pattern, struct slice name)
{
    size_t p = 0, n = 0;
    size_t star = SIZE_MAX; /* of the last '*' met */
    size_t taken = 0;       /* up to where in the name that star reaches */

    while (n < name.length) {
        if (p < pattern.length && pattern.at[p] == '*') {
            star = p++;
            taken = n;
        } else if (p < pattern.length && (pattern.at[p] == '?' || pattern.at[p] == name.at[n])) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            /* Let the last star take one byte more: an earlier one never needs to. */
            p = star + 1;
            n = ++taken;
        } else
            return false;
    }
    while (p < pattern.length && pattern.at[p] == '*')
        p++;
    return p == pattern.length;
}
