/*
 * A case of tests/cases/compat, mangled in any way, for each loader: whatever is judged, the answer
 * hangs together, and it is the same without the arena's leftovers.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/natural.h"
#include "tests/support/compat_case.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24 };

static void
hold(bool claim)
{
    if (!claim)
        abort();
}

/* Ascending, and no name twice. */
static void
check_order(const struct slice *names, size_t count)
{
    for (size_t i = 1; i < count; i++)
        hold(natural_compare(names[i - 1], names[i]) < 0);
}

static void
check_mismatches(const struct compat_case *c, const struct mismatch *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hold(list[i].expected < c->manifest.count && list[i].found < c->state.count);
}

static void
check(const struct compat_case *c, const struct judgement *j)
{
    size_t matched = 0;

    for (size_t t = 0; t < c->manifest.count; t++) {
        hold(j->filled_by[t] < c->state.count || j->filled_by[t] >= FILLED_BY_ITSELF);
        matched += j->filled_by[t] < c->state.count;
    }
    hold(matched == j->matched);
    hold(j->filled_elements <= j->expected_elements);
    hold(!j->strict || (j->non_strict && j->missing_count + j->unexpected_count == 0));
    hold(!j->non_strict || (!j->is_unknown && j->error_count + j->shape_mismatch_count == 0));
    check_order(j->missing, j->missing_count);
    check_order(j->unexpected, j->unexpected_count);
    check_order(j->errors, j->error_count);
    check_mismatches(c, j->shape_mismatch, j->shape_mismatch_count);
    check_mismatches(c, j->dtype_mismatch, j->dtype_mismatch_count);
    check_mismatches(c, j->not_a_tensor, j->not_a_tensor_count);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    CLEANUP(json_done) struct json j = {0};
    const struct limits limits = limits_default();
    struct compat_case c;

    json_open(&j, (struct slice){(const char *)data, size}, &limits, &arena);
    if (compat_case_read(&j, &limits, &arena, &c, NULL) != OK)
        return 0;
    for (enum loader loader = 0; loader < LOADER_COUNT; loader++)
        for (int has_modules = 0; has_modules < 2; has_modules++) {
            struct judgement judgement;

            c.manifest.has_modules = has_modules;
            if (judge(&c.manifest, &c.state, loader, &arena, &judgement, NULL) == OK)
                check(&c, &judgement);
        }
    return 0;
}
