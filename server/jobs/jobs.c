#include "server/jobs/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

enum {
    IDLE_MS = 1000, /* between looks for jobs that another process has queued */
    JOB_ARENA_BYTES = 1 << 20,
};

static const struct kind {
    const char *name;
    job_function *run;
    enum status (*give_up)(const struct jobs_config *config, const struct job *job,
                           const struct err *why, struct err *err);
} kinds[] = {
    {"inspect", job_inspect, job_inspect_give_up},
};

struct worker {
    struct jobs *jobs;
    pthread_t thread;
    bool is_started;
    bool is_busy; /* the rest is then its job's, for the one who renews */
    int64_t job;
    int64_t fence;
};

struct jobs {
    struct jobs_config config;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    uint64_t wakes; /* counted, so that none is lost between two looks */
    bool is_ending;
    unsigned running;
    struct worker *workers;
    pthread_t renewer;
    bool has_renewer;
};

struct jobs_config
jobs_config_default(void)
{
    return (struct jobs_config){
        .limits = limits_default(),
        .workers = 2,
        .attempts = 3,
        .claims = 30,
        .retry_ms = 500,
        .lease_us = 10000000,
    };
}

static struct timespec
after_ms(uint64_t ms)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(ms / 1000);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Sleep until a wake after the seen one, the end, or the time is over. */
static void
sleep_for_work(struct jobs *jobs, uint64_t seen, uint64_t ms)
{
    struct timespec until = after_ms(ms);

    (void)pthread_mutex_lock(&jobs->lock);
    while (!jobs->is_ending && jobs->wakes == seen &&
           pthread_cond_timedwait(&jobs->wake, &jobs->lock, &until) != ETIMEDOUT)
        continue;
    (void)pthread_mutex_unlock(&jobs->lock);
}

static void
set_busy(struct worker *w, const struct job *job)
{
    (void)pthread_mutex_lock(&w->jobs->lock);
    w->is_busy = job != NULL;
    w->job = job == NULL ? 0 : job->id;
    w->fence = job == NULL ? 0 : job->fence;
    if (job != NULL)
        w->jobs->running++;
    else
        w->jobs->running--;
    (void)pthread_mutex_unlock(&w->jobs->lock);
}

static bool
is_ending(struct jobs *jobs)
{
    bool ending;

    (void)pthread_mutex_lock(&jobs->lock);
    ending = jobs->is_ending;
    (void)pthread_mutex_unlock(&jobs->lock);
    return ending;
}

/* A daemon that is killed blames nobody; one that dies of the same job again and again does. */
static bool
is_worn_out(const struct jobs_config *config, const struct job *job)
{
    return job->fence - job->attempts > (int64_t)config->claims;
}

static enum status
run_job(const struct jobs_config *config, const struct kind *kind, const struct job *job,
        struct err *err)
{
    FAIL_IF(is_worn_out(config, job), err, INSPECTOR, 0, "%lld processes ended while they read it",
            (long long)(job->fence - job->attempts));
    return kind->run(config, job, err);
}

/* Trouble of this machine, not of the file: a full disk, no descriptor, no process. However long it
 * lasts, it must not become what is known of these bytes. */
static bool
may_pass(enum status status)
{
    return status == ERR_NO_SPACE || status == ERR_STORE || status == ERR_STORE_SUSPECT ||
           status == ERR_BUSY || status == ERR_IO;
}

/* A try failed: again after a while, or never. */
static void
after_failure(struct jobs *jobs, const struct kind *kind, const struct job *job,
              const struct err *why)
{
    const struct jobs_config *config = &jobs->config;
    struct err err = {0};
    uint64_t delay_ms = (uint64_t)config->retry_ms << (job->attempts > 10 ? 10 : job->attempts - 1);
    enum status status;

    LOG(config->log, LOG_WARNING, "job failed", LOG_TEXT("kind", kind->name),
        LOG_U64("job", (uint64_t)job->id), LOG_U64("attempt", job->attempts), LOG_ERR(why));
    if (((job->attempts >= config->attempts && !may_pass(why->code)) || is_worn_out(config, job)) &&
        !is_ending(jobs)) /* an end fails what is innocent */
        status = kind->give_up(config, job, why, &err);
    else
        status = job_store_retry(config->store, job->id, job->fence, delay_ms * 1000,
                                 slice_of(why->text), &err);
    if (status != OK && status != ERR_CONFLICT)
        LOG(config->log, LOG_ERROR, "job cannot be put back", LOG_TEXT("kind", kind->name),
            LOG_U64("job", (uint64_t)job->id), LOG_ERR(&err));
}

