/*
 * Requests that wait for something to happen, or for time to pass, without a worker. A signal that
 * comes while a handler still runs must not be lost: each signal leaves its number in its key's
 * bucket, and whoever wants to park with an older mark is sent back.
 */
#include "server/http/exchange.h"
#include "server/work/clock.h"

/* FNV-1a: keys are our own names, not a client's. */
static uint64_t
hash_key(struct slice key)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < key.length; i++)
        hash = (hash ^ (unsigned char)key.at[i]) * 1099511628211u;
    return hash;
}

void
park_init(struct park *p)
{
    (void)pthread_mutex_init(&p->lock, NULL);
    p->soonest_ms = UINT64_MAX;
}

uint64_t
park_mark(struct park *p)
{
    uint64_t mark;

    pthread_mutex_lock(&p->lock);
    mark = p->signals;
    pthread_mutex_unlock(&p->lock);
    return mark;
}

bool
park_add(struct park *p, struct exchange *x, struct slice key, uint64_t wait_ms)
{
    bool is_missed, is_soonest = false;

    x->park_key_hash = hash_key(key);
    x->park_until_ms = clock_ms() + wait_ms;
    pthread_mutex_lock(&p->lock);
    is_missed = p->newest[x->park_key_hash % PARK_BUCKETS] > x->signal_mark;
    if (!is_missed) {
        exchange_ref(x);
        x->is_parked = true;
        x->park_previous = NULL;
        x->park_next = p->first;
        if (p->first != NULL)
            p->first->park_previous = x;
        p->first = x;
        p->count++;
        is_soonest = x->park_until_ms < p->soonest_ms;
        if (is_soonest)
            p->soonest_ms = x->park_until_ms;
    }
    pthread_mutex_unlock(&p->lock);
    if (is_soonest)
        reaper_wake(x->httpd); /* it sleeps until a later time */
    return !is_missed;
}

/* Under the park's lock; the reference passes to the caller. */
static void
unlink_parked(struct park *p, struct exchange *x)
{
    if (x->park_previous != NULL)
        x->park_previous->park_next = x->park_next;
    else
        p->first = x->park_next;
    if (x->park_next != NULL)
        x->park_next->park_previous = x->park_previous;
    x->is_parked = false;
    p->count--;
}

void
park_remove(struct park *p, struct exchange *x)
{
    bool was_parked;

    pthread_mutex_lock(&p->lock);
    was_parked = x->is_parked;
    if (was_parked)
        unlink_parked(p, x);
    pthread_mutex_unlock(&p->lock);
    if (was_parked)
        exchange_unref(x);
}

static void
wake(struct exchange *x, bool is_over)
{
    pthread_mutex_lock(&x->lock);
    if (x->connection != NULL && !x->is_running && !x->is_abandoned) {
        if (x->phase == PHASE_WORK) {
            x->request.wakeups++;
            x->request.is_wait_over = is_over;
            x->deadline_ms = clock_ms() + x->httpd->config.limits.handler_deadline_ms;
            exchange_continue(x, x->step);
        } else
            fill_wake(x);
    }
    pthread_mutex_unlock(&x->lock);
    exchange_unref(x);
}

/* Those that leave are strung together by park_next, so that each can be locked after the park. */
static void
wake_list(struct exchange *first, bool is_over)
{
    while (first != NULL) {
        struct exchange *next = first->park_next;

        wake(first, is_over);
        first = next;
    }
}

void
park_signal(struct httpd *h, struct slice key)
{
    struct park *p = &h->park;
    uint64_t hash = hash_key(key);
    struct exchange *leaving = NULL;

    pthread_mutex_lock(&p->lock);
    p->newest[hash % PARK_BUCKETS] = ++p->signals;
    for (struct exchange *x = p->first, *next; x != NULL; x = next) {
        next = x->park_next;
        if (x->park_key_hash != hash)
            continue;
        unlink_parked(p, x);
        x->park_next = leaving;
        leaving = x;
    }
    pthread_mutex_unlock(&p->lock);
    wake_list(leaving, false);
}

uint64_t
park_expire(struct httpd *h, bool all)
{
    struct park *p = &h->park;
    struct exchange *leaving = NULL;
    uint64_t now = clock_ms(), soonest = UINT64_MAX;

    pthread_mutex_lock(&p->lock);
    for (struct exchange *x = p->first, *next; x != NULL; x = next) {
        next = x->park_next;
        if (!all && x->park_until_ms > now) {
            if (x->park_until_ms < soonest)
                soonest = x->park_until_ms;
            continue;
        }
        unlink_parked(p, x);
        x->park_next = leaving;
        leaving = x;
    }
    p->soonest_ms = soonest;
    pthread_mutex_unlock(&p->lock);
    wake_list(leaving, true);
    return soonest;
}
