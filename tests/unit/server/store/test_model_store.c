#include "server/store/model_store.h"

#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

static const struct principal everybody = {.id = "local"};

static void
put(struct fixture *f, const char *namespace, const char *model, unsigned bytes)
{
    (void)commit_with(
        f, (struct version_new){.namespace = slice_of(namespace), .model = slice_of(model)}, bytes);
}

START_TEST(model_store__makes_a_model_with_its_first_version)
{
    FIXTURE(f);
    struct model m;

    put(&f, "vision", "resnet50", 1);
    put(&f, "vision", "resnet50", 2);
    GOES_WELL(&f, model_store_get(f.store, slice_of("vision"), slice_of("resnet50"), &f.arena, &m,
                                  &f.err));
    ck_assert(slice_is(m.namespace, "vision"));
    ck_assert(slice_is(m.name, "resnet50"));
    ck_assert_uint_eq(m.versions, 2);
    ck_assert_uint_eq(m.latest.length, 0); /* none is ready yet */
    ck_assert(m.updated_at_us >= m.created_at_us);
}
END_TEST

/* Beside vision/ResNet50. */
static const struct {
    const char *namespace;
    const char *model;
    bool is_refused;
} twins[] = {
    {"vision", "resnet50", true},  {"VISION", "ResNet50", true},   {"Vision", "other", true},
    {"vision", "ResNet50", false}, {"vision2", "resnet50", false},
};

START_TEST(model_store__refuses_names_that_differ_only_in_case)
{
    FIXTURE(f);
    struct version_file file = {slice_of("x"), 1, digest_of(9)};
    struct version_new v = {.namespace = slice_of(twins[_i].namespace),
                            .model = slice_of(twins[_i].model),
                            .files = &file,
                            .file_count = 1};
    struct version_commit c;
    struct model_list list;
    struct page page = {0};

    put(&f, "vision", "ResNet50", 1);
    if (!twins[_i].is_refused) {
        GOES_WELL(&f, version_store_commit(f.store, &v, &c, &f.err));
        return;
    }
    FAILS_WITH(&f, CONFLICT, version_store_commit(f.store, &v, &c, &f.err));
    GOES_WELL(&f, model_store_list(f.store, &everybody, (struct slice){0}, &page, &f.arena, &list,
                                   &f.err));
    ck_assert_uint_eq(list.count, 1);
}
END_TEST

START_TEST(model_store__matches_names_exactly)
{
    FIXTURE(f);
    struct model m;

    put(&f, "vision", "ResNet50", 1);
    FAILS_WITH(
        &f, NOT_FOUND,
        model_store_get(f.store, slice_of("vision"), slice_of("resnet50"), &f.arena, &m, &f.err));
    FAILS_WITH(
        &f, NOT_FOUND,
        model_store_get(f.store, slice_of("vision"), slice_of("ResNet5_"), &f.arena, &m, &f.err));
}
END_TEST

START_TEST(model_store__lists_in_order_and_in_pages)
{
    FIXTURE(f);
    static const char *const expected[] = {"a/1", "a/10", "a/2", "a/b", "b/1", "b/a", "b-c/z"};
    struct page page = {.limit = 2};
    struct model_list list;
    size_t seen = 0;

    put(&f, "b-c", "z", 1);
    put(&f, "b", "a", 1);
    put(&f, "a", "2", 1);
    put(&f, "a", "10", 1);
    put(&f, "a", "b", 1);
    put(&f, "a", "1", 1);
    put(&f, "b", "1", 1);
    do {
        GOES_WELL(&f, model_store_list(f.store, &everybody, (struct slice){0}, &page, &f.arena,
                                       &list, &f.err));
        for (size_t i = 0; i < list.count; i++) {
            struct slice name;

            ck_assert_int_eq(arena_printf(&f.arena, &name, NULL, "%.*s/%.*s",
                                          SLICE_PRINT(list.models[i].namespace),
                                          SLICE_PRINT(list.models[i].name)),
                             OK);
            ck_assert_str_eq(name.at, expected[seen]);
            seen++;
        }
        page.cursor = list.next;
    } while (list.next.length > 0);
    ck_assert_uint_eq(seen, 7);
}
END_TEST

