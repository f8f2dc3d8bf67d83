/* ckptd inspect FILE|DIR [--json]: what is in a checkpoint, without loading it. */
#include "common/base/attr.h"
#include "common/render/inspection_json.h"
#include "common/render/inspection_text.h"
#include "server/cli/cli.h"
#include "server/cli/files.h"
#include "server/cli/options.h"

static const struct option_row rows[] = {
    {"--json", NULL, "print JSON, as a version's `inspection` in the API"},
    {"--summary", NULL, "leave the list of tensors out"},
    {"--inert-globals", "FILE", "globals that you vouch for, module.name, one a line"},
    {0},
};

static const struct usage usage = {
    .line = "ckptd inspect FILE|DIR [--json] [--summary] [--inert-globals FILE]",
    .about =
        "Read a checkpoint's structure: its state dicts, tensors, metadata, and whether it is "
        "safe\nto load. Nothing in the file is ever run. A directory's files are read together; an "
        "index\n(*.index.json) stands for the files that it names.",
    .epilogue = "exit: 0 read, 1 unreadable, 3 usage or no such file",
    .rows = rows,
};

static enum status
print(const struct inspection *in, const struct options *o, const struct limits *limits,
      struct err *err)
{
    CLEANUP(buf_done) struct buf out = buf_with_cap((size_t)1 << 30);
    bool with_tensors = !options_has(o, "--summary");

    if (options_has(o, "--json")) {
        TRY(inspection_json(&out, in, with_tensors, 2, limits, err));
        buf_char(&out, '\n');
    } else {
        inspection_text(&out, in, with_tensors);
    }
    TRY(buf_check(&out, err));
    return files_print(buf_slice_of(&out), err);
}

int
cli_inspect(int argc, char **argv)
{
    CLEANUP(inspection_done) struct inspection in = {0};
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
    if (files_inspect(o.words[0], &limits, &in, &err) != OK) {
        bool is_path = err.code == ERR_NOT_FOUND || err.code == ERR_IO;

        cli_complain("%s%s%s", is_path ? "" : o.words[0], is_path ? "" : ": ", err.text);
        return err.code == ERR_NOT_FOUND ? EXIT_USAGE : EXIT_NO;
    }
    vouched_apply(&vouched, &in);
    if (print(&in, &o, &limits, &err) != OK) {
        cli_complain("%s", err.text);
        return EXIT_NO;
    }
    return EXIT_DONE;
}
