/*
 * A streamed body. The polling thread copies what arrived into the ring and goes on; a worker is
 * called when there is enough to be worth it, writes until the ring is empty, and leaves. A full ring
 * stops the reading, a half-empty one lets it go on. So memory is bounded and a slow client holds no
 * worker.
 */
#include <string.h>

#include "server/http/exchange.h"
#include "server/work/clock.h"

enum {
    /* A worker is called for so many bytes: few where they come slowly, for they wait in memory; more
     * where they come fast, for each call costs two switches of threads. */
    WORTH_SLOW_BYTES = 64 * 1024,
    WORTH_FAST_BYTES = 256 * 1024,
    FAST_MS = 20,          /* since the last call */
    TURN_BYTES = 32 << 20, /* then another upload's turn comes */
};

/* Under the lock: the body is over its limit. */
static enum status
check_size(struct exchange *x, uint64_t more, struct err *err)
{
    const struct route *route = x->request.route;
    uint64_t cap =
        route->body_cap_bytes != 0 ? route->body_cap_bytes : x->httpd->config.limits.upload_bytes;

    FAIL_IF(more > cap || x->body_received > cap - more, err, BODY_TOO_LARGE, 0,
            "the body has more than %llu bytes, the limit here", (unsigned long long)cap);
    return OK;
}

static void
call_worker(struct exchange *x)
{
    if (x->is_running || !x->has_upload_state)
        return;
    x->pumped_ms = clock_ms();
    exchange_continue(x, STEP_PUMP);
}

static bool
is_worth_a_worker(const struct exchange *x)
{
    size_t quarter = x->ring.capacity / 4;
    size_t worth = clock_ms() - x->pumped_ms < FAST_MS ? WORTH_FAST_BYTES : WORTH_SLOW_BYTES;

    return x->ring.held >= (worth < quarter ? worth : quarter);
}

enum status
stream_take(struct exchange *x, const char *bytes, size_t length, size_t *ret_taken)
{
    struct err err = {0};
    size_t taken = 0;

    *ret_taken = 0;
    if (check_size(x, length, &err) != OK ||
        (x->ring.bytes == NULL &&
         ring_init(&x->ring, x->httpd->config.limits.ring_bytes, &err) != OK)) {
        exchange_refuse(x, &err);
        stream_cut(x, &err);
        return err.code;
    }
    while (taken < length) {
        char *at;
        size_t room = ring_room(&x->ring, &at);

        if (room == 0)
            break;
        if (room > length - taken)
            room = length - taken;
        /* Nobody else touches what is not held yet: the worker may go on meanwhile. */
        pthread_mutex_unlock(&x->lock);
        memcpy(at, bytes + taken, room);
        pthread_mutex_lock(&x->lock);
        ring_wrote(&x->ring, room);
        taken += room;
    }
    x->body_received += taken;
    *ret_taken = taken;
    if (taken < length || is_worth_a_worker(x))
        call_worker(x);
    return OK;
}

void
stream_cut(struct exchange *x, const struct err *why)
{
    if (x->is_body_ended || x->is_body_cut)
        return;
    x->is_body_cut = true;
    x->cut = *why;
    call_worker(x);
}

void
stream_ended(struct exchange *x)
{
    x->is_body_ended = true;
    call_worker(x);
}

/* Under the lock: the upload is over without (another) finish. */
static void
end_state(struct exchange *x, const struct err *why)
{
    const struct upload *upload = x->request.route->upload;
    void *state = x->upload_state;

    x->has_upload_state = false;
    x->is_running = false;
    pthread_mutex_unlock(&x->lock);
    if (why != NULL)
        upload->abort(state, why);
    upload->free(state);
    pthread_mutex_lock(&x->lock);
}

/* Under the lock: write said no. The client gets to know at once, in mid-body. */
static void
fail(struct exchange *x, const struct err *err)
{
    if (x->connection != NULL && x->response == NULL && !x->is_abandoned)
        exchange_refuse(x, err);
    end_state(x, err);
}

/* Under the lock: write all that is held. False: it is another upload's turn. */
static bool
write_held(struct exchange *x, enum status *ret_status, struct err *err)
{
    const struct upload *upload = x->request.route->upload;
    size_t half = x->ring.capacity / 2;
    uint64_t written = 0;

    *ret_status = OK;
    while (x->ring.held > 0) {
        struct slice run = ring_held(&x->ring);

        pthread_mutex_unlock(&x->lock);
        *ret_status = upload->write(x->upload_state, run.at, run.length, err);
        pthread_mutex_lock(&x->lock);
        ring_read(&x->ring, run.length);
        if (*ret_status != OK)
            return true;
        if (x->is_suspended && x->phase == PHASE_BODY && x->ring.held <= half)
            exchange_resume(x);
        written += run.length;
        if (written >= TURN_BYTES && x->ring.held > 0)
            return false;
    }
    return true;
}

void
stream_pump(struct exchange *x)
{
    struct err err = {0};
    enum status status;

    pthread_mutex_lock(&x->lock);
    if (!x->has_upload_state) {
        x->is_running = false;
    } else if (!write_held(x, &status, &err)) {
        x->is_running = false;
        exchange_continue(x, STEP_PUMP);
    } else if (status != OK) {
        fail(x, &err);
    } else if (x->is_body_cut) {
        err = x->cut;
        end_state(x, &err);
    } else if (!x->is_body_ended) {
        x->is_running = false; /* until there is more */
    } else if (x->is_finished && x->connection == NULL) {
        end_state(x, NULL); /* it was parked, and nobody waits any more */
    } else {
        ring_done(&x->ring);
        pthread_mutex_unlock(&x->lock);
        steps_call(x);
        return;
    }
    pthread_mutex_unlock(&x->lock);
}
