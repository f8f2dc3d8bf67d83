#pragma once
/*
 * Jobs. A worker claims one under a lease; whoever finishes or renews shows the fencing number that
 * the claim gave, so that a worker which slept through its lease changes nothing. A claim takes jobs
 * whose lease has expired too, from whichever process had them.
 */
#include "common/base/arena.h"
#include "server/store/store.h"

struct job {
    int64_t id;
    struct slice kind; /* "inspect" */
    struct slice key;  /* what it is about; of "inspect": the fileset's hex */
    int64_t fence;
    uint32_t
        attempts; /* this one among them; one that died with its process is not counted twice */
    int64_t created_at_us;
};

/* The oldest job of that kind that may run now; *ret_found false: there is none. owner names this
 * process in what people read. */
enum status job_store_claim(struct store *store, const char *kind, const char *owner,
                            uint64_t lease_us, struct arena *arena, struct job *ret_job,
                            bool *ret_found, struct err *err) MUST_CHECK;

/* ERR_CONFLICT: the job is no longer this worker's; drop what was done. */
enum status job_store_renew(struct store *store, int64_t id, int64_t fence, uint64_t lease_us,
                            struct err *err) MUST_CHECK;
enum status job_store_finish(struct store *store, int64_t id, int64_t fence,
                             struct err *err) MUST_CHECK;

/* Let it run again, delay_us from now at the earliest. */
enum status job_store_retry(struct store *store, int64_t id, int64_t fence, uint64_t delay_us,
                            struct slice reason, struct err *err) MUST_CHECK;

/* Queue a job unless one with the kind and key waits or runs already. */
enum status job_store_add(struct store *store, const char *kind, struct slice key,
                          struct err *err) MUST_CHECK;

/* Microseconds until a job of that kind may run, from now: 0 if one may at once, UINT64_MAX if none
 * waits or runs. For a worker's sleep. */
enum status job_store_next(struct store *store, const char *kind, uint64_t *ret_wait_us,
                           struct err *err) MUST_CHECK;
