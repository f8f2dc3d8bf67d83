#include "common/compat/report.h"

#include <stdio.h>

#include "common/base/attr.h"
#include "tests/support/compat_fixture.h"
#include "tests/support/unit.h"

#define NET(p) \
    p "conv1.weight 8,3,3,3;" p "layer1.0.conv.weight 8,8,3,3;" p \
      "layer1.1.conv.weight 8,8,3,3;" p "fc.weight 10,8;" p "fc.bias 10;"

/* One file: its top, and what lies under "state_dict" (NULL: the weights are the top). */
struct file {
    struct container containers[2];
    struct inspection inspection;
};

static void
make_file(struct compat_fixture *f, const char *top, const char *nested, struct file *ret)
{
    ret->containers[0] =
        fixture_container(f, "", nested == NULL ? CONTAINER_WEIGHTS : CONTAINER_OUTER, top);
    if (nested != NULL)
        ret->containers[1] = fixture_container(f, "state_dict", CONTAINER_WEIGHTS, nested);
    ret->inspection = fixture_inspection(ret->containers, nested == NULL ? 1 : 2);
}

static enum status
report_on(struct compat_fixture *f, struct file *file, const char *expected,
          const struct report_options *options, struct report *ret)
{
    struct manifest *m = arena_alloc(&f->arena, 1, sizeof *m);

    ck_assert_ptr_nonnull(m);
    *m = fixture_manifest(f, expected);
    f->err = (struct err){0};
    return report_make(&file->inspection, m, options, &f->limits, &f->arena, ret, &f->err);
}

static const struct report_options usual = {.loader = LOADER_COUNT};

/* design.md §5: the verdicts, in the order in which they are decided. */
static const struct {
    const char *name, *top, *nested, *expected;
    enum verdict want;
    bool as_is_strict, as_is_non_strict;
} verdicts[] = {
    {"the same", NET(""), NULL, NET(""), VERDICT_STRICT, true, true},
    {"half precision", "a.weight 4,4 float16", NULL, "a.weight 4,4", VERDICT_STRICT, true, true},
    {"DataParallel", NET("module."), NULL, NET(""), VERDICT_STRICT_AFTER_REMAP, false, true},
    {"under state_dict", "state_dict !dict; epoch !int", NET(""), NET(""),
     VERDICT_STRICT_AFTER_REMAP, false, true},
    {"under state_dict and wrapped", "state_dict !dict", NET("module."), NET(""),
     VERDICT_STRICT_AFTER_REMAP, false, true},
    {"a key is missing", NET(""), NULL, NET("") "extra.weight 2", VERDICT_NON_STRICT, false, true},
    {"another head", "conv1.weight 64,3,3,3; fc.weight 10,8; fc.bias 10", NULL,
     "conv1.weight 64,3,3,3; fc.weight 5,8; fc.bias 5", VERDICT_PARTIAL, false, false},
    {"integers for floats", "a.weight 4,4 int64", NULL, "a.weight 4,4", VERDICT_PARTIAL, true,
     true},
    {"a deeper network", NET("") "layer1.2.conv.weight 8,8,3,3", NULL, NET(""),
     VERDICT_INCOMPATIBLE, false, true},
    {"another network", "a.b.weight 3,4; a.c.weight 5", NULL, NET(""), VERDICT_INCOMPATIBLE, false,
     true},
    {"nothing expected, nothing there", "", NULL, "", VERDICT_STRICT, true, true},
};

