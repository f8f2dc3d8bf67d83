#include "server/store/writer.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/store/ballast.h"

enum {
    GROUP_MAX = 128,       /* requests in one transaction */
    IDLE_SECONDS = 1,      /* without a request, before the log is moved */
    LOG_PAGES = 2048,      /* 8 MiB: move what can be moved after each so many */
    LOG_PAGES_MAX = 16384, /* 64 MiB: try to empty the log's file */
};

struct request {
    transact_work *work;
    void *context;
    bool is_alone;
    enum status status;
    struct err err;
    bool is_answered;
    pthread_cond_t answered;
    struct request *next;
};

struct writer {
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct request *first;
    struct request **last; /* the NULL at the list's end */
    bool is_ending;
    struct err suspect; /* a copy of the connection's, for other threads */
    uint64_t writes, commits;
    bool has_ballast;

    /* the thread's own */
    pthread_t thread;
    bool has_thread;
    struct db *db;
    struct ballast ballast;
    uint64_t move_at; /* pages in the log when it is moved next */
};

/* ---- one group ---- */

static enum status
run_one(struct writer *w, struct request *r)
{
    enum status status;

    r->err = (struct err){0};
    TRY(db_savepoint(w->db, &r->err));
    status = r->work(w->db, r->context, &r->err);
    if (status == OK)
        status = db_release(w->db, &r->err);
    else
        db_undo(w->db);
    return status;
}

/* Run the requests up to end in one transaction. Not OK: nothing of any was kept, and *ret_began
 * says whether there was a transaction at all. */
static enum status
run_together(struct writer *w, struct request *first, const struct request *end, bool *ret_began,
             struct err *err)
{
    size_t done = 0;

    *ret_began = false;
    TRY(db_begin_write(w->db, err));
    *ret_began = true;
    for (struct request *r = first; r != end; r = r->next) {
        r->status = run_one(w, r);
        done += r->status == OK ? 1 : 0;
        if (!db_in_transaction(w->db) || db_is_suspect(w->db, NULL)) {
            db_rollback(w->db);
            err_copy(err, &r->err);
            return r->status == OK ? ERR_STORE : r->status;
        }
    }
    if (done == 0) {
        db_rollback(w->db);
        return OK;
    }
    TRY(db_commit(w->db, err));
    (void)pthread_mutex_lock(&w->lock);
    w->writes += done;
    w->commits++;
    (void)pthread_mutex_unlock(&w->lock);
    return OK;
}

static void
answer_all(struct request *first, const struct request *end, enum status status,
           const struct err *err)
{
    for (struct request *r = first; r != end; r = r->next) {
        r->status = status;
        r->err = *err;
    }
}

static void
run_single(struct writer *w, struct request *r)
{
    struct err err = {0};
    bool began;
    enum status status = run_together(w, r, r->next, &began, &err);

    if (status != OK)
        answer_all(r, r->next, status, &err);
    if (r->status == ERR_NO_SPACE && ballast_drop(&w->ballast)) {
        err = (struct err){0};
        status = run_together(w, r, r->next, &began, &err);
        if (status != OK)
            answer_all(r, r->next, status, &err);
    }
}

static void
run_group(struct writer *w, struct request *first)
{
    struct err err = {0};
    bool began = false;
    enum status status;

    if (first->is_alone) {
        first->err = (struct err){0};
        first->status = db_is_suspect(w->db, &first->err)
                            ? ERR_STORE_SUSPECT
                            : first->work(w->db, first->context, &first->err);
        return;
    }
    if (db_is_suspect(w->db, &err)) {
        answer_all(first, NULL, ERR_STORE_SUSPECT, &err);
        return;
    }
    if (first->next == NULL) {
        run_single(w, first);
        return;
    }
    status = run_together(w, first, NULL, &began, &err);
    if (status != OK && !began) {
        answer_all(first, NULL, status, &err);
        return;
    }
    /* One took the others down with it, or had no room: each gets a transaction of its own. */
    for (struct request *r = first; r != NULL; r = r->next) {
        if (db_is_suspect(w->db, NULL)) {
            err = (struct err){0};
            (void)db_is_suspect(w->db, &err);
            answer_all(r, r->next, ERR_STORE_SUSPECT, &err);
        } else if (status != OK || r->status == ERR_NO_SPACE)
            run_single(w, r);
    }
}

/* ---- the thread ---- */

static void
move_log(struct writer *w)
{
    uint64_t pages = db_log_pages(w->db);

    if (pages < LOG_PAGES) {
        w->move_at = LOG_PAGES;
        return;
    }
    if (pages < w->move_at || db_is_suspect(w->db, NULL))
        return;
    db_checkpoint(w->db, pages > LOG_PAGES_MAX);
    w->move_at = pages + LOG_PAGES;
}

static void
tidy(struct writer *w)
{
    if (db_log_pages(w->db) > 0 && !db_is_suspect(w->db, NULL))
        db_checkpoint(w->db, true);
    ballast_restore(&w->ballast);
}

static bool
has_tidying(const struct writer *w)
{
    return db_log_pages(w->db) > 0 || (w->ballast.path != NULL && !w->ballast.is_there);
}

