#include "server/store/inspection_store.h"

#include "server/store/alias_store.h"
#include "server/store/event_store.h"
#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

static void
end_inspection(struct inspection *in)
{
    inspection_done(in);
}

/* Claim the job of those bytes and record an outcome for it. */
static struct inspection_recorded
record(struct fixture *f, unsigned bytes, const struct inspection *in, enum status failure)
{
    struct limits limits = limits_default();
    struct inspection_recorded recorded;
    struct inspection_outcome outcome = {
        .fileset = digest_of(bytes),
        .revision = 1,
        .found = in,
        .failure = failure,
        .failure_text = slice_of(failure == OK ? "" : "it is no checkpoint"),
    };
    struct job job = {0};
    bool found;

    GOES_WELL(f, job_store_claim(f->store, "inspect", "test", 60000000, &f->arena, &job, &found,
                                 &f->err));
    ck_assert(found);
    ck_assert_str_eq(job.key.at, digest_text(&outcome.fileset).hex);
    outcome.job_id = job.id;
    outcome.job_fence = job.fence;
    GOES_WELL(f,
              inspection_store_record(f->store, &outcome, &limits, &f->arena, &recorded, &f->err));
    return recorded;
}

START_TEST(inspection_store__makes_every_version_of_the_bytes_ready)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct inspection_recorded r;
    struct version v;
    struct version_counts counts;

    (void)commit_bytes(&f, "one", 1);
    (void)commit_bytes(&f, "two", 1);
    fill_inspection(&in, &limits, 5);
    r = record(&f, 1, &in, OK);
    ck_assert_uint_eq(r.settled, 2);
    ck_assert_int_eq(r.versions[0].state, VERSION_READY);
    GOES_WELL(&f, version_store_get_id(f.store, r.versions[1].id, &f.arena, &v, &f.err));
    ck_assert_int_eq(v.state, VERSION_READY);
    ck_assert_int_eq(v.inspection_id, r.inspection_id);
    ck_assert(v.settled_at_us >= v.created_at_us);
    GOES_WELL(&f, version_store_count(f.store, &counts, &f.err));
    ck_assert_uint_eq(counts.by_state[VERSION_READY], 2);
    ck_assert_uint_eq(counts.jobs_queued + counts.jobs_running, 0);
}
END_TEST

START_TEST(inspection_store__reads_back_what_was_found)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct inspection_row row;
    struct inspection_recorded r;
    struct fingerprints fingerprints;

    (void)commit_bytes(&f, "one", 1);
    fill_inspection(&in, &limits, 5);
    r = record(&f, 1, &in, OK);
    GOES_WELL(&f, inspection_store_get(f.store, r.inspection_id, &f.arena, &row, &f.err));
    ck_assert(slice_is(row.format, "torch-zip"));
    ck_assert(slice_is(row.metadata, "{\"epoch\":90}"));
    ck_assert_int_eq(row.safety, SAFETY_UNLISTED);
    ck_assert_uint_eq(row.default_container, 0);
    ck_assert_uint_eq(row.container_count, 1);
    ck_assert(slice_is(row.containers[0].path, "state_dict"));
    ck_assert_int_eq(row.containers[0].kind, CONTAINER_WEIGHTS);
    ck_assert_uint_eq(row.containers[0].tensors, 5);
    ck_assert_uint_eq(row.containers[0].elements, 45);
    ck_assert_uint_eq(row.containers[0].bytes, 180);
    GOES_WELL(&f,
              fingerprint_structure(&in.containers[0].structure, &limits, &fingerprints, &f.err));
    ck_assert_mem_eq(&row.containers[0].fingerprints, &fingerprints, sizeof fingerprints);
    ck_assert_uint_eq(row.finding_count, 1);
    ck_assert_int_eq(row.findings[0].id, FINDING_PICKLE_GLOBAL_UNLISTED);
    ck_assert(slice_is(row.findings[0].subject, "my.Config"));
    ck_assert(slice_is(row.findings[0].message, "a global of yours"));
    ck_assert(row.weights_only.applies && !row.weights_only.loads);
    ck_assert_uint_eq(row.weights_only.need_count, 1);
    ck_assert(slice_is(row.weights_only.needs[0], "my.Config"));
}
END_TEST

