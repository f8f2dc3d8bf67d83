#include "common/compat/tree.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

enum { CAP = 1 << 20 };

START_TEST(tree__keeps_descendants_together_whatever_bytes_the_names_have)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    const struct slice names[] = {slice_of("a.c"), slice_of("a-b"), slice_of("a"),
                                  slice_of("a.b.x"), slice_of("")};
    const char *const paths[] = {"", "", "a", "a.b", "a.b.x", "a.c", "a-b"};
    struct tree t;

    ck_assert_int_eq(tree_make(names, 5, &arena, &t, NULL), OK);
    ck_assert_uint_eq(t.count, 7);
    for (size_t i = 0; i < t.count; i++)
        ck_assert(slice_is(t.nodes[i].path, paths[i]));
    ck_assert_uint_eq(t.nodes[2].end, 6);
    ck_assert_uint_eq(t.nodes[2].key, 2);
    ck_assert_uint_eq(t.nodes[2].leaf_end - t.nodes[2].first_leaf, 3);
    ck_assert_uint_eq(t.nodes[3].key, TREE_NONE);
    ck_assert_uint_eq(t.nodes[4].parent, 3);
    ck_assert_uint_eq(t.leaf_count, 5);
}
END_TEST

START_TEST(tree__of_no_names_is_a_root)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    struct tree t;

    ck_assert_int_eq(tree_make(NULL, 0, &arena, &t, NULL), OK);
    ck_assert_uint_eq(t.count, 1);
    ck_assert_uint_eq(t.nodes[0].end, 1);
}
END_TEST

SUITE(tree)
{
    return suite_with("tree", TEST(tree__keeps_descendants_together_whatever_bytes_the_names_have),
                      TEST(tree__of_no_names_is_a_root));
}
