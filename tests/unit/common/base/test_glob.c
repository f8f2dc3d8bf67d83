#include "common/base/glob.h"

#include "tests/support/unit.h"

static const struct {
    const char *pattern, *name;
    bool want;
} cases[] = {
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "a.b.c", true},
    {"fc.*", "fc.weight", true},
    {"fc.*", "fc.", true},
    {"fc.*", "fc", false},
    {"*.position_ids", "a.b.position_ids", true},
    {"*.position_ids", "position_ids", false},
    {"*.weight", "a.weight.weight", true},
    {"a*b*c", "a-b-b-c", true},
    {"a*b*c", "a-c-b", false},
    {"layer?.bias", "layer3.bias", true},
    {"layer?.bias", "layer10.bias", false},
    {"?", "", false},
    {"**", "x", true},
    {"[ab]", "a", false},
    {"[ab]", "[ab]", true},
};

START_TEST(glob__matches_whole_names)
{
    ck_assert_int_eq(glob_match(slice_of(cases[_i].pattern), slice_of(cases[_i].name)),
                     cases[_i].want);
}
END_TEST

START_TEST(glob__is_not_slow_on_many_stars)
{
    static char name[1024];
    struct slice pattern = slice_of("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b");

    memset(name, 'a', sizeof name);
    ck_assert(!glob_match(pattern, (struct slice){.at = name, .length = sizeof name}));
}
END_TEST

SUITE(glob)
{
    return suite_with("glob", LOOP(glob__matches_whole_names, cases),
                      TEST(glob__is_not_slow_on_many_stars));
}