START_TEST(report__decides_as_the_design_says)
{
    struct compat_fixture f = compat_fixture_begin();
    struct file file;
    struct report r;

    make_file(&f, verdicts[_i].top, verdicts[_i].nested, &file);
    ck_assert_int_eq(report_on(&f, &file, verdicts[_i].expected, &usual, &r), OK);
    ck_assert_msg(r.verdict == verdicts[_i].want, "%s: %s", verdicts[_i].name,
                  verdict_name(r.verdict));
    ck_assert_msg(r.as_is.judgement.strict == verdicts[_i].as_is_strict, "%s", verdicts[_i].name);
    ck_assert_msg(r.as_is.judgement.non_strict == verdicts[_i].as_is_non_strict, "%s",
                  verdicts[_i].name);
    if (r.verdict == VERDICT_STRICT_AFTER_REMAP) {
        ck_assert(r.has_remap && r.after_remap.judgement.strict);
        ck_assert(r.after_remap.coverage.tensors == 1.0);
        ck_assert_uint_gt(r.advice.count, 0);
    }
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__unwraps_as_part_of_the_remap)
{
    struct compat_fixture f = compat_fixture_begin();
    struct file file;
    struct report r;

    make_file(&f, "state_dict !dict; epoch !int", NET(""), &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &usual, &r), OK);
    ck_assert(r.remap.has_container);
    ck_assert_slice_eq(r.remap.container, "state_dict");
    ck_assert_uint_eq(r.remap.pass_count, 0);
    ck_assert_uint_eq(r.as_is.judgement.unexpected_count, 2);
    ck_assert_slice_eq(r.as_is.judgement.unexpected[0], "epoch");
    ck_assert_uint_eq(r.container_count, 1);
    ck_assert_slice_eq(r.containers[0].path, "state_dict");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__lightning_opens_state_dict_by_itself)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {.loader = LOADER_LIGHTNING};
    struct file file;
    struct report r;

    make_file(&f, "state_dict !dict; epoch !int", NET(""), &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    ck_assert(!r.has_remap);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__opens_the_container_that_is_asked_for)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {
        .loader = LOADER_COUNT, .has_container = true, .container = slice_of("state_dict")};
    struct file file;
    struct report r;

    make_file(&f, "state_dict !dict", NET(""), &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    options.container = slice_of("no_such");
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(f.err.text, "no_such"));
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__a_broken_file_is_unknown)
{
    struct compat_fixture f = compat_fixture_begin();
    struct file file;
    struct report r;

    make_file(&f, NET(""), NULL, &file);
    file.inspection.safety = SAFETY_MALFORMED;
    ck_assert_int_eq(report_on(&f, &file, NET(""), &usual, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_UNKNOWN);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__warns_of_what_opening_the_file_does)
{
    struct compat_fixture f = compat_fixture_begin();
    struct slice need = slice_of("my.Config");
    struct file file;
    struct report r;

    make_file(&f, NET(""), NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &usual, &r), OK);
    ck_assert_uint_eq(r.warnings.count, 0);
    file.inspection.safety = SAFETY_DANGEROUS;
    file.inspection.weights_only =
        (struct weights_only){.applies = true, .needs = &need, .need_count = 1};
    ck_assert_int_eq(report_on(&f, &file, NET(""), &usual, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    ck_assert_uint_eq(r.warnings.count, 2);
    ck_assert_ptr_nonnull(strstr(r.warnings.texts[0].at, "dangerous"));
    ck_assert_ptr_nonnull(strstr(r.warnings.texts[1].at, "my.Config"));
    compat_fixture_done(&f);
}
END_TEST

/* A series whose lengths differ is said in words, both ways. */
START_TEST(report__says_why_a_depth_contradicts)
{
    struct compat_fixture f = compat_fixture_begin();
    struct file file;
    struct report r;

    make_file(&f, NET("") "layer1.2.conv.weight 8,8,3,3", NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &usual, &r), OK);
    ck_assert_uint_eq(r.contradictions.count, 1);
    ck_assert_slice_eq(r.contradictions.texts[0], "layer1 has 3 blocks, the manifest expects 2");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__allowances_do_not_lower_the_verdict_and_are_listed)
{
    struct compat_fixture f = compat_fixture_begin();
    const struct slice globs[] = {slice_of("head.*")};
    struct report_options options = {.loader = LOADER_COUNT, .allow_missing = {globs, 1}};
    struct file file;
    struct report r;

    make_file(&f, NET(""), NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, NET("") "head.weight 2; head.bias 2", &options, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    ck_assert(!r.as_is.judgement.strict);
    ck_assert_uint_eq(r.allowed_count, 2);
    ck_assert_slice_eq(r.allowed[0].glob, "head.*");
    compat_fixture_done(&f);
}
END_TEST

static const struct {
    enum dtype_policy policy;
    const char *found;
    enum verdict want;
} casts[] = {
    {DTYPE_POLICY_SAFE, "float16", VERDICT_STRICT},
    {DTYPE_POLICY_SAFE, "int32", VERDICT_PARTIAL},
    {DTYPE_POLICY_EXACT, "float16", VERDICT_PARTIAL},
    {DTYPE_POLICY_EXACT, "float32", VERDICT_STRICT},
    {DTYPE_POLICY_ANY, "int32", VERDICT_STRICT},
    {DTYPE_POLICY_ANY, "complex64", VERDICT_STRICT},
};

START_TEST(report__casts_count_as_the_policy_says)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {.loader = LOADER_COUNT, .dtype = casts[_i].policy};
    struct file file;
    struct report r;
    char found[64];

    snprintf(found, sizeof found, "a.weight 4,4 %s", casts[_i].found);
    make_file(&f, found, NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, "a.weight 4,4", &options, &r), OK);
    ck_assert_int_eq(r.verdict, casts[_i].want);
    ck_assert(r.as_is.judgement.strict);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__coverage_below_the_least_is_incompatible)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {.loader = LOADER_COUNT};
    struct file file;
    struct report r;

    make_file(&f, "a.weight 10", NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, "a.weight 10; b.c.weight 10; d.weight 5", &options, &r),
                     OK);
    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    options.has_min_coverage = true;
    options.min_coverage = 0.4;
    ck_assert_int_eq(report_on(&f, &file, "a.weight 10; b.c.weight 10; d.weight 5", &options, &r),
                     OK);
    ck_assert_int_eq(r.verdict, VERDICT_NON_STRICT);
    ck_assert(r.as_is.coverage.elements == 0.4);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__judges_exactly_the_remap_that_is_given)
{
    struct compat_fixture f = compat_fixture_begin();
    struct remap remap;
    struct report_options options = {.loader = LOADER_COUNT, .remap = &remap};
    struct file file;
    struct report r;

    make_file(&f, NET("net."), NULL, &file);
    ck_assert_int_eq(fixture_remap(&f, "net.{*} -> {*}", &remap), OK);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_int_eq(fixture_remap(&f, "net.fc.{*} -> fc.{*}", &remap), OK);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    options.infer = INFER_COMPLETE;
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_int_eq(fixture_remap(&f, "container elsewhere;net.{*} -> {*}", &remap), OK);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), ERR_BAD_REQUEST);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__infers_nothing_when_told_so)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {.loader = LOADER_COUNT, .infer = INFER_NONE};
    struct file file;
    struct report r;

    make_file(&f, NET("module."), NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), OK);
    ck_assert(!r.has_remap);
    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__counts_what_is_left_out)
{
    struct compat_fixture f = compat_fixture_begin();
    struct file file;
    struct report r;

    make_file(&f, NET("model.") "decoder.w 3,4; decoder.x 5", NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &usual, &r), OK);
    ck_assert_int_eq(r.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_uint_eq(r.discarded_tensors, 2);
    ck_assert_uint_eq(r.discarded_elements, 17);
    ck_assert_uint_eq(r.discarded_subtrees.count, 1);
    ck_assert_slice_eq(r.discarded_subtrees.texts[0], "decoder");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__maps_each_filled_key)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {.loader = LOADER_COUNT, .wants_mapping = true};
    struct file file;
    struct report r;

    make_file(&f, NET("module."), NULL, &file);
    ck_assert_int_eq(report_on(&f, &file, NET(""), &options, &r), OK);
    ck_assert_uint_eq(r.mapping_count, 5);
    ck_assert_slice_eq(r.mapping[0].to, "conv1.weight");
    ck_assert_uint_eq(r.mapping[0].from_count, 1);
    ck_assert_slice_eq(r.mapping[0].from[0], "module.conv1.weight");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__refuses_a_loader_that_is_not_known)
{
    struct compat_fixture f = compat_fixture_begin();
    struct manifest m = fixture_manifest(&f, NET(""));
    struct file file;
    struct report r;

    m.loader = slice_of("tensorflow");
    make_file(&f, NET(""), NULL, &file);
    ck_assert_int_eq(report_make(&file.inspection, &m, &usual, &f.limits, &f.arena, &r, &f.err),
                     ERR_BAD_MANIFEST);
    ck_assert_ptr_nonnull(strstr(f.err.text, "tensorflow"));
    compat_fixture_done(&f);
}
END_TEST

