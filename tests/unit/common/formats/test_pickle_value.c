#include "tests/support/pickle_fixture.h"
#include "tests/support/unit.h"

START_TEST(pickle_value__reads_each_kind_and_no_other)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    struct pickle_items items;
    struct slice s;
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    bool b = false;

    fixture_run(&f,
                P("(K\x05J\xff\xff\xff\xff\x88G\x3f\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00"
                  "aC\x01zN\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00t."));
    ck_assert(pickle_list(f.pickle.root, &items));
    ck_assert_uint_eq(items.count, 8);
    ck_assert(pickle_as_int(items.at[0], &i) && i == 5);
    ck_assert(pickle_as_u64(items.at[0], &u) && u == 5);
    ck_assert(pickle_as_float(items.at[0], &d) && d == 5);
    ck_assert(pickle_as_int(items.at[1], &i) && i == -1);
    ck_assert(!pickle_as_u64(items.at[1], &u));
    ck_assert(pickle_as_bool(items.at[2], &b) && b);
    ck_assert(!pickle_as_int(items.at[2], &i));
    ck_assert(pickle_as_float(items.at[3], &d) && d == 1.5);
    ck_assert(!pickle_as_int(items.at[3], &i));
    ck_assert(pickle_is_text(items.at[4], "a"));
    ck_assert(!pickle_bytes(items.at[4], &s));
    ck_assert(pickle_bytes(items.at[5], &s) && slice_is(s, "z"));
    ck_assert(!pickle_text(items.at[6], &s) && !pickle_list(items.at[6], &items));
    ck_assert(!pickle_as_int(items.at[7], &i));
}
END_TEST

START_TEST(pickle_value__takes_python_2s_str_as_text_and_as_bytes)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    struct slice s;

    fixture_run(&f, P("U\x03"
                      "key."));
    ck_assert(pickle_is_text(f.pickle.root, "key"));
    ck_assert(pickle_bytes(f.pickle.root, &s));
}
END_TEST

/* Each is {"a": 1, "b": 2}. */
static const struct slice mappings[] = {
    B("}(U\x01"
      "aK\x01U\x01"
      "bK\x02u."),
    B("(U\x01"
      "aK\x01U\x01"
      "bK\x02"
      "d."),
    B("ccollections\nOrderedDict\n)R(U\x01"
      "aK\x01U\x01"
      "bK\x02u."),
    B("ccollections\nOrderedDict\n((lp1\n(lp2\nS'a'\naI1\naa(lp3\nS'b'\naI2\naatR."),
    B("ccollections\nOrderedDict\n](]U\x01"
      "aaK\x01"
      "a]U\x01"
      "baK\x02"
      "ae\x85R."),
    B("ccollections\nOrderedDict\n(U\x01"
      "aK\x01\x86U\x01"
      "bK\x02\x86t\x85R."),
    B("ccollections\nOrderedDict\n}U\x01"
      "aK\x01s\x85RU\x01"
      "bK\x02s."),
    B("ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R(U\x01"
      "aK\x01U\x01"
      "bK\x02u."),
    B("ccollections\nCounter\n}(U\x01"
      "aK\x01U\x01"
      "bK\x02u\x85R."),
    B("cmy.module\nDict\n)\x81(U\x01"
      "aK\x01U\x01"
      "bK\x02u."),
};

START_TEST(pickle_value__reads_every_mapping_alike)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    struct pickle_pairs pairs = {0};
    bool is_mapping = false;
    int64_t i = 0;

    fixture_run(&f, mappings[_i]);
    ck_assert_str_eq(f.pickle.problem.text, "");
    ck_assert(pickle_is_mapping(f.pickle.root));
    ck_assert_int_eq(pickle_pairs(f.pickle.root, &f.arena, &is_mapping, &pairs, NULL), OK);
    ck_assert(is_mapping);
    ck_assert_uint_eq(pairs.count, 2);
    ck_assert(pickle_is_text(pairs.at[0].key, "a"));
    ck_assert(pickle_is_text(pairs.at[1].key, "b"));
    ck_assert_ptr_nonnull(pickle_get(f.pickle.root, "b"));
    ck_assert(pickle_as_int(*pickle_get(f.pickle.root, "b"), &i) && i == 2);
    ck_assert(pickle_as_int(*pickle_get(f.pickle.root, "a"), &i) && i == 1);
    ck_assert_ptr_null(pickle_get(f.pickle.root, "c"));
}
END_TEST

static const struct slice no_mappings[] = {B("N."), B("]."), B("K\x01."), B("ca\nb\n)R."),
                                           B("ccollections\nOrderedDict\n.")};

