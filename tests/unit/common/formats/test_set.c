#include "common/formats/set.h"

#include <string.h>

#include "common/base/attr.h"
#include "common/formats/set_name.h"
#include "tests/support/format_cases.h"
#include "tests/support/unit.h"

START_TEST(set__reads_every_case)
{
    format_cases_check("sets", 50);
}
END_TEST

static const struct {
    const char *path;
    bool is_numbered;
    const char *before, *after;
    uint32_t number, total, rank;
} numbered[] = {
    {"model-00001-of-00005.safetensors", true, "model-", ".safetensors", 1, 5, 0},
    {"a/m.fp16-2-of-3.bin", true, "a/m.fp16-", ".bin", 2, 3, 0},
    {"shard-00003-model-00001-of-00002.safetensors", true, "shard-", ".safetensors", 1, 2, 3},
    {"shard-x-model-1-of-2", true, "shard-x-model-", "", 1, 2, 0},
    {"model-6-of-5.bin", false, "", "", 0, 0, 0},
    {"1-of-2", false, "", "", 0, 0, 0},
    {"best-of-2", false, "", "", 0, 0, 0},
    {"m-1-of-x", false, "", "", 0, 0, 0},
    {"m-1-of-99999999", false, "", "", 0, 0, 0},
    {"1-of-2/m", false, "", "", 0, 0, 0},
    {"", false, "", "", 0, 0, 0},
};

START_TEST(set__tells_a_parts_number_by_its_name)
{
    struct set_number n;
    bool is_numbered = set_name_number(slice_of(numbered[_i].path), &n);

    ck_assert_int_eq(is_numbered, numbered[_i].is_numbered);
    if (!is_numbered)
        return;
    ck_assert(slice_is(n.before, numbered[_i].before));
    ck_assert(slice_is(n.after, numbered[_i].after));
    ck_assert_uint_eq(n.number, numbered[_i].number);
    ck_assert_uint_eq(n.total, numbered[_i].total);
    ck_assert_uint_eq(n.rank, numbered[_i].rank);
}
END_TEST

static const struct {
    const char *path;
    bool is_plain;
} paths[] = {
    {"a.bin", true}, {"a/b.bin", true}, {"a..b", true},    {"", false},     {"/a", false},
    {"a/", false},   {"../a", false},   {"a/../b", false}, {"a//b", false}, {"./a", false},
    {"a\\b", false}, {"C:/a", false},   {"a\nb", false},   {"a/..", false}, {"..", false},
};

START_TEST(set__opens_plain_paths_only)
{
    ck_assert_int_eq(set_name_is_plain(slice_of(paths[_i].path)), paths[_i].is_plain);
}
END_TEST

SUITE(set)
{
    return suite_with("set", TEST(set__reads_every_case),
                      LOOP(set__tells_a_parts_number_by_its_name, numbered),
                      LOOP(set__opens_plain_paths_only, paths));
}