/* Claim and do one job of the kind; false where there was none. */
static bool
do_one(struct worker *w, const struct kind *kind)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(JOB_ARENA_BYTES);
    const struct jobs_config *config = &w->jobs->config;
    struct err err = {0};
    struct job job;
    bool is_found = false;
    enum status status;

    status = job_store_claim(config->store, kind->name, blobs_instance(config->blobs),
                             config->lease_us, &arena, &job, &is_found, &err);
    if (status != OK) {
        LOG(config->log, LOG_ERROR, "no job can be claimed", LOG_ERR(&err));
        return false;
    }
    if (!is_found)
        return false;
    set_busy(w, &job);
    status = run_job(config, kind, &job, &err);
    if (status != OK && status != ERR_CONFLICT)
        after_failure(w->jobs, kind, &job, &err);
    set_busy(w, NULL);
    return true;
}

static void *
work(void *context)
{
    struct worker *w = context;
    struct jobs *jobs = w->jobs;

    for (;;) {
        uint64_t seen;
        bool is_ending, did = false;

        (void)pthread_mutex_lock(&jobs->lock);
        seen = jobs->wakes;
        is_ending = jobs->is_ending;
        (void)pthread_mutex_unlock(&jobs->lock);
        if (is_ending)
            return NULL;
        for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
            did = do_one(w, &kinds[i]) || did;
        if (!did)
            sleep_for_work(jobs, seen, IDLE_MS);
    }
}

static void
renew_all(struct jobs *jobs)
{
    for (unsigned i = 0; i < jobs->config.workers; i++) {
        struct worker *w = &jobs->workers[i];
        int64_t job, fence;
        bool is_busy;

        (void)pthread_mutex_lock(&jobs->lock);
        is_busy = w->is_busy;
        job = w->job;
        fence = w->fence;
        (void)pthread_mutex_unlock(&jobs->lock);
        /* One that is no longer ours is found out when its worker wants to finish it. */
        if (is_busy)
            IGNORE(job_store_renew(jobs->config.store, job, fence, jobs->config.lease_us, NULL));
    }
}

static void *
renew(void *context)
{
    struct jobs *jobs = context;
    bool is_ending = false;

    while (!is_ending) {
        struct timespec until = after_ms(jobs->config.lease_us / 3000);

        (void)pthread_mutex_lock(&jobs->lock);
        while ((!jobs->is_ending || jobs->running > 0) &&
               pthread_cond_timedwait(&jobs->wake, &jobs->lock, &until) != ETIMEDOUT)
            continue;
        is_ending = jobs->is_ending && jobs->running == 0;
        (void)pthread_mutex_unlock(&jobs->lock);
        if (!is_ending)
            renew_all(jobs);
    }
    return NULL;
}

static enum status
start_threads(struct jobs *jobs, struct err *err)
{
    for (unsigned i = 0; i < jobs->config.workers; i++) {
        struct worker *w = &jobs->workers[i];

        w->jobs = jobs;
        w->is_started = pthread_create(&w->thread, NULL, work, w) == 0;
        FAIL_IF(!w->is_started, err, NO_MEMORY, 0, "a worker's thread cannot be made");
    }
    jobs->has_renewer = pthread_create(&jobs->renewer, NULL, renew, jobs) == 0;
    FAIL_IF(!jobs->has_renewer, err, NO_MEMORY, 0, "a thread cannot be made");
    return OK;
}

enum status
jobs_start(const struct jobs_config *config, struct jobs **ret_jobs, struct err *err)
{
    struct jobs *jobs = mem_new(1, sizeof *jobs);
    pthread_condattr_t attributes;
    enum status status;

    FAIL_IF(jobs == NULL, err, NO_MEMORY, 0, "out of memory");
    jobs->config = *config;
    (void)pthread_mutex_init(&jobs->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&jobs->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    jobs->workers = mem_new(config->workers, sizeof *jobs->workers);
    if (jobs->workers == NULL) {
        jobs->config.workers = 0;
        jobs_free(jobs);
        FAIL(err, NO_MEMORY, 0, "out of memory");
    }
    status = start_threads(jobs, err);
    if (status != OK) {
        jobs_free(jobs);
        return status;
    }
    *ret_jobs = jobs;
    return OK;
}

void
jobs_wake(struct jobs *jobs)
{
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->wakes++;
    (void)pthread_cond_broadcast(&jobs->wake);
    (void)pthread_mutex_unlock(&jobs->lock);
}

unsigned
jobs_running(struct jobs *jobs)
{
    unsigned running;

    (void)pthread_mutex_lock(&jobs->lock);
    running = jobs->running;
    (void)pthread_mutex_unlock(&jobs->lock);
    return running;
}

void
jobs_end(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->is_ending = true;
    (void)pthread_cond_broadcast(&jobs->wake);
    (void)pthread_mutex_unlock(&jobs->lock);
}

void
jobs_free(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    jobs_end(jobs);
    for (unsigned i = 0; i < jobs->config.workers; i++)
        if (jobs->workers[i].is_started)
            (void)pthread_join(jobs->workers[i].thread, NULL);
    if (jobs->has_renewer) {
        jobs_wake(jobs);
        (void)pthread_join(jobs->renewer, NULL);
    }
    (void)pthread_cond_destroy(&jobs->wake);
    (void)pthread_mutex_destroy(&jobs->lock);
    mem_free(jobs->workers);
    mem_free(jobs);
}
