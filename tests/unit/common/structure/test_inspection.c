#include "common/structure/inspection.h"

#include "common/base/attr.h"
#include "tests/support/heap.h"
#include "tests/support/unit.h"

START_TEST(inspection__keeps_notes_in_order)
{
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(1 << 20)};
    struct limits limits = limits_default();

    for (unsigned i = 0; i < 100; i++)
        ck_assert_int_eq(inspection_note(&in, &limits, FINDING_TENSOR_ODD, slice_of("conv1"), NULL,
                                         "note %u", i),
                         OK);
    ck_assert_uint_eq(in.finding_count, 100);
    ck_assert(slice_is(in.findings[0].message, "note 0"));
    ck_assert(slice_is(in.findings[99].message, "note 99"));
    ck_assert(slice_is(in.findings[50].subject, "conv1"));
    ck_assert_int_eq(in.findings[50].id, FINDING_TENSOR_ODD);
}
END_TEST

START_TEST(inspection__only_counts_notes_past_the_limit)
{
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(1 << 20)};
    struct limits limits = limits_default();

    limits.findings = 3;
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(
            inspection_note(&in, &limits, FINDING_EMPTY, (struct slice){0}, NULL, "again"), OK);
    ck_assert_uint_eq(in.finding_count, 3);
    ck_assert_uint_eq(in.findings_dropped, 7);
}
END_TEST

START_TEST(inspection__cuts_hostile_subjects_and_messages)
{
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(1 << 20)};
    struct limits limits = limits_default();
    char text[4096];

    memset(text, 'x', sizeof text);
    ck_assert_int_eq(inspection_note(&in, &limits, FINDING_KEY_ODD,
                                     (struct slice){text, sizeof text}, NULL, "%.*s",
                                     (int)sizeof text, text),
                     OK);
    ck_assert_uint_eq(in.findings[0].subject.length, limits.name_bytes);
    ck_assert_uint_le(in.findings[0].message.length, 512);
}
END_TEST

START_TEST(inspection__says_when_there_is_no_room_for_a_note)
{
    CLEANUP(inspection_done) struct inspection in = {.arena = arena_with_cap(1 << 20)};
    CLEANUP(inspection_done) struct inspection small = {.arena = arena_with_cap(16)};
    struct limits limits = limits_default();

    heap_fail_after(0);
    ck_assert_int_eq(inspection_note(&in, &limits, FINDING_EMPTY, (struct slice){0}, NULL, "m"),
                     ERR_NO_MEMORY);
    heap_heal();
    ck_assert_int_eq(inspection_note(&small, &limits, FINDING_EMPTY, (struct slice){0}, NULL, "m"),
                     ERR_LIMIT);
    ck_assert_uint_eq(in.finding_count + small.finding_count, 0);
}
END_TEST

START_TEST(inspection__finds_containers_by_path)
{
    struct container containers[] = {{.path = {"", 0}, .kind = CONTAINER_OUTER},
                                     {.path = {"state_dict", 10}, .kind = CONTAINER_WEIGHTS}};
    struct inspection in = {.containers = containers, .container_count = 2, .default_container = 1};

    ck_assert_ptr_eq(inspection_container(&in, (struct slice){0}), &containers[0]);
    ck_assert_ptr_eq(inspection_container(&in, slice_of("state_dict")), &containers[1]);
    ck_assert_ptr_null(inspection_container(&in, slice_of("model")));
    ck_assert_ptr_eq(inspection_default(&in), &containers[1]);
    in.default_container = SIZE_MAX;
    ck_assert_ptr_null(inspection_default(&in));
}
END_TEST

START_TEST(inspection__names_read_back)
{
    for (enum container_kind k = 0; k < CONTAINER_KIND_COUNT; k++)
        ck_assert_int_eq(container_kind_find(slice_of(container_kind_name(k))), k);
    for (enum safety s = 0; s < SAFETY_COUNT; s++)
        ck_assert_int_eq(safety_find(slice_of(safety_name(s))), s);
    for (enum finding_id f = 0; f < FINDING_COUNT; f++) {
        ck_assert_int_eq(finding_find(slice_of(finding_name(f))), f);
        ck_assert_uint_lt(finding_severity(f), SEVERITY_COUNT);
        ck_assert_ptr_nonnull(strchr(finding_name(f), '.'));
    }
    ck_assert_int_eq(container_kind_find(slice_of("Weights")), CONTAINER_KIND_COUNT);
    ck_assert_int_eq(safety_find(slice_of("")), SAFETY_COUNT);
    ck_assert_int_eq(finding_find(slice_of("no.such")), FINDING_COUNT);
    ck_assert_str_eq(severity_name(SEVERITY_WARNING), "warning");
}
END_TEST

START_TEST(inspection__the_worst_safety_is_the_largest)
{
    ck_assert_int_lt(SAFETY_CLEAN, SAFETY_UNLISTED);
    ck_assert_int_lt(SAFETY_UNLISTED, SAFETY_MALFORMED);
    ck_assert_int_lt(SAFETY_MALFORMED, SAFETY_DANGEROUS);
}
END_TEST

SUITE(inspection)
{
    return suite_with("inspection", TEST(inspection__keeps_notes_in_order),
                      TEST(inspection__only_counts_notes_past_the_limit),
                      TEST(inspection__cuts_hostile_subjects_and_messages),
                      TEST(inspection__says_when_there_is_no_room_for_a_note),
                      TEST(inspection__finds_containers_by_path), TEST(inspection__names_read_back),
                      TEST(inspection__the_worst_safety_is_the_largest));
}
