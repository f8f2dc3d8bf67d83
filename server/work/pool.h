#pragma once
/*
 * A pool runs tasks on its own threads, from one bounded queue, in the order they came. A task is
 * embedded in what it works on (nothing is allocated for it), cannot fail, and must not be touched
 * by its submitter until it has run. It may submit itself again from within its own run.
 *
 *     struct thing { struct task task; ... };
 *     static void run(struct task *task) { struct thing *t = TASK_OWNER(task, struct thing, task); … }
 */
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct task {
    void (*run)(struct task *task);
    struct task *next; /* the pool's */
};

#define TASK_OWNER(task_pointer, type, member) \
    ((type *)(void *)((char *)(task_pointer)-offsetof(type, member)))

struct pool_stats {
    unsigned threads;
    unsigned busy; /* threads that run a task now */
    size_t queued; /* tasks that wait */
    size_t queue_cap;
    uint64_t done;    /* tasks run since the start */
    uint64_t refused; /* submissions that found the queue full */
};

struct pool;

/* Threads are called name in the system's listings (15 bytes at most). */
enum status pool_start(const char *name, unsigned threads, size_t queue_cap, struct pool **ret_pool,
                       struct err *err) MUST_CHECK;

/* Run what is queued, then end the threads. Nobody may submit any more. NULL is fine. */
void pool_free(struct pool *pool);

/* Queue the task; ERR_BUSY where the queue is full or the pool ends. */
enum status pool_submit(struct pool *pool, struct task *task, struct err *err) MUST_CHECK;

/* Queue it even if the queue is full: for the next step of something that was admitted already. */
void pool_continue(struct pool *pool, struct task *task);

struct pool_stats pool_stats(struct pool *pool);
