#include "common/compat/infer.h"

#include "common/base/attr.h"
#include "tests/support/compat_fixture.h"
#include "tests/support/unit.h"

/* A small network: enough to tell its parts from each other. */
#define NET(p) \
    p "conv1.weight 8,3,3,3;" p "bn1.weight 8;" p "bn1.bias 8;" p \
      "layer1.0.conv1.weight 8,8,3,3;" p "layer1.0.bn1.weight 8;" p "layer1.0.bn1.bias 8;" p \
      "layer1.1.conv1.weight 8,8,3,3;" p "layer1.1.bn1.weight 8;" p "layer1.1.bn1.bias 8;" p \
      "fc.weight 10,8;" p "fc.bias 10;"
#define BODY(p) \
    p "conv1.weight 8,3,3,3;" p "bn1.weight 8;" p "bn1.bias 8;" p \
      "layer1.0.conv1.weight 8,8,3,3;" p "layer1.0.bn1.weight 8;" p "layer1.0.bn1.bias 8;" p \
      "layer1.1.conv1.weight 8,8,3,3;" p "layer1.1.bn1.weight 8;" p "layer1.1.bn1.bias 8;"
#define HEAD(p) p "fc.weight 10,8;" p "fc.bias 10;"

/* A checkpoint, a manifest, and the first candidate's lines (';' ends a line); NULL: no candidate. */
static const struct {
    const char *name, *found, *expected, *want;
} cases[] = {
    {"the same", NET(""), NET(""), NULL},
    {"DataParallel", NET("module."), NET(""), "module.{*} -> {*};"},
    {"compiled DataParallel", NET("_orig_mod.module."), NET(""), "_orig_mod.module.{*} -> {*};"},
    {"a stack under a name", NET("model.module._orig_mod."), NET(""),
     "model.module._orig_mod.{*} -> {*};"},
    {"the manifest is wrapped", NET(""), NET("module."), "{*} -> module.{*};"},
    {"another wrapper", NET("module."), NET("_orig_mod."), "module.{*} -> _orig_mod.{*};"},
    {"compiled within a name", NET("model._orig_mod."), NET("model."),
     "model._orig_mod.{*} -> model.{*};"},
    {"one prefix for another", NET("backbone."), NET("feature_extractor."),
     "backbone.{*} -> feature_extractor.{*};"},
    {"a prefix that is a name again", NET("model.model."), NET("model."), "model.{*} -> {*};"},
    {"backbone and head", NET(""), BODY("backbone.") HEAD("head."),
     "fc.{*} -> head.fc.{*};{*} -> backbone.{*};"},
    {"two subtrees", BODY("encoder.") "decoder.a.weight 5,6; decoder.a.bias 5",
     BODY("enc.") "dec.a.weight 5,6; dec.a.bias 5",
     "decoder.{*} -> dec.{*};encoder.{*} -> enc.{*};"},
    {"one module renamed", BODY("") HEAD(""), BODY("") "classifier.weight 10,8; classifier.bias 10",
     "fc.{*} -> classifier.{*};"},
    {"a wrapper in the middle",
     "conv1.weight 8,3; layer1.0._checkpoint_wrapped_module.conv.weight 8,8;"
     "layer1.1._checkpoint_wrapped_module.conv.weight 8,8; fc.weight 10,8",
     "conv1.weight 8,3; layer1.0.conv.weight 8,8; layer1.1.conv.weight 8,8; fc.weight 10,8",
     "/_checkpoint_wrapped_module/ -> //;"},
    {"wrappers before and in the middle",
     "module.conv1.weight 8,3; module.layer1.0._checkpoint_wrapped_module.conv.weight 8,8;"
     "module.layer1.1._checkpoint_wrapped_module.conv.weight 8,8; module.fc.weight 10,8",
     "conv1.weight 8,3; layer1.0.conv.weight 8,8; layer1.1.conv.weight 8,8; fc.weight 10,8",
     "/_checkpoint_wrapped_module/ -> //;---;module.{*} -> {*};"},
    {"FSDP everywhere",
     "_fsdp_wrapped_module.conv1.weight 8,3; "
     "_fsdp_wrapped_module.layer1._fsdp_wrapped_module.conv.weight 8,8",
     "conv1.weight 8,3; layer1.conv.weight 8,8", "/_fsdp_wrapped_module/ -> //;"},
    {"a module called module stays",
     "net.module.a.weight 3,4; net.module.b.weight 4,5; net.c.weight 7",
     "model.module.a.weight 3,4; model.module.b.weight 4,5; model.c.weight 7",
     "net.{*} -> model.{*};"},
    {"the same rename in many places",
     "l.0.attn.q.weight 4,4; l.0.attn.o.weight 4,8; l.1.attn.q.weight 4,4; l.1.attn.o.weight 4,8;"
     "l.2.attn.q.weight 4,4; l.2.attn.o.weight 4,8; l.0.n.weight 4; l.1.n.weight 4; l.2.n.weight 4",
     "l.0.self_attn.q.weight 4,4; l.0.self_attn.o.weight 4,8; l.1.self_attn.q.weight 4,4;"
     "l.1.self_attn.o.weight 4,8; l.2.self_attn.q.weight 4,4; l.2.self_attn.o.weight 4,8;"
     "l.0.n.weight 4; l.1.n.weight 4; l.2.n.weight 4",
     "/attn/ -> /self_attn/;"},
    {"a numbered rename in many places",
     "l.0.bn1.weight 4; l.0.bn1.bias 4; l.0.bn2.weight 8; l.0.bn2.bias 8; l.0.c.weight 3;"
     "l.1.bn1.weight 4; l.1.bn1.bias 4; l.1.bn2.weight 8; l.1.bn2.bias 8; l.1.c.weight 3",
     "l.0.norm1.weight 4; l.0.norm1.bias 4; l.0.norm2.weight 8; l.0.norm2.bias 8; l.0.c.weight 3;"
     "l.1.norm1.weight 4; l.1.norm1.bias 4; l.1.norm2.weight 8; l.1.norm2.bias 8; l.1.c.weight 3",
     "/bn{k}/ -> /norm{k}/;"},
    {"the live weights beside their average", NET("model.") NET("ema."), NET(""),
     "ema.{*} -> (drop);model.{*} -> {*};"},
    {"a decoder nobody asks for", NET("model.") "decoder.w 3,4; decoder.x 5; epoch !int", NET(""),
     "decoder.{*} -> (drop);epoch -> (drop);model.{*} -> {*};"},
    {"a queue beside the encoder", NET("module.encoder.") "module.queue 128,999", NET(""),
     "module.queue -> (drop);module.encoder.{*} -> {*};"},
    {"counters that the manifest does not have",
     "a.bn.weight 4; a.bn.num_batches_tracked () int64; b.bn.weight 5;"
     "b.bn.num_batches_tracked () int64",
     "a.bn.weight 4; b.bn.weight 5", "{*}.num_batches_tracked -> (drop);"},
    {"a head of another size keeps its place",
     BODY("module.") "module.fc.weight 99,8; module.fc.bias 99", NET(""), "module.{*} -> {*};"},
    /* what may not be left out */
    {"one more block", BODY("") "layer1.2.conv1.weight 8,8,3,3", BODY(""), NULL},
    {"a bias of a layer that is of use", "fc.weight 3,4; fc.bias 3; x.weight 7",
     "fc.weight 3,4; x.weight 7", NULL},
    {"scales", "fc.weight 3,4 int8; fc.weight_scale 3", "fc.weight 3,4", NULL},
    {"an adapter", "fc.weight 3,4; lora_A.weight 2,4", "fc.weight 3,4", NULL},
    /* what proves nothing */
    {"one norm of the same name", "norm.weight 4; a.weight 5,5; b.weight 6",
     "x.norm.weight 4; y.c.weight 7;"
     "y.d.weight 8; z.e.weight 9,9",
     NULL},
    {"nothing alike", "a.b.weight 3", "c.d.weight 4", NULL},
};

