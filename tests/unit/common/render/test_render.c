#include "common/render/render.h"

#include "common/base/attr.h"
#include "common/base/json.h"
#include "common/base/utf8.h"
#include "tests/support/compat_fixture.h"
#include "tests/support/unit.h"

/* A report on one plain file, in the form named. */
static struct slice
rendered(struct compat_fixture *f, const char *form, const char *found, const char *expected,
         struct report_options options)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap(1 << 20);
    struct container c = fixture_container(f, "", CONTAINER_WEIGHTS, found);
    struct inspection in = fixture_inspection(&c, 1);
    struct manifest m = fixture_manifest(f, expected);
    struct render_options plain = {0};
    struct slice copy;
    struct report r;

    ck_assert_int_eq(report_make(&in, &m, &options, &f->limits, &f->arena, &r, &f->err), OK);
    render_find(slice_of(form))->render(&r, &plain, &out);
    ck_assert_int_eq(buf_check(&out, NULL), OK);
    ck_assert_int_eq(arena_copy(&f->arena, buf_slice_of(&out), &copy, NULL), OK);
    return copy;
}

static struct report_options
usual(void)
{
    return (struct report_options){
        .loader = LOADER_COUNT,
        .checkpoint = {.model = slice_of("vision/net"),
                       .ref = slice_of("epoch-90"),
                       .version = slice_of("epoch-90"),
                       .serial = 8},
        .has_required = true,
        .required = VERDICT_STRICT,
    };
}

START_TEST(render__finds_forms_by_name)
{
    ck_assert_ptr_nonnull(render_find(slice_of("json")));
    ck_assert_ptr_nonnull(render_find(slice_of("text")));
    ck_assert_ptr_null(render_find(slice_of("JSON")));
    ck_assert_ptr_null(render_find(slice_of("")));
    for (size_t i = 0; renderings[i].name != NULL; i++) {
        ck_assert_ptr_eq(render_find(slice_of(renderings[i].name)), &renderings[i]);
        ck_assert_ptr_nonnull(strchr(renderings[i].media_type, '/'));
    }
}
END_TEST

/* The first line is for grep; it is part of the contract. */
static const struct {
    const char *found, *expected, *line;
} lines[] = {
    {"a.weight 4,4", "a.weight 4,4",
     "ckptd: OK strict vision/net@epoch-90 vs expected (need strict)"},
    {"module.a.weight 4,4; module.b 3", "a.weight 4,4; b 3",
     "ckptd: FAIL strict_after_remap vision/net@epoch-90 vs expected (need strict)"},
    {"a.weight 64,8; b 3; c 4", "a.weight 64,8; b 5; c 6",
     "ckptd: FAIL partial vision/net@epoch-90 vs expected (need strict): 2 shape mismatches"},
};

START_TEST(render_text__first_line_can_be_grepped)
{
    struct compat_fixture f = compat_fixture_begin();
    struct slice text = rendered(&f, "text", lines[_i].found, lines[_i].expected, usual());
    struct slice line = slice_cut(&text, '\n');

    ck_assert_msg(slice_starts(line, slice_of(lines[_i].line)), "%.*s", SLICE_PRINT(line));
    compat_fixture_done(&f);
}
END_TEST

static bool
has(struct slice text, const char *part)
{
    for (size_t i = 0; i + strlen(part) <= text.length; i++)
        if (slice_starts(slice_from(text, i), slice_of(part)))
            return true;
    return false;
}

START_TEST(render_text__shows_the_remap_in_its_line_form)
{
    struct compat_fixture f = compat_fixture_begin();
    struct slice text =
        rendered(&f, "text", "module.a.weight 4,4; module.b 3", "a.weight 4,4; b 3", usual());

    ck_assert(has(text, "module.{*} -> {*}"));
    compat_fixture_done(&f);
}
END_TEST

/* Names come from files: no byte of them may move a terminal's cursor or turn text round. */
START_TEST(render_text__shows_hostile_names_harmlessly)
{
    struct compat_fixture f = compat_fixture_begin();
    struct slice text = rendered(&f, "text", "\x1b[2Jevil 3; \xe2\x80\xaetxt 4; \xff 5; a 6",
                                 "a 6; b\x1b[31m 7", usual());

    for (size_t i = 0; i < text.length; i++)
        ck_assert(text.at[i] == '\n' || (uint8_t)text.at[i] >= 0x20);
    ck_assert(!has(text, "\xe2\x80\xae"));
    ck_assert(utf8_is_valid(text));
    ck_assert(has(text, "\\u{1b}[2Jevil"));
    compat_fixture_done(&f);
}
END_TEST

