#include "server/store/ref.h"

#include "tests/support/unit.h"

#define A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *name;
    bool is_good;
} parts[] = {
    {"resnet50", true}, {"ResNet-50", true},    {"a", true},         {"7b", true},
    {"a_", true},       {"a.b-c_d", true},      {A32 A32 A32, true}, {A32 A32 A32 "a", false},
    {"", false},        {"-a", false},          {".a", false},       {"_a", false},
    {"a-", false},      {"a.", false},          {"a--b", false},     {"a..b", false},
    {"x.git", false},   {"x.GIT", false},       {"a/b", false},      {"a b", false},
    {"a%b", false},     {"caf\xc3\xa9", false}, {"a\nb", false},     {"..", false},
    {".git", false},    {"xgit", true},
};

START_TEST(ref__holds_parts_to_the_rules)
{
    struct err err = {0};
    enum status status = ref_check_part("model", slice_of(parts[_i].name), &err);

    ck_assert_msg(status == (parts[_i].is_good ? OK : ERR_BAD_NAME), "%s: %s", parts[_i].name,
                  err.text);
}
END_TEST

START_TEST(ref__refuses_a_nul_inside_a_name)
{
    ck_assert_int_eq(ref_check_part("model", (struct slice){"a\0b", 3}, NULL), ERR_BAD_NAME);
    ck_assert_int_eq(ref_check_label((struct slice){"a\0b", 3}, NULL), ERR_BAD_NAME);
    ck_assert_int_eq(ref_check_path((struct slice){"a\0b", 3}, NULL), ERR_BAD_NAME);
}
END_TEST

static const struct {
    const char *name;
    bool is_good;
} labels[] = {
    {"epoch-90", true},
    {"epoch=90-val_acc=0.91", true},
    {"1.0+cu121", true},
    {"v7", false},
    {"v007", false},
    {"v", true},
    {"v7a", true},
    {"V7", true},
    {"", false},
    {"-x", false},
    {"@x", false},
    {"a/b", false},
    {"sha256:00", false},
    {A32 A32 A32 A32, true},
    {A32 A32 A32 A32 "a", false},
    {"a--b", true},
    {"a.", true},
};

START_TEST(ref__holds_labels_to_the_rules)
{
    struct err err = {0};
    enum status status = ref_check_label(slice_of(labels[_i].name), &err);

    ck_assert_msg(status == (labels[_i].is_good ? OK : ERR_BAD_NAME), "%s: %s", labels[_i].name,
                  err.text);
}
END_TEST

static const struct {
    const char *name;
    bool is_good;
} paths[] = {
    {"model.pth", true},  {"a/b/c.safetensors", true},
    {"_x/.hidden", true}, {"a@b=c,d+e", true},
    {"", false},          {"/a", false},
    {"a/", false},        {"a//b", false},
    {"../a", false},      {"a/../b", false},
    {"./a", false},       {"a/.", false},
    {"a\\b", false},      {"a b", false},
    {"a\tb", false},      {"...", true},
};

START_TEST(ref__holds_paths_to_the_rules)
{
    struct err err = {0};
    enum status status = ref_check_path(slice_of(paths[_i].name), &err);

    ck_assert_msg(status == (paths[_i].is_good ? OK : ERR_BAD_NAME), "%s: %s", paths[_i].name,
                  err.text);
}
END_TEST

START_TEST(ref__tells_the_four_kinds_apart)
{
    struct ref ref;

    ck_assert_int_eq(ref_parse(slice_of("epoch-90"), &ref, NULL), OK);
    ck_assert_int_eq(ref.kind, REF_LABEL);
    ck_assert_int_eq(ref_parse(slice_of("@production"), &ref, NULL), OK);
    ck_assert_int_eq(ref.kind, REF_ALIAS);
    ck_assert(slice_is(ref.text, "production"));
    ck_assert_int_eq(ref_parse(slice_of("v17"), &ref, NULL), OK);
    ck_assert_int_eq(ref.kind, REF_SERIAL);
    ck_assert_uint_eq(ref.serial, 17);
    ck_assert_int_eq(ref_parse(slice_of("sha256:" A32 A32), &ref, NULL), OK);
    ck_assert_int_eq(ref.kind, REF_DIGEST);
    ck_assert_uint_eq(ref.digest.bytes[0], 0xaa);
}
END_TEST

static const char *const bad_refs[] = {
    "",
    "@",
    "@-x",
    "v0",
    "v07",
    "sha256:",
    "sha256:" A32,
    "v99999999999999999999",
    "sha256:AA" A32,
    "a b",
    "sha256:" A32 A32 "a",
};

START_TEST(ref__refuses_what_names_no_version)
{
    struct ref ref;

    ck_assert_int_eq(ref_parse(slice_of(bad_refs[_i]), &ref, NULL), ERR_BAD_NAME);
}
END_TEST

SUITE(ref)
{
    return suite_with(
        "ref", LOOP(ref__holds_parts_to_the_rules, parts), TEST(ref__refuses_a_nul_inside_a_name),
        LOOP(ref__holds_labels_to_the_rules, labels), LOOP(ref__holds_paths_to_the_rules, paths),
        TEST(ref__tells_the_four_kinds_apart), LOOP(ref__refuses_what_names_no_version, bad_refs));
}
