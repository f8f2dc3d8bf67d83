/* The machine as a whole: what it makes of well-formed pickles, and where and why it stops. The bytes
 * are opcodes by hand; those in tests/cases/pickle-machine are what real programs wrote (make_pickle_cases.py). */
#include "tests/support/pickle_fixture.h"
#include "tests/support/unit.h"

static const struct {
    struct slice bytes;
    const char *shown;
    unsigned odd;
} good[] = {
    {B("N."), "None", 0},
    /* Numbers, in text and binary. */
    {B("I42\n."), "42", 0},
    {B("I00\n."), "False", 0},
    {B("I01\n."), "True", 0},
    {B("I-7\n."), "-7", 0},
    {B("I0x1F\n."), "31", PICKLE_ODD_NUMBER},
    {B("I010\n."), "8", PICKLE_ODD_NUMBER},
    {B("I1_000\n."), "1000", PICKLE_ODD_NUMBER},
    {B("I 5\n."), "5", PICKLE_ODD_NUMBER},
    {B("I+5\n."), "5", PICKLE_ODD_NUMBER},
    {B("I-9223372036854775808\n."), "-9223372036854775808", 0},
    {B("I9223372036854775808\n."), "bigint:19", 0},
    {B("L12L\n."), "12", 0},
    {B("L12\n."), "12", 0},
    {B("L123456789012345678901234567890L\n."), "bigint:30", 0},
    {B("J\xff\xff\xff\xff."), "-1", 0},
    {B("K\xff."), "255", 0},
    {B("M\x01\x02."), "513", 0},
    {B("\x8a\x00."), "0", 0},
    {B("\x8a\x01\x80."), "-128", 0},
    {B("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."), "9223372036854775807", 0},
    {B("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00."), "bigint:9", 0},
    {B("\x8a\x0a\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff."), "-2", 0},
    {B("\x8b\x02\x00\x00\x00\x00\x01."), "256", 0},
    {B("F1.5\n."), "1.5", 0},
    {B("F-inf\n."), "-inf", 0},
    {B("Fnan\n."), "nan", 0},
    {B("F1e+16\n."), "1e+16", 0},
    {B("G\x3f\xf8\x00\x00\x00\x00\x00\x00."), "1.5", 0},
    {B("\x80\x02\x88."), "True", 0},
    {B("\x80\x02\x89."), "False", 0},
    /* Texts and bytes. */
    {B("S'a\\x41\\n\\'\\101\\q'\n."), "\"aA\\n'A\\\\q\"", 0},
    {B("S\"it's\"\n."), "\"it's\"", 0},
    {B("T\x02\x00\x00\x00hi."), "'hi'", 0},
    {B("U\x02hi."), "'hi'", 0},
    {B("U\x01\xff."), "'\xff'", PICKLE_ODD_RAW},
    {B("V\\u00e9\xe9\\\\u0041\\x\n."), "'\xc3\xa9\xc3\xa9\\\\\\\\u0041\\\\x'", 0},
    {B("V\\U0001f600\n."), "'\xf0\x9f\x98\x80'", 0},
    {B("V\\ud800\n."), "'\xed\xa0\x80'", PICKLE_ODD_TEXT},
    {B("X\x02\x00\x00\x00\xc3\xa9."), "'\xc3\xa9'", 0},
    {B("X\x03\x00\x00\x00\xed\xa0\x80."), "'\xed\xa0\x80'", PICKLE_ODD_TEXT},
    {B("\x8c\x01x."), "'x'", 0},
    {B("\x8d\x01\x00\x00\x00\x00\x00\x00\x00x."), "'x'", 0},
    {B("B\x01\x00\x00\x00\xff."), "b'\\xff'", 0},
    {B("C\x01\xff."), "b'\\xff'", 0},
    {B("\x8e\x01\x00\x00\x00\x00\x00\x00\x00\xff."), "b'\\xff'", 0},
    {B("\x96\x01\x00\x00\x00\x00\x00\x00\x00\xff."), "bytearray(b'\\xff')", 0},
    /* Containers. */
    {B(")."), "()", 0},
    {B("(t."), "()", 0},
    {B("(K\x01K\x02t."), "(1, 2)", 0},
    {B("K\x01\x85."), "(1,)", 0},
    {B("K\x01K\x02\x86."), "(1, 2)", 0},
    {B("K\x01K\x02K\x03\x87."), "(1, 2, 3)", 0},
    {B("]K\x01"
       "a."),
     "[1]", 0},
    {B("](K\x01K\x02"
       "e."),
     "[1, 2]", 0},
    {B("](e."), "[]", 0},
    {B("(K\x01l."), "[1]", 0},
    {B("}K\x01K\x02s."), "{1: 2}", 0},
    {B("}(K\x01K\x02K\x03K\x04u."), "{1: 2, 3: 4}", 0},
    {B("(K\x01K\x02"
       "d."),
     "{1: 2}", 0},
    {B("\x8f(K\x01\x90."), "{1}", 0},
    {B("(K\x01K\x02\x91."), "frozenset({1, 2})", 0},
    {B("]K\x01"
       "aK\x00K\x09s."),
     "[9]", PICKLE_ODD_TARGET},
    {B("}K\x01K\x02sK\x03K\x04sK\x01K\x05s."), "{1: 5, 3: 4}", PICKLE_ODD_DUPLICATE},
    {B("}U\x01"
       "aK\x02sX\x01\x00\x00\x00"
       "aK\x05s."),
     "{'a': 5}", PICKLE_ODD_DUPLICATE},
    {B("}\x88K\x02sK\x01K\x05s."), "{True: 5}", PICKLE_ODD_DUPLICATE},
    /* The stack and the memo. */
    {B("K\x01K\x02"
       "0."),
     "1", 0},
    {B("K\x01K\x02."), "2", PICKLE_ODD_STACK},
    {B("K\x01(K\x02K\x03"
       "1."),
     "1", 0},
    {B("K\x01(0."), "1", 0},
    {B("K\x01"
       "2\x86."),
     "(1, 1)", 0},
    {B("K\x01p5\n0g5\n."), "1", 0},
    {B("K\x01q\x05"
       "0h\x05."),
     "1", 0},
    {B("K\x01r\x05\x00\x00\x00"
       "0j\x05\x00\x00\x00."),
     "1", 0},
    {B("K\x01\x94K\x02\x94h\x00h\x01\x86."), "(1, 2)", PICKLE_ODD_STACK},
    {B("K\x01q\x00K\x02q\x00"
       "0h\x00\x86."),
     "(1, 2)", PICKLE_ODD_MEMO},
    {B("K\x01r\xff\xff\xff\x7f"
       "0j\xff\xff\xff\x7f."),
     "1", PICKLE_ODD_MEMO},
    {B("]q\x00h\x00"
       "a."),
     "[[[[[[[[[...]]]]]]]]]", 0},
    {B("K\x01)(0."), "()", PICKLE_ODD_STACK},
    /* Objects. */
    {B("cos\nsystem\n."), "os.system", 0},
    {B("c__builtin__\nset\n."), "builtins.set", 0},
    {B("ccopy_reg\n_reconstructor\n."), "copyreg._reconstructor", 0},
    {B("citertools\nimap\n."), "builtins.map", 0},
    {B("X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93."), "os.system", 0},
    {B("\x8c\x06system\x94"
       "0\x8c\x02osh\x00\x93."),
     "os.system", 0},
    {B("ca\nb\nK\x01\x85R."), "a.b(1)", 0},
    {B("ca\nb\n)\x81}K\x01K\x02sb."), "a.b()<-{1: 2}", 0},
    {B("ca\nb\nK\x01\x85}K\x02K\x03s\x92."), "a.b(1)**{2: 3}", 0},
    {B("(K\x01ia\nb\n."), "a.b(1)", 0},
    {B("(ca\nb\nK\x01o."), "a.b(1)", 0},
    {B("ca\nb\n)RK\x01K\x02s(K\x03K\x04u."), "a.b(){1: 2, 3: 4}", 0},
    {B("ca\nb\n)RK\x01"
       "a(K\x02"
       "e."),
     "a.b()+[1, 2]", 0},
    {B("ca\nb\n)R(K\x01\x90."), "a.b()+[1]", 0},
    {B("ca\nb\n]R."), "a.b*[]", PICKLE_ODD_ARGUMENTS},
    {B("K\x01Q."), "@1", 0},
    {B("Pabc\n."), "@'abc'", PICKLE_ODD_PERSID},
    {B("ca\nb\n)R0N."), "None", PICKLE_ODD_STACK},
    {B("ca\nb.c\n."), "a.b.c", PICKLE_ODD_DOTTED},
    {B("cos\nenviron\nU\x01"
       "aU\x01"
       "bs."),
     "os.environ", PICKLE_ODD_TARGET},
    {B("ca\nb\nN}\x86"
       "b."),
     "a.b", PICKLE_ODD_TARGET},
    {B("}Nb."), "{}", PICKLE_ODD_TARGET},
    /* Protocols and frames. */
    {B("\x80\x02\x80\x04N."), "None", PICKLE_ODD_PROTO},
    {B("N\x80\x02."), "None", PICKLE_ODD_PROTO},
    {B("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N."), "None", 0},
    {B("\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00N0K\x01."), "1", 0},
};

