/*
 * torch.save's zip container, PyTorch's default since 1.6:
 *
 *     <root>/data.pkl     the object, its tensors as calls, their storages as persistent ids
 *     <root>/data/<key>   a storage's bytes, as they lie in memory
 *     <root>/version, byteorder, .format_version, .storage_alignment, .data/serialization_id
 *
 * As PyTorch's reader does it (caffe2/serialize/inline_container.cc), the root is the text before the
 * first '/' of the first entry in the directory, whatever the file is called. Loaders open
 * <root>/data.pkl and nothing else, but every member that looks like a pickle is judged: what a
 * scanner and a loader would not both see is where attacks hide.
 *
 * Not read here: TorchScript archives (torchscript.c) and torch.export's (torch_export.c), which are
 * formats of their own.
 */
#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/formats/torch_archive.h"
#include "common/formats/torch_object.h"

/* Any zip that no other format claims: a broken one may hold a pickle all the same. */
static unsigned
probe(const struct zip_directory *directory)
{
    (void)directory;
    return 32;
}

/* ---- what kind of archive ---- */

/* Zips of other writers that hold weights, too. */
static enum status
refuse_others(struct torch_archive *a, struct err *err)
{
    FAIL_IF(zip_directory_find(a->directory, slice_of("config.json")) != NULL &&
                zip_directory_find(a->directory, slice_of("model.weights.h5")) != NULL,
            err, UNSUPPORTED, 0, "a Keras archive (.keras), which is not read yet");
    return OK;
}

/* torch.package: modules of Python's, pickles that import them, and resources, in folders of the
 * packager's choice. What is a state dict in it only its own code knows. */
static enum status
note_package(struct torch_archive *a, struct err *err)
{
    struct torch_work *w = a->work;

    TRY(inspection_note(w->in, w->limits, FINDING_UNREADABLE, (struct slice){0}, err,
                        "a torch.package archive, whose pickles were judged but not read: load the "
                        "object with torch.package.PackageImporter where you trust the file, and "
                        "save its state_dict() with torch.save"));
    TRY(inspection_note(w->in, w->limits, FINDING_FILE_CODE, (struct slice){0}, err,
                        "it holds Python modules, which loading it runs"));
    safety_at_least(&w->judge, SAFETY_UNLISTED);
    return safety_refuse(&w->judge, err,
                         "a torch.package archive, which torch.package.PackageImporter reads");
}

/* ---- the whole ---- */

/* What torch.load gives, if the pickle has a result. */
static enum status
read_object(struct torch_archive *a, const struct pickle *p, struct err *err)
{
    CLEANUP(torch_reader_done)
    struct torch_reader r = torch_reader_of(a->work->in, a->work->limits, &a->work->scratch);

    r.locate = torch_archive_locate;
    r.context = a;
    return torch_object_read(&r, p->root, err);
}

static enum status
read_main(struct torch_archive *a, const struct zip_member *m, struct err *err)
{
    CLEANUP(zip_payload_done) struct zip_payload payload = {0};
    struct pickle p;

    TRY(torch_archive_run(a, m, SAFETY_MAIN, &payload, &p, err));
    /* Where loaders disagree about which data.pkl counts, neither is what the file holds. */
    if (p.has_stop && !m->is_ambiguous)
        return read_object(a, &p, err);
    return OK;
}

static enum status
read_archive(struct torch_archive *a, struct err *err)
{
    struct torch_work *w = a->work;
    const struct zip_member *main;
    bool is_package;

    TRY(torch_archive_check_root(a, err));
    TRY(refuse_others(a, err));
    main = a->root.at != NULL ? torch_archive_record(a, "data.pkl") : NULL;
    is_package = main == NULL && torch_archive_has(a->directory, ".data/version");
    if (main != NULL) {
        TRY(torch_archive_check_version(a, err));
        TRY(torch_archive_read_byteorder(a, err));
        TRY(read_main(a, main, err));
    }
    /* What is wrong with other members, and within archives among them, stops no torch.load. */
    TRY(torch_archive_tell_obstacle(w, err));
    TRY(torch_archive_judge(a, SAFETY_EXTRA, NULL, main, err));
    if (is_package)
        TRY(note_package(a, err));
    FAIL_IF(main == NULL && a->judged == 0 && !is_package, err, UNRECOGNIZED, 0,
            "it is a zip archive, but not one that torch.save made: it has no data.pkl");
    if (main == NULL && !is_package) {
        safety_at_least(&w->judge, SAFETY_MALFORMED);
        TRY(inspection_note(w->in, w->limits, FINDING_UNREADABLE, slice_of("data.pkl"), err,
                            "the archive has pickles, but none where torch.load looks for it"));
    }
    return safety_end(&w->judge, err);
}

static enum status
read_torch_zip(const struct zip_directory *directory, const struct fileset *files,
               const struct limits *limits, struct inspection *in, struct err *err)
{
    CLEANUP(torch_work_done) struct torch_work w;
    CLEANUP(torch_archive_done) struct torch_archive a = {0};

    (void)files;
    torch_work_begin(&w, limits, in);
    TRY(torch_archive_open(&w, directory, &a, err));
    a.opens_nested = a.remarks_nested = true;
    return read_archive(&a, err);
}

const struct format format_torch_zip = {
    .name = "torch-zip", .probe_zip = probe, .read_zip = read_torch_zip};
