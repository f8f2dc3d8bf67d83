#include "common/compat/judge.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/glob.h"
#include "common/base/natural.h"
#include "common/compat/judge_work.h"

struct slice
hearing_name(struct hearing *h, struct slice path, const char *before, struct slice member,
             const char *after)
{
    buf_clear(&h->scratch);
    buf_slice(&h->scratch, path);
    if (path.length > 0)
        buf_char(&h->scratch, '.');
    buf_text(&h->scratch, before);
    buf_slice(&h->scratch, member);
    buf_text(&h->scratch, after);
    return buf_slice_of(&h->scratch);
}

uint32_t
hearing_key(const struct hearing *h, struct slice name)
{
    const struct state_key *k = state_find(h->s, name);

    return k == NULL ? UINT32_MAX : (uint32_t)(k - h->s->keys);
}

uint32_t
hearing_tensor(const struct hearing *h, struct slice name)
{
    const struct expected *e = manifest_find(h->m, name);

    return e == NULL ? UINT32_MAX : (uint32_t)(e - h->m->tensors);
}

void
hearing_take(struct hearing *h, uint32_t key)
{
    uint32_t tensor = hearing_tensor(h, h->s->keys[key].name);

    h->is_used[key] = true;
    if (tensor != UINT32_MAX && h->filled_by[tensor] == key)
        h->filled_by[tensor] = FILLED_BY_NONE;
}

bool
hearing_version(const struct hearing *h, struct slice module, int64_t *ret_version)
{
    const struct module_version *row = h->s->has_metadata ? state_version(h->s, module) : NULL;

    if (row == NULL || !row->has_version)
        return false;
    *ret_version = row->version;
    return true;
}

enum status
hearing_add(struct hearing *h, struct vec *list, struct slice text, struct err *err)
{
    struct slice *item;

    TRY(vec_add(list, &item, "names", err));
    return arena_copy(h->arena, text, item, err);
}

enum status
hearing_say(struct hearing *h, struct vec *list, struct err *err, const char *format, ...)
{
    char text[512]; /* a longer name is cut: it stands in full in its list */
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return hearing_add(h, list, slice_of(text), err);
}

void
tally_add(struct tally *t, struct slice name)
{
    if (t->count++ == 0)
        t->first = name;
}

static void
hearing_done(struct hearing *h)
{
    vec_done(&h->missing);
    vec_done(&h->unexpected);
    vec_done(&h->errors);
    vec_done(&h->warnings);
    vec_done(&h->shape);
    vec_done(&h->dtype);
    vec_done(&h->not_a_tensor);
    buf_done(&h->scratch);
}

static bool
matches_any(const struct name_group *globs, struct slice name)
{
    for (size_t i = 0; i < globs->count; i++)
        if (glob_match(globs->names[i], name))
            return true;
    return false;
}

/* Pair what has the same name; both lists ascend. */
static void
pair(struct hearing *h)
{
    size_t t = 0, k = 0;

    for (size_t i = 0; i < h->m->count; i++)
        h->filled_by[i] = FILLED_BY_NONE;
    while (t < h->m->count && k < h->s->count) {
        int order = slice_compare(h->m->tensors[t].name, h->s->keys[k].name);

        if (order == 0) {
            h->filled_by[t] = (uint32_t)k;
            h->is_used[k] = true;
        }
        t += order <= 0;
        k += order >= 0;
    }
}

/* Extra state is handed to its module whatever it is. */
static enum status
hear_extra_state(struct hearing *h, struct err *err)
{
    for (size_t i = 0; i < h->m->extra_state.count; i++) {
        struct slice name = h->m->extra_state.names[i];
        uint32_t key = hearing_key(h, name);

        if (key != UINT32_MAX)
            h->is_used[key] = true;
        else if (!matches_any(&h->m->optional, name))
            TRY(hearing_add(h, &h->missing, name, err));
    }
    return OK;
}

/* Whether a name lies below a module; everything lies below the root. */
static bool
is_below(struct slice name, struct slice path)
{
    return path.length == 0 ||
           (name.length > path.length && slice_starts(name, path) && name.at[path.length] == '.');
}