START_TEST(inspection_store__settles_a_later_version_of_the_bytes_at_once)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct inspection_recorded r;
    struct version_commit c;
    struct version v;

    (void)commit_bytes(&f, "one", 1);
    fill_inspection(&in, &limits, 2);
    r = record(&f, 1, &in, OK);
    c = commit_bytes(&f, "two", 1);
    ck_assert_int_eq(c.state, VERSION_READY);
    ck_assert(!c.has_job);
    GOES_WELL(&f, version_store_get_id(f.store, c.id, &f.arena, &v, &f.err));
    ck_assert_int_eq(v.inspection_id, r.inspection_id);
}
END_TEST

START_TEST(inspection_store__makes_a_version_failed_with_the_reason)
{
    FIXTURE(f);
    struct version_commit c = commit_bytes(&f, "one", 1);
    struct inspection_row row;
    struct version v;

    (void)record(&f, 1, NULL, ERR_UNRECOGNIZED);
    GOES_WELL(&f, version_store_get_id(f.store, c.id, &f.arena, &v, &f.err));
    ck_assert_int_eq(v.state, VERSION_FAILED);
    ck_assert(slice_is(v.failure, "it is no checkpoint"));
    ck_assert(slice_is(v.failure_type, err_problem_type(ERR_UNRECOGNIZED)));
    GOES_WELL(&f, inspection_store_get(f.store, v.inspection_id, &f.arena, &row, &f.err));
    ck_assert_int_eq(row.safety, SAFETY_MALFORMED);
    ck_assert_uint_eq(row.default_container, SIZE_MAX);
    c = commit_bytes(&f, "two", 1);
    ck_assert_int_eq(c.state, VERSION_FAILED);
}
END_TEST

START_TEST(inspection_store__keeps_what_was_found_before_the_failure)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct inspection_recorded r;
    struct inspection_row row;

    (void)commit_bytes(&f, "one", 1);
    fill_inspection(&in, &limits, 3);
    r = record(&f, 1, &in, ERR_MALFORMED);
    ck_assert_int_eq(r.versions[0].state, VERSION_FAILED);
    GOES_WELL(&f, inspection_store_get(f.store, r.inspection_id, &f.arena, &row, &f.err));
    ck_assert_uint_eq(row.finding_count, 1);
}
END_TEST

START_TEST(inspection_store__refuses_a_worker_whose_lease_was_taken)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct inspection_recorded r;
    struct job slow, quick;
    bool found;
    struct inspection_outcome outcome = {.fileset = digest_of(1), .revision = 1, .found = &in};
    struct version_counts counts;

    (void)commit_bytes(&f, "one", 1);
    fill_inspection(&in, &limits, 2);
    GOES_WELL(&f, job_store_claim(f.store, "inspect", "slow", 0, &f.arena, &slow, &found, &f.err));
    ck_assert(found);
    GOES_WELL(&f, job_store_claim(f.store, "inspect", "quick", 60000000, &f.arena, &quick, &found,
                                  &f.err));
    ck_assert(found);
    ck_assert_int_eq(quick.id, slow.id);
    ck_assert_uint_eq(quick.attempts, 1); /* only a failure counts */
    outcome.job_id = slow.id;
    outcome.job_fence = slow.fence;
    FAILS_WITH(&f, CONFLICT,
               inspection_store_record(f.store, &outcome, &limits, &f.arena, &r, &f.err));
    GOES_WELL(&f, version_store_count(f.store, &counts, &f.err));
    ck_assert_uint_eq(counts.by_state[VERSION_PENDING], 1);
    outcome.job_fence = quick.fence;
    GOES_WELL(&f, inspection_store_record(f.store, &outcome, &limits, &f.arena, &r, &f.err));
    ck_assert_uint_eq(r.settled, 1);
}
END_TEST

