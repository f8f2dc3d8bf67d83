#include "server/store/readers.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "common/base/attr.h"
#include "common/base/mem.h"

enum { WAIT_SECONDS = 10 }; /* for a connection, before the caller is told that all are busy */

struct reader {
    struct db *db; /* NULL until it is first needed */
    struct reader *next;
};

struct readers {
    pthread_mutex_t lock;
    pthread_cond_t came_back;
    struct reader *idle; /* the one used last comes first: its cache is warm */
    struct reader *all;
    char *path;
    unsigned limit_ms;
    uint64_t reads;
    uint64_t timeouts;
};

static void
free_readers_at(struct readers **readers)
{
    readers_free(*readers);
}

enum status
readers_start(const char *path, unsigned count, unsigned limit_ms, struct readers **ret_readers,
              struct err *err)
{
    CLEANUP(free_readers_at) struct readers *readers = mem_new(1, sizeof *readers);
    pthread_condattr_t monotonic;

    FAIL_IF(readers == NULL, err, NO_MEMORY, 0, "no memory for the store");
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&readers->lock, NULL);
    (void)pthread_cond_init(&readers->came_back, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    readers->limit_ms = limit_ms;
    readers->path = mem_copy(path, strlen(path));
    readers->all = mem_new(count, sizeof *readers->all);
    FAIL_IF(readers->path == NULL || readers->all == NULL, err, NO_MEMORY, 0,
            "no memory for the store");
    for (unsigned i = count; i-- > 0;) {
        readers->all[i].next = readers->idle;
        readers->idle = &readers->all[i];
    }
    *ret_readers = TAKE(readers);
    return OK;
}

void
readers_free(struct readers *readers)
{
    if (readers == NULL)
        return;
    for (struct reader *r = readers->idle; r != NULL; r = r->next)
        db_free(r->db);
    (void)pthread_cond_destroy(&readers->came_back);
    (void)pthread_mutex_destroy(&readers->lock);
    mem_free(readers->all);
    mem_free(readers->path);
    mem_free(readers);
}

static struct reader *
take(struct readers *readers)
{
    struct timespec until;
    struct reader *r;
    int trouble = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_SECONDS;
    (void)pthread_mutex_lock(&readers->lock);
    while (readers->idle == NULL && trouble != ETIMEDOUT)
        trouble = pthread_cond_timedwait(&readers->came_back, &readers->lock, &until);
    r = readers->idle;
    if (r != NULL)
        readers->idle = r->next;
    (void)pthread_mutex_unlock(&readers->lock);
    return r;
}

static void
give_back(struct readers *readers, struct reader *r, enum status status)
{
    (void)pthread_mutex_lock(&readers->lock);
    readers->reads++;
    readers->timeouts += status == ERR_TIMEOUT ? 1 : 0;
    r->next = readers->idle;
    readers->idle = r;
    (void)pthread_cond_signal(&readers->came_back);
    (void)pthread_mutex_unlock(&readers->lock);
}

static enum status
run(struct readers *readers, struct reader *r, transact_work *work, void *context, struct err *err)
{
    enum status status;

    if (r->db == NULL)
        TRY(db_open(readers->path, DB_READER, readers->limit_ms, &r->db, err));
    TRY(db_begin_read(r->db, readers->limit_ms, err));
    status = work(r->db, context, err);
    db_rollback(r->db); /* nothing was written: it only ends the view */
    return status;
}

enum status
readers_run(struct readers *readers, transact_work *work, void *context, struct err *err)
{
    struct reader *r = take(readers);
    enum status status;

    FAIL_IF(r == NULL, err, BUSY, 0, "all of the store's readers are busy");
    status = run(readers, r, work, context, err);
    give_back(readers, r, status);
    return status;
}

void
readers_stats(struct readers *readers, struct store_stats *stats)
{
    (void)pthread_mutex_lock(&readers->lock);
    stats->reads = readers->reads;
    stats->timeouts = readers->timeouts;
    (void)pthread_mutex_unlock(&readers->lock);
}