/* The first key that is not before the module's: they stand together, since they ascend. */
static size_t
first_below(const struct state *s, struct slice path)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slice_compare(s->keys[middle].name, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A module that is None takes part in no check: its keys are passed over. */
static void
pass_over(struct hearing *h, struct slice path)
{
    for (size_t k = first_below(h->s, path); k < h->s->count; k++) {
        if (!slice_starts(h->s->keys[k].name, path))
            break;
        if (is_below(h->s->keys[k].name, path))
            hearing_take(h, (uint32_t)k);
    }
}

static enum status
hear_modules(struct hearing *h, struct err *err)
{
    for (size_t i = 0; i < h->m->module_count; i++) {
        const struct manifest_module *module = &h->m->modules[i];

        if (module->is_none)
            pass_over(h, module->path);
        if (module->is_none || module->custom_load)
            continue;
        TRY(judge_class(h, module, err));
        for (size_t k = 0; k < module->weight_norm.count; k++)
            TRY(judge_weight_norm(h, module->path, module->weight_norm.names[k], err));
        for (size_t k = 0; k < module->spectral_count; k++)
            TRY(judge_spectral_norm(h, module->path, &module->spectral[k], err));
    }
    return OK;
}

static enum status
list_missing(struct hearing *h, struct err *err)
{
    for (size_t t = 0; t < h->m->count; t++) {
        struct slice *name;

        if (h->filled_by[t] != FILLED_BY_NONE ||
            matches_any(&h->m->optional, h->m->tensors[t].name))
            continue;
        TRY(vec_add(&h->missing, &name, "missing keys", err));
        *name = h->m->tensors[t].name;
    }
    return OK;
}

static enum status
list_unexpected(struct hearing *h, struct err *err)
{
    for (size_t k = 0; k < h->s->count; k++) {
        struct slice *name;

        if (h->is_used[k] || matches_any(&h->m->optional, h->s->keys[k].name))
            continue;
        TRY(vec_add(&h->unexpected, &name, "unexpected keys", err));
        *name = h->s->keys[k].name;
    }
    return OK;
}

/* safetensors keeps one name of each tied group: of those that are in the file the first, or the first
 * of all. The others are not missed; where they are in the file, they are unexpected. */
static enum status
untie_group(struct hearing *h, const struct name_group *group, struct err *err)
{
    size_t kept = 0;

    for (size_t i = 0; i < group->count; i++)
        if (hearing_key(h, group->names[i]) != UINT32_MAX) {
            kept = i;
            break;
        }
    for (size_t i = 0; i < group->count; i++) {
        uint32_t tensor = hearing_tensor(h, group->names[i]);

        if (i == kept || tensor == UINT32_MAX)
            continue;
        if (h->filled_by[tensor] == FILLED_BY_NONE)
            h->filled_by[tensor] = FILLED_BY_ITSELF;
        else
            TRY(hearing_add(h, &h->unexpected, group->names[i], err));
    }
    return OK;
}

static int
compare_slices(const void *a, const void *b)
{
    const struct slice *const x = a;
    const struct slice *const y = b;

    return natural_compare(*x, *y);
}

/* In natural order, as lists mostly are already: they were made of lists in the order of bytes. */
static void
sort_naturally(struct vec *list)
{
    const struct slice *given = list->items;
    bool is_sorted = true;

    for (size_t i = 1; i < list->count && is_sorted; i++)
        is_sorted = natural_compare(given[i - 1], given[i]) <= 0;
    if (!is_sorted)
        qsort(list->items, list->count, sizeof *given, compare_slices);
}

/* Sort the names naturally, drop what is there twice, and move them to the arena. */
static enum status
settle(const struct hearing *h, struct vec *list, const struct slice **ret_names, size_t *ret_count,
       struct err *err)
{
    struct slice *names = arena_alloc(h->arena, list->count, sizeof *names);
    const struct slice *given = list->items;
    size_t kept = 0;

    if (names == NULL)
        return arena_fail(h->arena, err);
    sort_naturally(list);
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || !slice_equal(names[kept - 1], given[i]))
            names[kept++] = given[i];
    *ret_names = names;
    *ret_count = kept;
    return OK;
}