START_TEST(inspection_store__carries_out_wishes_but_never_backwards)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct version_new v = {.namespace = slice_of("vision"),
                            .model = slice_of("resnet50"),
                            .label = slice_of("one"),
                            .wish = slice_of("production")};
    struct alias *aliases;
    size_t count;

    fill_inspection(&in, &limits, 2);
    (void)commit_with(&f, v, 1);
    v.label = slice_of("two");
    (void)commit_with(&f, v, 2);
    /* The jobs are claimed oldest first; end the second's first. */
    struct job first, second;
    bool found;
    struct inspection_recorded r;
    struct inspection_outcome o = {.fileset = digest_of(2), .revision = 1, .found = &in};

    GOES_WELL(&f,
              job_store_claim(f.store, "inspect", "a", 60000000, &f.arena, &first, &found, &f.err));
    GOES_WELL(
        &f, job_store_claim(f.store, "inspect", "b", 60000000, &f.arena, &second, &found, &f.err));
    o.job_id = second.id;
    o.job_fence = second.fence;
    GOES_WELL(&f, inspection_store_record(f.store, &o, &limits, &f.arena, &r, &f.err));
    o.fileset = digest_of(1);
    o.job_id = first.id;
    o.job_fence = first.fence;
    GOES_WELL(&f, inspection_store_record(f.store, &o, &limits, &f.arena, &r, &f.err));
    GOES_WELL(&f,
              alias_store_list(f.store, v.namespace, v.model, &f.arena, &aliases, &count, &f.err));
    ck_assert_uint_eq(count, 2);
    ck_assert(slice_is(aliases[0].name, "latest"));
    ck_assert_uint_eq(aliases[0].serial, 2);
    ck_assert(slice_is(aliases[1].name, "production"));
    ck_assert_uint_eq(aliases[1].serial, 2);
    ck_assert(slice_is(aliases[1].label, "two"));
}
END_TEST

START_TEST(inspection_store__tells_of_it_in_events)
{
    FIXTURE(f);
    struct limits limits = limits_default();
    CLEANUP(end_inspection) struct inspection in;
    struct principal everybody = {.id = "local"};
    struct version_new v = {.namespace = slice_of("vision"),
                            .model = slice_of("resnet50"),
                            .label = slice_of("one"),
                            .wish = slice_of("production")};
    struct event_list list;

    (void)commit_with(&f, v, 1);
    fill_inspection(&in, &limits, 2);
    (void)record(&f, 1, &in, OK);
    GOES_WELL(&f, event_store_list(f.store, &everybody, 0, 10, &f.arena, &list, &f.err));
    ck_assert_uint_eq(list.count, 3);
    ck_assert(slice_is(list.events[0].kind, "version.created"));
    ck_assert(slice_is(list.events[0].by, "local"));
    ck_assert(slice_is(list.events[1].kind, "version.ready"));
    ck_assert(slice_is(list.events[2].kind, "alias.moved"));
    ck_assert(slice_is(list.events[2].detail, "{\"alias\":\"production\"}"));
    ck_assert_int_eq(list.last, 3);
}
END_TEST

START_TEST(inspection_store__says_that_one_is_missing)
{
    FIXTURE(f);
    struct inspection_row row;

    FAILS_WITH(&f, NOT_FOUND, inspection_store_get(f.store, 99, &f.arena, &row, &f.err));
}
END_TEST

SUITE(inspection_store)
{
    return suite_with("inspection_store",
                      TEST(inspection_store__makes_every_version_of_the_bytes_ready),
                      TEST(inspection_store__reads_back_what_was_found),
                      TEST(inspection_store__settles_a_later_version_of_the_bytes_at_once),
                      TEST(inspection_store__makes_a_version_failed_with_the_reason),
                      TEST(inspection_store__keeps_what_was_found_before_the_failure),
                      TEST(inspection_store__refuses_a_worker_whose_lease_was_taken),
                      TEST(inspection_store__carries_out_wishes_but_never_backwards),
                      TEST(inspection_store__tells_of_it_in_events),
                      TEST(inspection_store__says_that_one_is_missing));
}
