#pragma once
/*
 * Names as a tree: a node for each dotted prefix. Nodes stand in preorder and ascend segment by
 * segment, so the same names make the same tree in whatever order they come; a node's descendants
 * are the nodes right after it, up to its end. Lives in an arena. Walk a node's children with
 *
 *     for (uint32_t c = node + 1; c < t.nodes[node].end; c = t.nodes[c].end)
 */
#include "common/base/arena.h"
#include "common/base/slice.h"

#define TREE_NONE UINT32_MAX

struct tree_node {
    struct slice path;    /* whole, "" for the root */
    struct slice segment; /* its last */
    uint32_t parent;      /* TREE_NONE for the root */
    uint32_t end;         /* first node that is no descendant */
    uint32_t key;         /* index of the name that ends here; TREE_NONE: none */
    uint32_t first_leaf;  /* its names are leaves[first_leaf … leaf_end) */
    uint32_t leaf_end;
};

struct tree {
    const struct tree_node *nodes; /* [0] is the root */
    size_t count;
    const uint32_t *leaves; /* nodes with a key, in order */
    size_t leaf_count;
};

/* The names are borrowed. A name may occur once. */
enum status tree_make(const struct slice *names, size_t count, struct arena *arena,
                      struct tree *ret_tree, struct err *err) MUST_CHECK;
