#include "common/compat/pattern.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

enum { CAP = 1 << 20 };

/* What a rule makes of a key: its text in out, or that it does not match. */
static bool
rewrite(const char *from, const char *to, const char *key, struct buf *out)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    struct pattern pattern, template;
    struct bindings b = {0};
    struct slice segments[16], rest = slice_of(key);
    size_t count = 0;

    ck_assert_int_eq(pattern_parse(slice_of(from), false, &arena, &pattern, NULL), OK);
    ck_assert_int_eq(pattern_parse(slice_of(to), true, &arena, &template, NULL), OK);
    do {
        segments[count++] = slice_cut(&rest, '.');
    } while (rest.at != NULL);
    return pattern_match(&pattern, segments, count, &b) && pattern_make(&template, &b, out);
}

static const struct {
    const char *from, *to, *key, *want; /* NULL: no match */
} rewritten[] = {
    {"module.{*}", "{*}", "module.conv1.weight", "conv1.weight"},
    {"module.{*}", "{*}", "module", NULL},
    {"module.{*}", "{*}", "modules.conv1", NULL},
    {"{*}", "backbone.{*}", "a.b", "backbone.a.b"},
    {"{*}.gamma", "{*}.weight", "a.b.gamma", "a.b.weight"},
    {"{*}.gamma", "{*}.weight", "gamma", NULL},
    {"a.{*}.z", "{*}", "a.b.c.z", "b.c"},
    {"a.{*}.z", "{*}", "a.z", NULL},
    {"layer{i}.{*}", "res{i+1}.{*}", "layer3.x", "res4.x"},
    {"layer{i}.{*}", "res{i+1}.{*}", "layer03.x", NULL},
    {"layer{i}.{*}", "res{i+1}.{*}", "layer.x", NULL},
    {"layer{i}.{*}", "res{i+1}.{*}", "layer9223372036854775807.x", NULL},
    {"layer{i}.{*}", "res{i+1}.{*}", "layer9223372036854775808.x", NULL},
    {"up.{i}.w", "up.{3-i}.w", "up.0.w", "up.3.w"},
    {"up.{i}.w", "up.{3-i}.w", "up.4.w", NULL},
    {"in.{k}.0", "d.{(k-1)/3}.r.{(k-1)%3}", "in.5.0", "d.1.r.1"},
    {"in.{k}.0", "d.{(k-1)/3}.r.{(k-1)%3}", "in.0.0", NULL},
    {"d.{i}.{j}", "x.{3*i+j}", "d.2.1", "x.7"},
    {"d.{i}.{j}", "x.{i*3+j+1}", "d.2.1", "x.8"},
    {"d.{i}", "x.{i/2}", "d.7", "x.3"},
    {"d.{i}", "x.{10-i%4}", "d.7", "x.7"},
    {"d.{i}", "x.{i-5+5}", "d.3", NULL}, /* negative on the way */
    {"b{i}_{j}", "{j}.{i}", "b1_22", "22.1"},
    {"b{i}_{j}", "{j}.{i}", "b1_2_2", NULL},
    {"{leaf}.{leaf}", "{leaf}", "a.a", "a"},
    {"{leaf}.{leaf}", "{leaf}", "a.b", NULL},
    {"{i}.{i}", "{i}", "3.3", "3"},
    {"{i}.{i}", "{i}", "3.4", NULL},
    {"a.{name}.c", "{name}.a", "a.b.c", "b.a"},
    {"a{{b}}", "c}}", "a{b}", "c}"},
    {"*.x", "y", "*.x", "y"},
    {"*.x", "y", "a.x", NULL},
    {"a..b", "c", "a..b", "c"},
    {"a.b", "c", "a.b.c", NULL},
};

START_TEST(pattern__rewrites_keys)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(CAP);
    bool matched = rewrite(rewritten[_i].from, rewritten[_i].to, rewritten[_i].key, &out);

    ck_assert_msg(matched == (rewritten[_i].want != NULL), "%s on %s", rewritten[_i].from,
                  rewritten[_i].key);
    if (matched)
        ck_assert_str_eq(out.bytes, rewritten[_i].want);
}
END_TEST

static const struct {
    const char *text;
    bool is_template;
} refused[] = {
    {"", false},
    {"{", false},
    {"}", false},
    {"a{b", false},
    {"{*}.{*}", false},
    {"x{*}", false},
    {"{*}x", false},
    {"x{name}", false},
    {"{i}{j}", false},
    {"{i}2", false},
    {"{i+1}", false},
    {"{}", false},
    {"{ i}", false},
    {"{I+}", true},
    {"{1}", true},
    {"{1+2}", true},
    {"{-i}", true},
    {"{i--1}", true},
    {"{(i)}", true},
    {"{(i+1}", true},
    {"{i/0}", true},
    {"{i/4294967296}", true},
    {"{i/2/2}", true},
    {"{i/2+i/3}", true},
    {"{i*j}", true},
    {"{01*i}", true},
    {"{((i+1))/2}", true},
    {"{99999999999999999999*i}", true},
    {"{i+i+i+i+i+i+i+i+i+i+i+i+i+i+i+i+i}", true},
};

START_TEST(pattern__refuses)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    struct pattern p;
    struct err err = {0};

    ck_assert_msg(pattern_parse(slice_of(refused[_i].text), refused[_i].is_template, &arena, &p,
                                &err) == ERR_BAD_REMAP,
                  "%s", refused[_i].text);
    ck_assert_str_ne(err.text, "");
}
END_TEST

START_TEST(pattern__escapes_braces_of_a_plain_text)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    struct slice pattern;
    struct pattern p;

    ck_assert_int_eq(pattern_of_text(slice_of("a{*}.b}"), &arena, &pattern, NULL), OK);
    ck_assert(slice_is(pattern, "a{{*}}.b}}"));
    ck_assert_int_eq(pattern_parse(pattern, false, &arena, &p, NULL), OK);
    ck_assert(p.is_literal);
    ck_assert(slice_is(p.literal, "a{*}.b}"));
}
END_TEST

START_TEST(pattern__refuses_more_segments_than_a_key_can_have)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(CAP);
    static char dots[PATTERN_SEGMENTS_MAX + 1];
    struct pattern p;

    memset(dots, '.', sizeof dots);
    ck_assert_int_eq(pattern_parse((struct slice){dots, sizeof dots}, false, &arena, &p, NULL),
                     ERR_BAD_REMAP);
}
END_TEST

SUITE(pattern)
{
    return suite_with("pattern", LOOP(pattern__rewrites_keys, rewritten),
                      LOOP(pattern__refuses, refused),
                      TEST(pattern__escapes_braces_of_a_plain_text),
                      TEST(pattern__refuses_more_segments_than_a_key_can_have));
}
