/* Folded tensors, and those that must not be folded. */
#include "tests/support/pickle_fixture.h"
#include "tests/support/unit.h"

#define FUNCTION  "ctorch._utils\n_rebuild_tensor_v2\n"
#define ID(key)   "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" key "X\3\0\0\0cpuK\6t"
#define SIZES     "K\2K\3\x86K\3K\1\x86"
#define HOOKS     "ccollections\nOrderedDict\n)R"
#define TENSOR(k) FUNCTION "(" ID(k) "QK\0" SIZES "\x89" HOOKS "tR"
#define SHOWN(key) \
    "torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, '" key \
    "', 'cpu', 6), 0, (2, 3), (3, 1), False, collections.OrderedDict())"

static const struct {
    struct slice bytes;
    const char *shown;
    unsigned folded; /* of the root's elements */
} pickles[] = {
    /* The first of a kind stays. */
    {B("\x80\2(" TENSOR("a") TENSOR("b") TENSOR("c") "t."),
     "(" SHOWN("a") ", " SHOWN("b") ", " SHOWN("c") ")", 2},
    /* Another location is another kind. */
    {B("\x80\2(" TENSOR("a") FUNCTION "((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0bX\6\0\0\0"
                                      "cuda:0K\6tQK\0" SIZES "\x89" HOOKS "tR"
                                      "t."),
     "(" SHOWN("a") ", torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, 'b', "
                    "'cuda:0', 6), 0, (2, 3), (3, 1), False, collections.OrderedDict()))",
     0},
    /* Memo entries that nobody fetches stop nothing. */
    {B("\x80\2(" TENSOR("a") FUNCTION
       "q\0(" ID("b") "q\1Qq\2K\0K\2K\3\x86q\3K\3K\1\x86q\4\x89" HOOKS "q\5tq\6Rq\7"
                      "t."),
     "(" SHOWN("a") ", " SHOWN("b") ")", 1},
    /* The id is fetched later; so are the sizes, the hooks, the arguments, the tensor. */
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "q\0QK\0" SIZES "\x89" HOOKS "tR"
                                                  "h\0t."),
     "(" SHOWN("a") ", " SHOWN("b") ", ('storage', torch.FloatStorage, 'b', 'cpu', 6))", 0},
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QK\0K\2K\3\x86q\0K\3K\1\x86\x89" HOOKS "tR"
                                                  "h\0t."),
     "(" SHOWN("a") ", " SHOWN("b") ", (2, 3))", 0},
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QK\0" SIZES "\x89" HOOKS "q\0tR"
                                                  "h\0t."),
     "(" SHOWN("a") ", " SHOWN("b") ", collections.OrderedDict())", 0},
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QK\0" SIZES "\x89" HOOKS "tq\0R"
                                                  "h\0t."),
     "(" SHOWN("a") ", " SHOWN(
         "b") ", (@('storage', torch.FloatStorage, 'b', 'cpu', 6), 0, (2, 3), "
              "(3, 1), False, collections.OrderedDict()))",
     0},
    {B("\x80\2(" TENSOR("a") TENSOR("b") "q\0h\0t."),
     "(" SHOWN("a") ", " SHOWN("b") ", " SHOWN("b") ")", 0},
    {B("\x80\2(" TENSOR("a") TENSOR("b") "2t."), "(" SHOWN("a") ", " SHOWN("b") ", " SHOWN("b") ")",
     0},
    /* Filled. */
    {B("\x80\2(" TENSOR("a") TENSOR("b") "}X\1\0\0\0xK\1sbt."),
     "(" SHOWN("a") ", " SHOWN("b") "<-{'x': 1})", 0},
    {B("\x80\2(" TENSOR("a") TENSOR("b") "K\1K\2st."), "(" SHOWN("a") ", " SHOWN("b") "{1: 2})", 0},
    {B("\x80\2(" TENSOR("a") TENSOR("b") "(K\1et."), "(" SHOWN("a") ", " SHOWN("b") "+[1])", 0},
    /* Hooks that are filled are no hooks of torch.save's. */
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QK\0" SIZES "\x89" HOOKS "K\1K\2stR"
                                                  "t."),
     "(" SHOWN(
         "a") ", torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, 'b', 'cpu', "
              "6), 0, (2, 3), (3, 1), False, collections.OrderedDict(){1: 2}))",
     0},
    /* One that is not negative only in its sign; one with a seventh argument. */
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QJ\xff\xff\xff\xff" SIZES "\x89" HOOKS "tR"
                                                  "t."),
     "(" SHOWN(
         "a") ", torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, 'b', 'cpu', "
              "6), -1, (2, 3), (3, 1), False, collections.OrderedDict()))",
     0},
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QK\0" SIZES "\x89" HOOKS "}tR"
                                                  "t."),
     "(" SHOWN(
         "a") ", torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, 'b', 'cpu', "
              "6), 0, (2, 3), (3, 1), False, collections.OrderedDict(), {}))",
     0},
    /* A scalar has no sizes. */
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QK\0))\x89" HOOKS "tR"
                                                  "t."),
     "(" SHOWN(
         "a") ", torch._utils._rebuild_tensor_v2(@('storage', torch.FloatStorage, 'b', 'cpu', "
              "6), 0, (), (), False, collections.OrderedDict()))",
     1},
    /* Something that lives on is made between. */
    {B("\x80\2(" TENSOR("a") FUNCTION "(" ID("b") "QK\0" SIZES "\x89"
                                                  "cnew.module\nname\n0" HOOKS "tR"
                                                  "t."),
     "(" SHOWN("a") ", " SHOWN("b") ")", 0},
    /* The sizes are older than the id, and in their place something is made that lives on in a list. */
    {B("\x80\2(" TENSOR("a") "]q\0(K\1K\2K\3eK\4a0K\2K\3\x86q\1"
                             "0" FUNCTION "(" ID("b") "QK\0h\1h\0K\5\x85"
                                                      "a0K\3K\1\x86\x89" HOOKS
                                                      "tR" TENSOR("c") "h\0t."),
     "(" SHOWN("a") ", " SHOWN("b") ", " SHOWN("c") ", [1, 2, 3, 4, (5,)])", 1},
};

