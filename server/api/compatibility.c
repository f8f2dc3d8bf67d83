/* POST …/versions/{ref}/compatibility: would it load, why not, and what makes it. */
#include <stdio.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/compat/report_query.h"
#include "common/render/render.h"
#include "server/api/api.h"
#include "server/api/version_json.h"

enum { WAIT_DEFAULT_S = 60, RETRY_AFTER_S = 5, REPLY_BYTES_MAX = 1 << 30 };

/* A manifest, parsed, with the text that it was made of. */
struct parsed {
    struct arena arena;
    struct manifest manifest;
};

/* An answer, whole. */
struct answered {
    int status;
    enum verdict verdict;
    const char *media_type;
    struct buf body;
};

/* One request's matters. */
struct checking {
    const struct request *r;
    struct app *app;
    struct version version;
    struct report_options options;
    const struct rendering *rendering;
    struct remap remap;
    struct digest body;
    struct digest key; /* of the answer */
};

/* ---- the question ---- */

static enum status
choose_rendering(const struct request *r, const struct rendering **ret_rendering, struct err *err)
{
    struct slice format = request_query(r, "format");
    unsigned most = 0;

    if (format.at != NULL) {
        *ret_rendering = render_find(format);
        FAIL_IF(*ret_rendering == NULL, err, BAD_REQUEST, 0, "there is no format %.*s",
                SLICE_PRINT(format));
        return OK;
    }
    *ret_rendering = &renderings[0];
    for (const struct rendering *one = renderings; one->name != NULL; one++) {
        unsigned liked = request_accepts(r, one->media_type);

        if (liked > most) {
            most = liked;
            *ret_rendering = one;
        }
    }
    return OK;
}

static enum status
parse_remap(struct checking *c, struct err *err)
{
    struct slice text = request_query(c->r, "remap");

    if (text.at == NULL)
        return OK;
    TRY(remap_parse(text, &c->app->limits, c->r->arena, &c->remap, err));
    c->options.remap = &c->remap;
    return OK;
}

static enum status
parse_options(struct checking *c, struct err *err)
{
    static const char *const others[] = {"format", "wait", "against", "remap"};

    c->options = report_query_begin();
    for (size_t i = 0; i < c->r->query_count; i++) {
        const struct pair *p = &c->r->query[i];
        bool is_other = false;

        for (size_t k = 0; k < ARRAY_LENGTH(others); k++)
            is_other = is_other || slice_is(p->name, others[k]);
        if (!is_other)
            TRY(report_query_set(&c->options, p->name, p->value, c->r->arena, err));
    }
    TRY(parse_remap(c, err));
    return choose_rendering(c->r, &c->rendering, err);
}

static enum status
set_subject(struct checking *c, struct err *err)
{
    struct report_subject *s = &c->options.checkpoint;

    TRY(arena_printf(c->r->arena, &s->model, err, "%.*s/%.*s", SLICE_PRINT(c->version.namespace),
                     SLICE_PRINT(c->version.model)));
    s->ref = request_segment(c->r, "ref");
    s->version = c->version.label;
    s->serial = c->version.serial;
    return arena_printf(c->r->arena, &s->digest, err, "sha256:%s",
                        digest_text(&c->version.digest).hex);
}

static void
hash_counted(struct hash *h, struct slice s)
{
    uint64_t length = s.length;

    hash_add(h, &length, sizeof length);
    hash_add(h, s.at, s.length);
}

/* All that the answer depends on. A version never changes once it is ready. */
static enum status
make_key(struct checking *c, struct err *err)
{
    CLEANUP(hash_done) struct hash h = {0};

    TRY(hash_bytes(c->r->body.at, c->r->body.length, &c->body, err));
    TRY(hash_begin(&h, err));
    hash_add(&h, &c->version.id, sizeof c->version.id);
    hash_add(&h, &c->rendering, sizeof c->rendering);
    hash_add(&h, c->body.bytes, sizeof c->body.bytes);
    hash_counted(&h, request_segment(c->r, "ref"));
    for (size_t i = 0; i < c->r->query_count; i++) {
        hash_counted(&h, c->r->query[i].name);
        hash_counted(&h, c->r->query[i].value);
    }
    c->key = hash_end(&h);
    return OK;
}

