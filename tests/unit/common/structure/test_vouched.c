#include "common/structure/vouched.h"

#include "common/base/attr.h"
#include "tests/support/unit.h"

enum { FINDINGS_MAX = 4 };

#define TEXT(text) \
    { \
        (text), sizeof(text) - 1 \
    }

static const struct slice listed[] = {TEXT("my.a.Config"), TEXT("my.b.Net"), TEXT("my.c.State")};
static const struct vouched site = {.names = listed, .count = ARRAY_LENGTH(listed)};

static const struct {
    const char *name;
    enum safety safety, want;
    size_t dropped;
    struct {
        enum finding_id id;
        const char *subject;
        bool is_vouched;
    } findings[FINDINGS_MAX];
    size_t count;
} folds[] = {
    {"all on the list",
     SAFETY_UNLISTED,
     SAFETY_CLEAN,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true},
      {FINDING_PICKLE_GLOBAL_UNLISTED, "my.c.State", true},
      {FINDING_MODULE_PICKLED, "my.b.Net", false},
      {FINDING_EMPTY, "", false}},
     4},
    {"one is not",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true},
      {FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Other", false}},
     2},
    {"what begins like one",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config.evil", false}},
     1},
    {"a call's result",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true},
      {FINDING_PICKLE_GLOBAL_UNLISTED, "(a call's result)", false}},
     2},
    {"a known one with odd arguments",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true},
      {FINDING_PICKLE_GLOBAL_UNLISTED, "argparse.Namespace", false}},
     2},
    {"findings that nobody kept",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     1,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true}},
     1},
    {"bytes that nobody read",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true},
      {FINDING_PICKLE_NESTED, "torch.storage._load_from_bytes", false}},
     2},
    {"code",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true},
      {FINDING_FILE_CODE, "code/__torch__.py", false}},
     2},
    {"no finding at all", SAFETY_UNLISTED, SAFETY_UNLISTED, 0, {{0}}, 0},
    {"another finding of a listed name",
     SAFETY_UNLISTED,
     SAFETY_UNLISTED,
     0,
     {{FINDING_PICKLE_NESTED, "my.a.Config", false}},
     1},
    {"dangerous stays",
     SAFETY_DANGEROUS,
     SAFETY_DANGEROUS,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true}},
     1},
    {"malformed stays",
     SAFETY_MALFORMED,
     SAFETY_MALFORMED,
     0,
     {{FINDING_PICKLE_GLOBAL_UNLISTED, "my.a.Config", true}},
     1},
    {"clean stays", SAFETY_CLEAN, SAFETY_CLEAN, 0, {{0}}, 0},
};

static void
fill(struct inspection *in, struct finding *findings, size_t row)
{
    *in = (struct inspection){.findings = findings,
                              .finding_count = folds[row].count,
                              .findings_dropped = folds[row].dropped,
                              .safety = folds[row].safety};
    for (size_t i = 0; i < folds[row].count; i++)
        findings[i] = (struct finding){.id = folds[row].findings[i].id,
                                       .subject = slice_of(folds[row].findings[i].subject)};
}

START_TEST(vouched__excuses_what_is_listed_and_nothing_else)
{
    struct finding findings[FINDINGS_MAX];
    struct inspection in;

    fill(&in, findings, _i);
    vouched_apply(&site, &in);
    ck_assert_msg(in.safety == folds[_i].want, "%s: %s", folds[_i].name, safety_name(in.safety));
    for (size_t i = 0; i < folds[_i].count; i++) {
        ck_assert_msg(findings[i].is_vouched == folds[_i].findings[i].is_vouched, "%s: %zu",
                      folds[_i].name, i);
        ck_assert_int_eq(finding_level(&findings[i]),
                         findings[i].is_vouched ? SEVERITY_INFO : finding_severity(findings[i].id));
    }
}
END_TEST

START_TEST(vouched__without_a_list_changes_nothing)
{
    static const struct vouched empty = {0};
    struct finding findings[FINDINGS_MAX];
    struct inspection in;

    fill(&in, findings, _i);
    vouched_apply(&empty, &in);
    ck_assert_int_eq(in.safety, folds[_i].safety);
    for (size_t i = 0; i < folds[_i].count; i++)
        ck_assert(!findings[i].is_vouched);
}
END_TEST

SUITE(vouched)
{
    return suite_with("vouched", LOOP(vouched__excuses_what_is_listed_and_nothing_else, folds),
                      LOOP(vouched__without_a_list_changes_nothing, folds));
}