START_TEST(pickle_tensor__folds_what_cannot_be_told_apart)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    unsigned folded = 0;

    fixture_run(&f, pickles[_i].bytes);
    ck_assert_str_eq(f.shown.bytes, pickles[_i].shown);
    ck_assert(f.pickle.is_complete);
    for (uint32_t i = 0; i < f.pickle.root.count; i++)
        folded += f.pickle.root.is.items[i].kind == PICKLE_TENSOR;
    ck_assert_uint_eq(folded, pickles[_i].folded);
}
END_TEST

START_TEST(pickle_tensor__leaves_one_of_a_kind_in_the_lists)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    size_t calls = 0, ids = 0;

    fixture_run(&f, pickles[0].bytes);
    for (const struct pickle_call *c = f.pickle.calls; c != NULL; c = c->next)
        calls++;
    for (const struct pickle_persistent *p = f.pickle.persistents; p != NULL; p = p->next)
        ids++;
    ck_assert_uint_eq(calls, 2); /* the hooks', the tensor's */
    ck_assert_uint_eq(ids, 1);
    ck_assert_uint_eq(f.pickle.call_count, 6);
}
END_TEST

/* The id and the sizes are older than what looks like an id, too; so there is room for calls whose results
 * are popped. They stay in the list. */
START_TEST(pickle_tensor__hides_no_call)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    size_t hidden = 0;

    fixture_run(&f,
                P("\x80\2(" TENSOR("a") "cnew.module\nname\n0" FUNCTION "(" ID(
                    "b") "QK\0K\2K\3\x86" ID("c") "0cnew.module\nname\n)R0cnew.module\nname\n)R0"
                                                  "K\3K\1\x86\x89" HOOKS "tRt."));
    ck_assert(f.pickle.is_complete);
    for (const struct pickle_call *c = f.pickle.calls; c != NULL; c = c->next)
        hidden += pickle_is_global(c->callable, "new.module", "name");
    ck_assert_uint_eq(hidden, 2);
}
END_TEST

START_TEST(pickle_tensor__a_popped_one_is_remarked)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("\x80\2(" TENSOR("a") TENSOR("b") "0t."));
    ck_assert_uint_eq(f.pickle.odd, PICKLE_ODD_STACK);
}
END_TEST

START_TEST(pickle_tensor__unfolds_into_the_lists_again)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    size_t calls = 0;

    fixture_run(&f, P("\x80\2(" TENSOR("a") TENSOR("b") "2" TENSOR("c") "t."));
    for (const struct pickle_call *c = f.pickle.calls; c != NULL; c = c->next)
        calls++;
    ck_assert_uint_eq(calls, 4);
}
END_TEST

SUITE(pickle_tensor)
{
    return suite_with(
        "pickle_tensor", LOOP(pickle_tensor__folds_what_cannot_be_told_apart, pickles),
        TEST(pickle_tensor__leaves_one_of_a_kind_in_the_lists), TEST(pickle_tensor__hides_no_call),
        TEST(pickle_tensor__a_popped_one_is_remarked),
        TEST(pickle_tensor__unfolds_into_the_lists_again));
}
