#pragma once
/*
 * Jobs: work that outlives a request and a crash. Workers claim them from the store under short
 * leases that are renewed while they work, so that the jobs of a daemon that died are taken over
 * within seconds. One file a kind, one row of jobs.c's table.
 */
#include <stdint.h>

#include "server/blobs/blobs.h"
#include "server/inspector/inspector.h"
#include "server/store/job_store.h"
#include "server/store/store.h"
#include "server/work/log.h"

struct jobs_config {
    struct store *store;
    struct blobs *blobs;
    struct inspector *inspector;
    struct log *log;
    struct limits limits;
    unsigned workers;
    unsigned claims;   /* of one job whose process died with it, before it is given up */
    unsigned attempts; /* of one job, before it is given up; trouble of the machine never ends it */
    unsigned retry_ms; /* before the second attempt; doubled for each further one */
    uint64_t lease_us; /* renewed at a third of it */
    void (*settled)(void *context, int64_t version_id); /* from a worker, after it is on disk */
    void *context;
};

/* Everything but the pointers. */
struct jobs_config jobs_config_default(void);

struct jobs;

enum status jobs_start(const struct jobs_config *config, struct jobs **ret_jobs,
                       struct err *err) MUST_CHECK;

/* A job was queued: look at once. Any thread. */
void jobs_wake(struct jobs *jobs);

/* Take no other job; those under way go on. Any thread. NULL is fine. */
void jobs_end(struct jobs *jobs);

/* Let the jobs under way end, take no other, and free. NULL is fine. */
void jobs_free(struct jobs *jobs);

/* How many jobs are under way now. */
unsigned jobs_running(struct jobs *jobs);

/* A kind's work. OK: the job has been finished in the store (by it). ERR_CONFLICT: it was not ours
 * any more. Anything else: try again later, or give up, as the attempts say. */
typedef enum status job_function(const struct jobs_config *config, const struct job *job,
                                 struct err *err);

/* Read the file set that the job's key names, and record what was found. */
enum status job_inspect(const struct jobs_config *config, const struct job *job, struct err *err);

/* The last attempt failed with this: record that, so that nobody waits for ever. */
enum status job_inspect_give_up(const struct jobs_config *config, const struct job *job,
                                const struct err *why, struct err *err);
