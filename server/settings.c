#include "server/settings.h"

#include <ctype.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/num.h"

enum { TEXTS_BYTES_MAX = 1 << 20 };

enum kind { KIND_TEXT, KIND_COUNT, KIND_BYTES };

/* --name, CKPTD_NAME, name = … all come from one row. */
static const struct row {
    const char *flag;
    enum kind kind;
    size_t offset; /* in struct settings */
    const char *otherwise;
    uint64_t least, most;
} rows[] = {
    {"--data", KIND_TEXT, offsetof(struct settings, data), "./ckptd-data", 0, 0},
    {"--listen", KIND_TEXT, offsetof(struct settings, listen), "127.0.0.1:8420", 0, 0},
    {"--public-url", KIND_TEXT, offsetof(struct settings, public_url), "", 0, 0},
    {"--log-level", KIND_TEXT, offsetof(struct settings, log_level), "info", 0, 0},
    {"--upload-bytes", KIND_BYTES, offsetof(struct settings, upload_bytes), "1TiB", 1, UINT64_MAX},
    {"--version-files", KIND_COUNT, offsetof(struct settings, version_files), "10000", 1, 100000},
    {"--open-seconds", KIND_COUNT, offsetof(struct settings, open_s), "86400", 1, 31536000},
    {"--uploads", KIND_COUNT, offsetof(struct settings, uploads), "1024", 1, 100000},
    {"--connections", KIND_COUNT, offsetof(struct settings, connections), "4096", 8, 100000},
    {"--reserve-bytes", KIND_BYTES, offsetof(struct settings, reserve_bytes), "64MiB", 0,
     UINT64_MAX},
    {"--inspectors", KIND_COUNT, offsetof(struct settings, inspectors), "2", 1, 64},
    {"--inspection-seconds", KIND_COUNT, offsetof(struct settings, inspection_s), "120", 1, 86400},
    {"--sandbox", KIND_TEXT, offsetof(struct settings, sandbox), "best", 0, 0},
    {"--inert-globals", KIND_TEXT, offsetof(struct settings, inert_globals), "", 0, 0},
    {"--query-threads", KIND_COUNT, offsetof(struct settings, query_threads), "4", 1, 256},
    {"--heavy-threads", KIND_COUNT, offsetof(struct settings, heavy_threads), "2", 1, 256},
    {"--io-threads", KIND_COUNT, offsetof(struct settings, io_threads), "8", 1, 256},
    {"--wait-seconds", KIND_COUNT, offsetof(struct settings, wait_max_s), "300", 0, 3600},
    {"--drain-seconds", KIND_COUNT, offsetof(struct settings, drain_s), "30", 0, 3600},
    {"--cache-bytes", KIND_BYTES, offsetof(struct settings, cache_bytes), "64MiB", 1 << 20,
     UINT64_MAX},
    {"--tensors", KIND_COUNT, offsetof(struct settings, tensors), "1000000", 1, 100000000},
    {"--manifest-bytes", KIND_BYTES, offsetof(struct settings, manifest_bytes), "64MiB", 1024,
     64 << 20},
};

static const struct option_row option_rows[] = {
    {"--data", "DIR", "where database and checkpoints are kept (./ckptd-data)"},
    {"--listen", "ADDRESS", "127.0.0.1:8420, [::1]:8420, unix:/run/ckptd.sock; port 0: any"},
    {"--public-url", "URL", "under which others reach it: its host is taken, too"},
    {"--config", "FILE", "read settings from an INI file: name = value, names as these flags"},
    {"--print-config", NULL, "print each setting and where it comes from, and end"},
    {"--log-level", "LEVEL", "debug, info, warning or error (info)"},
    {"--upload-bytes", "BYTES", "largest upload (1TiB)"},
    {"--version-files", "N", "files in one version (10000)"},
    {"--open-seconds", "S", "for which a version of several files waits for the next (86400)"},
    {"--uploads", "N", "uploads at once (1024)"},
    {"--connections", "N", "connections at once (4096)"},
    {"--reserve-bytes", "BYTES", "of the disk that stay free (64MiB)"},
    {"--inspectors", "N", "inspections at once (2)"},
    {"--inspection-seconds", "S", "that one may take (120)"},
    {"--sandbox", "HOW", "of an inspection: best there is, require (all of it), off (best)"},
    {"--inert-globals", "FILE", "globals that this site vouches for, module.name, one a line"},
    {"--query-threads", "N", "for reads and small checks (4)"},
    {"--heavy-threads", "N", "for large checks (2)"},
    {"--io-threads", "N", "for receiving uploads (8)"},
    {"--wait-seconds", "S", "longest wait= that is granted (300)"},
    {"--drain-seconds", "S", "for what is under way when it is asked to stop (30)"},
    {"--cache-bytes", "BYTES", "each of the three caches (64MiB)"},
    {"--tensors", "N", "in one checkpoint (1000000)"},
    {"--manifest-bytes", "BYTES", "largest manifest (64MiB)"},
    {0},
};

const struct usage settings_usage = {
    .line = "ckptd serve [--data DIR] [--listen ADDRESS] …",
    .about =
        "Serve the registry. Every flag is an environment variable too (--data: CKPTD_DATA) and a "
        "line\nof the INI file (data = …); a flag wins over the environment, that over the file.\n"
        "SIGTERM or Ctrl-C: uploads under way end, new requests get 503, then it ends.",
    .epilogue = "exit: 0 ended as asked, 1 it could not start or storage failed, 3 usage",
    .rows = option_rows,
};

