/* ckptd compat CHECKPOINT MANIFEST: would it load, why not, and what makes it. */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/compat/report_query.h"
#include "common/render/render.h"
#include "server/cli/cli.h"
#include "server/cli/files.h"
#include "server/cli/options.h"

static const struct option_row rows[] = {
    {"--format", "NAME", "text (default), or json"},
    {"--require", "LEVEL", "strict, strict_after_remap (default), non_strict or partial"},
    {"--loader", "NAME", "who opens the file: torch (default), safetensors, lightning"},
    {"--container", "PATH", "which dict of the file it opens: state_dict, model …"},
    {"--remap", "FILE", "judge the checkpoint as this remap makes it"},
    {"--infer", "MODE",
     "full, complete or none: look for a remap (default full; none with --remap)"},
    {"--write-remap", "FILE", "write the proved remap, as lines if FILE ends in .remap, else JSON"},
    {"--mapping", NULL, "tell for each key which one fills it (json)"},
    {"--limit", "N", "how many entries of each list are printed (1000)"},
    {"--dtype", "POLICY", "any, safe (default) or exact"},
    {"--min-coverage", "FRACTION", "of the elements, below which it is incompatible (0.5)"},
    {"--allow-missing", "GLOB", "keys that may be missing; may be repeated"},
    {"--allow-unexpected", "GLOB", "keys that may be too many; may be repeated"},
    {"--allow-mismatch", "GLOB", "keys that may have another shape; may be repeated"},
    {0},
};

static const struct usage usage = {
    .line = "ckptd compat CHECKPOINT MANIFEST [--format NAME] [--require LEVEL] …",
    .about = "Say what load_state_dict would say to the checkpoint, without PyTorch and without "
             "loading\n"
             "it; and, where it would fail, the remap that makes it load, proved by running it "
             "over all\n"
             "keys and shapes. MANIFEST is what `python ckptd.py manifest` printed, a bare\n"
             "{\"name\": [shape]}, or another checkpoint whose structure is expected.",
    .epilogue = "exit: 0 meets --require, 1 does not, 2 unknown or an unreadable checkpoint,\n"
                "      3 a missing path, a bad manifest or remap, usage",
    .rows = rows,
};

/* Everything that one run holds. */
struct run {
    struct options o;
    struct limits limits;
    struct arena arena;
    struct inspection in;
    struct inspection expected; /* where the manifest is a checkpoint */
    struct slice manifest_text;
    struct slice remap_text;
    struct manifest manifest;
    struct remap remap;
    struct report_options options;
    struct report report;
};

static void
free_text(struct slice *text)
{
    union {
        const char *in;
        void *out;
    } at = {.in = text->at};

    mem_free(at.out);
}

static void
run_done(struct run *r)
{
    inspection_done(&r->in);
    inspection_done(&r->expected);
    arena_done(&r->arena);
    free_text(&r->manifest_text);
    free_text(&r->remap_text);
}

/* "--allow-missing" to "allow_missing", for report_query_set. */
static enum status
set_option(struct run *r, const struct option_row *row, const char *value, struct err *err)
{
    char name[32];
    size_t length = 0;

    for (const char *at = row->name + 2; *at != '\0' && length < sizeof name; at++)
        name[length++] = *at == '-' ? '_' : *at;
    return report_query_set(&r->options, (struct slice){name, length}, slice_of(value), &r->arena,
                            err);
}

static enum status
set_options(struct run *r, struct err *err)
{
    static const char *const own[] = {"--format", "--remap", "--write-remap", "--mapping"};

    r->options = report_query_begin();
    r->options.has_required = true;
    r->options.required = VERDICT_STRICT_AFTER_REMAP;
    r->options.checkpoint.path = slice_of(r->o.words[0]);
    for (size_t i = 0; i < r->o.given_count; i++) {
        const struct option_row *row = r->o.given[i].row;
        bool is_own = false;

        for (size_t k = 0; k < ARRAY_LENGTH(own); k++)
            is_own = is_own || slice_is(slice_of(row->name), own[k]);
        if (!is_own)
            TRY(set_option(r, row, r->o.given[i].value, err));
    }
    r->options.wants_mapping = options_has(&r->o, "--mapping");
    return OK;
}

