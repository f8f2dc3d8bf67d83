/*
 * ckptd serve. Up in this order: settings, the inspector's zygote (before any thread or open file),
 * log, blobs, store, caches, pools, jobs, HTTP. Down in the reverse one.
 */
#include "server/serve.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/api/api.h"
#include "server/api/app.h"
#include "server/cli/cli.h"
#include "server/cli/files.h"
#include "server/inspector/inspector.h"
#include "server/jobs/expire.h"
#include "server/jobs/jobs.h"
#include "server/jobs/sweep.h"
#include "server/settings.h"

enum {
    QUEUE_TASKS = 8192,
    DIRECTORY_MODE = 0700,
    END_LOOKS = 40, /* for jobs under way, when it ends */
    END_PAUSE_MS = 50,
    HOUSE_S = 5,
    OTHER_DESCRIPTORS = 300, /* of an inspector and its zygote, which has a socket for each child */
    IDLE_MS = 30000,         /* after which a cached thing goes */
};

/* All that is alive, in the order in which it came up. */
struct daemon {
    struct settings settings;
    struct inspector *inspector;
    struct log *log;
    struct blobs *blobs;
    struct store *store;
    struct pool *pools[ROUTE_POOL_COUNT];
    struct jobs *jobs;
    struct httpd *httpd;
    struct app app;
    struct arena arena;   /* of what the settings name */
    char host[256];       /* of --public-url */
    const char *hosts[2]; /* it, if there is one, and NULL */
    struct task sweep;
    struct task expire;
    atomic_bool is_expiring; /* it waits or runs */
    atomic_bool is_ending;   /* both stop */
};

/* Inspections under way get a moment; those that need longer begin anew at the next start. */
static void
end_jobs(struct daemon *d)
{
    jobs_end(d->jobs);
    for (int i = 0; i < END_LOOKS && d->jobs != NULL && jobs_running(d->jobs) > 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = END_PAUSE_MS * 1000000L}, NULL);
    inspector_cut(d->inspector);
    jobs_free(d->jobs);
}

static void
daemon_done(struct daemon *d)
{
    atomic_store(&d->is_ending, true);
    if (d->httpd != NULL)
        httpd_stop(d->httpd, d->settings.drain_s * 1000);
    d->app.httpd = NULL;
    end_jobs(d);
    for (size_t i = 0; i < ROUTE_POOL_COUNT; i++)
        pool_free(d->pools[i]);
    cache_free(d->app.replies);
    cache_free(d->app.manifests);
    cache_free(d->app.inspections);
    store_free(d->store);
    blobs_free(d->blobs);
    inspector_free(d->inspector);
    log_free(d->log);
    arena_done(&d->arena);
    settings_done(&d->settings);
}

static void
wake_jobs(void *context)
{
    jobs_wake(context);
}

static void
settled(void *context, int64_t version_id)
{
    app_version_settled(context, version_id);
}

/* ---- up ---- */

static struct limits
limits_of(const struct settings *s)
{
    struct limits limits = limits_default();

    limits.tensors = (size_t)s->tensors;
    limits.manifest_bytes = (size_t)s->manifest_bytes;
    return limits;
}

/* As many descriptors as the system grants: each connection, upload and read takes some. */
static void
raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* An inspector holds all files of its version open at once: no version may have more than can be. */
static void
bound_version_files(struct daemon *d)
{
    struct settings *s = &d->settings;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= s->version_files + OTHER_DESCRIPTORS)
        return;
    s->version_files = limit.rlim_cur > OTHER_DESCRIPTORS ? limit.rlim_cur - OTHER_DESCRIPTORS : 1;
    LOG(d->log, LOG_WARNING,
        "too few open files are granted (ulimit -n): versions have fewer files",
        LOG_U64("open_files", (uint64_t)limit.rlim_cur),
        LOG_U64("version_files", s->version_files));
}

