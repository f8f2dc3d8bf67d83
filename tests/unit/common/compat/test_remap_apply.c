#include "common/compat/remap.h"
#include "tests/support/compat_fixture.h"
#include "tests/support/unit.h"

static const struct {
    const char *remap, *before, *after;
} applied[] = {
    {"", "b 1; a 2", "a 2; b 1"},
    {"module.{*} -> {*}", "module.a 1; module.b.c 2; d 3", "a 1; b.c 2; d 3"},
    {"{*} -> net.{*}", "a 1; e !int", "net.a 1; net.e"},
    {"decoder.{*} -> (drop)", "decoder.a 1; x 2", "x 2"},
    /* the first rule that matches wins, once */
    {"a -> b;b -> c", "a 1", "b 1"},
    {"a -> b;b -> a", "a 1; b 2", "a 2; b 1"},
    {"a -> b;---;b -> c", "a 1", "c 1"},
    {"fc.{*} -> fc.{*};{*} -> body.{*}", "fc.w 1; x.w 2", "body.x.w 2; fc.w 1"},
    /* segments: left to right, each looked at once, anywhere */
    {"/m/ -> //", "m.a.m.b 1; c.m 2", "a.b 1; c 2"},
    {"/m/ -> //", "m 1; a 2", "a 2; m 1"},
    {"/m.n/ -> /x/;/m/ -> /y/", "m.n.m 1", "x.y 1"},
    {"/a/ -> /a.a/", "a.b 1", "a.a.b 1"},
    {"/bn{k}/ -> /norm{k}/", "l.bn1.w 1; l.bn2.w 2; bn.w 3", "bn.w 3; l.norm1.w 1; l.norm2.w 2"},
    {"/{k}/ -> /{k-1}/", "l.1.w 1; l.0.w 2; l.2 3", NULL},
    {"layer{i}.{*} -> res{i+1}.{*}", "layer1.a 1; layer2.a 1", "res2.a 1; res3.a 1"},
    /* ops */
    {"qkv -> q, k, v  split", "qkv 12,4", "k 4,4; q 4,4; v 4,4"},
    {"qkv -> q, k, v  split dim=1 sizes=2,1,1", "qkv 12,4", "k 12,1; q 12,2; v 12,1"},
    {"q.{*}, k.{*} -> qk.{*}  concat", "q.w 4,2; k.w 3,2; q.b 4; k.b 3", "qk.b 7; qk.w 7,2"},
    {"e.{j}.w -> w  stack over=j", "e.0.w 2,3; e.1.w 2,3", "w 2,2,3"},
    {"e.{j}.w -> w  stack over=j dim=-1", "e.0.w 2,3; e.1.w 2,3", "w 2,3,2"},
    {"l.{i}.e.{j} -> l.{i}  stack over=j", "l.0.e.0 2; l.0.e.1 2; l.1.e.0 3", "l.0 2,2; l.1 1,3"},
    {"w -> e.{j}.w  unstack over=j", "w 2,3", "e.0.w 3; e.1.w 3"},
    {"w -> w  permute dims=2,0,1", "w 2,3,4", "w 4,2,3"},
    {"w -> w  reshape shape=6,-1", "w 2,3,4", "w 6,4"},
    {"w -> w  reshape shape=", "w 1,1", "w ()"},
    {"w -> w  squeeze dim=0,-1", "w 1,3,1", "w 3"},
    {"w -> w  unsqueeze dim=0,-1", "w 3", "w 1,3,1"},
    {"w -> w  slice dim=1 start=1 end=3", "w 2,4", "w 2,2"},
    {"w -> w, u  copy", "w 2", "u 2; w 2"},
    {"w -> w, u  copy;---;u -> u  unsqueeze dim=0", "w 2", "u 1,2; w 2"},
    /* more rules than are tried in turn */
    {"a1 -> b1;a2 -> b2;a3 -> b3;a4 -> b4;a5 -> b5;a6 -> b6;a7 -> b7;x.{*} -> y.{*};{i}.w -> n.{i};"
     "{*}.z -> z.{*};x.q -> never",
     "a1 1; a7 2; x.q 3; 4.w 4; k.z 5; other 6", "b1 1; b7 2; n.4 4; other 6; y.q 3; z.k 5"},
};

