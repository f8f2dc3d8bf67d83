#pragma once
/*
 * What `ckptd serve` can be told: by a flag, by an environment variable CKPTD_*, in an INI file, or
 * not at all, in this order. One table (settings.c) makes all four, and the help.
 */
#include <stdint.h>

#include "server/blobs/blobs.h"
#include "server/cli/options.h"
#include "server/http/httpd.h"
#include "server/inspector/inspector.h"
#include "server/jobs/jobs.h"
#include "server/store/store.h"

enum { SETTINGS_HOSTS_MAX = 16 };

struct settings {
    const char *data;
    const char *listen;
    const char *public_url;
    const char *log_level;
    const char *sandbox;
    const char *inert_globals;
    uint64_t upload_bytes;
    uint64_t version_files;
    uint64_t open_s;
    uint64_t uploads;
    uint64_t connections;
    uint64_t reserve_bytes;
    uint64_t inspectors;
    uint64_t inspection_s;
    uint64_t query_threads;
    uint64_t heavy_threads;
    uint64_t io_threads;
    uint64_t wait_max_s;
    uint64_t drain_s;
    uint64_t cache_bytes;
    uint64_t tensors;
    uint64_t manifest_bytes;
    char *texts; /* owns what came from the file */
};

extern const struct usage settings_usage;

/* From the options, the environment and the file that --config or CKPTD_CONFIG names. ERR_BAD_REQUEST
 * says where the wrong value stands. */
enum status settings_read(const struct options *o, struct settings *ret_settings,
                          struct err *err) MUST_CHECK;
void settings_done(struct settings *s);

/* Print each setting and where its value comes from (--print-config). */
enum status settings_print(const struct options *o, struct err *err) MUST_CHECK;
