#include "common/formats/vouched_read.h"

#include <string.h>

#include "common/base/attr.h"
#include "tests/support/unit.h"

static enum status
read_list(const char *text, struct arena *arena, struct vouched *ret, struct err *err)
{
    struct limits limits = limits_default();

    *arena = arena_with_cap(limits.arena_bytes);
    return vouched_read(slice_of(text), &limits, arena, ret, err);
}

START_TEST(vouched_read__takes_names_comments_and_blank_lines)
{
    CLEANUP(arena_done) struct arena arena = {0};
    struct vouched v;
    struct err err = {0};

    ck_assert_msg(read_list("# ours\n\n  my.z.Net  # the old one\r\nmy.a.Config\n\tm\xc3\xbc.N_1",
                            &arena, &v, &err) == OK,
                  "%s", err.text);
    ck_assert_uint_eq(v.count, 3);
    ck_assert(vouched_has(&v, slice_of("my.a.Config")));
    ck_assert(vouched_has(&v, slice_of("my.z.Net")));
    ck_assert(vouched_has(&v, slice_of("m\xc3\xbc.N_1")));
    ck_assert(!vouched_has(&v, slice_of("my.z")));
    ck_assert(!vouched_has(&v, slice_of("my.z.Net.inner")));
}
END_TEST

START_TEST(vouched_read__takes_an_empty_list)
{
    CLEANUP(arena_done) struct arena arena = {0};
    struct vouched v;

    ck_assert_int_eq(read_list("", &arena, &v, NULL), OK);
    ck_assert_uint_eq(v.count, 0);
    ck_assert(!vouched_has(&v, slice_of("my.a.Config")));
}
END_TEST

/* Their odd arguments must stay findings. */
START_TEST(vouched_read__keeps_known_globals_off_the_list)
{
    CLEANUP(arena_done) struct arena arena = {0};
    struct vouched v;

    ck_assert_int_eq(read_list("argparse.Namespace\ncollections.OrderedDict\n__builtin__.set\n"
                               "torch._utils._rebuild_tensor_v2\n",
                               &arena, &v, NULL),
                     OK);
    ck_assert_uint_eq(v.count, 0);
}
END_TEST

static const struct {
    const char *text, *says;
} refused[] = {
    {"my.a.Config\nos.system\n", "line 2: nobody can vouch for os.system"},
    {"posix.system", "nobody can vouch"},
    {"os.path.join", "nobody can vouch"},
    {"__builtin__.eval", "nobody can vouch"}, /* by its modern name */
    {"builtins.eval", "nobody can vouch"},
    {"torch.storage._load_from_bytes", "judged by what it loads"},
    {"my.module.*", "line 1: 'my.module.*' is not the exact"},
    {"*", "not the exact"},
    {"Config", "not the exact"},
    {"my..Config", "not the exact"},
    {".Config", "not the exact"},
    {"my.Config.", "not the exact"},
    {"my.Config other.Thing", "not the exact"},
    {"(a call's result)", "not the exact"},
    {"my.a-b", "not the exact"},
};

START_TEST(vouched_read__refuses)
{
    CLEANUP(arena_done) struct arena arena = {0};
    struct vouched v;
    struct err err = {0};

    ck_assert_int_eq(read_list(refused[_i].text, &arena, &v, &err), ERR_BAD_REQUEST);
    ck_assert_msg(strstr(err.text, refused[_i].says) != NULL, "%s", err.text);
    ck_assert_uint_eq(v.count, 0);
}
END_TEST

START_TEST(vouched_read__refuses_a_name_as_long_as_findings_cut_theirs)
{
    CLEANUP(arena_done) struct arena arena = {0};
    struct limits limits = limits_default();
    char text[4096];
    struct vouched v;

    ck_assert_uint_lt(limits.name_bytes, sizeof text);
    memset(text, 'a', limits.name_bytes);
    text[1] = '.';
    arena = arena_with_cap(limits.arena_bytes);
    ck_assert_int_eq(
        vouched_read((struct slice){text, limits.name_bytes}, &limits, &arena, &v, NULL),
        ERR_BAD_REQUEST);
    ck_assert_int_eq(
        vouched_read((struct slice){text, limits.name_bytes - 1}, &limits, &arena, &v, NULL), OK);
}
END_TEST

SUITE(vouched_read)
{
    return suite_with("vouched_read", TEST(vouched_read__takes_names_comments_and_blank_lines),
                      TEST(vouched_read__takes_an_empty_list),
                      TEST(vouched_read__keeps_known_globals_off_the_list),
                      LOOP(vouched_read__refuses, refused),
                      TEST(vouched_read__refuses_a_name_as_long_as_findings_cut_theirs));
}
