#include "common/compat/state.h"

#include <stdlib.h>

static struct state_key
key_of_tensor(const struct container *c, size_t index)
{
    const struct tensor *t = &c->structure.tensors[index];
    const uint8_t *layouts = c->facts.layouts;

    return (struct state_key){
        .name = t->name,
        .is_tensor = true,
        .dtype = t->dtype,
        .layout = layouts == NULL ? LAYOUT_STRIDED : (enum layout)layouts[index],
        .shape = t->shape,
        .elements = t->elements,
    };
}

static struct state_key
key_of_entry(const struct entry *e)
{
    return (struct state_key){.name = e->name, .entry = e->kind, .type = e->type};
}

/* Merge tensors and entries, each of which ascends by name. A name that is both, which no dict can
 * hold, is the tensor. */
enum status
state_of_container(const struct container *c, struct arena *arena, struct state *ret_state,
                   struct err *err)
{
    size_t tensors = c->structure.count, entries = c->facts.entry_count;
    struct state_key *keys;
    size_t i = 0, k = 0, count = 0;

    FAIL_IF(tensors >= UINT32_MAX / 2 || entries >= UINT32_MAX / 2, err, LIMIT, 0,
            "more keys than can be counted");
    keys = arena_alloc(arena, tensors + entries, sizeof *keys);
    if (keys == NULL)
        return arena_fail(arena, err);
    while (i < tensors || k < entries) {
        int order = i == tensors ? 1
                    : k == entries
                        ? -1
                        : slice_compare(c->structure.tensors[i].name, c->facts.entries[k].name);

        keys[count] = order <= 0 ? key_of_tensor(c, i++) : key_of_entry(&c->facts.entries[k]);
        if (order >= 0)
            k++;
        keys[count].origin = (uint32_t)count;
        count++;
    }
    *ret_state = (struct state){
        .keys = keys,
        .count = count,
        .has_metadata = c->facts.has_metadata,
        .versions = c->facts.versions,
        .version_count = c->facts.version_count,
    };
    return OK;
}

static int
compare_keys(const void *a, const void *b)
{
    const struct state_key *const x = a;
    const struct state_key *const y = b;

    return slice_compare(x->name, y->name);
}

const struct state_key *
state_find(const struct state *s, struct slice name)
{
    struct state_key wanted = {.name = name};

    if (s->count == 0)
        return NULL;
    return bsearch(&wanted, s->keys, s->count, sizeof wanted, compare_keys);
}

static int
compare_versions(const void *a, const void *b)
{
    const struct module_version *const x = a;
    const struct module_version *const y = b;

    return slice_compare(x->module, y->module);
}

const struct module_version *
state_version(const struct state *s, struct slice module)
{
    struct module_version wanted = {.module = module};

    if (s->version_count == 0)
        return NULL;
    return bsearch(&wanted, s->versions, s->version_count, sizeof wanted, compare_versions);
}
