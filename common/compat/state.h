#pragma once
/*
 * A state is the dict that a loader hands to load_state_dict: keys with their tensors, or with
 * something else, and maybe _metadata. It is made of a container, or by a remap of another state.
 * Read-only once made; it lives in an arena of the caller's.
 */
#include "common/structure/inspection.h"

struct state_key {
    struct slice name;
    bool is_tensor;
    enum entry_kind entry; /* where it is no tensor */
    struct slice type;     /* Python's name of it, where it is no tensor */
    enum dtype dtype;      /* the rest where it is one */
    enum layout layout;
    struct shape shape;
    uint64_t elements;
    uint32_t origin; /* index in the state that a remap began with; its own otherwise */
};

struct state {
    const struct state_key *keys; /* ascending by name */
    size_t count;
    bool has_metadata;
    const struct module_version *versions; /* ascending by module */
    size_t version_count;
};

/* All tensors and entries of a container, with its _metadata. c must outlive the state. */
enum status state_of_container(const struct container *c, struct arena *arena,
                               struct state *ret_state, struct err *err) MUST_CHECK;

/* The key with that name, or NULL. O(log n). */
const struct state_key *state_find(const struct state *s, struct slice name);

/* The row of a module's versions ("" is the root), or NULL. O(log n). */
const struct module_version *state_version(const struct state *s, struct slice module);
