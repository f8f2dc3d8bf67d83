/* ckptd scan FILE [--json]: is it safe to load? */
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/utf8.h"
#include "common/render/inspection_json.h"
#include "common/render/inspection_text.h"
#include "server/cli/cli.h"
#include "server/cli/confined.h"
#include "server/cli/files.h"
#include "server/cli/folder.h"
#include "server/cli/options.h"

static const struct option_row rows[] = {
    {"--json", NULL, "print JSON: format, safety, weights_only, findings"},
    {"--strict", NULL, "`unlisted` fails, too"},
    {"--inert-globals", "FILE", "globals that you vouch for, module.name, one a line"},
    {0},
};

static const struct usage usage = {
    .line = "ckptd scan FILE|DIR [--json] [--strict] [--inert-globals FILE]",
    .about = "Say whether a checkpoint is safe to load: `clean`, `unlisted` (globals that nobody "
             "vouches\nfor), `malformed`, or `dangerous`. Nothing in the file is ever run. In a "
             "directory each file is\njudged alone, and what is no checkpoint is said to be none.",
    .epilogue = "exit: 0 clean or unlisted, 1 dangerous or malformed, 2 a limit or the time was "
                "reached,\n      3 usage or no such file",
    .rows = rows,
};

/* A file that no reader takes has no inspection: say the same things of it. */
static enum status
note_unreadable(struct inspection *in, const struct limits *limits, const struct err *why,
                struct err *err)
{
    in->safety = in->safety > SAFETY_MALFORMED ? in->safety : SAFETY_MALFORMED;
    if (in->arena.cap_bytes == 0)
        in->arena = arena_with_cap(limits->arena_bytes);
    return inspection_note(in, limits, FINDING_UNREADABLE, (struct slice){0}, err, "%s", why->text);
}

static void
write_json(struct json_writer *w, const struct inspection *in, const char *path)
{
    jw_object(w);
    jw_pair_text(w, "file", path);
    jw_key(w, "format");
    if (in->format.length > 0)
        jw_slice(w, in->format);
    else
        jw_null(w);
    inspection_json_safety(w, in);
    jw_object_end(w);
}

static enum status
print(const struct inspection *in, const char *path, bool as_json, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap((size_t)64 << 20);
    struct json_writer w = json_writer_to(&out, 2);

    if (as_json) {
        write_json(&w, in, path);
        buf_char(&out, '\n');
    } else {
        buf_printf(&out, "%-13s", "file");
        utf8_clean(&out, slice_of(path));
        buf_char(&out, '\n');
        inspection_text_safety(&out, in);
    }
    TRY(buf_check(&out, err));
    return files_print(buf_slice_of(&out), err);
}

static int
exit_code(const struct inspection *in, enum status read, bool is_strict)
{
    if (read == ERR_LIMIT || read == ERR_TIMEOUT || read == ERR_NO_MEMORY)
        return in->safety == SAFETY_DANGEROUS ? EXIT_NO : EXIT_UNKNOWN;
    if (in->safety == SAFETY_DANGEROUS || in->safety == SAFETY_MALFORMED)
        return EXIT_NO;
    return is_strict && in->safety == SAFETY_UNLISTED ? EXIT_NO : EXIT_DONE;
}

/* ---- a directory: each of its files alone ---- */

struct scanning {
    const char *root;
    const struct limits *limits;
    const struct vouched *vouched;
    struct inspector *inspector; /* for all of them */
    bool is_strict;
    bool as_json;
    struct buf out; /* the lines, or the array so far */
    struct json_writer json;
    int worst;
};

/* Dangerous before what could not be told, that before what is fine. */
static void
note_code(struct scanning *s, int code)
{
    static const int weights[] = {[EXIT_DONE] = 0, [EXIT_NO] = 2, [EXIT_UNKNOWN] = 1};

    if (weights[code] > weights[s->worst])
        s->worst = code;
}

/* A name can hold anything, also what looks like another line: it is shown only through utf8_clean. */
static void
add_line(struct buf *out, const char *what, const char *path, const char *why)
{
    buf_printf(out, "%-18s", what);
    utf8_clean(out, slice_of(path));
    buf_text(out, why[0] == '\0' ? "" : ": ");
    utf8_clean(out, slice_of(why));
    buf_char(out, '\n');
}

static void
tell_stranger(struct scanning *s, const char *path, const struct err *why)
{
    if (!s->as_json) {
        add_line(&s->out, "not a checkpoint", path, why->text);
        return;
    }
    jw_object(&s->json);
    jw_pair_text(&s->json, "file", path);
    jw_pair_text(&s->json, "format", NULL);
    jw_pair_text(&s->json, "safety", NULL);
    jw_pair_text(&s->json, "message", why->text);
    jw_object_end(&s->json);
}

