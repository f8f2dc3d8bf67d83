#include "common/formats/pickle_modern.h"

#include "tests/support/unit.h"

static const struct {
    const char *module, *name, *modern_module, *modern_name;
    bool is_torch; /* the same for weights_only */
} rows[] = {
    {"__builtin__", "set", "builtins", "set", true},
    {"__builtin__", "xrange", "builtins", "range", true},
    {"copy_reg", "_reconstructor", "copyreg", "_reconstructor", true},
    {"itertools", "imap", "builtins", "map", true},
    {"itertools", "chain", "itertools", "chain", true},
    {"UserDict", "UserDict", "collections", "UserDict", true},
    {"commands", "getoutput", "subprocess", "getoutput", false},
    {"urllib", "urlopen", "urllib.request", "urlopen", false},
    {"cPickle", "loads", "pickle", "loads", false},
    {"exceptions", "ValueError", "builtins", "ValueError", false},
    {"torch", "float32", "torch", "float32", true},
};

START_TEST(pickle_modern__spells_names_as_python_3_does)
{
    struct slice module, name;

    pickle_modern(slice_of(rows[_i].module), slice_of(rows[_i].name), &module, &name);
    ck_assert(slice_is(module, rows[_i].modern_module));
    ck_assert(slice_is(name, rows[_i].modern_name));
}
END_TEST

START_TEST(pickle_modern__knows_what_weights_only_leaves_as_it_is)
{
    struct slice module, name;

    pickle_modern_torch(slice_of(rows[_i].module), slice_of(rows[_i].name), &module, &name);
    ck_assert(slice_is(module, rows[_i].is_torch ? rows[_i].modern_module : rows[_i].module));
    ck_assert(slice_is(name, rows[_i].is_torch ? rows[_i].modern_name : rows[_i].name));
}
END_TEST

SUITE(pickle_modern)
{
    return suite_with("pickle_modern", LOOP(pickle_modern__spells_names_as_python_3_does, rows),
                      LOOP(pickle_modern__knows_what_weights_only_leaves_as_it_is, rows));
}
