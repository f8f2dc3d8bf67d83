/*
 * Any bytes as a manifest. What is taken can be printed, and what is printed is the same manifest.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/compat/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    CLEANUP(buf_done) struct buf printed = buf_with_cap(CAP);
    struct limits limits = limits_default();
    struct manifest m, again;

    if (manifest_parse((struct slice){(const char *)data, size}, &limits, &arena, &m, NULL) != OK)
        return 0;
    manifest_print(&printed, &m);
    if (buf_check(&printed, NULL) != OK ||
        manifest_parse(buf_slice_of(&printed), &limits, &arena, &again, NULL) != OK ||
        !digest_equal(&m.digest, &again.digest))
        abort();
    return 0;
}