START_TEST(pickle_value__finds_no_mapping_elsewhere)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    struct pickle_pairs pairs;
    bool is_mapping = true;

    fixture_run(&f, no_mappings[_i]);
    ck_assert(!pickle_is_mapping(f.pickle.root));
    ck_assert_int_eq(pickle_pairs(f.pickle.root, &f.arena, &is_mapping, &pairs, NULL), OK);
    ck_assert(!is_mapping);
    ck_assert_ptr_null(pickle_get(f.pickle.root, "a"));
}
END_TEST

/* Each has the elements 1 and 2. */
static const struct slice lists[] = {
    B("K\x01K\x02\x86."),
    B("](K\x01K\x02"
      "e."),
    B("\x8f(K\x01K\x02\x90."),
    B("(K\x01K\x02\x91."),
    B("c__builtin__\nset\n](K\x01K\x02"
      "e\x85R."),
    B("ctorch\nSize\nK\x01K\x02\x86\x85R."),
    B("ccollections\ndeque\n)R(K\x01K\x02"
      "e."),
};

START_TEST(pickle_value__reads_every_sequence_alike)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    struct pickle_items items;
    int64_t i = 0;

    fixture_run(&f, lists[_i]);
    ck_assert(pickle_list(f.pickle.root, &items));
    ck_assert_uint_eq(items.count, 2);
    ck_assert(pickle_as_int(items.at[1], &i) && i == 2);
}
END_TEST

START_TEST(pickle_value__knows_globals_by_their_modern_name)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("c__builtin__\nset\n]\x85R."));
    ck_assert(pickle_is_call(f.pickle.root, "builtins", "set"));
    ck_assert(!pickle_is_call(f.pickle.root, "builtins", "list"));
    ck_assert(!pickle_is_global(f.pickle.root, "builtins", "set"));
    ck_assert(slice_is(f.pickle.globals->module, "__builtin__"));
}
END_TEST

START_TEST(pickle_value__gives_arguments_and_none_beyond_them)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    int64_t i = 0;

    fixture_run(&f, P("ca\nb\nK\x01K\x02\x86R."));
    ck_assert_uint_eq(pickle_argument_count(f.pickle.root), 2);
    ck_assert(pickle_as_int(pickle_argument(f.pickle.root, 1), &i) && i == 2);
    ck_assert_int_eq(pickle_argument(f.pickle.root, 2).kind, PICKLE_NONE);
    ck_assert_uint_eq(pickle_argument_count(pickle_argument(f.pickle.root, 1)), 0);
}
END_TEST

/* Each has the attribute a = 1. */
static const struct slice states[] = {
    B("cm\nC\n)\x81}U\x01"
      "aK\x01sb."),
    B("cm\nC\n)\x81N}U\x01"
      "aK\x01s\x86"
      "b."),
    B("cm\nC\n)\x81}U\x01"
      "aK\x01s}\x86"
      "b."),
    B("cm\nC\n)\x81}U\x01"
      "aK\x07sb}U\x01"
      "aK\x01sb."),
};

START_TEST(pickle_value__finds_attributes_in_every_form_of_state)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    const struct pickle_value *a;
    int64_t i = 0;

    fixture_run(&f, states[_i]);
    a = pickle_attribute(f.pickle.root, "a");
    ck_assert_ptr_nonnull(a);
    ck_assert(pickle_as_int(*a, &i) && i == 1);
    ck_assert_ptr_null(pickle_attribute(f.pickle.root, "b"));
    ck_assert_ptr_nonnull(pickle_state(f.pickle.root));
    ck_assert_ptr_null(pickle_state(*a));
}
END_TEST

START_TEST(pickle_value__tells_types_as_python_does)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    struct slice type;

    fixture_run(&f, P("ccopy_reg\nThing\n)\x81."));
    ck_assert_int_eq(pickle_type(f.pickle.root, &f.arena, &type, NULL), OK);
    ck_assert(slice_is(type, "copyreg.Thing"));
    ck_assert_int_eq(
        pickle_type((struct pickle_value){.kind = PICKLE_BIGINT}, &f.arena, &type, NULL), OK);
    ck_assert(slice_is(type, "int"));
}
END_TEST

SUITE(pickle_value)
{
    return suite_with("pickle_value", TEST(pickle_value__reads_each_kind_and_no_other),
                      TEST(pickle_value__takes_python_2s_str_as_text_and_as_bytes),
                      LOOP(pickle_value__reads_every_mapping_alike, mappings),
                      LOOP(pickle_value__finds_no_mapping_elsewhere, no_mappings),
                      LOOP(pickle_value__reads_every_sequence_alike, lists),
                      TEST(pickle_value__knows_globals_by_their_modern_name),
                      TEST(pickle_value__gives_arguments_and_none_beyond_them),
                      LOOP(pickle_value__finds_attributes_in_every_form_of_state, states),
                      TEST(pickle_value__tells_types_as_python_does));
}
