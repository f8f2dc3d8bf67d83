#include "server/store/event_store.h"

#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

static const struct principal everybody = {.id = "local"};

static void
put(struct fixture *f, const char *namespace, unsigned bytes)
{
    (void)commit_with(
        f, (struct version_new){.namespace = slice_of(namespace), .model = slice_of("m")}, bytes);
}

START_TEST(event_store__numbers_events_without_gaps)
{
    FIXTURE(f);
    struct event_list list;
    int64_t last;

    GOES_WELL(&f, event_store_last(f.store, &last, &f.err));
    ck_assert_int_eq(last, 0);
    for (unsigned i = 1; i <= 5; i++)
        put(&f, "a", i);
    GOES_WELL(&f, event_store_last(f.store, &last, &f.err));
    ck_assert_int_eq(last, 5);
    GOES_WELL(&f, event_store_list(f.store, &everybody, 2, 2, &f.arena, &list, &f.err));
    ck_assert_uint_eq(list.count, 2);
    ck_assert_int_eq(list.events[0].id, 3);
    ck_assert_int_eq(list.last, 4);
    ck_assert(slice_is(list.events[0].namespace, "a"));
    ck_assert(slice_is(list.events[0].model, "m"));
    ck_assert(slice_is(list.events[0].label, "v3"));
}
END_TEST

START_TEST(event_store__tells_of_nothing_when_nothing_happened)
{
    FIXTURE(f);
    struct version_file file = {slice_of("f"), 1, digest_of(2)};
    struct version_new v = {
        .namespace = slice_of("A"), .model = slice_of("m"), .files = &file, .file_count = 1};
    struct version_commit c;
    int64_t last;

    put(&f, "a", 1);
    FAILS_WITH(&f, CONFLICT, version_store_commit(f.store, &v, &c, &f.err));
    GOES_WELL(&f, event_store_last(f.store, &last, &f.err));
    ck_assert_int_eq(last, 1);
}
END_TEST

START_TEST(event_store__hides_other_namespaces_and_moves_on_past_them)
{
    FIXTURE(f);
    static const char *const patterns[] = {"b"};
    struct principal who = {.id = "ci", .patterns = patterns, .pattern_count = 1};
    struct event_list list;

    put(&f, "a", 1);
    put(&f, "b", 2);
    put(&f, "a", 3);
    GOES_WELL(&f, event_store_list(f.store, &who, 0, 10, &f.arena, &list, &f.err));
    ck_assert_uint_eq(list.count, 1);
    ck_assert(slice_is(list.events[0].namespace, "b"));
    ck_assert_int_eq(list.last, 3);
}
END_TEST

SUITE(event_store)
{
    return suite_with("event_store", TEST(event_store__numbers_events_without_gaps),
                      TEST(event_store__tells_of_nothing_when_nothing_happened),
                      TEST(event_store__hides_other_namespaces_and_moves_on_past_them));
}
