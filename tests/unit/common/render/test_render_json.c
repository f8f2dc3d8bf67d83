#include "common/base/json.h"
#include "tests/support/report_fixture.h"
#include "tests/support/unit.h"

enum { CAP = 1 << 20 };

/* The report's JSON without white space outside of strings, which must be JSON. */
static struct slice
render_flat(struct compat_fixture *f, const struct report *r)
{
    struct buf out = buf_with_cap(CAP), flat = buf_with_cap(CAP);
    const struct render_options options = {0};
    struct slice copy;

    render_json(r, &options, &out);
    ck_assert_int_eq(buf_check(&out, NULL), OK);
    for (size_t i = 0, in_string = 0; i < out.length; i++) {
        char c = out.bytes[i];

        if (c == '"' && (i == 0 || out.bytes[i - 1] != '\\'))
            in_string = !in_string;
        if (in_string || (c != ' ' && c != '\n'))
            buf_char(&flat, c);
    }
    ck_assert_int_eq(arena_copy(&f->arena, buf_slice_of(&flat), &copy, NULL), OK);
    buf_done(&out);
    buf_done(&flat);
    return copy;
}

static void
assert_has(struct slice json, const char *part)
{
    ck_assert_msg(strstr(json.at, part) != NULL, "no %s in %s", part, json.at);
}

START_TEST(render_json__writes_the_contract)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {.loader = LOADER_COUNT, .wants_mapping = true};
    struct report r;
    struct slice json;

    options.checkpoint.model = slice_of("vision/net");
    options.checkpoint.version = slice_of("epoch-1");
    options.checkpoint.serial = 7;
    r = fixture_report(&f, "module.a.weight 3,4; module.b.weight 2 float16; module.fc.weight 9,9",
                       "a.weight 3,4; b.weight 2; fc.weight 2,9; c.weight 1", options);
    json = render_flat(&f, &r);
    assert_has(json, "{\"schema\":\"ckptd/report/1\",\"verdict\":\"incompatible\",");
    assert_has(json, "\"loader\":\"torch\",\"exactness\":\"inferred\",\"matcher\":1,");
    assert_has(json,
               "\"checkpoint\":{\"model\":\"vision/net\",\"ref\":null,\"version\":\"epoch-1\","
               "\"serial\":7,\"digest\":null}");
    assert_has(json, "\"manifest\":{\"name\":\"expected\",\"digest\":\"sha256:");
    assert_has(json, "\"as_is\":{\"strict\":false,\"non_strict\":true,\"counts\":{\"matched\":0,"
                     "\"missing\":4,\"unexpected\":3,\"shape_mismatch\":0,\"dtype_mismatch\":0,"
                     "\"not_a_tensor\":0},\"coverage\":{\"tensors\":0");
    assert_has(json, "\"after_remap\":{\"strict\":false,\"non_strict\":false,");
    assert_has(json,
               "\"shape_mismatch\":[{\"key\":\"fc.weight\",\"expected\":[2,9],\"found\":[9,9]}]");
    assert_has(json, "\"dtype_mismatch\":[{\"key\":\"b.weight\",\"expected\":\"float32\","
                     "\"found\":\"float16\"}]");
    assert_has(json,
               "\"remap\":{\"schema\":\"ckptd/remap/1\",\"container\":null,\"passes\":[{\"keys\":"
               "[{\"from\":\"module.{*}\",\"to\":\"{*}\",\"count\":3,\"evidence\":");
    assert_has(
        json, "\"containers\":[{\"path\":\"\",\"kind\":\"weights\",\"verdict\":\"incompatible\"}]");
    assert_has(json,
               "\"mapping\":[{\"to\":\"a.weight\",\"from\":[\"module.a.weight\"],\"op\":null},");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_json__writes_null_where_there_is_no_remap)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report r =
        fixture_report(&f, "a 1", "a 1", (struct report_options){.loader = LOADER_COUNT});
    struct slice json = render_flat(&f, &r);

    assert_has(json, "\"after_remap\":null,\"remap\":null,\"discarded\":{\"tensors\":0,");
    ck_assert_ptr_null(strstr(json.at, "\"mapping\""));
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_json__cuts_lists_and_keeps_counts)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report r = fixture_report(&f, "x 1; y 1; z 1", "a 1; b 1; c 1",
                                     (struct report_options){.loader = LOADER_COUNT, .limit = 1});
    struct slice json = render_flat(&f, &r);

    assert_has(json, "\"missing\":3,\"unexpected\":3");
    assert_has(json, "\"missing\":[\"a\"],\"unexpected\":[\"x\"]");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_json__stays_json_whatever_the_names_are)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report r =
        fixture_report(&f, "a\"\x01\xff 1", "b 1", (struct report_options){.loader = LOADER_COUNT});
    struct slice json = render_flat(&f, &r);
    struct json j;
    struct slice raw;

    json_open(&j, json, &f.limits, &f.arena);
    ck_assert_int_eq(json_skip(&j, &raw, NULL), OK);
    ck_assert_int_eq(json_finish(&j, NULL), OK);
    json_done(&j);
    compat_fixture_done(&f);
}
END_TEST

SUITE(render_json)
{
    return suite_with("render_json", TEST(render_json__writes_the_contract),
                      TEST(render_json__writes_null_where_there_is_no_remap),
                      TEST(render_json__cuts_lists_and_keeps_counts),
                      TEST(render_json__stays_json_whatever_the_names_are));
}
