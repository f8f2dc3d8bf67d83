#include "common/compat/manifest_form.h"
#include "tests/support/unit.h"

static const struct {
    const char *yaml, *json;
} turned[] = {
    {"a: 1", "{\"a\":1}"},
    {"a: -1.5e3", "{\"a\":-1.5e3}"},
    {"a: 007", "{\"a\":\"007\"}"},
    {"a: .5", "{\"a\":\".5\"}"},
    {"a: 1.", "{\"a\":\"1.\"}"},
    {"a: 1e", "{\"a\":\"1e\"}"},
    {"a: true\nb: False\nc: NULL\nd: ~\ne:",
     "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}"},
    {"a: yes", "{\"a\":\"yes\"}"},
    {"a: '1'", "{\"a\":\"1\"}"},
    {"a: \"x\\ty\"", "{\"a\":\"x\\u0009y\"}"},
    {"1: 2", "{\"1\":2}"},
    {"null: 2", "{\"null\":2}"},
    {"a: |\n  two\n  lines\n", "{\"a\":\"two\\nlines\\n\"}"},
    {"- 1\n- [a, {b: c}]\n- {}\n", "[1,[\"a\",{\"b\":\"c\"}],{}]"},
    {"a:\n  b:\n  - c: 1\n    d: 2\n  - 3\n", "{\"a\":{\"b\":[{\"c\":1,\"d\":2},3]}}"},
    {"# a comment\n---\na: 1 # another\n...\n", "{\"a\":1}"},
    {"{\"a\": [1, 2,], 'b': c}", "{\"a\":[1,2],\"b\":\"c\"}"},
    {"plain", "\"plain\""},
    {"", ""},
};

START_TEST(manifest_yaml__means_the_json)
{
    struct limits limits = limits_default();
    struct arena arena = arena_with_cap(1 << 20);
    struct slice json = {0};
    struct err err = {0};
    enum status status =
        manifest_yaml_read(slice_of(turned[_i].yaml), &limits, &arena, &json, &err);

    ck_assert_msg(status == OK, "%s", err.text);
    ck_assert_msg(slice_is(json, turned[_i].json), "%.*s", SLICE_PRINT(json));
    arena_done(&arena);
}
END_TEST

static const struct {
    const char *yaml;
    enum status status;
    const char *says;
} refused[] = {
    {"a: &x 1\n", ERR_BAD_MANIFEST, "anchors"},
    {"a: &x [1]\nb: *x\n", ERR_BAD_MANIFEST, "anchors"},
    {"&x a: 1\n", ERR_BAD_MANIFEST, "anchors"},
    {"a: &x {b: 1}\n", ERR_BAD_MANIFEST, "anchors"},
    {"a: *x\n", ERR_BAD_MANIFEST, "anchors"},
    {"a: !!str 1\n", ERR_BAD_MANIFEST, "tags"},
    {"a: !!python/object/apply:os.system [ls]\n", ERR_BAD_MANIFEST, "tags"},
    {"a: !x {b: 1}\n", ERR_BAD_MANIFEST, "tags"},
    {"? [1, 2]\n: 3\n", ERR_BAD_MANIFEST, "key"},
    {"? {a: 1}\n: 3\n", ERR_BAD_MANIFEST, "key"},
    {"a: 1\n---\nb: 2\n", ERR_BAD_MANIFEST, "second document"},
    {"a: [1\n", ERR_BAD_JSON, "line"},
    {"a: 'x\n", ERR_BAD_JSON, "line"},
    {"a: \"\\0\"\n", ERR_BAD_JSON, "NUL"},
    {"a: \xff\xfe\n", ERR_BAD_JSON, "neither JSON nor YAML"},
    {"\t- a\n", ERR_BAD_JSON, ""},
    {"a: b: c\n", ERR_BAD_JSON, ""},
    {"%YAML 3.0\n---\na: 1\n", ERR_BAD_JSON, ""},
};

START_TEST(manifest_yaml__refuses_what_can_stand_for_more)
{
    struct limits limits = limits_default();
    struct arena arena = arena_with_cap(1 << 20);
    struct slice json;
    struct err err = {0};

    ck_assert_int_eq(manifest_yaml_read(slice_of(refused[_i].yaml), &limits, &arena, &json, &err),
                     refused[_i].status);
    ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s", err.text);
    arena_done(&arena);
}
END_TEST

START_TEST(manifest_yaml__keeps_its_limits)
{
    struct limits limits = limits_default();
    struct arena arena = arena_with_cap(1 << 20);
    struct slice json;

    limits.json_depth = 2;
    ck_assert_int_eq(manifest_yaml_read(slice_of("a: [[1]]"), &limits, &arena, &json, NULL),
                     ERR_LIMIT);
    limits = limits_default();
    limits.json_tokens = 3;
    ck_assert_int_eq(manifest_yaml_read(slice_of("a: [1, 2]"), &limits, &arena, &json, NULL),
                     ERR_LIMIT);
    limits = limits_default();
    limits.manifest_bytes = 4;
    ck_assert_int_eq(manifest_yaml_read(slice_of("a: [1, 2]"), &limits, &arena, &json, NULL),
                     ERR_LIMIT);
    arena_done(&arena);
}
END_TEST

SUITE(manifest_yaml)
{
    return suite_with("manifest_yaml", LOOP(manifest_yaml__means_the_json, turned),
                      LOOP(manifest_yaml__refuses_what_can_stand_for_more, refused),
                      TEST(manifest_yaml__keeps_its_limits));
}