/* ---- the manifest ---- */

static void
parsed_free(void *value)
{
    struct parsed *p = value;

    arena_done(&p->arena);
    mem_free(p);
}

static char
first_mark(struct slice body)
{
    for (size_t i = 0; i < body.length; i++)
        if (strchr(" \t\r\n", body.at[i]) == NULL)
            return body.at[i];
    return '\0';
}

/* curl's -d declares a form and strips line ends: JSON survives that, YAML does not. */
static enum status
check_body(const struct request *r, struct err *err)
{
    struct slice type = request_header(r, "Content-Type");

    FAIL_IF(r->body.length == 0, err, BAD_REQUEST, 0,
            "the body is empty; it must be a manifest: curl --data-binary @manifest.json …, or ask "
            "?against=NAMESPACE/MODEL/REF");
    FAIL_IF(slice_starts(type, slice_of("application/x-www-form-urlencoded")) &&
                first_mark(r->body) != '{',
            err, MEDIA_TYPE, 0,
            "curl -d strips the line ends of YAML and declares a form; send it with "
            "--data-binary @manifest.yaml -H 'Content-Type: application/yaml'");
    return OK;
}

static enum status
parse_manifest(struct checking *c, struct cache_item **ret_item, struct err *err)
{
    struct slice key = {(const char *)c->body.bytes, sizeof c->body.bytes}, text;
    struct parsed *p;
    enum status status;

    TRY(check_body(c->r, err));
    *ret_item = cache_get(c->app->manifests, key);
    if (*ret_item != NULL)
        return OK;
    p = mem_new(1, sizeof *p);
    FAIL_IF(p == NULL, err, NO_MEMORY, 0, "out of memory");
    p->arena = arena_with_cap(c->app->limits.arena_bytes);
    status = arena_copy(&p->arena, c->r->body, &text, err);
    if (status == OK)
        status = manifest_parse(text, &c->app->limits, &p->arena, &p->manifest, err);
    if (status != OK) {
        parsed_free(p);
        return status;
    }
    return cache_put(c->app->manifests, key, p, p->arena.used_bytes + sizeof *p, parsed_free,
                     ret_item, err);
}

/* ?against=NAMESPACE/MODEL/REF: what that version holds is what is expected. */
static enum status
load_against(struct checking *c, struct slice against, struct cache_item **ret_item,
             struct manifest *ret_manifest, struct err *err)
{
    struct slice rest = against;
    struct slice namespace = slice_cut(&rest, '/'), model = slice_cut(&rest, '/');
    const struct container *expected;
    struct version v;
    struct ref ref;

    FAIL_IF(rest.at == NULL, err, BAD_REQUEST, 0, "against= is NAMESPACE/MODEL/REF, not %.*s",
            SLICE_PRINT(against));
    FAIL_IF(c->r->body.length > 0, err, BAD_REQUEST, 0,
            "a manifest in the body and against= at once: which?");
    TRY(ref_parse(rest, &ref, err));
    TRY(version_store_get(c->app->store, namespace, model, &ref, c->r->arena, &v, err));
    TRY(version_loaded(c->app, &v, ret_item, err));
    FAIL_IF(*ret_item == NULL, err, NOT_READY, 0, "the version against which to check is %s",
            version_state_name(v.state));
    expected = inspection_default(&((const struct loaded *)cache_value(*ret_item))->in);
    FAIL_IF(expected == NULL, err, BAD_MANIFEST, 0,
            "the version against which to check holds no state dict");
    c->options.manifest_name = against;
    return manifest_of_container(expected, c->r->arena, ret_manifest, err);
}

/* ---- the answer ---- */

static void
answered_free(void *value)
{
    struct answered *a = value;

    buf_done(&a->body);
    mem_free(a);
}

static int
status_of(const struct report *report)
{
    if (!report->options.has_required || verdict_meets(report->verdict, report->options.required))
        return 200;
    return report->verdict == VERDICT_UNKNOWN ? 422 : 409;
}

static enum status
make_report(struct checking *c, const struct manifest *manifest, struct answered *a,
            struct err *err)
{
    static const struct inspection nothing = {.default_container = SIZE_MAX,
                                              .safety = SAFETY_MALFORMED};
    CLEANUP(loaded_release) struct cache_item *item = NULL;
    CLEANUP(arena_done) struct arena arena = arena_with_cap(c->app->limits.arena_bytes);
    const struct inspection *in = &nothing;
    struct report report;

