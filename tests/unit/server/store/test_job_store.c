#include "server/store/job_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/support/unit.h"
#include "tests/unit/server/store/fixture.h"

static const uint64_t MINUTE = 60000000;

static bool
claim(struct fixture *f, uint64_t lease_us, struct job *job)
{
    bool found;

    GOES_WELL(
        f, job_store_claim(f->store, "inspect", "me", lease_us, &f->arena, job, &found, &f->err));
    return found;
}

static void
add(struct fixture *f, const char *key)
{
    GOES_WELL(f, job_store_add(f->store, "inspect", slice_of(key), &f->err));
}

START_TEST(job_store__hands_out_the_oldest_job_once)
{
    FIXTURE(f);
    struct job job;

    add(&f, "a");
    add(&f, "b");
    ck_assert(claim(&f, MINUTE, &job));
    ck_assert(slice_is(job.key, "a"));
    ck_assert(slice_is(job.kind, "inspect"));
    ck_assert_uint_eq(job.attempts, 1);
    ck_assert(claim(&f, MINUTE, &job));
    ck_assert(slice_is(job.key, "b"));
    ck_assert(!claim(&f, MINUTE, &job));
}
END_TEST

START_TEST(job_store__queues_a_key_once)
{
    FIXTURE(f);
    struct job job;

    add(&f, "a");
    add(&f, "a");
    ck_assert(claim(&f, MINUTE, &job));
    add(&f, "a");
    ck_assert(!claim(&f, MINUTE, &job));
}
END_TEST

START_TEST(job_store__hands_out_a_job_whose_lease_has_ended)
{
    FIXTURE(f);
    struct job first, second;

    add(&f, "a");
    ck_assert(claim(&f, 0, &first));
    ck_assert(claim(&f, MINUTE, &second));
    ck_assert_int_eq(first.id, second.id);
    ck_assert_int_gt(second.fence, first.fence);
    ck_assert_uint_eq(second.attempts, 1); /* nobody said that it failed */
}
END_TEST

START_TEST(job_store__keeps_a_worker_that_lost_its_lease_from_everything)
{
    FIXTURE(f);
    struct job slow, quick;

    add(&f, "a");
    ck_assert(claim(&f, 0, &slow));
    ck_assert(claim(&f, MINUTE, &quick));
    FAILS_WITH(&f, CONFLICT, job_store_renew(f.store, slow.id, slow.fence, MINUTE, &f.err));
    FAILS_WITH(&f, CONFLICT,
               job_store_retry(f.store, slow.id, slow.fence, 0, slice_of("x"), &f.err));
    FAILS_WITH(&f, CONFLICT, job_store_finish(f.store, slow.id, slow.fence, &f.err));
    GOES_WELL(&f, job_store_finish(f.store, quick.id, quick.fence, &f.err));
    FAILS_WITH(&f, CONFLICT, job_store_finish(f.store, quick.id, quick.fence, &f.err));
}
END_TEST

START_TEST(job_store__keeps_a_renewed_lease)
{
    FIXTURE(f);
    struct job job, other;

    add(&f, "a");
    ck_assert(claim(&f, 0, &job));
    GOES_WELL(&f, job_store_renew(f.store, job.id, job.fence, MINUTE, &f.err));
    ck_assert(!claim(&f, MINUTE, &other));
    GOES_WELL(&f, job_store_finish(f.store, job.id, job.fence, &f.err));
}
END_TEST

START_TEST(job_store__tries_again_after_a_while)
{
    FIXTURE(f);
    struct job job, again;
    uint64_t wait;

    add(&f, "a");
    ck_assert(claim(&f, MINUTE, &job));
    GOES_WELL(&f, job_store_retry(f.store, job.id, job.fence, MINUTE, slice_of("it hung"), &f.err));
    ck_assert(!claim(&f, MINUTE, &again));
    GOES_WELL(&f, job_store_next(f.store, "inspect", &wait, &f.err));
    ck_assert(wait > MINUTE / 2 && wait <= MINUTE);
}
END_TEST

START_TEST(job_store__tries_again_at_once)
{
    FIXTURE(f);
    struct job job, again;

    add(&f, "a");
    ck_assert(claim(&f, MINUTE, &job));
    GOES_WELL(&f, job_store_retry(f.store, job.id, job.fence, 0, slice_of("it hung"), &f.err));
    ck_assert(claim(&f, MINUTE, &again));
    ck_assert_uint_eq(again.attempts, 2);
    ck_assert_int_gt(again.fence, job.fence);
}
END_TEST

START_TEST(job_store__says_how_long_to_sleep)
{
    FIXTURE(f);
    struct job job;
    uint64_t wait;

    GOES_WELL(&f, job_store_next(f.store, "inspect", &wait, &f.err));
    ck_assert_uint_eq(wait, UINT64_MAX);
    add(&f, "a");
    GOES_WELL(&f, job_store_next(f.store, "inspect", &wait, &f.err));
    ck_assert_uint_eq(wait, 0);
    GOES_WELL(&f, job_store_next(f.store, "other", &wait, &f.err));
    ck_assert_uint_eq(wait, UINT64_MAX);
    ck_assert(claim(&f, UINT64_MAX, &job)); /* a lease to the end of time does not wrap */
    GOES_WELL(&f, job_store_next(f.store, "inspect", &wait, &f.err));
    ck_assert(wait > MINUTE);
}
END_TEST

enum { WORKERS = 6, JOBS = 60 };

struct worker {
    struct store *store;
    atomic_uint *done;
};

static void *
work(void *context)
{
    const struct worker *w = context;

    for (;;) {
        CLEANUP(arena_done) struct arena arena = arena_with_cap(1 << 20);
        struct job job;
        bool found = false;

        if (job_store_claim(w->store, "inspect", "w", MINUTE, &arena, &job, &found, NULL) != OK ||
            !found)
            return NULL;
        if (job_store_finish(w->store, job.id, job.fence, NULL) == OK)
            atomic_fetch_add(w->done, 1);
    }
}

START_TEST(job_store__gives_each_job_to_one_of_many_workers)
{
    FIXTURE(f);
    atomic_uint done = 0;
    struct worker w = {f.store, &done};
    pthread_t threads[WORKERS];

    for (int i = 0; i < JOBS; i++) {
        char key[16];

        (void)snprintf(key, sizeof key, "%d", i);
        add(&f, key);
    }
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &w), 0);
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&done), JOBS);
}
END_TEST

SUITE(job_store)
{
    return suite_with(
        "job_store", TEST(job_store__hands_out_the_oldest_job_once),
        TEST(job_store__queues_a_key_once), TEST(job_store__hands_out_a_job_whose_lease_has_ended),
        TEST(job_store__keeps_a_worker_that_lost_its_lease_from_everything),
        TEST(job_store__keeps_a_renewed_lease), TEST(job_store__tries_again_after_a_while),
        TEST(job_store__tries_again_at_once), TEST(job_store__says_how_long_to_sleep),
        TEST(job_store__gives_each_job_to_one_of_many_workers));
}
