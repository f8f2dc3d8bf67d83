#include "common/formats/pickle_globals.h"

#include "tests/support/pickle_fixture.h"
#include "tests/support/unit.h"

static const struct {
    const char *module, *name;
    bool is_walked;
    enum pickle_listing want;
} names[] = {
    {"collections", "OrderedDict", false, PICKLE_INERT},
    {"torch._utils", "_rebuild_tensor_v2", false, PICKLE_INERT},
    {"torch", "float32", false, PICKLE_INERT},
    {"torch.cuda", "FloatStorage", false, PICKLE_INERT},
    {"argparse", "Namespace", false, PICKLE_INERT},
    {"numpy._core.multiarray", "scalar", false, PICKLE_INERT},
    {"torch.storage", "_load_from_bytes", false, PICKLE_LOADER},
    {"my.module", "Config", false, PICKLE_UNLISTED},
    {"torch.nn.modules.linear", "Linear", false, PICKLE_UNLISTED},
    {"argparse.Namespace", "x", false, PICKLE_UNLISTED},
    {"argparse", "ArgumentParser", false, PICKLE_UNLISTED},
    /* A gadget, or what lies below one on a dot's boundary. */
    {"os", "system", false, PICKLE_DANGEROUS},
    {"posix", "system", false, PICKLE_DANGEROUS},
    {"os.path", "join", false, PICKLE_DANGEROUS},
    {"asyncio.unix_events", "_UnixSubprocessTransport._start", false, PICKLE_DANGEROUS},
    {"subprocess", "Popen", false, PICKLE_DANGEROUS},
    {"builtins", "eval", false, PICKLE_DANGEROUS},
    {"functools", "partial", false, PICKLE_DANGEROUS},
    {"torch.distributed.rpc.internal", "PythonUDF", false, PICKLE_DANGEROUS},
    {"torch.utils.data.datapipes.utils.decoder", "basichandlers", false, PICKLE_DANGEROUS},
    {"osmosis", "system", false, PICKLE_UNLISTED},
    {"ostrich", "x", false, PICKLE_UNLISTED},
    {"builtins", "evaluate", false, PICKLE_UNLISTED},
    {"code.models", "Net", false, PICKLE_UNLISTED},
    /* Dots in the name are followed from protocol 4 on. */
    {"torch.serialization", "os.system", true, PICKLE_DANGEROUS},
    {"torch", "serialization.os.system", true, PICKLE_DANGEROUS},
    {"torch", "serialization.os.system", false, PICKLE_UNLISTED},
    {"collections", "OrderedDict.__init__.__globals__", true, PICKLE_DANGEROUS},
    {"my.module", "Outer.Inner", true, PICKLE_UNLISTED},
};

START_TEST(pickle_globals__knows_the_name)
{
    struct pickle_global g = {.module = slice_of(names[_i].module),
                              .name = slice_of(names[_i].name),
                              .is_walked = names[_i].is_walked};
    struct pickle_listed listed;

    g.modern_module = g.module;
    g.modern_name = g.name;
    listed = pickle_globals_find(&g);
    ck_assert_int_eq(listed.listing, names[_i].want);
    ck_assert((listed.what != NULL) == (names[_i].want == PICKLE_DANGEROUS));
}
END_TEST

START_TEST(pickle_globals__copes_with_names_of_any_length)
{
    static char letters[100000];
    struct pickle_global g = {.module = {letters, sizeof letters}, .name = {letters, 5}};

    memset(letters, 'a', sizeof letters);
    g.modern_module = g.module;
    g.modern_name = g.name;
    ck_assert_int_eq(pickle_globals_find(&g).listing, PICKLE_UNLISTED);
    memcpy(letters, "os.", 3);
    ck_assert_int_eq(pickle_globals_find(&g).listing, PICKLE_DANGEROUS);
}
END_TEST