START_TEST(remap_apply__makes_of_keys_and_shapes)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state before = fixture_state(&f, applied[_i].before);
    struct remapped new;
    struct remap r;

    ck_assert_msg(fixture_remap(&f, applied[_i].remap, &r) == OK, "%s", f.err.text);
    if (applied[_i].after == NULL) {
        /* l.1.w becomes l.0.w; l.0.w has no number before it, and stays. */
        ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, &f.err),
                         ERR_BAD_REMAP);
    } else {
        ck_assert_msg(remap_apply(&r, &before, &f.limits, &f.arena, &new, &f.err) == OK, "%s: %s",
                      applied[_i].remap, f.err.text);
        ck_assert_slice_eq(fixture_show(&f, &new.state), applied[_i].after);
    }
    compat_fixture_done(&f);
}
END_TEST

static const struct {
    const char *remap, *before, *why;
} failed[] = {
    {"a -> b", "a 1; b 1", "\"a\" and \"b\" both become \"b\""},
    {"{leaf}.w -> w", "x.w 1; y.w 1", "\"x.w\" and \"y.w\" both become \"w\""},
    {"q, k -> qk  concat", "q 1", "key of \"k\" is missing"},
    {"q, k -> qk  concat", "k 1", "key of \"q\" is missing"},
    {"q, k -> qk  concat", "q 1,2; k 1", "differ in rank"},
    {"q, k -> qk  concat", "q 1,2; k 1,3", "differ in dim 1"},
    {"q, k -> qk  concat", "q 1; k 1 float16", "float16"},
    {"q, k -> qk  concat dim=1", "q 1; k 1", "dim 1 is not one"},
    {"e.{j} -> e  stack over=j", "e.0 1; e.2 1", "number 1 of \"e\" is missing"},
    {"e.{j} -> e  stack over=j", "e.1 1", "number 0"},
    {"{name}.{j} -> e  stack over=j", "a.0 1; b.0 1", "stand at one place"},
    {"a -> b, c  split", "a 3", "not divisible"},
    {"a -> b, c  split sizes=1,1", "a 3", "sum to 2"},
    {"a -> b, c  split", "a !int", "no tensor"},
    {"a -> b  permute dims=0,0", "a 1,1", "stands twice"},
    {"a -> b  permute dims=0", "a 1,1", "has 2 dims"},
    {"a -> b  reshape shape=4", "a 3", "do not fit"},
    {"a -> b  reshape shape=-1,2", "a 3", "do not fit"},
    {"a -> b  reshape shape=-1,0", "a 0", "do not fit"},
    {"a -> b  squeeze dim=0", "a 2", "is 2, not 1"},
    {"a -> b  squeeze dim=1", "a 1", "dim 1 is not one"},
    {"a -> b  slice end=4", "a 3", "ends at 3"},
    {"a -> b.{j}  unstack over=j", "a ()", "dim 0 is not one"},
    {"a -> b.{j-1}  unstack over=j", "a 2", NULL},
};

START_TEST(remap_apply__fails_and_names_the_keys)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state before = fixture_state(&f, failed[_i].before);
    struct remapped new;
    struct remap r;

    ck_assert_msg(fixture_remap(&f, failed[_i].remap, &r) == OK, "%s", f.err.text);
    if (failed[_i].why == NULL) {
        /* The first number would be negative: the rule does not match. */
        ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, &f.err), OK);
        ck_assert_slice_eq(fixture_show(&f, &new.state), failed[_i].before);
    } else {
        ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, &f.err),
                         ERR_BAD_REMAP);
        ck_assert_msg(strstr(f.err.text, failed[_i].why) != NULL, "%s: %s", failed[_i].remap,
                      f.err.text);
    }
    compat_fixture_done(&f);
}
END_TEST