static void
show_first(struct compat_fixture *f, const struct inference *found, struct buf *lines)
{
    (void)f;
    if (found->candidate_count == 0)
        return;
    remap_write_lines(lines, &found->candidates[0].remap, false);
    for (size_t i = 0; i < lines->length; i++)
        lines->bytes[i] = lines->bytes[i] == '\n' ? ';' : lines->bytes[i];
}

START_TEST(infer__finds_what_a_person_would_write)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state s = fixture_state(&f, cases[_i].found);
    struct manifest m = fixture_manifest(&f, cases[_i].expected);
    struct buf lines = buf_with_cap(1 << 16);
    struct inference found;

    ck_assert_int_eq(infer(&m, &s, &f.limits, &f.arena, &found, &f.err), OK);
    show_first(&f, &found, &lines);
    if (cases[_i].want == NULL)
        ck_assert_msg(lines.length == 0, "%s: %s", cases[_i].name, lines.bytes);
    else
        ck_assert_msg(lines.length > 0 && strcmp(lines.bytes, cases[_i].want) == 0,
                      "%s: got %s want %s", cases[_i].name, lines.length == 0 ? "" : lines.bytes,
                      cases[_i].want);
    buf_done(&lines);
    compat_fixture_done(&f);
}
END_TEST

static const struct {
    const char *name, *found, *expected;
} undecided[] = {
    {"two encoders", NET("encoder_q.") NET("encoder_k."), NET("")},
    {"one tower for two", NET(""), NET("left.") NET("right.")},
    {"twins renamed", NET("encoder.") NET("decoder."), NET("x.") NET("y.")},
    {"modules alike renamed", "a.p.weight 4,4; a.q.weight 4,4; a.n.weight 3",
     "a.x.weight 4,4; a.y.weight 4,4; a.n.weight 3"},
};

