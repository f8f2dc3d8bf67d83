#include "server/store/structure_store.h"

#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

static void
end_inspection(struct inspection *in)
{
    inspection_done(in);
}

/* Put an inspection of those bytes in; give its only container. */
static struct container_row
put(struct fixture *f, unsigned bytes, const struct inspection *in)
{
    struct limits limits = limits_default();
    struct inspection_outcome outcome = {.fileset = digest_of(bytes), .revision = 1, .found = in};
    struct inspection_recorded recorded;
    struct inspection_row row;

    GOES_WELL(f,
              inspection_store_record(f->store, &outcome, &limits, &f->arena, &recorded, &f->err));
    GOES_WELL(f, inspection_store_get(f->store, recorded.inspection_id, &f->arena, &row, &f->err));
    ck_assert_uint_eq(row.container_count, 1);
    return row.containers[0];
}

START_TEST(structure_store__gives_back_names_dtypes_shapes_and_places)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct container_row c;
    struct structure s;
    struct facts facts;
    struct placement p;

    fill_inspection(&in, &limits, 11);
    c = put(&f, 1, &in);
    GOES_WELL(&f, structure_store_get(f.store, c.structure_id, &limits, &f.arena, &s, &f.err));
    ck_assert_uint_eq(s.count, 11);
    for (size_t i = 0; i < s.count; i++) {
        const struct tensor *expected = &in.containers[0].structure.tensors[i];

        ck_assert(slice_equal(s.tensors[i].name, expected->name));
        ck_assert_int_eq(s.tensors[i].dtype, expected->dtype);
        ck_assert_uint_eq(s.tensors[i].elements, expected->elements);
    }
    GOES_WELL(&f,
              structure_store_facts(f.store, c.facts_id, &s, &limits, &f.arena, &facts, &f.err));
    ck_assert_uint_eq(facts.entry_count, in.containers[0].facts.entry_count);
    GOES_WELL(&f, structure_store_placement(f.store, c.id, &s, &limits, &f.arena, &p, &f.err));
    for (size_t i = 0; i < s.count; i++)
        ck_assert_uint_eq(p.places[i].offset, in.containers[0].placement.places[i].offset);
}
END_TEST

START_TEST(structure_store__keeps_equal_structures_and_facts_once)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection first, second, other;
    struct container_row a, b, c;

    fill_inspection(&first, &limits, 4);
    fill_inspection(&second, &limits, 4);
    fill_inspection(&other, &limits, 5);
    a = put(&f, 1, &first);
    b = put(&f, 2, &second);
    c = put(&f, 3, &other);
    ck_assert_int_eq(a.structure_id, b.structure_id);
    ck_assert_int_eq(a.facts_id, b.facts_id);
    ck_assert_int_ne(a.id, b.id);
    ck_assert_int_ne(a.structure_id, c.structure_id);
}
END_TEST

START_TEST(structure_store__keeps_the_facts_of_equal_structures_apart)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection first, second;
    struct container_row a, b;
    struct structure s;
    struct facts facts;

    fill_inspection(&first, &limits, 4);
    fill_inspection(&second, &limits, 4);
    second.containers[0].facts.has_metadata = true;
    a = put(&f, 1, &first);
    b = put(&f, 2, &second);
    ck_assert_int_eq(a.structure_id, b.structure_id);
    ck_assert_int_ne(a.facts_id, b.facts_id);
    GOES_WELL(&f, structure_store_get(f.store, b.structure_id, &limits, &f.arena, &s, &f.err));
    GOES_WELL(&f,
              structure_store_facts(f.store, b.facts_id, &s, &limits, &f.arena, &facts, &f.err));
    ck_assert(facts.has_metadata);
    GOES_WELL(&f,
              structure_store_facts(f.store, a.facts_id, &s, &limits, &f.arena, &facts, &f.err));
    ck_assert(!facts.has_metadata);
}
END_TEST

START_TEST(structure_store__says_what_is_not_there)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    struct structure s = {0};
    struct facts facts;
    struct placement p;

    FAILS_WITH(&f, NOT_FOUND, structure_store_get(f.store, 9, &limits, &f.arena, &s, &f.err));
    FAILS_WITH(&f, NOT_FOUND,
               structure_store_facts(f.store, 9, &s, &limits, &f.arena, &facts, &f.err));
    GOES_WELL(&f, structure_store_placement(f.store, 9, &s, &limits, &f.arena, &p, &f.err));
    ck_assert_ptr_null(p.places);
}
END_TEST

SUITE(structure_store)
{
    return suite_with("structure_store",
                      TEST(structure_store__gives_back_names_dtypes_shapes_and_places),
                      TEST(structure_store__keeps_equal_structures_and_facts_once),
                      TEST(structure_store__keeps_the_facts_of_equal_structures_apart),
                      TEST(structure_store__says_what_is_not_there));
}