static enum status
sandbox_of(const struct settings *s, enum inspector_sandbox *ret_sandbox, struct err *err)
{
    static const char *const names[] = {
        [INSPECTOR_SANDBOX_BEST] = "best",
        [INSPECTOR_SANDBOX_REQUIRE] = "require",
        [INSPECTOR_SANDBOX_OFF] = "off",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (strcmp(s->sandbox, names[i]) == 0) {
            *ret_sandbox = (enum inspector_sandbox)i;
            return OK;
        }
    FAIL(err, BAD_REQUEST, 0, "--sandbox is best, require or off, not %s", s->sandbox);
}

static enum status
start_inspector(struct daemon *d, struct err *err)
{
    struct inspector_config config = inspector_config_default();

    TRY(sandbox_of(&d->settings, &config.sandbox, err));

    config.limits = d->app.limits;
    config.wall_ms = (unsigned)d->settings.inspection_s * 1000;
    config.cpu_seconds = (unsigned)d->settings.inspection_s;
    return inspector_start(&config, &d->inspector, err);
}

/* Only now is there a log to say it in. */
static enum status
measure_sandbox(struct daemon *d, struct err *err)
{
    const char *missing;

    TRY(inspector_probe(d->inspector, err));
    missing = inspector_sandbox_missing(d->inspector);
    if (missing[0] != '\0')
        LOG(d->log, LOG_WARNING, "the inspectors' sandbox is not whole",
            LOG_TEXT("missing", missing), LOG_TEXT("setting", d->settings.sandbox));
    return OK;
}

static enum status
start_storage(struct daemon *d, struct err *err)
{
    struct blobs_config blobs = blobs_config_default();
    struct store_config store = store_config_default();

    FAIL_IF(mkdir(d->settings.data, DIRECTORY_MODE) != 0 && errno != EEXIST, err, IO, 0,
            "%s: the data directory cannot be made (error %d)", d->settings.data, errno);
    blobs.directory = d->settings.data;
    blobs.reserve_bytes = d->settings.reserve_bytes;
    TRY(blobs_open(&blobs, &d->blobs, err));
    store.directory = d->settings.data;
    return store_open(&store, &d->store, err);
}

static enum status
start_pools(struct daemon *d, struct err *err)
{
    const struct {
        const char *name;
        uint64_t threads;
    } pools[ROUTE_POOL_COUNT] = {
        [ROUTE_QUERY] = {"query", d->settings.query_threads},
        [ROUTE_HEAVY] = {"heavy", d->settings.heavy_threads},
        [ROUTE_IO] = {"io", d->settings.io_threads},
    };

    for (size_t i = 0; i < ROUTE_POOL_COUNT; i++)
        TRY(pool_start(pools[i].name, (unsigned)pools[i].threads, QUEUE_TASKS, &d->pools[i], err));
    return OK;
}

static enum status
start_app(struct daemon *d, struct err *err)
{
    struct app *app = &d->app;

    app->store = d->store;
    app->blobs = d->blobs;
    app->sandbox = inspector_sandbox(d->inspector);
    app->log = d->log;
    app->wait_max_s = d->settings.wait_max_s;
    app->files_max = d->settings.version_files;
    app->open_us = d->settings.open_s * 1000000;
    TRY(cache_new((size_t)d->settings.cache_bytes, &app->inspections, err));
    TRY(cache_new((size_t)d->settings.cache_bytes, &app->manifests, err));
    return cache_new((size_t)d->settings.cache_bytes, &app->replies, err);
}

static enum status
start_jobs(struct daemon *d, struct err *err)
{
    struct jobs_config config = jobs_config_default();

    config.store = d->store;
    config.blobs = d->blobs;
    config.inspector = d->inspector;
    config.log = d->log;
    config.limits = d->app.limits;
    config.workers = (unsigned)d->settings.inspectors;
    config.settled = settled;
    config.context = &d->app;
    TRY(jobs_start(&config, &d->jobs, err));
    d->app.wake_jobs = wake_jobs;
    d->app.wake_context = d->jobs;
    return OK;
}

/* Blob files that the last crash has left without a row; uploads may go on meanwhile. */
static void
run_sweep(struct task *task)
{
    struct daemon *d = TASK_OWNER(task, struct daemon, sweep);
    struct sweep_result result;
    struct err err = {0};

    if (sweep_run(d->store, d->blobs, &d->is_ending, &result, &err) != OK)
        LOG(d->log, LOG_WARNING, "sweep failed", LOG_ERR(&err));
    else if (result.removed > 0)
        LOG(d->log, LOG_INFO, "swept", LOG_U64("files", result.files),
            LOG_U64("removed", result.removed), LOG_U64("bytes", result.bytes));
}

static enum status
start_sweep(struct daemon *d, struct err *err)
{
    d->sweep.run = run_sweep;
    return pool_submit(d->pools[ROUTE_HEAVY], &d->sweep, err);
}

/* Open versions that nobody has touched for so long, and the blobs that nobody else has. */
static void
run_expire(struct task *task)
{
    struct daemon *d = TASK_OWNER(task, struct daemon, expire);
    struct expire_result result;
    struct err err = {0};

    if (expire_run(d->store, d->blobs, &d->is_ending, &result, &err) != OK)
        LOG(d->log, LOG_WARNING, "expiry failed", LOG_ERR(&err));
    else if (result.versions > 0 || result.blobs > 0)
        LOG(d->log, LOG_INFO, "open versions expired", LOG_U64("versions", result.versions),
            LOG_U64("files", result.files), LOG_U64("blobs_removed", result.blobs));
    atomic_store(&d->is_expiring, false);
}

static void
start_expire(struct daemon *d)
{
    struct err err = {0};

    if (atomic_exchange(&d->is_expiring, true))
        return;
    d->expire.run = run_expire;
    if (pool_submit(d->pools[ROUTE_HEAVY], &d->expire, &err) != OK)
        atomic_store(&d->is_expiring, false); /* the pool is full: at the next round */
}

/* The host and port of --public-url, which clients then send as Host. */
static enum status
public_host(struct daemon *d, struct err *err)
{
    const char *url = d->settings.public_url, *start = strstr(url, "://");
    size_t length;

    if (url[0] == '\0')
        return OK;
    FAIL_IF(start == NULL, err, BAD_REQUEST, 0, "--public-url must begin with http:// or https://");
    start += 3;
    length = strcspn(start, "/");
    FAIL_IF(length == 0 || length >= sizeof d->host, err, BAD_REQUEST, 0,
            "--public-url has no host");
    memcpy(d->host, start, length);
    return OK;
}

static enum status
start_http(struct daemon *d, struct err *err)
{
    struct httpd_config config = {
        .listen = d->settings.listen,
        .hosts = d->hosts,
        .routes = api_routes,
        .route_count = api_route_count,
        .log = d->log,
        .app = &d->app,
        .limits = httpd_limits_default(),
    };

    TRY(public_host(d, err));
    if (d->host[0] != '\0')
        d->hosts[0] = d->host;
    for (size_t i = 0; i < ROUTE_POOL_COUNT; i++)
        config.pools[i] = d->pools[i];
    config.limits.upload_bytes = d->settings.upload_bytes;
    config.limits.uploads = (unsigned)d->settings.uploads;
    config.limits.connections = (unsigned)d->settings.connections;
    TRY(httpd_start(&config, &d->httpd, err));
    d->app.httpd = d->httpd;
    return OK;
}

static enum status
start(struct daemon *d, struct err *err)
{
    enum log_level level;

    FAIL_IF(!log_level_parse(slice_of(d->settings.log_level), &level), err, BAD_REQUEST, 0,
            "--log-level is debug, info, warning or error, not %s", d->settings.log_level);
    d->app.limits = limits_of(&d->settings);
    raise_descriptors();
    d->arena = arena_with_cap(d->app.limits.arena_bytes);
    if (files_vouched(d->settings.inert_globals, &d->app.limits, &d->arena, &d->app.vouched, err) !=
        OK)
        return ERR_BAD_REQUEST; /* whatever it is, the setting names it */
    TRY(start_inspector(d, err));
    TRY(log_open(STDERR_FILENO, level, &d->log, err));
    bound_version_files(d);
    TRY(measure_sandbox(d, err));
    TRY(start_storage(d, err));
    TRY(start_pools(d, err));
    TRY(start_app(d, err));
    TRY(start_jobs(d, err));
    TRY(start_sweep(d, err));
    return start_http(d, err);
}

/* ---- and on ---- */

/* Signals are taken by sigwait in this thread alone; all others are born with them blocked. */
static void
block_signals(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGTERM);
    (void)sigaddset(ret_set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, ret_set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
}

/* Now and then: let go of what nobody has asked for lately, give the memory back, and look for what has
 * expired. */
static void
keep_house(struct daemon *d)
{
    cache_age(d->app.inspections, IDLE_MS);
    cache_age(d->app.manifests, IDLE_MS);
    cache_age(d->app.replies, IDLE_MS);
    mem_trim();
    start_expire(d);
}

static int
run(struct daemon *d)
{
    struct err err = {0};
    const struct timespec pause = {.tv_sec = HOUSE_S};
    sigset_t signals;
    int signal;

    block_signals(&signals);
    if (start(d, &err) != OK) {
        cli_complain("%s", err.text);
        return err.code == ERR_BAD_REQUEST ? EXIT_USAGE : EXIT_NO;
    }
    LOG(d->log, LOG_INFO, "listening", LOG_TEXT("listen", d->settings.listen),
        LOG_U64("port", httpd_port(d->httpd)), LOG_TEXT("data", d->settings.data),
        LOG_TEXT("version", CKPTD_VERSION), LOG_TEXT("sandbox", inspector_sandbox(d->inspector)));
    while ((signal = sigtimedwait(&signals, NULL, &pause)) < 0)
        keep_house(d);
    LOG(d->log, LOG_INFO, "stopping", LOG_U64("signal", (uint64_t)signal));
    return EXIT_DONE;
}

int
serve(int argc, char **argv)
{
    struct daemon d = {0};
    struct options o;
    struct err err = {0};
    int code;

    if (!options_begin(&settings_usage, argc, argv, 0, 0, &o, &code))
        return code;
    if (options_has(&o, "--print-config")) {
        if (settings_print(&o, &err) == OK)
            return EXIT_DONE;
        cli_complain("%s", err.text);
        return EXIT_USAGE;
    }
    if (settings_read(&o, &d.settings, &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_USAGE;
    }
    /* A daemon of many threads: few heaps, so that memory comes back after large jobs. */
    (void)mallopt(M_ARENA_MAX, 2); /* NOLINT(concurrency-mt-unsafe): none of them runs yet */
    code = run(&d);
    daemon_done(&d);
    return code;
}
