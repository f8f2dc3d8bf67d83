#include "common/structure/vouched.h"

#include "common/base/attr.h"

bool
vouched_has(const struct vouched *vouched, struct slice name)
{
    size_t low = 0, high = vouched->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(vouched->names[middle], name);

        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Remarks that are never the reason why a file is unlisted: they are about tensors and the archive's
 * looks. MODULE_PICKLED has the globals of its classes beside it. Any other that is more than an
 * information may be a reason. */
static bool
is_harmless(const struct finding *f)
{
    static const enum finding_id harmless[] = {
        FINDING_MODULE_PICKLED, FINDING_STORAGE_LONG, FINDING_TENSOR_ODD,
        FINDING_KEY_DUPLICATE,  FINDING_KEY_ODD,      FINDING_ZIP_FLAGS,
        FINDING_ZIP_PREFIX,     FINDING_ZIP_TRAILING, FINDING_PICKLE_TRAILING,
    };

    for (size_t i = 0; i < ARRAY_LENGTH(harmless); i++)
        if (f->id == harmless[i])
            return true;
    return finding_severity(f->id) == SEVERITY_INFO;
}

void
vouched_apply(const struct vouched *vouched, struct inspection *in)
{
    bool is_excused = in->findings_dropped == 0;
    size_t count = 0;

    for (size_t i = 0; i < in->finding_count; i++) {
        struct finding *f = &in->findings[i];

        f->is_vouched = f->id == FINDING_PICKLE_GLOBAL_UNLISTED && vouched_has(vouched, f->subject);
        count += f->is_vouched;
        is_excused = is_excused && (f->is_vouched || is_harmless(f));
    }
    if (in->safety == SAFETY_UNLISTED && is_excused && count > 0)
        in->safety = SAFETY_CLEAN;
}