START_TEST(pickle__makes_the_value)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, good[_i].bytes);
    ck_assert_str_eq(f.pickle.problem.text, "");
    ck_assert(f.pickle.is_complete);
    ck_assert_uint_eq(f.pickle.end, good[_i].bytes.length);
    ck_assert_str_eq(f.shown.bytes, good[_i].shown);
    ck_assert_uint_eq(f.pickle.odd, good[_i].odd);
}
END_TEST

static const struct {
    struct slice bytes;
    enum status want;
    const char *text; /* a part of the message */
} bad[] = {
    {B(""), ERR_TRUNCATED, "without STOP"},
    {B("N"), ERR_TRUNCATED, "without STOP"},
    {B("."), ERR_MALFORMED, "empty"},
    {B("(."), ERR_MALFORMED, "empty"},
    {B("N(."), ERR_MALFORMED, "empty"},
    {B("\xff."), ERR_MALFORMED, "no opcode"},
    {B("0."), ERR_MALFORMED, "empty"},
    {B("1."), ERR_MALFORMED, "no mark"},
    {B("2."), ERR_MALFORMED, "empty"},
    {B("(2."), ERR_MALFORMED, "empty"},
    {B("t."), ERR_MALFORMED, "no mark"},
    {B("N\x86."), ERR_MALFORMED, "empty"},
    {B("N(N\x86."), ERR_MALFORMED, "empty"},
    {B("q\x00."), ERR_MALFORMED, "empty"},
    {B("h\x00."), ERR_MALFORMED, "memo entry"},
    {B("g4\n."), ERR_MALFORMED, "memo entry"},
    {B("Np-1\n."), ERR_MALFORMED, "memo index"},
    {B("Np4294967296\n."), ERR_MALFORMED, "memo index"},
    {B("Np1"), ERR_TRUNCATED, "line"},
    /* Arguments. */
    {B("K"), ERR_TRUNCATED, "argument"},
    {B("J\x01\x02"), ERR_TRUNCATED, "argument"},
    {B("X\x05\x00\x00\x00"
       "ab."),
     ERR_TRUNCATED, "5 bytes"},
    {B("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), ERR_TRUNCATED, "bytes"},
    {B("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."), ERR_TRUNCATED, "bytes"},
    {B("T\xff\xff\xff\xff."), ERR_MALFORMED, "negative"},
    {B("\x8b\xff\xff\xff\xff."), ERR_MALFORMED, "negative"},
    {B("\x8b\xff\xff\xff\x7f."), ERR_TRUNCATED, "argument"},
    {B("I\n."), ERR_MALFORMED, "int"},
    {B("I1x\n."), ERR_MALFORMED, "int"},
    {B("I1__0\n."), ERR_MALFORMED, "int"},
    {B("I1_\n."), ERR_MALFORMED, "int"},
    {B("I0x\n."), ERR_MALFORMED, "int"},
    {B("I09\n."), ERR_MALFORMED, "int"},
    {B("F\n."), ERR_MALFORMED, "float"},
    {B("F1,5\n."), ERR_MALFORMED, "float"},
    {B("F--1\n."), ERR_MALFORMED, "float"},
    {B("Sabc\n."), ERR_MALFORMED, "quotes"},
    {B("S'abc\n."), ERR_MALFORMED, "quotes"},
    {B("S'\n."), ERR_MALFORMED, "quotes"},
    {B("S'\\x4'\n."), ERR_MALFORMED, "escape"},
    {B("S'\\'\n."), ERR_MALFORMED, "escape"},
    {B("V\\u12\n."), ERR_MALFORMED, "escape"},
    {B("V\\U00110000\n."), ERR_MALFORMED, "escape"},
    {B("X\x01\x00\x00\x00\xff."), ERR_MALFORMED, "UTF-8"},
    {B("\x8c\x02\xc0\x80."), ERR_MALFORMED, "UTF-8"},
    /* Containers. */
    {B("N(K\x01K\x02us."), ERR_MALFORMED, "set on a None"},
    {B("}(K\x01u."), ERR_MALFORMED, "without a value"},
    {B("(K\x01"
       "d."),
     ERR_MALFORMED, "without a value"},
    {B("}]K\x01s."), ERR_MALFORMED, "list: not hashable"},
    {B("}]\x85K\x01s."), ERR_MALFORMED, "tuple: not hashable"},
    {B("\x8f(]\x90."), ERR_MALFORMED, "list: not hashable"},
    {B("}ccollections\nOrderedDict\n)RNs."), ERR_MALFORMED, "object: not hashable"},
    {B("(}\x91."), ERR_MALFORMED, "dict: not hashable"},
    {B(")K\x01"
       "a."),
     ERR_MALFORMED, "appended to a tuple"},
    {B("}K\x01"
       "a."),
     ERR_MALFORMED, "appended to a dict"},
    {B("](K\x01\x90."), ERR_MALFORMED, "added to a list"},
    {B("]K\x01K\x02s."), ERR_MALFORMED, "outside of its list"},
    {B("]}b."), ERR_MALFORMED, "state is given to a list"},
    {B("s."), ERR_MALFORMED, "empty"},
    {B("N(s."), ERR_MALFORMED, "empty"},
    /* Objects. */
    {B("c\nb\n."), ERR_MALFORMED, "without a name"},
    {B("ca\n\n."), ERR_MALFORMED, "without a name"},
    {B("ca\xff\nb\n."), ERR_MALFORMED, "not UTF-8"},
    {B("ca\nb"), ERR_TRUNCATED, "line"},
    {B("K\x01\x8c\x01x\x93."), ERR_MALFORMED, "two str"},
    {B("\x8c\x01x\x8c\x01x\x85\x93."), ERR_MALFORMED, "two str"},
    {B("\x8c\x02os\x93."), ERR_MALFORMED, "empty"},
    {B("K\x01)R."), ERR_MALFORMED, "a int is called"},
    {B("ca\nb\nR."), ERR_MALFORMED, "empty"},
    {B("(o."), ERR_MALFORMED, "no class"},
    {B("ia\nb\n."), ERR_MALFORMED, "no mark"},
    {B("\x82\x00."), ERR_MALFORMED, "not positive"},
    {B("\x84\xff\xff\xff\xff."), ERR_MALFORMED, "not positive"},
    {B("P\xc3\xa9\n."), ERR_MALFORMED, "ASCII"},
    {B("\x97."), ERR_MALFORMED, "buffer"},
    {B("C\x01x\x98."), ERR_MALFORMED, "buffer"},
};

START_TEST(pickle__stops_and_says_why)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, bad[_i].bytes);
    ck_assert(!f.pickle.is_complete);
    ck_assert_int_eq(f.pickle.problem.code, bad[_i].want);
    ck_assert_msg(strstr(f.pickle.problem.text, bad[_i].text) != NULL, "%s", f.pickle.problem.text);
}
END_TEST

