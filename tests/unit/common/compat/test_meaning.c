#include "common/compat/meaning.h"

#include "tests/support/compat_fixture.h"
#include "tests/support/unit.h"

static const struct {
    const char *key;
    bool want;
} benign[] = {
    {"bn1.num_batches_tracked () int64", true},
    {"bn1.num_batches_tracked 64 int64", false},
    {"num_batches_tracked () float32", false},
    {"h.0.attn.bias 1,1,1024,1024 uint8", true},
    {"h.0.attn.bias 768", false}, /* a parameter of the same name */
    {"h.0.attn.masked_bias ()", true},
    {"embeddings.position_ids 1,512 int64", true},
    {"embeddings.position_ids 512,768 float32", false},
    {"rotary_emb.inv_freq 64", true},
    {"xinv_freq 64", false},
    {"mask 16,16", true},
    {"mask 16,8", false},
    {"fc.weight 10,4", false},
};

START_TEST(meaning__knows_buffers_by_name_and_shape)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state s = fixture_state(&f, benign[_i].key);

    ck_assert_int_eq(meaning_is_benign(&s.keys[0]), benign[_i].want);
    compat_fixture_done(&f);
}
END_TEST

static const struct {
    const char *name;
    enum meaning want;
} meanings[] = {
    {"fc.weight", MEANING_NONE},
    {"fc.qweight", MEANING_QUANTIZED},
    {"fc.weight_scale_inv", MEANING_QUANTIZED},
    {"fc.weight.quant_state.bitsandbytes__nf4", MEANING_QUANTIZED},
    {"q_proj.lora_A.default.weight", MEANING_ADAPTER},
    {"fc.weight_mask", MEANING_PRUNED},
    {"scales_fc.weight", MEANING_NONE},
};

START_TEST(meaning__knows_keys_that_give_others_theirs)
{
    ck_assert_int_eq(meaning_of(slice_of(meanings[_i].name)), meanings[_i].want);
}
END_TEST

SUITE(meaning)
{
    return suite_with("meaning", LOOP(meaning__knows_buffers_by_name_and_shape, benign),
                      LOOP(meaning__knows_keys_that_give_others_theirs, meanings));
}