/* Wait for a request, with the lock held. False: a while passed without one, or it is the end. */
static bool
await(struct writer *w)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    while (w->first == NULL && !w->is_ending) {
        if (!has_tidying(w))
            (void)pthread_cond_wait(&w->came, &w->lock);
        else if (pthread_cond_timedwait(&w->came, &w->lock, &until) == ETIMEDOUT)
            return w->first != NULL;
    }
    return w->first != NULL;
}

/* Cut the next group off the queue: one that is alone, or as many others as come before such a one. */
static struct request *
next_group(struct writer *w)
{
    struct request *first = w->first, *r = first;

    for (size_t n = 1; r->next != NULL && !r->is_alone && !r->next->is_alone && n < GROUP_MAX; n++)
        r = r->next;
    w->first = r->next;
    if (w->first == NULL)
        w->last = &w->first;
    r->next = NULL;
    return first;
}

/* A request belongs to its thread again as soon as it is answered. */
static void
answer(struct request *first)
{
    for (struct request *r = first, *next; r != NULL; r = next) {
        next = r->next;
        r->is_answered = true;
        (void)pthread_cond_signal(&r->answered);
    }
}

static void *
work(void *context)
{
    struct writer *w = context;

    (void)pthread_mutex_lock(&w->lock);
    for (;;) {
        struct request *group = await(w) ? next_group(w) : NULL;

        if (group == NULL && w->is_ending)
            break;
        (void)pthread_mutex_unlock(&w->lock);
        if (group != NULL)
            run_group(w, group);
        else
            tidy(w);
        (void)pthread_mutex_lock(&w->lock);
        (void)db_is_suspect(w->db, &w->suspect);
        w->has_ballast = w->ballast.is_there;
        answer(group);
        if (group != NULL) {
            (void)pthread_mutex_unlock(&w->lock);
            move_log(w);
            (void)pthread_mutex_lock(&w->lock);
            (void)db_is_suspect(w->db, &w->suspect);
        }
    }
    (void)pthread_mutex_unlock(&w->lock);
    tidy(w);
    return NULL;
}

/* ---- for others ---- */

static void
free_writer_at(struct writer **writer)
{
    writer_free(*writer);
}

static void
free_db_at(struct db **db)
{
    db_free(*db);
}

enum status
writer_start(struct db *db, const char *directory, uint64_t ballast_bytes,
             struct writer **ret_writer, struct err *err)
{
    CLEANUP(free_db_at) struct db *taken = db;
    CLEANUP(free_writer_at) struct writer *w = mem_new(1, sizeof *w);
    pthread_condattr_t monotonic;

    FAIL_IF(w == NULL, err, NO_MEMORY, 0, "no memory for the store");
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->came, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    w->last = &w->first;
    w->move_at = LOG_PAGES;
    w->db = TAKE(taken);
    TRY(ballast_open(directory, ballast_bytes, &w->ballast, err));
    w->has_ballast = w->ballast.is_there;
    FAIL_IF(pthread_create(&w->thread, NULL, work, w) != 0, err, BUSY, 0,
            "the system gives no thread for the store");
    w->has_thread = true;
    (void)pthread_setname_np(w->thread, "store-writer");
    *ret_writer = TAKE(w);
    return OK;
}

void
writer_free(struct writer *w)
{
    if (w == NULL)
        return;
    if (w->has_thread) {
        (void)pthread_mutex_lock(&w->lock);
        w->is_ending = true;
        (void)pthread_cond_signal(&w->came);
        (void)pthread_mutex_unlock(&w->lock);
        (void)pthread_join(w->thread, NULL);
    }
    db_free(w->db);
    ballast_done(&w->ballast);
    (void)pthread_cond_destroy(&w->came);
    (void)pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

static enum status
submit(struct writer *w, struct request *r, struct err *err)
{
    (void)pthread_cond_init(&r->answered, NULL);
    (void)pthread_mutex_lock(&w->lock);
    *w->last = r;
    w->last = &r->next;
    (void)pthread_cond_signal(&w->came);
    while (!r->is_answered)
        (void)pthread_cond_wait(&r->answered, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_cond_destroy(&r->answered);
    if (r->status != OK)
        err_copy(err, &r->err);
    return r->status;
}

enum status
writer_run(struct writer *w, transact_work *todo, void *context, struct err *err)
{
    struct request r = {.work = todo, .context = context};

    return submit(w, &r, err);
}

enum status
writer_run_alone(struct writer *w, transact_work *todo, void *context, struct err *err)
{
    struct request r = {.work = todo, .context = context, .is_alone = true};

    return submit(w, &r, err);
}

bool
writer_is_suspect(struct writer *w, struct err *err)
{
    bool is_suspect;

    (void)pthread_mutex_lock(&w->lock);
    is_suspect = w->suspect.code != OK;
    if (is_suspect)
        err_copy(err, &w->suspect);
    (void)pthread_mutex_unlock(&w->lock);
    return is_suspect;
}

void
writer_stats(struct writer *w, struct store_stats *stats)
{
    (void)pthread_mutex_lock(&w->lock);
    stats->writes = w->writes;
    stats->commits = w->commits;
    stats->has_ballast = w->has_ballast;
    stats->is_suspect = w->suspect.code != OK;
    (void)pthread_mutex_unlock(&w->lock);
}