/* What the file says, in order. */
struct from_file {
    struct buf texts; /* name NUL value NUL … */
    struct err *err;
};

static int
take_line(void *context, const char *section, const char *name, const char *value)
{
    struct from_file *f = context;

    (void)section;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        if (slice_is(slice_of(name), rows[i].flag + 2)) {
            buf_add(&f->texts, name, strlen(name) + 1);
            buf_add(&f->texts, value, strlen(value) + 1);
            return 1;
        }
    }
    err_set(f->err, ERR_BAD_REQUEST, 0, "the configuration file has the unknown setting %s", name);
    return 0;
}

static enum status
read_file(const char *path, struct from_file *f, struct err *err)
{
    int failed;

    f->texts = buf_with_cap(TEXTS_BYTES_MAX);
    f->err = err;
    if (path == NULL)
        return OK;
    failed = ini_parse(path, take_line, f);
    FAIL_IF(failed < 0, err, BAD_REQUEST, 0, "%s: the configuration file cannot be read", path);
    FAIL_IF(failed > 0, err, BAD_REQUEST, 0, "%s: line %d cannot be read", path, failed);
    return buf_check(&f->texts, err);
}

static const char *
file_value(const struct from_file *f, const char *name)
{
    const char *found = NULL;

    for (size_t at = 0; at < f->texts.length;) {
        const char *line = f->texts.bytes + at, *value = line + strlen(line) + 1;

        if (slice_is(slice_of(line), name))
            found = value;
        at = (size_t)(value - f->texts.bytes) + strlen(value) + 1;
    }
    return found;
}

/* CKPTD_PUBLIC_URL of --public-url. */
static const char *
environment_value(const char *flag)
{
    char name[64] = "CKPTD_";
    size_t length = strlen(name);

    for (const char *at = flag + 2; *at != '\0' && length + 1 < sizeof name; at++)
        name[length++] = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    name[length] = '\0';
    return getenv(name);
}

static const char *
value_of(const struct row *row, const struct options *o, const struct from_file *f,
         const char **ret_origin)
{
    const char *value = options_text(o, row->flag);

    *ret_origin = "flag";
    if (value != NULL)
        return value;
    value = environment_value(row->flag);
    *ret_origin = "environment";
    if (value != NULL)
        return value;
    value = file_value(f, row->flag + 2);
    *ret_origin = "file";
    if (value != NULL)
        return value;
    *ret_origin = "default";
    return row->otherwise;
}

/* 512, 512KiB, 64MiB, 2GiB, 1TiB. */
static bool
parse_bytes(struct slice text, uint64_t *ret_bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};

    for (unsigned i = 0; i < ARRAY_LENGTH(units); i++) {
        struct slice unit = slice_of(units[i]);

        if (!slice_ends(text, unit))
            continue;
        text.length -= unit.length;
        return num_parse_u64(text, ret_bytes) &&
               num_mul(*ret_bytes, UINT64_C(1) << (10 * (i + 1)), ret_bytes);
    }
    return num_parse_u64(text, ret_bytes);
}

static enum status
set_row(const struct row *row, const char *value, const char *origin, struct settings *s,
        struct err *err)
{
    char *field = (char *)s + row->offset;
    uint64_t number;
    bool is_number;

    if (row->kind == KIND_TEXT) {
        memcpy(field, &value, sizeof value);
        return OK;
    }
    is_number = row->kind == KIND_BYTES ? parse_bytes(slice_of(value), &number)
                                        : num_parse_u64(slice_of(value), &number);
    FAIL_IF(!is_number || number < row->least || number > row->most, err, BAD_REQUEST, 0,
            "%s must be %s from %llu to %llu, not %s (from the %s)", row->flag,
            row->kind == KIND_BYTES ? "a number of bytes, such as 64MiB," : "a number",
            (unsigned long long)row->least, (unsigned long long)row->most, value, origin);
    memcpy(field, &number, sizeof number);
    return OK;
}

static const char *
config_path(const struct options *o)
{
    const char *path = options_text(o, "--config");

    return path != NULL ? path : getenv("CKPTD_CONFIG");
}

enum status
settings_read(const struct options *o, struct settings *ret_settings, struct err *err)
{
    struct from_file f;
    struct settings s = {0};
    enum status status = read_file(config_path(o), &f, err);

    for (size_t i = 0; status == OK && i < ARRAY_LENGTH(rows); i++) {
        const char *origin, *value = value_of(&rows[i], o, &f, &origin);

        status = set_row(&rows[i], value, origin, &s, err);
    }
    if (status != OK) {
        buf_done(&f.texts);
        return status;
    }
    s.texts = buf_take(&f.texts);
    *ret_settings = s;
    return OK;
}

void
settings_done(struct settings *s)
{
    mem_free(s->texts);
    s->texts = NULL;
}

enum status
settings_print(const struct options *o, struct err *err)
{
    struct from_file f;
    enum status status = read_file(config_path(o), &f, err);

    for (size_t i = 0; status == OK && i < ARRAY_LENGTH(rows); i++) {
        const char *origin, *value = value_of(&rows[i], o, &f, &origin);

        (void)printf("%-20s = %-24s (%s)\n", rows[i].flag + 2, value, origin);
    }
    buf_done(&f.texts);
    return status;
}