/* A pair by its name, for sorting. */
struct named_mismatch {
    struct slice name;
    struct mismatch mismatch;
};

static enum status
settle_mismatches(const struct hearing *h, const struct vec *list,
                  const struct mismatch **ret_mismatches, size_t *ret_count, struct err *err)
{
    struct named_mismatch *named = arena_alloc(h->arena, list->count, sizeof *named);
    struct mismatch *mismatches;

    if (named == NULL)
        return arena_fail(h->arena, err);
    mismatches = arena_alloc(h->arena, list->count, sizeof *mismatches);
    if (mismatches == NULL)
        return arena_fail(h->arena, err);
    for (size_t i = 0; i < list->count; i++) {
        struct mismatch mismatch = VEC_AT(list, struct mismatch, i);

        named[i] = (struct named_mismatch){.name = h->m->tensors[mismatch.expected].name,
                                           .mismatch = mismatch};
    }
    if (list->count > 1)
        qsort(named, list->count, sizeof *named, compare_slices);
    for (size_t i = 0; i < list->count; i++)
        mismatches[i] = named[i].mismatch;
    *ret_mismatches = mismatches;
    *ret_count = list->count;
    return OK;
}

static int
compare_bytes(const void *a, const void *b)
{
    const struct slice *const x = a;
    const struct slice *const y = b;

    return slice_compare(*x, *y);
}

/* All names that do not fit, or have no partner: what a hook could still change. Ascending. */
static enum status
find_open(const struct hearing *h, const struct judgement *j, struct name_group *ret_open,
          struct err *err)
{
    size_t count = j->missing_count + j->unexpected_count, added = 0;
    struct slice *open;

    for (size_t t = 0; t < h->m->count; t++)
        count += h->filled_by[t] == FILLED_BY_NONE;
    open = arena_alloc(h->arena, count, sizeof *open);
    if (open == NULL)
        return arena_fail(h->arena, err);
    for (size_t t = 0; t < h->m->count; t++)
        if (h->filled_by[t] == FILLED_BY_NONE)
            open[added++] = h->m->tensors[t].name;
    for (size_t i = 0; i < j->missing_count; i++)
        open[added++] = j->missing[i];
    for (size_t i = 0; i < j->unexpected_count; i++)
        open[added++] = j->unexpected[i];
    if (added > 1)
        qsort(open, added, sizeof *open, compare_bytes);
    *ret_open = (struct name_group){.names = open, .count = added};
    return OK;
}

static bool
is_open_below(struct hearing *h, const struct name_group *open, struct slice path)
{
    struct slice below = hearing_name(h, path, "", (struct slice){0}, "");
    size_t low = 0, high = open->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slice_compare(open->names[middle], below) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < open->count && slice_starts(open->names[low], below);
}

/* Code of a module's own decides over the keys below it: where they do not all fit, nothing can be
 * told. A hook that runs after loading may edit the lists of the whole model. */
static enum status
hear_hooks(struct hearing *h, struct judgement *j, struct err *err)
{
    struct name_group open = {0};

    TRY(find_open(h, j, &open, err));
    for (size_t i = 0; open.count > 0 && i < h->m->module_count; i++) {
        const struct manifest_module *module = &h->m->modules[i];
        struct slice scope = module->post_hook ? (struct slice){0} : module->path;
        struct slice hook = module->hooks.count > 0 ? module->hooks.names[0] : module->type;

        if ((!module->custom_load && !module->post_hook) || !is_open_below(h, &open, scope))
            continue;
        j->is_unknown = true;
        TRY(hearing_say(h, &h->warnings, err,
                        "The module \"%.*s\" loads by code of its own (%.*s), and keys that it "
                        "decides over do not match: the outcome cannot be told.",
                        SLICE_PRINT(module->path), SLICE_PRINT(hook)));
    }
    return OK;
}

