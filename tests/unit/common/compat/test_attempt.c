#include "common/compat/attempt.h"

#include "common/base/attr.h"
#include "tests/support/compat_fixture.h"
#include "tests/support/unit.h"

/* Three blocks of one kind and a head. The body holds most of the elements. */
#define BLOCK(p, i) p "layer." #i ".fc.weight 16,16;" p "layer." #i ".fc.bias 16;"
#define BODY(p)     BLOCK(p, 0) BLOCK(p, 1) BLOCK(p, 2)
#define HEAD(p, n)  p "head.weight " #n ",16;" p "head.bias " #n ";"
#define NET(p)      BODY(p) HEAD(p, 10)

static struct report
report_on(struct compat_fixture *f, struct container *containers, size_t count,
          const struct manifest *m, struct report_options options)
{
    struct inspection *in = arena_alloc(&f->arena, 1, sizeof *in);
    struct report r = {0};

    ck_assert_ptr_nonnull(in);
    *in = fixture_inspection(containers, count);
    ck_assert_msg(report_make(in, m, &options, &f->limits, &f->arena, &r, &f->err) == OK, "%s",
                  f->err.text);
    return r;
}

static const struct {
    const char *name, *found, *expected;
    enum verdict want;
    bool has_remap;
    const char *summary;
} verdicts[] = {
    {"equal", NET(""), NET(""), VERDICT_STRICT, false, "all 8 tensors load"},
    {"wrapped", NET("module."), NET(""), VERDICT_STRICT_AFTER_REMAP, true,
     "all 8 tensors load once the remap is applied"},
    {"no head", BODY(""), NET(""), VERDICT_NON_STRICT, false, "2 missing keys"},
    {"no head, wrapped", BODY("module."), NET(""), VERDICT_NON_STRICT, true, "2 missing keys"},
    {"another head", BODY("") HEAD("", 7), NET(""), VERDICT_PARTIAL, false, "2 shape mismatches"},
    {"another head, wrapped", BODY("module.") HEAD("module.", 7), NET(""), VERDICT_PARTIAL, true,
     "2 shape mismatches"},
    {"a head too many", NET(""), BODY(""), VERDICT_STRICT_AFTER_REMAP, true,
     "all 6 tensors load once the remap is applied"},
    {"a block too many", NET("") BLOCK("", 3), NET(""), VERDICT_INCOMPATIBLE, false,
     "layer has 4 blocks, the manifest expects 3"},
    {"a block too few", BLOCK("", 0) BLOCK("", 1) HEAD("", 10), NET(""), VERDICT_INCOMPATIBLE,
     false, "layer has 2 blocks, the manifest expects 3"},
    {"blocks too many, wrapped", NET("module.") BLOCK("module.", 3), NET(""), VERDICT_INCOMPATIBLE,
     true, "layer has 4 blocks, the manifest expects 3"},
    {"too little", HEAD("", 10), NET(""), VERDICT_INCOMPATIBLE, false, "6 missing keys"},
    {"nothing alike", "a.b 3; c.d 4", NET(""), VERDICT_INCOMPATIBLE, false,
     "8 missing keys, 2 unexpected keys"},
    {"twins", NET("a.") NET("b."), NET(""), VERDICT_UNKNOWN, false,
     "8 missing keys, 16 unexpected keys"},
    {"narrower floats", "a.b 4 float16", "a.b 4", VERDICT_STRICT, false, "all 1 tensors load"},
    {"another kind", "a.b 4 int64", "a.b 4", VERDICT_PARTIAL, false, "1 dtype mismatch"},
    {"no tensor", BODY("") "head.weight !int; head.bias 10", NET(""), VERDICT_PARTIAL, false,
     "1 key without a tensor"},
    {"an adapter's keys", NET("") "head.lora_A.weight 2,16; x.lora_B.weight 3",
     NET("") "extra.weight 3", VERDICT_INCOMPATIBLE, false,
     "the checkpoint is an adapter, the manifest expects the whole model"},
};