START_TEST(infer__reports_what_cannot_be_told_apart_and_guesses_nothing)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state s = fixture_state(&f, undecided[_i].found);
    struct manifest m = fixture_manifest(&f, undecided[_i].expected);
    struct inference found;

    ck_assert_int_eq(infer(&m, &s, &f.limits, &f.arena, &found, &f.err), OK);
    ck_assert_msg(found.candidate_count == 0, "%s", undecided[_i].name);
    ck_assert_msg(found.ambiguity_count > 0, "%s", undecided[_i].name);
    ck_assert_uint_ge(found.ambiguities[0].candidate_count, 2);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(infer__candidates_stay_apart_from_keys_that_would_meet)
{
    /* module.x would become x, which is there and of another shape. */
    struct compat_fixture f = compat_fixture_begin();
    struct state s = fixture_state(&f, NET("module.") "fc.weight 99,9");
    struct manifest m = fixture_manifest(&f, NET(""));
    struct inference found;

    ck_assert_int_eq(infer(&m, &s, &f.limits, &f.arena, &found, &f.err), OK);
    for (size_t i = 0; i < found.candidate_count; i++) {
        struct remapped new;

        ck_assert_int_eq(
            remap_apply(&found.candidates[i].remap, &s, &f.limits, &f.arena, &new, &f.err), OK);
    }
    compat_fixture_done(&f);
}
END_TEST

/* A network of many blocks, its names behind a prefix. */
static struct state
many(struct compat_fixture *f, const char *prefix, size_t blocks)
{
    static const uint64_t square[] = {64, 64}, row[] = {64};
    static const char *const leaves[] = {"attn.bias", "attn.weight", "mlp.bias", "mlp.weight",
                                         "norm.weight"};
    struct state_key *keys = arena_alloc(&f->arena, blocks * ARRAY_LENGTH(leaves), sizeof *keys);
    struct state s = {.keys = keys};

    ck_assert_ptr_nonnull(keys);
    for (size_t i = 0; i < blocks; i++) {
        for (size_t k = 0; k < ARRAY_LENGTH(leaves); k++) {
            struct state_key *key = &keys[s.count++];
            bool is_square = strstr(leaves[k], "weight") != NULL && k != 4;

            *key = (struct state_key){.is_tensor = true, .dtype = DTYPE_FLOAT32};
            key->shape = is_square ? (struct shape){2, square} : (struct shape){1, row};
            key->elements = is_square ? 4096 : 64;
            ck_assert_int_eq(
                arena_printf(&f->arena, &key->name, NULL, "%sblocks.%zu.%s", prefix, i, leaves[k]),
                OK);
        }
    }
    qsort(keys, s.count, sizeof *keys, fixture_compare);
    for (size_t i = 0; i < s.count; i++)
        keys[i].origin = (uint32_t)i;
    return s;
}

START_TEST(infer__takes_a_hundred_thousand_keys)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state s = many(&f, "module.", 20000), expected = many(&f, "", 20000);
    struct expected *tensors = arena_alloc(&f.arena, expected.count, sizeof *tensors);
    struct manifest m = {.tensors = tensors, .count = expected.count};
    struct buf lines = buf_with_cap(1 << 16);
    struct inference found;

    ck_assert_ptr_nonnull(tensors);
    for (size_t i = 0; i < expected.count; i++)
        tensors[i] = (struct expected){
            .name = expected.keys[i].name, .has_shape = true, .shape = expected.keys[i].shape};
    ck_assert_int_eq(infer(&m, &s, &f.limits, &f.arena, &found, &f.err), OK);
    show_first(&f, &found, &lines);
    ck_assert_str_eq(lines.bytes, "module.{*} -> {*};");
    buf_done(&lines);
    compat_fixture_done(&f);
}
END_TEST

SUITE(infer)
{
    return suite_with("infer", LOOP(infer__finds_what_a_person_would_write, cases),
                      LOOP(infer__reports_what_cannot_be_told_apart_and_guesses_nothing, undecided),
                      TEST(infer__candidates_stay_apart_from_keys_that_would_meet),
                      TEST(infer__takes_a_hundred_thousand_keys));
}
