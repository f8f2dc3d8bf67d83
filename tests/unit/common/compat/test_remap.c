#include "common/compat/remap.h"

#include "common/base/attr.h"
#include "tests/support/compat_fixture.h"
#include "tests/support/unit.h"

/* Texts of either spelling, and the lines they are printed as (';' ends a line). */
static const struct {
    const char *text, *lines;
} written[] = {
    {"", ""},
    {"{}", ""},
    {"{\"schema\": \"ckptd/remap/1\", \"container\": null, \"passes\": []}", ""},
    {"# nothing;  ; ", ""},
    {"container state_dict", "container state_dict;"},
    {"container \"a b\";metadata rename", "container \"a b\";metadata rename;"},
    {"container -> x", "container -> x;"},
    {"module.{*}   ->   {*} # why", "module.{*} -> {*};"},
    {"a -> (drop)", "a -> (drop);"},
    {"\"(drop)\" -> \"(drop)\"", "\"(drop)\" -> \"(drop)\";"},
    {"\"/a/\" -> b", "\"/a/\" -> b;"},
    {"\"a b\" -> \"c\\u0064\"", "\"a b\" -> cd;"},
    {"/_orig_mod/ -> //;/bn{k}/ -> /norm{k}/;---;a -> b",
     "/_orig_mod/ -> //;/bn{k}/ -> /norm{k}/;---;a -> b;"},
    {"/\"a b\"/ -> /c/", "/\"a b\"/ -> /c/;"},
    {"/b{k}/ -> /{(k-1)/3}/", "/b{k}/ -> /{(k-1)/3}/;"},
    {"qkv -> q, k, v  split", "qkv -> q, k, v  split dim=0;"},
    {"qkv -> q,k,v split sizes=4,1,1 dim=-1", "qkv -> q, k, v  split dim=-1 sizes=4,1,1;"},
    {"q, k -> qk  concat dim=1", "q, k -> qk  concat dim=1;"},
    {"e.{j}.w -> w  stack over=j", "e.{j}.w -> w  stack over=j dim=0;"},
    {"w -> e.{j}.w  unstack over=j dim=2", "w -> e.{j}.w  unstack over=j dim=2;"},
    {"a -> b  permute dims=1,0", "a -> b  permute dims=1,0;"},
    {"a -> b  reshape shape=2,-1", "a -> b  reshape shape=2,-1;"},
    {"a -> b  reshape shape=", "a -> b  reshape shape=;"},
    {"a -> b  squeeze dim=0", "a -> b  squeeze dim=0;"},
    {"a -> b  unsqueeze dim=0,-1", "a -> b  unsqueeze dim=0,-1;"},
    {"a -> b  slice dim=0 start=1 end=3", "a -> b  slice dim=0 start=1 end=3;"},
    {"a -> b, c  copy", "a -> b, c  copy;"},
    {"{\"passes\": [{\"keys\": [{\"from\": [\"q\", \"k\"], \"to\": \"qk\", \"op\": \"concat\"}]}]}",
     "q, k -> qk  concat dim=0;"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\", \"drop\": true, \"count\": 3, \"evidence\": "
     "\"x\"}]}]}",
     "a -> (drop);"},
    {"{\"passes\": [{\"segments\": [{\"from\": \"m\", \"to\": null}]}]}", "/m/ -> //;"},
    {"{\"passes\": [{\"keys\": [{\"to\": \"b\", \"op\": \"squeeze\", \"dim\": [0, 1], \"from\": "
     "\"a\"}]}]}",
     "a -> b  squeeze dim=0,1;"},
    {"{*}.gamma -> {*}.weight", "{*}.gamma -> {*}.weight;"},
    {"{{x -> y", "{{x -> y;"},
    {"a -> b\r;c -> d\r", "a -> b;c -> d;"},
};

START_TEST(remap__is_read_and_written_in_both_spellings)
{
    struct compat_fixture f = compat_fixture_begin();
    struct buf lines = buf_with_cap(1 << 16), json = buf_with_cap(1 << 16);
    struct json_writer w = json_writer_to(&json, 0);
    struct remap r, again;
    struct digest first, second;

    ck_assert_msg(fixture_remap(&f, written[_i].text, &r) == OK, "%s: %s", written[_i].text,
                  f.err.text);
    remap_write_lines(&lines, &r, true);
    for (size_t i = 0; i < lines.length; i++)
        lines.bytes[i] = lines.bytes[i] == '\n' ? ';' : lines.bytes[i];
    ck_assert_str_eq(lines.length == 0 ? "" : lines.bytes, written[_i].lines);

    /* And back, from the lines and from JSON: the same remap. */
    ck_assert_int_eq(remap_digest(&r, &first, NULL), OK);
    ck_assert_int_eq(fixture_remap(&f, written[_i].lines, &again), OK);
    ck_assert_int_eq(remap_digest(&again, &second, NULL), OK);
    ck_assert(digest_equal(&first, &second));
    remap_write_json(&w, &r, true);
    ck_assert_int_eq(remap_parse(buf_slice_of(&json), &f.limits, &f.arena, &again, NULL), OK);
    ck_assert_int_eq(remap_digest(&again, &second, NULL), OK);
    ck_assert(digest_equal(&first, &second));
    buf_done(&lines);
    buf_done(&json);
    compat_fixture_done(&f);
}
END_TEST