/* What some loader would refuse and another would run to the end. */
static const struct {
    struct slice bytes;
    const char *shown;
    unsigned odd;
} doubtful[] = {
    {B("\x80\x06N."), "None", PICKLE_ODD_PROTO},
    {B("\x82\x07."), "ext:7", PICKLE_ODD_EXTENSION},
    {B("\x83\x07\x01)R."), "ext:263()", PICKLE_ODD_EXTENSION},
    {B("\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00\x8c\x04"
       "abcd."),
     "'abcd'", PICKLE_ODD_FRAME},
    {B("\x95\x0b\x00\x00\x00\x00\x00\x00\x00N\x95\x01\x00\x00\x00\x00\x00\x00\x00."), "None",
     PICKLE_ODD_FRAME},
    {B("\x95\xff\xff\xff\xff\xff\xff\xff\xffN."), "None", PICKLE_ODD_FRAME},
};

START_TEST(pickle__goes_on_where_only_some_loaders_stop)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, doubtful[_i].bytes);
    ck_assert(f.pickle.has_stop);
    ck_assert(!f.pickle.is_complete);
    ck_assert_int_eq(f.pickle.problem.code, ERR_MALFORMED);
    ck_assert_str_eq(f.shown.bytes, doubtful[_i].shown);
    ck_assert_uint_eq(f.pickle.odd, doubtful[_i].odd);
}
END_TEST

