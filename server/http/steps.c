/*
 * What workers do for a request: authorise it, begin its upload, call its handler. A step ends under
 * the exchange's lock by answering, by letting the body come, or by parking.
 */
#include "common/base/glob.h"
#include "server/http/exchange.h"
#include "server/work/clock.h"

static bool
may_see(const struct principal *who, struct slice namespace)
{
    if (who->patterns == NULL)
        return true;
    for (size_t i = 0; i < who->pattern_count; i++)
        if (glob_match(slice_of(who->patterns[i]), namespace))
            return true;
    return false;
}

/* What somebody may not see is not there: a 403 would tell that it is. */
static enum status
check_rights(const struct request *r, struct err *err)
{
    const struct route *route = r->route;

    FAIL_IF(route->namespace != NULL &&
                !may_see(r->principal, request_segment(r, route->namespace)),
            err, NOT_FOUND, 0, "there is no such thing, or you may not see it");
    FAIL_IF((route->scope & ~r->principal->scopes) != 0, err, FORBIDDEN, 0,
            "\"%s\" lacks the scope for this", r->principal->id);
    return OK;
}

static enum status
authorize_request(struct exchange *x, struct reply *reply, struct err *err)
{
    struct request *request = &x->request;
    httpd_authorize *authorize = x->httpd->config.authorize;

    if (request->principal != NULL)
        return OK;
    request->principal = &httpd_local_principal;
    if (authorize == NULL)
        return OK;
    request->principal = NULL;
    TRY(authorize(request, request->route, &request->principal, reply, err));
    FAIL_IF(request->principal == NULL, err, INTERNAL, 0, "nobody is authorised");
    return check_rights(request, err);
}

/* Under the lock, at a step's end: what was made is the reply, unless nobody waits for one. */
static void
answer(struct exchange *x, enum status status)
{
    struct MHD_Response *response = NULL;
    uint64_t bytes = 0;
    int http_status = 0;

    pthread_mutex_unlock(&x->lock);
    deliver(x, &x->reply, status == OK ? NULL : &x->err, &response, &http_status, &bytes);
    reply_done(&x->reply);
    pthread_mutex_lock(&x->lock);
    x->is_running = false;
    if (response != NULL)
        exchange_answer(x, response, http_status, bytes);
    else {
        x->must_close = true;
        x->phase = PHASE_REPLY;
        exchange_resume(x);
    }
}

static void
admit(struct exchange *x)
{
    const struct route *route = x->request.route;
    void *state = NULL;
    enum status status;
    bool has_state, is_wanted;

    status = authorize_request(x, &x->reply, &x->err);
    if (status == OK && route->body == BODY_STREAM)
        status = route->upload->begin(&x->request, &state, &x->reply, &x->err);
    if (status == OK && x->reply.kind == REPLY_PARKED) {
        err_set(&x->err, ERR_INTERNAL, 0, "%s parks before its body was read", route->name);
        status = ERR_INTERNAL;
    }
    has_state = status == OK && route->body == BODY_STREAM && x->reply.status == 0;
    pthread_mutex_lock(&x->lock);
    is_wanted = x->connection != NULL && !x->is_abandoned;
    if (status != OK || x->reply.status != 0) {
        answer(x, status);
        is_wanted = true;
    } else {
        x->is_running = false;
        if (is_wanted) {
            x->upload_state = state;
            x->has_upload_state = has_state;
            x->phase = PHASE_BODY;
            exchange_resume(x);
        }
    }
    pthread_mutex_unlock(&x->lock);
    if (has_state && !is_wanted) {
        struct err gone = {0};

        err_set(&gone, ERR_TIMEOUT, 0, "the request ended before its body came");
        route->upload->abort(state, &gone);
        route->upload->free(state);
    }
}

/* Under the lock: wait for the key's signal, or run again at once if it came meanwhile. */
static void
park(struct exchange *x, enum step again)
{
    x->is_running = false;
    x->deadline_ms = 0;
    if (x->reply.failed != OK || !park_add(&x->httpd->park, x, x->reply.key, x->reply.wait_ms)) {
        x->request.wakeups++;
        exchange_continue(x, again);
    } else if (atomic_load(&x->httpd->is_draining))
        reaper_wake(x->httpd); /* it calls all that are parked a last time */
}

static enum status
call(struct exchange *x, struct err *err)
{
    const struct route *route = x->request.route;

    TRY(authorize_request(x, &x->reply, err));
    if (route->body != BODY_STREAM)
        TRY(route->handler(&x->request, &x->reply, err));
    else {
        x->is_finished = true;
        TRY(route->upload->finish(&x->request, x->upload_state, &x->reply, err));
    }
    FAIL_IF(x->reply.kind == REPLY_PARKED && x->request.is_wait_over, err, INTERNAL, 0,
            "%s parks after its wait was over", route->name);
    return OK;
}

void
steps_call(struct exchange *x)
{
    const struct upload *upload = x->request.route->upload;
    void *state = NULL;
    bool is_upload = x->request.route->body == BODY_STREAM;
    bool is_over = true;
    enum status status;

    x->err = (struct err){0};
    if (x->reply.kind == REPLY_PARKED)
        reply_done(&x->reply); /* the handler begins anew */
    x->signal_mark = park_mark(&x->httpd->park);
    status = call(x, &x->err);
    pthread_mutex_lock(&x->lock);
    if (status != OK || x->reply.kind != REPLY_PARKED)
        answer(x, status);
    else if (x->connection == NULL || x->is_abandoned)
        x->is_running = false; /* nobody waits for it */
    else {
        is_over = false;
        park(x, is_upload ? STEP_PUMP : STEP_HANDLE);
    }
    if (is_over) {
        state = x->upload_state;
        x->has_upload_state = false;
    }
    pthread_mutex_unlock(&x->lock);
    if (is_over && is_upload)
        upload->free(state);
}

void
steps_run(struct task *task)
{
    struct exchange *x = TASK_OWNER(task, struct exchange, task);
    struct httpd *h = x->httpd;

    switch (x->step) {
    case STEP_ADMIT:
        admit(x);
        break;
    case STEP_HANDLE:
        steps_call(x);
        break;
    case STEP_PUMP:
        stream_pump(x);
        break;
    case STEP_FILL:
        fill_step(x);
        break;
    }
    (void)atomic_fetch_sub(&h->in_handlers, 1);
    exchange_unref(x);
}
