/*
 * A produced body. A worker asks the producer until the ring is full, and leaves; the polling thread
 * empties the ring and calls a worker again when it is half empty. A client that reads slowly holds
 * no worker, a producer that is slow suspends the connection.
 */
#include <string.h>

#include "server/http/exchange.h"
#include "server/work/clock.h"

enum {
    BLOCK_BYTES = 64 * 1024, /* asked of us at once by libmicrohttpd */
    LOOK_AGAIN_MS = 1000,    /* of a producer that waits */
};

static uint64_t
deadline(const struct exchange *x)
{
    return clock_ms() + x->httpd->config.limits.handler_deadline_ms;
}

/* Under the lock. */
static void
call_worker(struct exchange *x)
{
    if (x->is_running || x->fill.is_waiting || x->fill.is_ended || x->fill.has_failed)
        return;
    exchange_continue(x, STEP_FILL);
}

void
fill_wake(struct exchange *x)
{
    if (!x->fill.is_waiting)
        return;
    x->fill.is_waiting = false;
    if (x->is_suspended)
        x->deadline_ms = deadline(x);
    call_worker(x);
}

static size_t
take(struct exchange *x, char *buffer, size_t room)
{
    size_t taken = 0;

    while (taken < room && x->ring.held > 0) {
        struct slice run = ring_held(&x->ring);

        if (run.length > room - taken)
            run.length = room - taken;
        memcpy(buffer + taken, run.at, run.length);
        ring_read(&x->ring, run.length);
        taken += run.length;
    }
    return taken;
}

/* Called by libmicrohttpd on the polling thread. */
static ssize_t
read_body(void *cls, uint64_t position, char *buffer, size_t room)
{
    struct exchange *x = cls;
    ssize_t result;

    (void)position; /* it only ever goes forward */
    pthread_mutex_lock(&x->lock);
    result = (ssize_t)take(x, buffer, room);
    if (x->connection == NULL)
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    else if (result > 0) {
        if (x->ring.held <= x->ring.capacity / 2)
            call_worker(x);
    } else if (x->fill.has_failed)
        result = MHD_CONTENT_READER_END_WITH_ERROR;
    else if (x->fill.is_ended)
        result = MHD_CONTENT_READER_END_OF_STREAM;
    else {
        call_worker(x);
        if (!exchange_suspend(x, x->fill.is_waiting ? 0 : deadline(x)))
            result = MHD_CONTENT_READER_END_WITH_ERROR;
    }
    pthread_mutex_unlock(&x->lock);
    return result;
}

static void
free_body(void *cls)
{
    exchange_unref(cls);
}

enum status
fill_begin(struct exchange *x, struct reply *r, uint64_t offset, uint64_t length,
           struct MHD_Response **ret_response, struct err *err)
{
    if (offset > 0)
        TRY(r->producer->seek(r->context, offset, err));
    if (x->ring.bytes == NULL)
        TRY(ring_init(&x->ring, x->httpd->config.limits.ring_bytes, err));
    if (r->key.at != NULL)
        TRY(arena_copy(&x->arena, r->key, &x->fill.key, err));
    *ret_response = MHD_create_response_from_callback(
        length == REPLY_LENGTH_UNKNOWN ? MHD_SIZE_UNKNOWN : length, BLOCK_BYTES, read_body, x,
        free_body);
    FAIL_IF(*ret_response == NULL, err, NO_MEMORY, 0, "no memory for the reply");
    exchange_ref(x);
    x->fill.producer = r->producer;
    x->fill.context = r->context;
    x->fill.left = length;
    x->fill.is_ended = length == 0;
    r->producer = NULL;
    r->context = NULL;
    r->kind = REPLY_EMPTY;
    return OK;
}

/* Under the lock: what one call of the producer gave. False: stop asking for now. */
static bool
took(struct exchange *x, size_t length, enum produced produced)
{
    bool has_length = x->fill.left != REPLY_LENGTH_UNKNOWN;

    ring_wrote(&x->ring, length);
    if (has_length)
        x->fill.left -= length;
    else
        x->reply_bytes += length;
    if (produced == PRODUCED_WAIT && !has_length && atomic_load(&x->httpd->is_draining))
        produced = PRODUCED_END;
    if (x->fill.left == 0)
        x->fill.is_ended = true;
    else if (produced == PRODUCED_END) {
        x->fill.is_ended = !has_length;
        x->fill.has_failed = has_length; /* fewer bytes than were announced */
    } else if (produced == PRODUCED_MORE && length == 0)
        x->fill.has_failed = true; /* it would be asked for ever */
    if (length > 0 || x->fill.is_ended || x->fill.has_failed)
        exchange_resume(x);
    return !x->fill.is_ended && !x->fill.has_failed && produced == PRODUCED_MORE;
}

/* Under the lock: wait for the key's signal or a second. True: it came meanwhile. */
static bool
wait_for_more(struct exchange *x)
{
    if (x->fill.is_ended || x->fill.has_failed)
        return false;
    if (!park_add(&x->httpd->park, x, x->fill.key, LOOK_AGAIN_MS))
        return true;
    x->fill.is_waiting = true;
    x->deadline_ms = 0;
    return false;
}

void
fill_step(struct exchange *x)
{
    bool asks = true;

    pthread_mutex_lock(&x->lock);
    while (asks && x->connection != NULL) {
        enum produced produced = PRODUCED_MORE;
        size_t length = 0, room;
        enum status status;
        char *at;

        room = ring_room(&x->ring, &at);
        if (room == 0)
            break;
        if (room > x->fill.left)
            room = (size_t)x->fill.left;
        x->signal_mark = park_mark(&x->httpd->park);
        pthread_mutex_unlock(&x->lock);
        status = x->fill.producer->read(x->fill.context, at, room, &length, &produced, &x->err);
        pthread_mutex_lock(&x->lock);
        if (status != OK || length > room) {
            x->fill.has_failed = true;
            exchange_resume(x);
            break;
        }
        asks = took(x, length, produced);
        if (!asks && produced == PRODUCED_WAIT)
            asks = wait_for_more(x);
    }
    x->is_running = false;
    pthread_mutex_unlock(&x->lock);
}

void
fill_done(struct exchange *x)
{
    if (x->fill.producer != NULL && x->fill.producer->free != NULL)
        x->fill.producer->free(x->fill.context);
    x->fill.producer = NULL;
}