    TRY(version_loaded(c->app, &c->version, &item, err));
    if (item != NULL)
        in = &((const struct loaded *)cache_value(item))->in;
    TRY(report_make(in, manifest, &c->options, &c->app->limits, &arena, &report, err));
    a->verdict = report.verdict;
    a->status = status_of(&report);
    a->media_type = c->rendering->media_type;
    a->body = buf_with_cap(REPLY_BYTES_MAX);
    c->rendering->render(&report, &(struct render_options){0}, &a->body);
    return buf_check(&a->body, err);
}

static enum status
answer(struct checking *c, struct cache_item **ret_item, struct err *err)
{
    CLEANUP(loaded_release)
    struct cache_item *item = NULL; /* the manifest's, or the other version's */
    struct slice against = request_query(c->r, "against");
    const struct manifest *manifest;
    struct manifest of_version;
    struct answered *a;
    enum status status;

    if (against.at != NULL) {
        TRY(load_against(c, against, &item, &of_version, err));
        manifest = &of_version;
    } else {
        TRY(parse_manifest(c, &item, err));
        manifest = &((const struct parsed *)cache_value(item))->manifest;
    }
    a = mem_new(1, sizeof *a);
    FAIL_IF(a == NULL, err, NO_MEMORY, 0, "out of memory");
    status = make_report(c, manifest, a, err);
    if (status != OK) {
        answered_free(a);
        return status;
    }
    return cache_put(c->app->replies, (struct slice){(const char *)c->key.bytes, DIGEST_BYTES}, a,
                     a->body.capacity + sizeof *a, answered_free, ret_item, err);
}

static void
release_item(void *context)
{
    cache_release(context);
}

/* The reply borrows the cached answer until it is sent. */
static void
send_answer(struct cache_item *item, struct reply *ret_reply)
{
    const struct answered *a = cache_value(item);

    reply_header(ret_reply, "Ckptd-Verdict", "%s", verdict_name(a->verdict));
    reply_shared(ret_reply, a->status, a->media_type, buf_slice_of(&a->body), release_item, item);
}

/* Is the version in a state to be judged? Parks the request while it is pending. */
static enum status
await(struct checking *c, struct reply *ret_reply, struct err *err)
{
    uint64_t wait_s;

    TRY(request_query_u64(c->r, "wait",
                          WAIT_DEFAULT_S < c->app->wait_max_s ? WAIT_DEFAULT_S : c->app->wait_max_s,
                          0, c->app->wait_max_s, &wait_s, err));
    FAIL_IF(c->version.state == VERSION_OPEN || c->version.state == VERSION_REJECTED, err,
            NOT_READY, 0, "the version is %s", version_state_name(c->version.state));
    if (c->version.state != VERSION_PENDING)
        return OK;
    if (wait_s > 0 && !c->r->is_wait_over) {
        reply_park(ret_reply, slice_of(app_wait_key(c->version.id).text), wait_s * 1000);
        return OK;
    }
    /* No body: a client that retries has nothing but the report in the end. */
    reply_header(ret_reply, "Retry-After", "%d", RETRY_AFTER_S);
    reply_empty(ret_reply, err_http_status(ERR_PENDING));
    return OK;
}

enum status
versions_compatibility(const struct request *r, struct reply *ret_reply, struct err *err)
{
    struct checking c = {.r = r, .app = r->app};
    struct cache_item *item;

    TRY(parse_options(&c, err));
    TRY(version_of_request(r, &c.version, err));
    TRY(await(&c, ret_reply, err));
    if (ret_reply->kind == REPLY_PARKED || ret_reply->status != 0)
        return OK; /* it waits, or has waited long enough */
    TRY(set_subject(&c, err));
    TRY(make_key(&c, err));
    item = request_query(r, "against").at != NULL
               ? NULL /* an alias there may move */
               : cache_get(c.app->replies, (struct slice){(const char *)c.key.bytes, DIGEST_BYTES});
    if (item == NULL)
        TRY(answer(&c, &item, err));
    send_answer(item, ret_reply);
    return OK;
}