START_TEST(pickle__keeps_what_it_saw_before_it_stopped)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("cos\nsystem\n(U\x02idtR\xfe garbage"));
    ck_assert(!f.pickle.has_stop);
    ck_assert_uint_eq(f.pickle.global_count, 1);
    ck_assert(slice_is(f.pickle.globals->name, "system"));
    ck_assert_uint_eq(f.pickle.call_count, 1);
    ck_assert_uint_eq(f.pickle.calls->offset, 17);
    ck_assert_uint_eq(f.pickle.end, 18);
}
END_TEST

START_TEST(pickle__records_a_call_whose_result_is_popped)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("(cos\nsystem\nU\x02ido0N."));
    ck_assert(f.pickle.is_complete);
    ck_assert_uint_eq(f.pickle.call_count, 1);
    ck_assert_int_eq(f.pickle.calls->kind, PICKLE_OBJ);
    ck_assert(pickle_is_global(f.pickle.calls->callable, "os", "system"));
}
END_TEST

START_TEST(pickle__counts_each_global_once_with_its_uses)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("Nca\nb\nca\nc\nca\nb\n\x87."));
    ck_assert_uint_eq(f.pickle.global_count, 2);
    ck_assert_uint_eq(f.pickle.globals->count, 2);
    ck_assert_uint_eq(f.pickle.globals->offset, 1);
    ck_assert_uint_eq(f.pickle.globals->next->count, 1);
    ck_assert_ptr_null(f.pickle.globals->next->next);
}
END_TEST