START_TEST(remap_apply__tells_where_each_key_comes_from)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state before = fixture_state(&f, "k 2,4; q 2,4; x 1; y 1");
    struct remapped new;
    struct remap r;

    ck_assert_int_eq(
        fixture_remap(&f, "q, k -> qk  concat;y -> (drop);---;qk -> w  permute dims=1,0", &r), OK);
    ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, &f.err), OK);
    ck_assert_slice_eq(fixture_show(&f, &new.state), "w 4,4; x 1");
    ck_assert_uint_eq(new.sources[0].count, 2);
    ck_assert_uint_eq(new.sources[0].keys[0], 1); /* q, as the rule has it */
    ck_assert_uint_eq(new.sources[0].keys[1], 0);
    ck_assert_slice_eq(new.sources[0].op, "concat dim=0; permute dims=1,0");
    ck_assert_uint_eq(new.state.keys[1].origin, 2);
    ck_assert_uint_eq(new.dropped_count, 1);
    ck_assert_uint_eq(new.dropped[0], 3);
    ck_assert_uint_eq(new.counts[0][0], 2);
    ck_assert_uint_eq(new.counts[0][1], 1);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(remap_apply__keeps_metadata_only_where_the_remap_says_so)
{
    static const struct module_version versions[] = {{{"", 0}, true, 1},
                                                     {{"module", 6}, true, 1},
                                                     {{"module.bn", 9}, true, 2},
                                                     {{"none", 4}, true, 3}};
    struct compat_fixture f = compat_fixture_begin();
    struct state before = fixture_state(&f, "module.bn.weight 1; module.fc.weight 1");
    struct remapped new;
    struct remap r;

    before.has_metadata = true;
    before.versions = versions;
    before.version_count = 4;
    ck_assert_int_eq(fixture_remap(&f, "module.{*} -> {*}", &r), OK);
    ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, NULL), OK);
    ck_assert(!new.state.has_metadata);
    r.renames_metadata = true;
    ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, NULL), OK);
    ck_assert(new.state.has_metadata);
    ck_assert_uint_eq(new.state.version_count, 2);
    ck_assert_slice_eq(new.state.versions[0].module, "");
    ck_assert_slice_eq(new.state.versions[1].module, "bn");
    ck_assert_int_eq(new.state.versions[1].version, 2);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(remap_apply__refuses_names_that_grow_and_remaps_that_never_end)
{
    struct compat_fixture f = compat_fixture_begin();
    struct state before = fixture_state(&f, "abcdefgh 1");
    struct buf text = buf_with_cap(1 << 20);
    struct remapped new;
    struct remap r;

    for (int i = 0; i < 40; i++)
        buf_printf(&text, "%s/{nn}/ -> /{nn}.{nn}/", i > 0 ? ";---;" : "");
    ck_assert_int_eq(fixture_remap(&f, text.bytes, &r), OK);
    ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, &f.err), ERR_BAD_REMAP);
    ck_assert_ptr_nonnull(strstr(f.err.text, "more than 1024 bytes"));

    /* A tensor of 2^40 rows, unstacked: as many keys as tensors are allowed, no more. */
    before = fixture_state(&f, "w 1099511627776");
    ck_assert_int_eq(fixture_remap(&f, "w -> w.{j}  unstack over=j", &r), OK);
    f.limits.tensors = 1000;
    f.err = (struct err){0};
    ck_assert_int_eq(remap_apply(&r, &before, &f.limits, &f.arena, &new, &f.err), ERR_LIMIT);
    buf_done(&text);
    compat_fixture_done(&f);
}
END_TEST

SUITE(remap_apply)
{
    return suite_with("remap_apply", LOOP(remap_apply__makes_of_keys_and_shapes, applied),
                      LOOP(remap_apply__fails_and_names_the_keys, failed),
                      TEST(remap_apply__tells_where_each_key_comes_from),
                      TEST(remap_apply__keeps_metadata_only_where_the_remap_says_so),
                      TEST(remap_apply__refuses_names_that_grow_and_remaps_that_never_end));
}