/* A text, or a checkpoint whose structure is what is expected. */
static enum status
read_manifest(struct run *r, const char *path, struct err *err)
{
    struct err why = {0};
    const struct container *c;

    if (files_inspect(path, &r->limits, &r->expected, &why) == OK) {
        c = inspection_default(&r->expected);
        FAIL_IF(c == NULL, err, BAD_MANIFEST, 0, "%s: a checkpoint without weights", path);
        r->options.manifest_name = slice_of(path);
        return manifest_of_container(c, &r->arena, &r->manifest, err);
    }
    if (why.code == ERR_NOT_FOUND) {
        err_copy(err, &why);
        return why.code;
    }
    TRY(files_read(path, r->limits.manifest_bytes, &r->manifest_text, err));
    why = (struct err){0};
    if (manifest_parse(r->manifest_text, &r->limits, &r->arena, &r->manifest, &why) != OK)
        FAIL(err, BAD_MANIFEST, why.offset, "%s: %s", path, why.text);
    if (r->manifest.name.length == 0)
        r->options.manifest_name = slice_of(path);
    return OK;
}

static enum status
read_remap(struct run *r, struct err *err)
{
    const char *path = options_text(&r->o, "--remap");
    struct err why = {0};

    if (path == NULL)
        return OK;
    TRY(files_read(path, r->limits.remap_bytes, &r->remap_text, err));
    if (remap_parse(r->remap_text, &r->limits, &r->arena, &r->remap, &why) != OK)
        FAIL(err, BAD_REMAP, why.offset, "%s: %s", path, why.text);
    r->options.remap = &r->remap;
    return OK;
}

static enum status
write_remap(const struct run *r, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap((size_t)256 << 20);
    const char *path = options_text(&r->o, "--write-remap");
    struct json_writer w = json_writer_to(&out, 2);

    if (path == NULL || !r->report.has_remap)
        return OK;
    if (slice_ends(slice_of(path), slice_of(".remap"))) {
        remap_write_lines(&out, &r->report.remap, false);
    } else {
        remap_write_json(&w, &r->report.remap, false);
        buf_char(&out, '\n');
    }
    TRY(buf_check(&out, err));
    return files_write(path, buf_slice_of(&out), err);
}

static enum status
print(const struct run *r, const struct rendering *rendering, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap((size_t)1 << 30);
    struct render_options options = {.has_colour =
                                         isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL};

    rendering->render(&r->report, &options, &out);
    TRY(buf_check(&out, err));
    return files_print(buf_slice_of(&out), err);
}

/* What only the caller can have got wrong: exit 3. */
static enum status
prepare(struct run *r, const struct rendering **ret_rendering, struct err *err)
{
    const char *format = options_text(&r->o, "--format");

    *ret_rendering = render_find(slice_of(format == NULL ? "text" : format));
    FAIL_IF(*ret_rendering == NULL, err, BAD_REQUEST, 0, "there is no format %s", format);
    TRY(set_options(r, err));
    TRY(read_manifest(r, r->o.words[1], err));
    return read_remap(r, err);
}

int
cli_compat(int argc, char **argv)
{
    CLEANUP(run_done) struct run r = {.limits = limits_default()};
    const struct rendering *rendering = NULL;
    struct err err = {0};
    int code;

    r.arena = arena_with_cap(r.limits.arena_bytes);
    if (!options_begin(&usage, argc, argv, 2, 2, &r.o, &code))
        return code;
    if (prepare(&r, &rendering, &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_USAGE;
    }
    if (files_inspect(r.o.words[0], &r.limits, &r.in, &err) != OK) {
        bool names_path = err.code == ERR_NOT_FOUND || err.code == ERR_IO;

        cli_complain("%s%s%s", names_path ? "" : r.o.words[0], names_path ? "" : ": ", err.text);
        return err.code == ERR_NOT_FOUND ? EXIT_USAGE : EXIT_UNKNOWN;
    }
    if (report_make(&r.in, &r.manifest, &r.options, &r.limits, &r.arena, &r.report, &err) != OK) {
        cli_complain("%s", err.text);
        return err.code == ERR_LIMIT || err.code == ERR_NO_MEMORY ? EXIT_UNKNOWN : EXIT_USAGE;
    }
    if (print(&r, rendering, &err) != OK || write_remap(&r, &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_UNKNOWN;
    }
    if (r.report.verdict == VERDICT_UNKNOWN)
        return EXIT_UNKNOWN;
    return verdict_meets(r.report.verdict, r.options.required) ? EXIT_DONE : EXIT_NO;
}
