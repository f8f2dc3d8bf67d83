/* ckptd scan FILE [--json]: is it safe to load? */
#include "common/base/attr.h"
#include "common/render/inspection_json.h"
#include "common/render/inspection_text.h"
#include "server/cli/cli.h"
#include "server/cli/files.h"
#include "server/cli/options.h"

static const struct option_row rows[] = {
    {"--json", NULL, "print JSON: format, safety, weights_only, findings"},
    {"--strict", NULL, "`unlisted` fails, too"},
    {0},
};

static const struct usage usage = {
    .line = "ckptd scan FILE [--json] [--strict]",
    .about = "Say whether a checkpoint is safe to load: `clean`, `unlisted` (globals that nobody "
             "vouches\nfor), `malformed`, or `dangerous`. Nothing in the file is ever run.",
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

static enum status
print(const struct inspection *in, const char *path, bool as_json, struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap((size_t)64 << 20);
    struct json_writer w = json_writer_to(&out, 2);

    if (as_json) {
        jw_object(&w);
        jw_pair_text(&w, "file", path);
        jw_key(&w, "format");
        if (in->format.length > 0)
            jw_slice(&w, in->format);
        else
            jw_null(&w);
        inspection_json_safety(&w, in);
        jw_object_end(&w);
        buf_char(&out, '\n');
    } else {
        buf_printf(&out, "%-13s%s\n", "file", path);
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

int
cli_scan(int argc, char **argv)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    struct limits limits = limits_default();
    struct options o;
    struct err why = {0}, err = {0};
    enum status read;
    int code;

    if (!options_begin(&usage, argc, argv, 1, 1, &o, &code))
        return code;
    read = files_inspect(o.words[0], &limits, &in, &why);
    if (read == ERR_NOT_FOUND || read == ERR_IO) {
        cli_complain("%s", why.text);
        return EXIT_USAGE;
    }
    if (read != OK && note_unreadable(&in, &limits, &why, &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_UNKNOWN;
    }
    if (print(&in, o.words[0], options_has(&o, "--json"), &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_UNKNOWN;
    }
    return exit_code(&in, read, options_has(&o, "--strict"));
}