static enum status
scan_file(struct scanning *s, const struct inspector_set *all, size_t i, struct err *err)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    CLEANUP(buf_done) struct buf path = buf_with_cap(16384);
    struct err why = {0};
    struct inspector_file alone = {.fd = -1};
    enum status read = all->open(all->context, i, &alone.fd, &why);

    buf_printf(&path, "%s%s%.*s", s->root, slice_ends(slice_of(s->root), slice_of("/")) ? "" : "/",
               SLICE_PRINT(all->path(all->context, i)));
    TRY(buf_check(&path, err));
    if (read == OK)
        read = inspector_run(s->inspector, &alone, 1, &in, &why);
    if (alone.fd >= 0)
        (void)close(alone.fd);
    if (read == ERR_UNRECOGNIZED) {
        tell_stranger(s, path.bytes, &why);
        return buf_check(&s->out, err);
    }
    if (read != OK)
        TRY(note_unreadable(&in, s->limits, &why, err));
    vouched_apply(s->vouched, &in);
    note_code(s, read == ERR_IO ? EXIT_UNKNOWN : exit_code(&in, read, s->is_strict));
    if (s->as_json)
        write_json(&s->json, &in, path.bytes);
    else
        add_line(&s->out, safety_name(in.safety), path.bytes, read == OK ? "" : why.text);
    return buf_check(&s->out, err);
}

static void
free_folder(struct folder **folder)
{
    folder_free(*folder);
}

static enum status
scan_files(struct scanning *s, struct err *err)
{
    CLEANUP(free_folder) struct folder *folder = NULL;
    struct inspector_set files;

    TRY(folder_open(s->root, &(struct folder_wish){.is_deep = true}, &folder, err));
    files = folder_files(folder);
    if (s->as_json)
        jw_array(&s->json);
    for (size_t i = 0; i < files.count; i++) {
        TRY(scan_file(s, &files, i, err));
        if (s->as_json)
            continue;
        TRY(files_print(buf_slice_of(&s->out), err)); /* a long list is read while it grows */
        buf_clear(&s->out);
    }
    if (!s->as_json)
        return OK;
    jw_array_end(&s->json);
    buf_char(&s->out, '\n');
    TRY(buf_check(&s->out, err));
    return files_print(buf_slice_of(&s->out), err);
}

static int
scan_folder(const char *path, const struct options *o, const struct limits *limits,
            const struct vouched *vouched)
{
    struct scanning s = {.root = path,
                         .limits = limits,
                         .vouched = vouched,
                         .is_strict = options_has(o, "--strict"),
                         .as_json = options_has(o, "--json"),
                         .out = buf_with_cap((size_t)1 << 30)};
    struct err err = {0};
    enum status status;

    s.json = json_writer_to(&s.out, 2);
    status = confined_start(limits, &s.inspector, &err);
    if (status == OK)
        status = scan_files(&s, &err);
    inspector_free(s.inspector);
    buf_done(&s.out);
    if (status == OK)
        return s.worst;
    cli_complain("%s", err.text);
    return s.worst == EXIT_NO ? EXIT_NO : EXIT_UNKNOWN;
}

static int
scan_one(const char *path, const struct options *o, const struct limits *limits,
         const struct vouched *vouched)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct err why = {0}, err = {0};
    enum status read = files_inspect(path, limits, &in, &why);

    if (read == ERR_NOT_FOUND || read == ERR_IO) {
        cli_complain("%s", why.text);
        return EXIT_USAGE;
    }
    if (read != OK && note_unreadable(&in, limits, &why, &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_UNKNOWN;
    }
    vouched_apply(vouched, &in);
    if (print(&in, path, options_has(o, "--json"), &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_UNKNOWN;
    }
    return exit_code(&in, read, options_has(o, "--strict"));
}

int
cli_scan(int argc, char **argv)
{
    CLEANUP(arena_done) struct arena arena = {0};
    struct limits limits = limits_default();
    struct vouched vouched;
    struct options o;
    struct err err = {0};
    int code;

    if (!options_begin(&usage, argc, argv, 1, 1, &o, &code))
        return code;
    arena = arena_with_cap(limits.arena_bytes);
    if (files_vouched(options_text(&o, "--inert-globals"), &limits, &arena, &vouched, &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_USAGE;
    }
    if (files_is_directory(o.words[0]))
        return scan_folder(o.words[0], &o, &limits, &vouched);
    return scan_one(o.words[0], &o, &limits, &vouched);
}