START_TEST(model_store__lists_one_namespace)
{
    FIXTURE(f);
    struct page page = {.limit = 1};
    struct model_list list;

    put(&f, "a", "x", 1);
    put(&f, "b", "x", 1);
    put(&f, "b", "y", 1);
    GOES_WELL(&f,
              model_store_list(f.store, &everybody, slice_of("b"), &page, &f.arena, &list, &f.err));
    ck_assert_uint_eq(list.count, 1);
    page.cursor = list.next;
    GOES_WELL(&f,
              model_store_list(f.store, &everybody, slice_of("b"), &page, &f.arena, &list, &f.err));
    ck_assert_uint_eq(list.count, 1);
    ck_assert(slice_is(list.models[0].name, "y"));
    ck_assert_uint_eq(list.next.length, 0);
    page.cursor = (struct slice){0};
    GOES_WELL(&f, model_store_list(f.store, &everybody, slice_of("none"), &page, &f.arena, &list,
                                   &f.err));
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

/* Patterns, and how many of team-a/x, team-b/x, other/x they let through. */
static const char *const one[] = {"team-a"};
static const char *const both[] = {"team-*"};
static const char *const two[] = {"other", "team-b"};
static const char *const none[] = {"nobody"};
static const char *const any[] = {"*"};
static const struct {
    const char *const *patterns;
    size_t count;
    size_t visible;
} views[] = {{NULL, 0, 3}, {one, 1, 1}, {both, 1, 2}, {two, 2, 2},
             {none, 1, 0}, {any, 1, 3}, {any, 0, 0}};

START_TEST(model_store__shows_a_principal_its_namespaces_only)
{
    FIXTURE(f);
    struct principal who = {
        .id = "ci", .patterns = views[_i].patterns, .pattern_count = views[_i].count};
    struct page page = {0};
    struct model_list list;

    put(&f, "team-a", "x", 1);
    put(&f, "team-b", "x", 2);
    put(&f, "other", "x", 3);
    GOES_WELL(&f,
              model_store_list(f.store, &who, (struct slice){0}, &page, &f.arena, &list, &f.err));
    ck_assert_uint_eq(list.count, views[_i].visible);
}
END_TEST

START_TEST(model_store__a_hidden_namespace_asked_for_by_name_is_empty)
{
    FIXTURE(f);
    struct principal who = {.id = "ci", .patterns = one, .pattern_count = 1};
    struct page page = {0};
    struct model_list list;

    put(&f, "other", "x", 3);
    GOES_WELL(&f,
              model_store_list(f.store, &who, slice_of("other"), &page, &f.arena, &list, &f.err));
    ck_assert_uint_eq(list.count, 0);
}
END_TEST

static const char *const cursors[] = {"x",     "m",   "m0",    "m0.6", "m0.6g",
                                      "mx.61", "v1.", "m0.00", "m-.61"};

START_TEST(model_store__refuses_what_is_no_cursor)
{
    FIXTURE(f);
    struct page page = {.cursor = slice_of(cursors[_i])};
    struct model_list list;

    FAILS_WITH(
        &f, BAD_REQUEST,
        model_store_list(f.store, &everybody, (struct slice){0}, &page, &f.arena, &list, &f.err));
}
END_TEST

SUITE(model_store)
{
    return suite_with("model_store", TEST(model_store__makes_a_model_with_its_first_version),
                      LOOP(model_store__refuses_names_that_differ_only_in_case, twins),
                      TEST(model_store__matches_names_exactly),
                      TEST(model_store__lists_in_order_and_in_pages),
                      TEST(model_store__lists_one_namespace),
                      LOOP(model_store__shows_a_principal_its_namespaces_only, views),
                      TEST(model_store__a_hidden_namespace_asked_for_by_name_is_empty),
                      LOOP(model_store__refuses_what_is_no_cursor, cursors));
}
