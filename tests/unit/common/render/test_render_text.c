#include "common/base/utf8.h"
#include "tests/support/report_fixture.h"
#include "tests/support/unit.h"

enum { CAP = 1 << 20 };

static struct slice
render(struct compat_fixture *f, const struct report *r, bool has_colour)
{
    const struct render_options options = {.has_colour = has_colour};
    struct buf out = buf_with_cap(CAP);
    struct slice copy;

    render_text(r, &options, &out);
    ck_assert_int_eq(buf_check(&out, NULL), OK);
    ck_assert_int_eq(arena_copy(&f->arena, buf_slice_of(&out), &copy, NULL), OK);
    buf_done(&out);
    return copy;
}

START_TEST(render_text__is_a_page_that_a_person_reads)
{
    static const char want[] =
        "ckptd: FAIL partial vision/net@epoch-1 vs expected (need strict): 1 shape mismatch, 1 "
        "missing "
        "key\n"
        "\n"
        "  as it is    loads with strict=False; 0 of 3 tensors, 0.0 % of the elements\n"
        "              3 missing, 2 unexpected, 0 of another shape\n"
        "  remapped    does not load; 1 of 3 tensors, 90.6 % of the elements\n"
        "              1 missing, 0 unexpected, 1 of another shape\n"
        "\n"
        "Remap\n"
        "  module.{*} -> {*}  # 2 keys: prefix on every key\n"
        "\n"
        "Another shape\n"
        "  fc.weight  expected [2, 9], found [9, 9]\n"
        "\n"
        "Missing\n"
        "  c.weight\n"
        "\n"
        "Advice\n"
        "  Strip the DataParallel prefix `module.`, or save model.module.state_dict().\n"
        "  Drop `fc.weight` before load_state_dict(strict=False): PyTorch raises on another shape "
        "even "
        "then, and has filled part of the model by that time.\n"
        "  `c.weight` is not in the checkpoint: with strict=False it keeps the value the model was "
        "made "
        "with.\n";
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {
        .loader = LOADER_COUNT, .has_required = true, .required = VERDICT_STRICT};
    struct report r;
    struct slice text;

    options.checkpoint.model = slice_of("vision/net");
    options.checkpoint.version = slice_of("epoch-1");
    r = fixture_report(&f, "module.a.weight 12,16; module.fc.weight 9,9",
                       "a.weight 12,16; fc.weight 2,9; c.weight 2", options);
    text = render(&f, &r, false);
    ck_assert_str_eq(text.at, want);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_text__says_ok_where_the_requirement_is_met)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = {.loader = LOADER_COUNT};
    struct report r;
    struct slice text, first;

    options.checkpoint.path = slice_of("model.pt");
    r = fixture_report(&f, "a 1", "a 1", options);
    text = render(&f, &r, false);
    first = slice_cut(&text, '\n');
    ck_assert_slice_eq(first, "ckptd: OK strict model.pt vs expected: all 1 tensors load");
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_text__lets_no_name_reach_the_terminal_raw)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report r = fixture_report(&f, "a\033[31m\xff.w 1; \xe2\x80\xaex.w 1", "b.w 1; b\t.w 1",
                                     (struct report_options){.loader = LOADER_COUNT});
    struct slice text = render(&f, &r, false);

    for (size_t i = 0; i < text.length; i++)
        ck_assert_msg((unsigned char)text.at[i] >= 0x20 || text.at[i] == '\n', "byte %zu", i);
    ck_assert(utf8_is_valid(text));
    ck_assert_ptr_null(strstr(text.at, "\xe2\x80\xae"));
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_text__has_colour_only_when_told)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report r =
        fixture_report(&f, "a 1", "a 1", (struct report_options){.loader = LOADER_COUNT});

    ck_assert_ptr_null(strchr(render(&f, &r, false).at, '\033'));
    ck_assert_ptr_nonnull(strchr(render(&f, &r, true).at, '\033'));
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_text__ends_long_lists)
{
    struct compat_fixture f = compat_fixture_begin();
    struct buf found = buf_with_cap(CAP);
    struct report r;

    for (int i = 0; i < 30; i++)
        buf_printf(&found, "x%d.w 1;", i);
    r = fixture_report(&f, found.bytes, "a.b.c 7,7",
                       (struct report_options){.loader = LOADER_COUNT});
    ck_assert_ptr_nonnull(strstr(render(&f, &r, false).at, "  … and 10 more\n"));
    buf_done(&found);
    compat_fixture_done(&f);
}
END_TEST

SUITE(render_text)
{
    return suite_with("render_text", TEST(render_text__is_a_page_that_a_person_reads),
                      TEST(render_text__says_ok_where_the_requirement_is_met),
                      TEST(render_text__lets_no_name_reach_the_terminal_raw),
                      TEST(render_text__has_colour_only_when_told),
                      TEST(render_text__ends_long_lists));
}