/* Whether the text is one JSON object, and that a member of the top is there. */
static bool
json_has(struct compat_fixture *f, struct slice text, const char *member, struct slice *ret_raw)
{
    CLEANUP(json_done) struct json j;
    struct slice key;
    bool is_end, found = false;

    json_open(&j, text, &f->limits, &f->arena);
    ck_assert_int_eq(json_object(&j, "the report", NULL), OK);
    for (;;) {
        struct slice raw;

        ck_assert_int_eq(json_key(&j, &key, &is_end, NULL), OK);
        if (is_end)
            break;
        ck_assert_int_eq(json_skip(&j, &raw, NULL), OK);
        if (slice_is(key, member)) {
            *ret_raw = raw;
            found = true;
        }
    }
    ck_assert_int_eq(json_finish(&j, NULL), OK);
    return found;
}

static const char *const members[] = {
    "schema",     "verdict", "loader",      "exactness",   "matcher", "checkpoint",
    "manifest",   "as_is",   "warnings",    "after_remap", "remap",   "discarded",
    "containers", "allowed", "ambiguities", "advice",
};

START_TEST(render_json__has_the_contracts_members)
{
    struct compat_fixture f = compat_fixture_begin();
    struct slice raw;
    struct slice json =
        rendered(&f, "json", "module.a.weight 4,4; \xff\x1b 3", "a.weight 4,4", usual());

    ck_assert_msg(json_has(&f, json, members[_i], &raw), "%s", members[_i]);
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_json__has_null_where_there_is_no_remap)
{
    struct compat_fixture f = compat_fixture_begin();
    struct slice json = rendered(&f, "json", "a.weight 4,4", "a.weight 4,4", usual()), raw;

    ck_assert(json_has(&f, json, "remap", &raw));
    ck_assert_slice_eq(raw, "null");
    ck_assert(json_has(&f, json, "after_remap", &raw));
    ck_assert_slice_eq(raw, "null");
    ck_assert(!json_has(&f, json, "mapping", &raw));
    ck_assert(json_has(&f, json, "verdict", &raw));
    ck_assert_slice_eq(raw, "\"strict\"");
    compat_fixture_done(&f);
}
END_TEST

/* Lists are cut, counts are whole; and they come in the order that people count in. */
START_TEST(render_json__cuts_lists_and_not_counts)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = usual();
    struct slice raw;

    options.limit = 2;
    ck_assert(json_has(
        &f,
        rendered(&f, "json", "a.weight 400", "a.weight 400; l.10.w 1; l.9.w 1; l.2.w 1", options),
        "as_is", &raw));
    ck_assert(has(raw, "\"missing\": 3") || has(raw, "\"missing\":3"));
    ck_assert(has(raw, "l.2.w") && has(raw, "l.9.w") && !has(raw, "l.10.w"));
    compat_fixture_done(&f);
}
END_TEST

START_TEST(render_json__maps_every_filled_key_when_asked)
{
    struct compat_fixture f = compat_fixture_begin();
    struct report_options options = usual();
    struct slice raw;

    options.wants_mapping = true;
    ck_assert(
        json_has(&f, rendered(&f, "json", "m.a 4; b 3", "a 4; b 3", options), "mapping", &raw));
    ck_assert(has(raw, "\"m.a\"") || has(raw, "\"b\""));
    compat_fixture_done(&f);
}
END_TEST

SUITE(render)
{
    return suite_with("render", TEST(render__finds_forms_by_name),
                      LOOP(render_text__first_line_can_be_grepped, lines),
                      TEST(render_text__shows_the_remap_in_its_line_form),
                      TEST(render_text__shows_hostile_names_harmlessly),
                      LOOP(render_json__has_the_contracts_members, members),
                      TEST(render_json__has_null_where_there_is_no_remap),
                      TEST(render_json__cuts_lists_and_not_counts),
                      TEST(render_json__maps_every_filled_key_when_asked));
}