static const struct {
    const char *text, *why; /* a part of the message */
} refused[] = {
    {"a b", "arrow"},
    {"a ->", "missing"},
    {"-> b", "missing"},
    {"a -> b c", "no op"},
    {"a -> b  explode", "no op"},
    {"a -> b  split", "needs a list"},
    {"a -> b, c", "list in to"},
    {"a, b -> c", "list in from"},
    {"a -> b, c  split sizes=1", "2, but tells 1"},
    {"a -> b, c  split sizes=1,0", "a size of 0"},
    {"a -> b  permute", "needs dims"},
    {"a -> b  permute dims=x", "not an integer"},
    {"a -> b  slice start=3 end=3", "slices from 3 to 3"},
    {"a -> b  slice end=1 end=2", "told twice"},
    {"a -> b  concat dim=0,1", "one number"},
    {"a -> b  stack", "needs over"},
    {"a.{i} -> b.{i}  stack over=i", "not in to"},
    {"a -> b  stack over=i", "must be in from"},
    {"a -> b  unstack over=i", "must be in to"},
    {"a -> b  stack over=ij", "one letter"},
    {"a -> b  squeeze over=i", "does not take over"},
    {"a -> b{i}", "does not capture"},
    {"a -> {*}", "does not capture"},
    {"a -> {name}", "does not capture"},
    {"a.{i}, b -> c  concat", "do not capture the same"},
    {"a -> b;/c/ -> /d/", "---"},
    {"/a/ -> b", "between slashes"},
    {"/a -> /b/", "ends with a slash"},
    {"/a/ -> (drop)", "only key rules"},
    {"/a.b.c.d.e/ -> /f/", "more than 4"},
    {"/{*}/ -> /a/", "no place"},
    {"/a/ -> /b/  copy", "only key rules"},
    {"// -> /a/", "an empty pattern"},
    {"\"a -> b", "not closed"},
    {"container a;container b", "second container"},
    {"metadata keep", "only be \"rename\""},
    {"a -> b;---", "without rules"},
    {"---", "without rules"},
    {"{\"passes\": {}}", "passes must be"},
    {"{\"passes\": [{}]}", "keys or segments"},
    {"{\"passes\": [{\"keys\": []}]}", "without rules"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\", \"to\": \"b\"}], \"segments\": []}]}",
     "exactly one"},
    {"{\"passes\": [{\"rules\": []}]}", "not \"rules\""},
    {"{\"passes\": [{\"keys\": [{\"to\": \"b\"}]}]}", "without from"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\"}]}]}", "exactly one of to and drop"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\", \"to\": null}]}]}", "makes nothing"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\", \"to\": []}]}]}", "empty list"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\", \"drop\": false}]}]}", "drop must be"},
    {"{\"passes\": [{\"keys\": [{\"from\": 3, \"drop\": true}]}]}", "from must be"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\", \"to\": \"b\", \"colour\": 1}]}]}", "no member"},
    {"{\"passes\": [{\"keys\": [{\"from\": \"a\", \"to\": \"b\", \"op\": \"slice\", \"end\": "
     "1.5}]}]}",
     "integer"},
    {"{\"schema\": \"ckptd/remap/2\"}", "ckptd/remap/1"},
    {"{\"metadata\": \"keep\"}", "rename"},
    {"{\"name\": \"x\"}", "no member"},
};

START_TEST(remap__refuses_with_a_reason)
{
    struct compat_fixture f = compat_fixture_begin();
    struct remap r;

    ck_assert_msg(fixture_remap(&f, refused[_i].text, &r) == ERR_BAD_REMAP, "%s: %s",
                  refused[_i].text, f.err.text);
    ck_assert_msg(strstr(f.err.text, refused[_i].why) != NULL, "%s: %s", refused[_i].text,
                  f.err.text);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(remap__tells_broken_json_from_a_wrong_remap)
{
    struct compat_fixture f = compat_fixture_begin();
    struct remap r;

    ck_assert_int_eq(fixture_remap(&f, "{\"passes\": [", &r), ERR_BAD_JSON);
    ck_assert_int_eq(fixture_remap(&f, "{\"passes\": [], \"passes\": []}", &r), ERR_BAD_JSON);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(remap__holds_its_limits)
{
    struct compat_fixture f = compat_fixture_begin();
    struct remap r;

    f.limits.remap_rules = 2;
    ck_assert_int_eq(fixture_remap(&f, "a -> b;c -> d", &r), OK);
    ck_assert_int_eq(fixture_remap(&f, "a -> b;c -> d;e -> f", &r), ERR_LIMIT);
    f.limits.remap_bytes = 5;
    ck_assert_int_eq(fixture_remap(&f, "a -> bb", &r), ERR_LIMIT);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(remap__annotations_are_no_part_of_the_digest)
{
    struct compat_fixture f = compat_fixture_begin();
    struct remap plain, annotated;
    struct digest a, b;

    ck_assert_int_eq(fixture_remap(&f, "a -> b", &plain), OK);
    ck_assert_int_eq(fixture_remap(&f,
                                   "{\"passes\": [{\"keys\": [{\"from\": \"a\", \"to\": \"b\", "
                                   "\"count\": 1}]}]}",
                                   &annotated),
                     OK);
    ck_assert_int_eq(remap_digest(&plain, &a, NULL), OK);
    ck_assert_int_eq(remap_digest(&annotated, &b, NULL), OK);
    ck_assert(digest_equal(&a, &b));
    compat_fixture_done(&f);
}
END_TEST

SUITE(remap)
{
    return suite_with("remap", LOOP(remap__is_read_and_written_in_both_spellings, written),
                      LOOP(remap__refuses_with_a_reason, refused),
                      TEST(remap__tells_broken_json_from_a_wrong_remap),
                      TEST(remap__holds_its_limits),
                      TEST(remap__annotations_are_no_part_of_the_digest));
}
