#include "common/compat/tree.h"

#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

struct named {
    struct slice name;
    uint32_t index;
    uint32_t shared; /* segments, with the name before it */
};

/* As bytes, but the dot before all others: so a node's descendants stand together. */
static int
compare_names(const void *left, const void *right)
{
    struct slice a = ((const struct named *)left)->name, b = ((const struct named *)right)->name;
    size_t shared = a.length < b.length ? a.length : b.length;

    for (size_t i = 0; i < shared; i++) {
        if (a.at[i] == b.at[i])
            continue;
        if (a.at[i] == '.' || b.at[i] == '.')
            return a.at[i] == '.' ? -1 : 1;
        return (unsigned char)a.at[i] < (unsigned char)b.at[i] ? -1 : 1;
    }
    return (a.length > b.length) - (a.length < b.length);
}

static bool
is_sorted(const struct named *names, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (compare_names(&names[i - 1], &names[i]) > 0)
            return false;
    }
    return true;
}

static size_t
count_segments(struct slice name)
{
    size_t count = 1;

    for (size_t i = 0; i < name.length; i++)
        count += name.at[i] == '.';
    return count;
}

/* How many whole segments a name has in common with the one before it. */
static uint32_t
count_shared(struct slice a, struct slice b)
{
    uint32_t count = 0;

    for (size_t i = 0;; i++) {
        bool a_ends = i == a.length || a.at[i] == '.', b_ends = i == b.length || b.at[i] == '.';

        if (a_ends && b_ends)
            count++;
        if (a_ends != b_ends || i == a.length || i == b.length || a.at[i] != b.at[i])
            return count;
    }
}

struct build {
    struct tree_node *nodes;
    size_t count;
    uint32_t *leaves;
    size_t leaf_count;
    uint32_t open; /* the deepest node of the name before */
    size_t depth;  /* of open */
};

static void
close_to(struct build *b, size_t depth)
{
    while (b->depth > depth) {
        b->nodes[b->open].end = (uint32_t)b->count;
        b->nodes[b->open].leaf_end = (uint32_t)b->leaf_count;
        b->open = b->nodes[b->open].parent;
        b->depth--;
    }
}

static void
add_name(struct build *b, const struct named *n)
{
    size_t start = 0, shared = n->shared, segments = count_segments(n->name);

    close_to(b, shared);
    for (size_t i = 0; i < shared && i < segments; i++) {
        while (start < n->name.length && n->name.at[start] != '.')
            start++;
        start++;
    }
    for (size_t i = shared; i < segments; i++) {
        size_t end = start;

        while (end < n->name.length && n->name.at[end] != '.')
            end++;
        b->nodes[b->count] = (struct tree_node){
            .path = slice_part(n->name, 0, end),
            .segment = slice_part(n->name, start, end - start),
            .parent = b->open,
            .key = TREE_NONE,
            .first_leaf = (uint32_t)b->leaf_count,
        };
        b->open = (uint32_t)b->count++;
        b->depth++;
        start = end + 1;
    }
    b->nodes[b->open].key = n->index;
    b->leaves[b->leaf_count++] = b->open;
}

enum status
tree_make(const struct slice *names, size_t count, struct arena *arena, struct tree *ret_tree,
          struct err *err)
{
    CLEANUP(mem_free_at) struct named *sorted = mem_new(count + 1, sizeof *sorted);
    struct build b = {0};
    size_t nodes = 1;

    FAIL_IF(sorted == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct named){.name = names[i], .index = (uint32_t)i};
    /* Names mostly come in bytewise order, which mostly is this one. */
    if (!is_sorted(sorted, count))
        qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++) {
        sorted[i].shared = i == 0 ? 0 : count_shared(sorted[i - 1].name, sorted[i].name);
        nodes += count_segments(sorted[i].name) - sorted[i].shared;
    }
    b.nodes = arena_alloc(arena, nodes, sizeof *b.nodes);
    if (b.nodes == NULL)
        return arena_fail(arena, err);
    b.leaves = arena_alloc(arena, count, sizeof *b.leaves);
    if (b.leaves == NULL)
        return arena_fail(arena, err);
    b.nodes[b.count++] =
        (struct tree_node){.path = {.at = ""}, .parent = TREE_NONE, .key = TREE_NONE};
    for (size_t i = 0; i < count; i++)
        add_name(&b, &sorted[i]);
    close_to(&b, 0);
    b.nodes[0].end = (uint32_t)b.count;
    b.nodes[0].leaf_end = (uint32_t)b.leaf_count;
    *ret_tree = (struct tree){
        .nodes = b.nodes, .count = b.count, .leaves = b.leaves, .leaf_count = b.leaf_count};
    return OK;
}
