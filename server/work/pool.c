/*
 * One mutex, one list, one condition. A waiting thread is woken only where one waits: a signal
 * without a waiter costs nothing, and most submissions find all threads busy.
 */
#include "server/work/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

enum { NAME_BYTES = 16 }; /* of a thread, with its terminator: pthread_setname_np(3) */

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work_came;
    struct task *first;
    struct task **last; /* the NULL at the list's end */
    bool is_ending;
    unsigned idle;
    struct pool_stats stats;
    char name[NAME_BYTES];
    pthread_t *threads;
};

static void *
work(void *context)
{
    struct pool *pool = context;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct task *task = pool->first;

        if (task == NULL) {
            if (pool->is_ending)
                break;
            pool->idle++;
            pthread_cond_wait(&pool->work_came, &pool->lock);
            pool->idle--;
            continue;
        }
        pool->first = task->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pool->stats.queued--;
        pool->stats.busy++;
        pthread_mutex_unlock(&pool->lock);
        task->run(task); /* the task may be gone, or queued again, when this returns */
        pthread_mutex_lock(&pool->lock);
        pool->stats.busy--;
        pool->stats.done++;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void
append(struct pool *pool, struct task *task)
{
    task->next = NULL;
    *pool->last = task;
    pool->last = &task->next;
    pool->stats.queued++;
    if (pool->idle > 0)
        pthread_cond_signal(&pool->work_came);
}

static void
end_threads(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->is_ending = true;
    pthread_cond_broadcast(&pool->work_came);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->stats.threads; i++)
        (void)pthread_join(pool->threads[i], NULL);
}

void
pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    end_threads(pool);
    pthread_cond_destroy(&pool->work_came);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool->threads);
    mem_free(pool);
}

static void
free_pool_at(struct pool **pool)
{
    pool_free(*pool);
}

enum status
pool_start(const char *name, unsigned threads, size_t queue_cap, struct pool **ret_pool,
           struct err *err)
{
    CLEANUP(free_pool_at) struct pool *pool = mem_new(1, sizeof *pool);

    FAIL_IF(pool == NULL, err, NO_MEMORY, 0, "no memory for the pool %s", name);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work_came, NULL);
    pool->last = &pool->first;
    pool->stats.queue_cap = queue_cap;
    (void)snprintf(pool->name, sizeof pool->name, "%s", name);
    pool->threads = mem_new(threads, sizeof *pool->threads);
    FAIL_IF(pool->threads == NULL, err, NO_MEMORY, 0, "no memory for the pool %s", name);
    for (; pool->stats.threads < threads; pool->stats.threads++) {
        pthread_t *thread = &pool->threads[pool->stats.threads];

        FAIL_IF(pthread_create(thread, NULL, work, pool) != 0, err, BUSY, 0,
                "the system gives no thread %u for the pool %s", pool->stats.threads + 1, name);
        (void)pthread_setname_np(*thread, pool->name);
    }
    *ret_pool = TAKE(pool);
    return OK;
}

enum status
pool_submit(struct pool *pool, struct task *task, struct err *err)
{
    bool is_full;

    pthread_mutex_lock(&pool->lock);
    is_full = pool->stats.queued >= pool->stats.queue_cap || pool->is_ending;
    if (is_full)
        pool->stats.refused++;
    else
        append(pool, task);
    pthread_mutex_unlock(&pool->lock);
    FAIL_IF(is_full, err, BUSY, 0, "the queue for %s is full (%zu requests wait); try again",
            pool->name, pool->stats.queue_cap);
    return OK;
}

void
pool_continue(struct pool *pool, struct task *task)
{
    pthread_mutex_lock(&pool->lock);
    append(pool, task);
    pthread_mutex_unlock(&pool->lock);
}

struct pool_stats
pool_stats(struct pool *pool)
{
    struct pool_stats stats;

    pthread_mutex_lock(&pool->lock);
    stats = pool->stats;
    pthread_mutex_unlock(&pool->lock);
    return stats;
}