static const struct {
    const char *module, *name;
    bool wanted;
} torch_names[] = {
    {"torch", "Size", true},
    {"__builtin__", "set", true},
    {"torch", "_utils._rebuild_tensor_v2", true}, /* weights_only joins module and name */
    {"torch.nn", "parameter.Parameter", true},
    {"torch.nn", "Parameter", false},
    {"argparse", "Namespace", false},
    {"os", "system", false},
};

START_TEST(pickle_globals__knows_what_weights_only_takes)
{
    struct pickle_global g = {.module = slice_of(torch_names[_i].module),
                              .name = slice_of(torch_names[_i].name)};

    ck_assert_int_eq(pickle_globals_torch(&g) != NULL, torch_names[_i].wanted);
}
END_TEST

/* A call of m.f with the arguments of the pickle's tuple. */
static const struct {
    const char *letters;
    struct slice bytes;
    bool fits;
} calls[] = {
    {NULL, B("cm\nf\n(NNNtR."), true},
    {"", B("cm\nf\n)R."), true},
    {"", B("cm\nf\nN\x85R."), false},
    {"i", B("cm\nf\nK\x01\x85R."), true},
    {"i", B("cm\nf\nN\x85R."), false},
    {"i", B("cm\nf\n)R."), false},
    {"?i", B("cm\nf\n)R."), true},
    {"?ii", B("cm\nf\nK\x01\x85R."), true},
    {"s?i",
     B("cm\nf\nU\x01"
       "a\x85R."),
     true},
    {"s?i",
     B("cm\nf\nU\x01"
       "aN\x86R."),
     false},
    {"i|N", B("cm\nf\nN\x85R."), true},
    {"i|N",
     B("cm\nf\nU\x01"
       "a\x85R."),
     false},
    {"s+", B("cm\nf\n)R."), true},
    {"s+",
     B("cm\nf\nU\x01"
       "aU\x01"
       "bU\x01"
       "c\x87R."),
     true},
    {"s+",
     B("cm\nf\nU\x01"
       "aK\x01\x86R."),
     false},
    {"is+", B("cm\nf\nK\x01\x85R."), true},
    {"y",
     B("cm\nf\nc_codecs\nencode\nX\x01\x00\x00\x00"
       "aX\x06\x00\x00\x00latin1\x86R\x85R."),
     true},
    {"y",
     B("cm\nf\nC\x01"
       "a\x85R."),
     true},
    {"F",
     B("cm\nf\nU\x02"
       "f4\x85R."),
     true},
    {"F", B("cm\nf\nU\x02O8\x85R."), false},
    {"E", B("cm\nf\nU\x03zip\x85R."), false},
    {"gON", B("cm\nf\n(ca\nb\nc__builtin__\nobject\nNtR."), true},
    {"gON", B("cm\nf\n(ca\nb\nc__builtin__\nlist\nNtR."), false},
    {"A", B("cm\nf\ncnumpy\nndarray\n\x85R."), true},
    {"V",
     B("cm\nf\ncnumpy\ndtype\nU\x02"
       "f4\x85R\x85R."),
     true},
    {"t", B("cm\nf\n]\x85R."), true},
    {"d", B("cm\nf\n}\x85R."), true},
    {"p", B("cm\nf\nNQ\x85R."), true},
    {"*", B("cm\nf\n]R."), false},
};

START_TEST(pickle_globals__holds_arguments_against_their_letters)
{
    CLEANUP(fixture_done) struct fixture f = {0};

    fixture_run(&f, calls[_i].bytes);
    ck_assert_str_eq(f.pickle.problem.text, "");
    ck_assert_int_eq(pickle_globals_fit(calls[_i].letters, f.pickle.root), calls[_i].fits);
}
END_TEST

SUITE(pickle_globals)
{
    return suite_with("pickle_globals", LOOP(pickle_globals__knows_the_name, names),
                      TEST(pickle_globals__copes_with_names_of_any_length),
                      LOOP(pickle_globals__knows_what_weights_only_takes, torch_names),
                      LOOP(pickle_globals__holds_arguments_against_their_letters, calls));
}