START_TEST(report__words_of_its_options_read_back)
{
    enum infer_mode mode;
    enum dtype_policy policy;

    ck_assert(report_infer_find(slice_of("complete"), &mode) && mode == INFER_COMPLETE);
    ck_assert(!report_infer_find(slice_of("Full"), &mode));
    ck_assert(report_dtype_find(slice_of("exact"), &policy) && policy == DTYPE_POLICY_EXACT);
    ck_assert(!report_dtype_find(slice_of(""), &policy));
}
END_TEST

SUITE(report)
{
    return suite_with(
        "report", LOOP(report__decides_as_the_design_says, verdicts),
        TEST(report__unwraps_as_part_of_the_remap),
        TEST(report__lightning_opens_state_dict_by_itself),
        TEST(report__opens_the_container_that_is_asked_for), TEST(report__a_broken_file_is_unknown),
        TEST(report__warns_of_what_opening_the_file_does),
        TEST(report__says_why_a_depth_contradicts),
        TEST(report__allowances_do_not_lower_the_verdict_and_are_listed),
        LOOP(report__casts_count_as_the_policy_says, casts),
        TEST(report__coverage_below_the_least_is_incompatible),
        TEST(report__judges_exactly_the_remap_that_is_given),
        TEST(report__infers_nothing_when_told_so), TEST(report__counts_what_is_left_out),
        TEST(report__maps_each_filled_key), TEST(report__refuses_a_loader_that_is_not_known),
        TEST(report__words_of_its_options_read_back));
}