START_TEST(pickle__walks_dotted_names_from_protocol_4_on)
{
    CLEANUP(fixture_done) struct fixture two = {0}, four = {0};

    fixture_run(&two, P("\x80\x02"
                        "cos\npath.join\n."));
    fixture_run(&four, P("\x80\x04"
                         "cos\npath.join\n."));
    ck_assert(!two.pickle.globals->is_walked);
    ck_assert(four.pickle.globals->is_walked);
}
END_TEST

START_TEST(pickle__keeps_a_carriage_return_in_a_name)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("cos\r\nsystem\n."));
    ck_assert(slice_is(f.pickle.globals->module, "os\r"));
}
END_TEST

START_TEST(pickle__tells_the_opcodes_that_were_there)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("\x80\x02]."));
    ck_assert(pickle_used(&f.pickle, 0x80));
    ck_assert(pickle_used(&f.pickle, ']'));
    ck_assert(!pickle_used(&f.pickle, '}'));
    ck_assert_uint_eq(f.pickle.opcodes, 3);
    ck_assert_uint_eq(f.pickle.protocol, 2);
}
END_TEST

START_TEST(pickle__ends_after_stop_and_leaves_the_rest)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("N.rest"));
    ck_assert(f.pickle.is_complete);
    ck_assert_uint_eq(f.pickle.end, 2);
}
END_TEST

START_TEST(pickle__remarks_an_object_that_changes_a_global)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, P("cargparse\nNamespace\n(N}tb."));
    ck_assert(f.pickle.globals->is_changed);
    ck_assert_uint_eq(f.pickle.globals->changed_at, 24);
}
END_TEST

/* Limits. */

static const struct {
    struct slice bytes;
    const char *text;
} beyond[] = {
    {B("(NNNNNNNNNNNNt."), "values in the file's pickles"},
    {B("N2222222222222."), "values on the stack"},
    {B("((((((((((((((."), "open marks"},
    {B("Nq\x00q\x01q\x02q\x03q\x04q\x05."), "memo entries"},
    {B("Nr\xff\xff\xff\x7fr\xff\xff\xff\x6fr\xff\xff\xff\x5f."), "far memo"},
    {B("ca\nb\nca\nc\nca\nd\nca\ne\n."), "globals"},
    {B("U\x30"
       "123456789012345678901234567890123456789012345678."),
     "bytes; the limit is"},
};

