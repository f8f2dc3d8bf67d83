#include "common/structure/structure.h"

#include "tests/support/unit.h"

#define NAMED(text) \
    { \
        .name = {(text), sizeof(text) - 1}, .elements = 2, .bytes = 8 \
    }

static const struct tensor tensors[] = {
    NAMED(""), NAMED("a"), NAMED("a.bias"), NAMED("a.weight"), NAMED("a0"), NAMED("\xff"),
};

static const struct structure sample = {tensors, sizeof tensors / sizeof tensors[0]};

START_TEST(structure__finds_each_name)
{
    for (size_t count = 0; count <= sample.count; count++)
        for (size_t i = 0; i < sample.count; i++)
            ck_assert_uint_eq(structure_find(&(struct structure){tensors, count}, tensors[i].name),
                              i < count ? i : SIZE_MAX);
}
END_TEST

static const char *const absent[] = {"A", "a.", "a.c", "a.weigh", "a.weights", "b", "\xff\xff"};

START_TEST(structure__finds_nothing_else)
{
    ck_assert_uint_eq(structure_find(&sample, slice_of(absent[_i])), SIZE_MAX);
}
END_TEST

START_TEST(structure__adds_up)
{
    ck_assert_uint_eq(structure_elements(&sample), 12);
    ck_assert_uint_eq(structure_bytes(&sample), 48);
    ck_assert_uint_eq(structure_bytes(&(struct structure){0}), 0);
}
END_TEST

START_TEST(structure__sums_saturate)
{
    const struct tensor large[] = {{.elements = UINT64_MAX, .bytes = UINT64_MAX - 1},
                                   {.elements = 1, .bytes = 2}};
    struct structure s = {large, 2};

    ck_assert_uint_eq(structure_elements(&s), UINT64_MAX);
    ck_assert_uint_eq(structure_bytes(&s), UINT64_MAX);
}
END_TEST

START_TEST(facts__find_entries_and_versions)
{
    const struct entry entries[] = {{.name = {"epoch", 5}, .kind = ENTRY_INT},
                                    {.name = {"optimizer", 9}, .kind = ENTRY_DICT}};
    const struct module_version versions[] = {{.module = {"", 0}, .has_version = false},
                                              {.module = {"bn", 2}, true, 2}};
    struct facts f = {
        .entries = entries, .entry_count = 2, .versions = versions, .version_count = 2};

    ck_assert_int_eq(facts_entry(&f, slice_of("optimizer"))->kind, ENTRY_DICT);
    ck_assert_ptr_eq(facts_entry(&f, slice_of("epoch")), &entries[0]);
    ck_assert_ptr_null(facts_entry(&f, slice_of("epochs")));
    ck_assert_ptr_eq(facts_version(&f, (struct slice){0}), &versions[0]);
    ck_assert_int_eq(facts_version(&f, slice_of("bn"))->version, 2);
    ck_assert_ptr_null(facts_version(&f, slice_of("b")));
    ck_assert_ptr_null(facts_entry(&(struct facts){0}, slice_of("epoch")));
    ck_assert_ptr_null(facts_version(&(struct facts){0}, slice_of("")));
}
END_TEST

START_TEST(structure__names_every_layout_and_kind)
{
    for (enum layout l = 0; l < LAYOUT_COUNT; l++)
        ck_assert_ptr_nonnull(layout_name(l));
    for (enum entry_kind k = 0; k < ENTRY_KIND_COUNT; k++)
        ck_assert_ptr_nonnull(entry_kind_name(k));
    ck_assert_str_eq(layout_name(LAYOUT_SPARSE_COO), "sparse_coo");
    ck_assert_str_eq(entry_kind_name(ENTRY_DICT), "dict");
}
END_TEST

SUITE(structure)
{
    return suite_with("structure", TEST(structure__finds_each_name),
                      LOOP(structure__finds_nothing_else, absent), TEST(structure__adds_up),
                      TEST(structure__sums_saturate), TEST(facts__find_entries_and_versions),
                      TEST(structure__names_every_layout_and_kind));
}
