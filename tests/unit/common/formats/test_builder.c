#include "common/formats/builder.h"

#include <string.h>

#include "common/base/attr.h"
#include "tests/support/unit.h"

static const uint64_t dims[] = {2, 3};

struct bench {
    struct limits limits;
    struct inspection in;
    struct builder b;
};

static void
bench_done(struct bench *t)
{
    builder_done(&t->b);
    inspection_done(&t->in);
}

static void
begin(struct bench *t)
{
    t->limits = limits_default();
    t->in = (struct inspection){.arena = arena_with_cap(1 << 20)};
    builder_begin(&t->b, &t->in, &t->limits);
}

static enum status
add(struct bench *t, const char *name, uint64_t storage, uint64_t first)
{
    struct built_tensor tensor = {
        .tensor = {.name = slice_of(name), .dtype = DTYPE_FLOAT32, .shape = {2, dims}},
        .place = {.has_bytes = true, .first_element = first},
        .storage = storage,
    };

    return builder_tensor(&t->b, &tensor, NULL);
}

START_TEST(builder__sorts_by_name_and_keeps_the_files_order)
{
    CLEANUP(bench_done) struct bench t;
    const struct container *c;

    begin(&t);
    ck_assert_int_eq(add(&t, "b", 0, 0), OK);
    ck_assert_int_eq(add(&t, "a", 0, 0), OK);
    ck_assert_int_eq(builder_finish(&t.b, slice_of("x"), CONTAINER_WEIGHTS, NULL), OK);
    c = inspection_container(&t.in, slice_of("x"));
    ck_assert(slice_is(c->structure.tensors[0].name, "a"));
    ck_assert_uint_eq(c->structure.tensors[0].elements, 6);
    ck_assert_uint_eq(c->structure.tensors[0].bytes, 24);
    ck_assert_uint_eq(c->facts.order[0], 1);
    ck_assert_uint_eq(c->facts.alias_count, 0);
    ck_assert_ptr_null(c->facts.layouts);
}
END_TEST

START_TEST(builder__finds_tied_tensors_and_views)
{
    CLEANUP(bench_done) struct bench t;
    const struct facts *f;

    begin(&t);
    ck_assert_int_eq(add(&t, "head", 7, 0), OK);
    ck_assert_int_eq(add(&t, "embed", 7, 0), OK);
    ck_assert_int_eq(add(&t, "left", 8, 0), OK);
    ck_assert_int_eq(add(&t, "right", 8, 6), OK);
    ck_assert_int_eq(add(&t, "alone", 9, 0), OK);
    ck_assert_int_eq(builder_finish(&t.b, (struct slice){0}, CONTAINER_WEIGHTS, NULL), OK);
    f = &t.in.containers[0].facts;
    ck_assert_uint_eq(f->alias_count, 2);
    ck_assert(f->aliases[0].is_tied); /* embed, head */
    ck_assert_uint_eq(f->aliases[0].members[0], 1);
    ck_assert_uint_eq(f->aliases[0].members[1], 2);
    ck_assert(!f->aliases[1].is_tied);
}
END_TEST

START_TEST(builder__lets_the_last_of_equal_keys_count_at_the_first_ones_place)
{
    CLEANUP(bench_done) struct bench t;
    const struct container *c;

    begin(&t);
    ck_assert_int_eq(add(&t, "k", 0, 1), OK);
    ck_assert_int_eq(add(&t, "m", 0, 0), OK);
    ck_assert_int_eq(add(&t, "k", 0, 2), OK);
    ck_assert_int_eq(builder_finish(&t.b, (struct slice){0}, CONTAINER_WEIGHTS, NULL), OK);
    c = &t.in.containers[0];
    ck_assert_uint_eq(c->structure.count, 2);
    ck_assert_uint_eq(c->placement.places[0].first_element, 2);
    ck_assert_uint_eq(c->facts.order[0], 0);
    ck_assert_uint_eq(t.in.finding_count, 1);
    ck_assert_int_eq(t.in.findings[0].id, FINDING_KEY_DUPLICATE);
}
END_TEST

START_TEST(builder__refuses_shapes_that_overflow_and_names_that_are_too_long)
{
    static const uint64_t huge[] = {1ULL << 40, 1ULL << 40};
    CLEANUP(bench_done) struct bench t;
    struct built_tensor tensor = {.tensor = {.name = slice_of("x"), .shape = {2, huge}}};

    begin(&t);
    ck_assert_int_eq(builder_tensor(&t.b, &tensor, NULL), ERR_MALFORMED);
    tensor.tensor.shape.rank = 65;
    ck_assert_int_eq(builder_tensor(&t.b, &tensor, NULL), ERR_LIMIT);
    t.limits.name_bytes = 3;
    ck_assert_int_eq(add(&t, "four", 0, 0), ERR_LIMIT);
}
END_TEST

START_TEST(builder__keeps_the_limits_of_tensors_and_containers)
{
    CLEANUP(bench_done) struct bench t;

    begin(&t);
    t.limits.containers = 1;
    t.b.tensors.cap = 1;
    ck_assert_int_eq(add(&t, "a", 0, 0), OK);
    ck_assert_int_eq(add(&t, "b", 0, 0), ERR_LIMIT);
    ck_assert_int_eq(builder_finish(&t.b, (struct slice){0}, CONTAINER_WEIGHTS, NULL), OK);
    ck_assert_int_eq(builder_finish(&t.b, slice_of("y"), CONTAINER_WEIGHTS, NULL), ERR_LIMIT);
}
END_TEST

START_TEST(builder__sorts_entries_and_versions)
{
    CLEANUP(bench_done) struct bench t;
    const struct facts *f;

    begin(&t);
    t.b.has_metadata = true;
    for (int i = 2; i >= 0; i--) {
        static const char *const names[] = {"a", "b", "c"};
        struct entry e = {.name = slice_of(names[i]), .kind = ENTRY_INT, .type = slice_of("int")};
        struct module_version v = {.module = slice_of(names[i]), .has_version = true, .version = i};

        ck_assert_int_eq(builder_entry(&t.b, &e, NULL), OK);
        ck_assert_int_eq(builder_version(&t.b, &v, NULL), OK);
    }
    ck_assert_int_eq(builder_finish(&t.b, (struct slice){0}, CONTAINER_OUTER, NULL), OK);
    f = &t.in.containers[0].facts;
    ck_assert(f->has_metadata);
    ck_assert_uint_eq(f->entry_count, 3);
    ck_assert_ptr_nonnull(facts_entry(f, slice_of("b")));
    ck_assert_int_eq(facts_version(f, slice_of("c"))->version, 2);
}
END_TEST

SUITE(builder)
{
    return suite_with("builder", TEST(builder__sorts_by_name_and_keeps_the_files_order),
                      TEST(builder__finds_tied_tensors_and_views),
                      TEST(builder__lets_the_last_of_equal_keys_count_at_the_first_ones_place),
                      TEST(builder__refuses_shapes_that_overflow_and_names_that_are_too_long),
                      TEST(builder__keeps_the_limits_of_tensors_and_containers),
                      TEST(builder__sorts_entries_and_versions));
}