START_TEST(attempt__decides)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, verdicts[_i].found);
    struct manifest m = fixture_manifest(&f, verdicts[_i].expected);
    struct report r = report_on(&f, &c, 1, &m, (struct report_options){.loader = LOADER_COUNT});

    ck_assert_msg(r.verdict == verdicts[_i].want, "%s: %s: %.*s", verdicts[_i].name,
                  verdict_name(r.verdict), SLICE_PRINT(r.summary));
    ck_assert_msg(r.has_remap == verdicts[_i].has_remap, "%s", verdicts[_i].name);
    ck_assert_slice_eq(r.summary, verdicts[_i].summary);
    ck_assert_uint_eq(r.container_count, 1);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__says_that_an_adapter_is_no_model)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c =
        fixture_container(&f, "", CONTAINER_ADAPTER, "q.lora_A.weight 2,16; q.lora_B.weight 16,2");
    struct manifest m = fixture_manifest(&f, NET(""));
    struct report r = report_on(&f, &c, 1, &m, (struct report_options){.loader = LOADER_COUNT});

    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    ck_assert_uint_eq(r.contradictions.count, 1);
    ck_assert_slice_eq(r.contradictions.texts[0],
                       "the checkpoint is an adapter, the manifest expects the whole model");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__never_leaves_scales_out_of_a_quantized_checkpoint)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_QUANTIZED,
                                           "fc.weight 4,4 int8; fc.scales 4; fc.bias 4");
    struct manifest m = fixture_manifest(&f, "fc.weight 4,4; fc.bias 4");
    struct report r = report_on(&f, &c, 1, &m, (struct report_options){.loader = LOADER_COUNT});

    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    ck_assert(!r.has_remap);
    ck_assert_slice_eq(r.contradictions.texts[0],
                       "the checkpoint is quantized, the manifest expects plain weights");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__unwraps_and_prefers_plain_weights)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c[] = {
        fixture_container(&f, "", CONTAINER_OUTER, "state_dict !dict; ema !dict; epoch !int"),
        fixture_container(&f, "ema", CONTAINER_EMA, NET("")),
        fixture_container(&f, "state_dict", CONTAINER_WEIGHTS, NET("")),
    };
    struct manifest m = fixture_manifest(&f, NET(""));
    struct report r = report_on(&f, c, 3, &m, (struct report_options){.loader = LOADER_COUNT});

    ck_assert_int_eq(r.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_uint_eq(r.as_is.judgement.unexpected_count, 3);
    ck_assert(r.remap.has_container);
    ck_assert_slice_eq(r.remap.container, "state_dict");
    ck_assert_uint_eq(r.remap.pass_count, 0);
    ck_assert_uint_eq(r.container_count, 2); /* the outer dict is not listed */
    ck_assert_slice_eq(r.advice.texts[0], "Take [\"state_dict\"] of what torch.load gives.");

    /* The container that is named is the one that is opened. */
    r = report_on(&f, c, 3, &m,
                  (struct report_options){
                      .loader = LOADER_COUNT, .has_container = true, .container = slice_of("ema")});
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    ck_assert(!r.has_remap);

    /* Lightning opens state_dict by itself. */
    r = report_on(&f, c, 3, &m, (struct report_options){.loader = LOADER_LIGHTNING});
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__tells_when_the_loader_finds_nothing_to_open)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, NET(""));
    struct manifest m = fixture_manifest(&f, NET(""));
    struct report r = report_on(&f, &c, 1, &m, (struct report_options){.loader = LOADER_LIGHTNING});

    ck_assert(!r.as_is.judgement.non_strict);
    ck_assert_slice_eq(r.as_is.judgement.errors[0],
                       "the loader opens \"state_dict\", which the file does not have");
    ck_assert_int_eq(r.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_slice_eq(r.remap.container, "");
    r = report_on(&f, NULL, 0, &m, (struct report_options){.loader = LOADER_COUNT});
    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__says_of_a_malformed_file_that_it_does_not_know)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, NET(""));
    struct manifest m = fixture_manifest(&f, NET(""));
    struct inspection in = fixture_inspection(&c, 1);
    struct report_options options = {.loader = LOADER_COUNT};
    struct report r;

    in.safety = SAFETY_MALFORMED;
    ck_assert_int_eq(report_make(&in, &m, &options, &f.limits, &f.arena, &r, &f.err), OK);
    ck_assert_int_eq(r.verdict, VERDICT_UNKNOWN);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__allows_what_the_question_allows_and_lists_it)
{
    static const struct slice heads[] = {{"head.*", 6}};
    const struct name_group globs = {heads, 1};
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, BODY("") HEAD("", 7));
    struct container less = fixture_container(&f, "", CONTAINER_WEIGHTS, BODY(""));
    struct container more = fixture_container(&f, "", CONTAINER_WEIGHTS, NET(""));
    struct manifest m = fixture_manifest(&f, NET("")), body = fixture_manifest(&f, BODY(""));
    struct report r;

    r = report_on(&f, &c, 1, &m,
                  (struct report_options){.loader = LOADER_COUNT, .allow_mismatch = globs});
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    ck_assert(!r.as_is.judgement.strict); /* PyTorch's own word stays */
    ck_assert_uint_eq(r.allowed_count, 2);
    ck_assert_int_eq(r.allowed[0].kind, ALLOWED_MISMATCH);
    ck_assert_slice_eq(r.allowed[0].glob, "head.*");

    r = report_on(&f, &less, 1, &m,
                  (struct report_options){.loader = LOADER_COUNT, .allow_missing = globs});
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    r = report_on(&f, &more, 1, &body,
                  (struct report_options){.loader = LOADER_COUNT, .allow_unexpected = globs});
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);

    /* The manifest's own words count as well. */
    m.expect.allow_missing = globs;
    r = report_on(&f, &less, 1, &m, (struct report_options){.loader = LOADER_COUNT});
    ck_assert_int_eq(r.verdict, VERDICT_STRICT);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__holds_the_coverage_that_is_asked_for)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, BODY(""));
    struct manifest m = fixture_manifest(&f, NET(""));
    struct report r =
        report_on(&f, &c, 1, &m,
                  (struct report_options){
                      .loader = LOADER_COUNT, .has_min_coverage = true, .min_coverage = 0.99});

    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    ck_assert(r.as_is.judgement.non_strict);
    compat_fixture_done(&f);
}
END_TEST

