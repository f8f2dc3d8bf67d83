#pragma once
/*
 * What the handlers work with: made by serve.c, lent to every request as request->app. Nothing in it
 * changes after the start but what it points to, and commit_memory.
 */
#include <stdatomic.h>

#include "common/base/limits.h"
#include "common/structure/vouched.h"
#include "server/blobs/blobs.h"
#include "server/http/httpd.h"
#include "server/store/store.h"
#include "server/work/cache.h"

struct app {
    struct store *store;
    struct blobs *blobs;
    void (*wake_jobs)(void *context); /* a job was queued: look at once */
    void *wake_context;
    const char *sandbox; /* what inspectors are confined by, in words */
    struct httpd *httpd; /* to signal those who wait; NULL until it serves */
    struct log *log;
    struct limits limits;
    struct vouched vouched;      /* globals that this site vouches for */
    uint64_t wait_max_s;         /* longest wait= that is granted */
    uint64_t files_max;          /* in one version */
    uint64_t open_us;            /* for which a version stays open after its last file */
    atomic_size_t commit_memory; /* bytes of the commits' bodies that are being read */

    struct cache *inspections; /* struct loaded, by version's inspection id */
    struct cache *manifests;   /* struct parsed, by digest of the text */
    struct cache *replies;     /* struct answered, by all that the answer depends on */
};

/* The key under which requests wait for a version to settle: "version/17". */
struct wait_key {
    char text[32];
};
struct wait_key app_wait_key(int64_t version_id);

/* Wake them. Any thread. */
void app_version_settled(struct app *app, int64_t version_id);