START_TEST(pickle__stops_at_each_limit)
{
    CLEANUP(fixture_done) struct fixture f = {.limits = limits_default()};

    f.limits.pickle_bytes = 48;
    f.limits.pickle_nodes = 10;
    f.limits.pickle_memo = 5;
    f.limits.pickle_memo_far = 2;
    f.limits.pickle_globals = 3;
    fixture_run(&f, beyond[_i].bytes);
    ck_assert_int_eq(f.pickle.problem.code, ERR_LIMIT);
    ck_assert_msg(strstr(f.pickle.problem.text, beyond[_i].text) != NULL, "%s",
                  f.pickle.problem.text);
}
END_TEST

START_TEST(pickle__shares_its_budget_with_the_files_other_pickles)
{
    struct limits limits = limits_default();
    struct arena arena = arena_with_cap(1 << 20);
    struct pickle_budget budget;
    struct pickle p;

    limits.pickle_nodes = 5;
    budget = pickle_budget(&limits);
    ck_assert_int_eq(pickle_run(P("(NNt."), &budget, &arena, &p, NULL), OK);
    ck_assert(p.is_complete);
    ck_assert_int_eq(pickle_run(P("(NNt."), &budget, &arena, &p, NULL), OK);
    ck_assert_int_eq(p.problem.code, ERR_LIMIT);
    arena_done(&arena);
}
END_TEST

START_TEST(pickle__stops_at_the_arenas_cap)
{
    CLEANUP(fixture_done) struct fixture f = {.limits = limits_default()};
    static char lists[4096];

    memset(lists, ']', sizeof lists);
    f.limits.arena_bytes = 8192;
    fixture_run(&f, (struct slice){lists, sizeof lists});
    ck_assert_int_eq(f.pickle.problem.code, ERR_LIMIT);
}
END_TEST

/* Bombs. */

START_TEST(pickle__takes_a_million_nested_lists)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    size_t depth = 1000000;
    char *bytes = calloc(2 * depth, 1);

    memset(bytes, ']', depth);
    memset(bytes + depth, 'a', depth - 1);
    bytes[2 * depth - 1] = '.';
    fixture_run(&f, (struct slice){bytes, 2 * depth});
    ck_assert(f.pickle.is_complete);
    free(bytes);
}
END_TEST

START_TEST(pickle__does_not_unfold_a_dag_of_two_to_the_fortieth)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    char bytes[100] = ")";

    for (size_t i = 0; i < 40; i++)
        memcpy(bytes + 1 + 2 * i, "2\x86", 2);
    bytes[81] = '.';
    fixture_run(&f, (struct slice){bytes, 82});
    ck_assert(f.pickle.is_complete);
    ck_assert_uint_lt(f.arena.used_bytes, 65536);
}
END_TEST

/* Keys that all fall into one slot of a table of their size would make hashing quadratic. */
START_TEST(pickle__settles_a_hundred_thousand_keys_and_their_doubles)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    size_t keys = 100000, at = 0;
    char *bytes = calloc(2 * keys, 12);
    struct pickle_pairs pairs;
    bool is_mapping;

    memcpy(bytes, "}(", 2);
    at = 2;
    for (size_t i = 0; i < 2 * keys; i++) {
        uint32_t key = (uint32_t)(i % keys) << 12, value = (uint32_t)i;

        bytes[at++] = 'J';
        memcpy(bytes + at, &key, 4);
        bytes[at + 4] = 'J';
        memcpy(bytes + at + 5, &value, 4);
        at += 9;
    }
    memcpy(bytes + at, "u.", 2);
    fixture_run(&f, (struct slice){bytes, at + 2});
    ck_assert_uint_eq(f.pickle.odd, PICKLE_ODD_DUPLICATE);
    ck_assert_int_eq(pickle_pairs(f.pickle.root, &f.arena, &is_mapping, &pairs, NULL), OK);
    ck_assert_uint_eq(pairs.count, keys);
    ck_assert_int_eq(pairs.at[7].key.is.integer, 7 << 12);
    ck_assert_int_eq(pairs.at[7].value.is.integer, (int64_t)keys + 7);
    free(bytes);
}
END_TEST