static const struct {
    const char *found, *expected;
    enum dtype_policy policy;
    enum verdict want;
} policies[] = {
    {"a 4 float16", "a 4 float32", DTYPE_POLICY_SAFE, VERDICT_STRICT},
    {"a 4 float16", "a 4 float32", DTYPE_POLICY_EXACT, VERDICT_PARTIAL},
    {"a 4 float8_e4m3fn", "a 4 float32", DTYPE_POLICY_SAFE, VERDICT_STRICT},
    {"a 4 int64", "a 4 float32", DTYPE_POLICY_SAFE, VERDICT_PARTIAL},
    {"a 4 int64", "a 4 float32", DTYPE_POLICY_ANY, VERDICT_STRICT},
    {"a 4 complex64", "a 4 float32", DTYPE_POLICY_SAFE, VERDICT_PARTIAL},
    {"a 4 float32", "a 4 float32", DTYPE_POLICY_EXACT, VERDICT_STRICT},
};

START_TEST(attempt__follows_the_dtype_policy)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, policies[_i].found);
    struct manifest m = fixture_manifest(&f, policies[_i].expected);
    struct report r =
        report_on(&f, &c, 1, &m,
                  (struct report_options){.loader = LOADER_COUNT, .dtype = policies[_i].policy});

    ck_assert_int_eq(r.verdict, policies[_i].want);
    ck_assert(r.as_is.judgement.strict);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__judges_exactly_the_remap_that_is_given)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, NET("model.module."));
    struct container plain = fixture_container(&f, "", CONTAINER_WEIGHTS, NET(""));
    struct manifest m = fixture_manifest(&f, NET(""));
    struct report_options options = {.loader = LOADER_COUNT};
    struct remap r;
    struct report report;

    options.remap = &r;
    ck_assert_int_eq(fixture_remap(&f, "model.{*} -> {*}", &r), OK);
    report = report_on(&f, &c, 1, &m, options);
    ck_assert_int_eq(report.verdict, VERDICT_INCOMPATIBLE);
    ck_assert_uint_eq(report.remap.passes[0].rules[0].count, 8);

    /* … or completes it, or finds a better one. */
    options.infer = INFER_COMPLETE;
    report = report_on(&f, &c, 1, &m, options);
    ck_assert_int_eq(report.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_uint_eq(report.remap.pass_count, 2);
    options.infer = INFER_FULL;
    report = report_on(&f, &c, 1, &m, options);
    ck_assert_int_eq(report.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_uint_eq(report.remap.pass_count, 1);

    /* A remap that spoils what would load. */
    options.infer = INFER_DEFAULT;
    ck_assert_int_eq(fixture_remap(&f, "head.{*} -> tail.{*}", &r), OK);
    report = report_on(&f, &plain, 1, &m, options);
    ck_assert_int_eq(report.verdict, VERDICT_NON_STRICT);
    ck_assert(report.as_is.judgement.strict);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__infers_nothing_when_told_so)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, NET("module."));
    struct manifest m = fixture_manifest(&f, NET(""));
    struct report r = report_on(
        &f, &c, 1, &m, (struct report_options){.loader = LOADER_COUNT, .infer = INFER_NONE});

    ck_assert_int_eq(r.verdict, VERDICT_INCOMPATIBLE);
    ck_assert(!r.has_remap);
    ck_assert_uint_eq(r.container_count, 1);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__refuses_a_remap_that_cannot_be_run_and_containers_that_are_not_there)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(&f, "", CONTAINER_WEIGHTS, "a 1; b 1");
    struct manifest m = fixture_manifest(&f, "a 1");
    struct inspection in = fixture_inspection(&c, 1);
    struct report_options options = {.loader = LOADER_COUNT};
    struct report report;
    struct remap r;

    options.remap = &r;
    ck_assert_int_eq(fixture_remap(&f, "a -> b", &r), OK);
    ck_assert_int_eq(report_make(&in, &m, &options, &f.limits, &f.arena, &report, &f.err),
                     ERR_BAD_REMAP);
    ck_assert_int_eq(fixture_remap(&f, "container ema", &r), OK);
    ck_assert_int_eq(report_make(&in, &m, &options, &f.limits, &f.arena, &report, &f.err),
                     ERR_BAD_REQUEST);
    options = (struct report_options){
        .loader = LOADER_COUNT, .has_container = true, .container = slice_of("ema")};
    ck_assert_int_eq(report_make(&in, &m, &options, &f.limits, &f.arena, &report, &f.err),
                     ERR_BAD_REQUEST);
    m.loader = slice_of("tensorflow");
    options = (struct report_options){.loader = LOADER_COUNT};
    ck_assert_int_eq(report_make(&in, &m, &options, &f.limits, &f.arena, &report, &f.err),
                     ERR_BAD_MANIFEST);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(attempt__maps_every_filled_key_and_counts_what_is_left_out)
{
    struct compat_fixture f = compat_fixture_begin();
    struct container c = fixture_container(
        &f, "", CONTAINER_WEIGHTS, "module.a.weight 3; module.b.weight 4; decoder.x.weight 5,5");
    struct manifest m = fixture_manifest(&f, "a.weight 3; b.weight 4");
    struct report r = report_on(
        &f, &c, 1, &m, (struct report_options){.loader = LOADER_COUNT, .wants_mapping = true});

    ck_assert_int_eq(r.verdict, VERDICT_STRICT_AFTER_REMAP);
    ck_assert_uint_eq(r.mapping_count, 2);
    ck_assert_slice_eq(r.mapping[1].to, "b.weight");
    ck_assert_slice_eq(r.mapping[1].from[0], "module.b.weight");
    ck_assert_uint_eq(r.discarded_tensors, 1);
    ck_assert_uint_eq(r.discarded_elements, 25);
    ck_assert_slice_eq(r.discarded_subtrees.texts[0], "decoder");
    compat_fixture_done(&f);
}
END_TEST

SUITE(attempt)
{
    return suite_with(
        "attempt", LOOP(attempt__decides, verdicts),
        TEST(attempt__says_that_an_adapter_is_no_model),
        TEST(attempt__never_leaves_scales_out_of_a_quantized_checkpoint),
        TEST(attempt__unwraps_and_prefers_plain_weights),
        TEST(attempt__tells_when_the_loader_finds_nothing_to_open),
        TEST(attempt__says_of_a_malformed_file_that_it_does_not_know),
        TEST(attempt__allows_what_the_question_allows_and_lists_it),
        TEST(attempt__holds_the_coverage_that_is_asked_for),
        LOOP(attempt__follows_the_dtype_policy, policies),
        TEST(attempt__judges_exactly_the_remap_that_is_given),
        TEST(attempt__infers_nothing_when_told_so),
        TEST(attempt__refuses_a_remap_that_cannot_be_run_and_containers_that_are_not_there),
        TEST(attempt__maps_every_filled_key_and_counts_what_is_left_out));
}