static uint64_t
add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Of a tensor whose shape is not wholly known, the file's word counts. */
static uint64_t
elements_of(const struct hearing *h, size_t tensor)
{
    const struct expected *e = &h->m->tensors[tensor];
    uint32_t key = h->filled_by[tensor];
    uint64_t elements = 0;

    if (key < FILLED_BY_ITSELF)
        return h->s->keys[key].elements;
    return e->has_shape && shape_elements(e->shape, &elements) ? elements : 0;
}

static void
count(const struct hearing *h, struct judgement *j)
{
    for (size_t t = 0; t < h->m->count; t++) {
        uint64_t elements = elements_of(h, t);

        j->expected_elements = add_saturated(j->expected_elements, elements);
        if (h->filled_by[t] != FILLED_BY_NONE)
            j->filled_elements = add_saturated(j->filled_elements, elements);
        if (h->filled_by[t] < FILLED_BY_ITSELF)
            j->matched++;
    }
}

static enum status
conclude(struct hearing *h, struct judgement *j, struct err *err)
{
    TRY(settle(h, &h->missing, &j->missing, &j->missing_count, err));
    TRY(settle(h, &h->unexpected, &j->unexpected, &j->unexpected_count, err));
    TRY(settle(h, &h->errors, &j->errors, &j->error_count, err));
    TRY(settle_mismatches(h, &h->shape, &j->shape_mismatch, &j->shape_mismatch_count, err));
    TRY(settle_mismatches(h, &h->dtype, &j->dtype_mismatch, &j->dtype_mismatch_count, err));
    TRY(settle_mismatches(h, &h->not_a_tensor, &j->not_a_tensor, &j->not_a_tensor_count, err));
    TRY(hear_hooks(h, j, err));
    TRY(settle(h, &h->warnings, &j->warnings, &j->warning_count, err));
    count(h, j);
    j->filled_by = h->filled_by;
    j->non_strict =
        !j->is_unknown && j->shape_mismatch_count + j->not_a_tensor_count + j->error_count == 0;
    j->strict = j->non_strict && j->missing_count + j->unexpected_count == 0;
    return OK;
}

static enum status
hear(struct hearing *h, enum loader loader, struct judgement *j, struct err *err)
{
    pair(h);
    TRY(h->m->has_modules ? hear_modules(h, err) : judge_by_guess(h, err));
    TRY(hear_extra_state(h, err));
    if (loader == LOADER_SAFETENSORS)
        for (size_t i = 0; i < h->m->tied_count; i++)
            TRY(untie_group(h, &h->m->tied[i], err));
    TRY(list_missing(h, err));
    TRY(list_unexpected(h, err));

    /* After the lists: a key that does not fit is not missing. */
    TRY(judge_copies(h, err));
    TRY(buf_check(&h->scratch, err));
    return conclude(h, j, err);
}

enum status
judge(const struct manifest *m, const struct state *s, enum loader loader, struct arena *arena,
      struct judgement *ret_judgement, struct err *err)
{
    const size_t cap = SIZE_MAX / sizeof(struct named_mismatch);
    CLEANUP(hearing_done)
    struct hearing h = {
        .m = m,
        .s = s,
        .arena = arena,
        .missing = vec_of(sizeof(struct slice), cap),
        .unexpected = vec_of(sizeof(struct slice), cap),
        .errors = vec_of(sizeof(struct slice), cap),
        .warnings = vec_of(sizeof(struct slice), cap),
        .shape = vec_of(sizeof(struct mismatch), cap),
        .dtype = vec_of(sizeof(struct mismatch), cap),
        .not_a_tensor = vec_of(sizeof(struct mismatch), cap),
        .scratch = buf_with_cap(SIZE_MAX / 2),
    };
    struct judgement j = {0};

    h.filled_by = arena_alloc(arena, m->count, sizeof *h.filled_by);
    if (h.filled_by == NULL)
        return arena_fail(arena, err);
    h.is_used = arena_alloc(arena, s->count, sizeof *h.is_used);
    if (h.is_used == NULL)
        return arena_fail(arena, err);
    TRY(hear(&h, loader, &j, err));
    *ret_judgement = j;
    return OK;
}