START_TEST(pickle__refers_to_a_ten_megabyte_int_without_copying_it)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    size_t length = 10 << 20;
    char *bytes = calloc(length + 8, 1);
    uint32_t told = (uint32_t)length;

    bytes[0] = (char)0x8B;
    memcpy(bytes + 1, &told, 4);
    bytes[4 + length] = 1;
    bytes[5 + length] = '.';
    fixture_run(&f, (struct slice){bytes, length + 6});
    ck_assert(f.pickle.is_complete);
    ck_assert_int_eq(f.pickle.root.kind, PICKLE_BIGINT);
    ck_assert_uint_lt(f.arena.used_bytes, 4096);
    free(bytes);
}
END_TEST

/* Whatever is cut off, the machine ends with a reason and inside the bytes. */
START_TEST(pickle__survives_truncation_at_every_byte)
{
    static const struct slice whole = B(
        "\x80\x04\x95\x60\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"
        "a\x94K\x01\x8c\x01"
        "b\x94"
        "ca\nb\n)R}bG\x3f\xf8\x00\x00\x00\x00\x00\x00S'x\\n'\nVy\\u0041\nI12\nX\x01\x00\x00\x00z"
        "(ia\nc\nC\x02xyM\x01\x02J\x01\x00\x00\x00(ca\nd\no\x8a\x01\x05\x8f(K\x01\x90K\x02K\x03u.");

    for (size_t length = 0; length < whole.length; length++) {
        CLEANUP(fixture_done) struct fixture f = {0};
        char *exact = calloc(length + 1, 1);

        memcpy(exact, whole.at, length);
        exact = realloc(exact, length > 0 ? length : 1);
        fixture_run(&f, (struct slice){exact, length});
        ck_assert(!f.pickle.is_complete);
        ck_assert_uint_le(f.pickle.end, length);
        free(exact);
    }
}
END_TEST

static const char *const plain[] = {"0", "1", "2", "3", "4", "5"};

START_TEST(pickle__reads_the_same_dict_in_every_protocol)
{
    CLEANUP(fixture_done) struct fixture f = {0};
    char path[256];
    struct slice bytes, want;

    (void)snprintf(path, sizeof path, "%s/pickle-machine/plain-%s.pkl", CASES_DIR, plain[_i]);
    bytes = fixture_file(path);
    (void)snprintf(path, sizeof path, "%s/pickle-machine/plain-%s.txt", CASES_DIR, plain[_i]);
    want = fixture_file(path);
    fixture_run(&f, bytes);
    ck_assert(f.pickle.is_complete);
    ck_assert_str_eq(f.shown.bytes, want.at);
    ck_assert_uint_eq(f.pickle.odd, 0);
    free((void *)(uintptr_t)bytes.at);
    free((void *)(uintptr_t)want.at);
}
END_TEST

SUITE(pickle)
{
    return suite_with(
        "pickle", LOOP(pickle__makes_the_value, good), LOOP(pickle__stops_and_says_why, bad),
        LOOP(pickle__goes_on_where_only_some_loaders_stop, doubtful),
        TEST(pickle__keeps_what_it_saw_before_it_stopped),
        TEST(pickle__records_a_call_whose_result_is_popped),
        TEST(pickle__counts_each_global_once_with_its_uses),
        TEST(pickle__walks_dotted_names_from_protocol_4_on),
        TEST(pickle__keeps_a_carriage_return_in_a_name),
        TEST(pickle__tells_the_opcodes_that_were_there),
        TEST(pickle__ends_after_stop_and_leaves_the_rest),
        TEST(pickle__remarks_an_object_that_changes_a_global),
        LOOP(pickle__stops_at_each_limit, beyond),
        TEST(pickle__shares_its_budget_with_the_files_other_pickles),
        TEST(pickle__stops_at_the_arenas_cap), TEST(pickle__takes_a_million_nested_lists),
        TEST(pickle__does_not_unfold_a_dag_of_two_to_the_fortieth),
        TEST(pickle__settles_a_hundred_thousand_keys_and_their_doubles),
        TEST(pickle__refers_to_a_ten_megabyte_int_without_copying_it),
        TEST(pickle__survives_truncation_at_every_byte),
        LOOP(pickle__reads_the_same_dict_in_every_protocol, plain));
}
