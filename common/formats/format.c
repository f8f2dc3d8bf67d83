#include "common/formats/format.h"

#include "common/base/attr.h"
#include "common/formats/gzip.h"
#include "common/formats/set.h"
#include "common/formats/zip_directory.h"

/* ggml, ggmf, ggjt and ggla: the number is little-endian, so its letters stand in reverse. */
#define OLD_GGML \
    "a ggml file of before GGUF (2023), which no current llama.cpp reads: convert it with " \
    "llama.cpp's " \
    "convert_llama_ggml_to_gguf.py, or get the model anew as GGUF or safetensors"

/* What a file that is no readable checkpoint seems to be: bytes at an offset, and what to say. */
static const struct {
    size_t offset;
    const char *bytes;
    size_t length;
    enum status status;
    const char *what;
} strangers[] = {
#define AS_TEXT \
    "an ONNX model written as text: write it with onnx.save(model, path), whose form is the " \
    "binary " \
    "one, and upload that"
#define AT(offset, text) (offset), (text), sizeof(text) - 1
    {AT(0, "version https://git-lfs"), ERR_UNRECOGNIZED,
     "a git-lfs pointer, not the file that it stands for: run `git lfs pull` and upload the "
     "result"},
    {AT(0, "<!DOCTYPE"), ERR_UNRECOGNIZED,
     "an HTML page, probably an error page that was saved in place of the file: look at the "
     "download"},
    {AT(0, "<!doctype"), ERR_UNRECOGNIZED,
     "an HTML page, probably an error page that was saved in place of the file: look at the "
     "download"},
    {AT(0, "<html"), ERR_UNRECOGNIZED,
     "an HTML page, probably an error page that was saved in place of the file: look at the "
     "download"},
    {AT(0, "<?xml"), ERR_UNRECOGNIZED,
     "an XML document, probably a storage service's error that was saved in place of the file"},
    {AT(0, "7z\xbc\xaf\x27\x1c"), ERR_UNRECOGNIZED,
     "a 7z archive: unpack it and upload what is in it"},
    {AT(0, "Rar!\x1a\x07"), ERR_UNRECOGNIZED, "a RAR archive: unpack it and upload what is in it"},
    {AT(0, "\x1f\x8b"), ERR_UNSUPPORTED,
     "a gzip stream within a gzip stream: unpack it and upload what is in it"},
    {AT(0, "(\xb5/\xfd"), ERR_UNSUPPORTED, "a zstd stream: unpack it and upload what is in it"},
    {AT(0, "lmgg"), ERR_UNSUPPORTED, OLD_GGML},
    {AT(0, "fmgg"), ERR_UNSUPPORTED, OLD_GGML},
    {AT(0, "tjgg"), ERR_UNSUPPORTED, OLD_GGML},
    {AT(0, "algg"), ERR_UNSUPPORTED, OLD_GGML},
    {AT(0, "PYTORCH1"), ERR_UNSUPPORTED, "a PyTorch container of 2018 that no release ever read"},
    {AT(4, "PTMF"), ERR_UNSUPPORTED, "a TorchScript mobile flatbuffer, a format that is not read"},
    {AT(257, "ustar"), ERR_UNRECOGNIZED, "a tar archive whose first header is damaged"},
    {AT(0, "\x7f"
           "ELF"),
     ERR_UNRECOGNIZED, "a program"},
    {AT(0, "ir_version:"), ERR_UNSUPPORTED, AS_TEXT},
    {AT(0, "<\n  ir_version:"), ERR_UNSUPPORTED, AS_TEXT},
    {AT(0, "{\n  \"irVersion\""), ERR_UNSUPPORTED, AS_TEXT},
    {AT(0, "{\"irVersion\""), ERR_UNSUPPORTED, AS_TEXT},
    {AT(0, "{"), ERR_UNRECOGNIZED, "a JSON text"},
    {AT(0, "PK\x05\x06"), ERR_UNRECOGNIZED, "an empty zip archive"},
#undef AT
#undef AS_TEXT
};

static enum status
refuse(const uint8_t *head, size_t length, const struct source *source, struct err *err)
{
    FAIL_IF(source->size_bytes == 0, err, UNRECOGNIZED, 0,
            "the file is empty: the writer died or the disk was full");
    for (size_t i = 0; i < ARRAY_LENGTH(strangers); i++) {
        if (strangers[i].offset + strangers[i].length > length ||
            memcmp(head + strangers[i].offset, strangers[i].bytes, strangers[i].length) != 0)
            continue;
        err_set(err, strangers[i].status, 0, "it is %s", strangers[i].what);
        return strangers[i].status;
    }
    FAIL(err, UNRECOGNIZED, 0, "it begins like no checkpoint format that is known here");
}

static enum status
read_zip(const struct source *source, const struct fileset *files, const struct limits *limits,
         struct inspection *in, struct err *err)
{
    const struct format *best = NULL;
    struct zip_directory directory;
    unsigned surest = 0;

    TRY(zip_directory_read(source, limits, in, &directory, err));
    for (const struct format *const *f = format_table; *f != NULL; f++) {
        unsigned bits = (*f)->probe_zip == NULL ? 0 : (*f)->probe_zip(&directory);

        if (bits > surest) {
            surest = bits;
            best = *f;
        }
    }
    FAIL_IF(best == NULL, err, UNRECOGNIZED, 0,
            "it is a zip archive, but not one that torch.save or another known writer made");
    in->format = slice_of(best->name);
    return best->read_zip(&directory, files, limits, in, err);
}

/* A file as it lies there. */
static enum status
read_plain(const struct fileset *files, const struct limits *limits, struct inspection *in,
           struct err *err)
{
    uint8_t head[FORMAT_HEAD_BYTES];
    const struct format *best = NULL;
    unsigned surest = 0;
    struct source source;
    size_t length;

    TRY(files->open(files->context, 0, &source, err));
    length = source.size_bytes < sizeof head ? (size_t)source.size_bytes : sizeof head;
    TRY(source_read(&source, 0, head, length, err));
    if (length >= 4 && memcmp(head, "PK\3\4", 4) == 0)
        return read_zip(&source, files, limits, in, err);
    for (const struct format *const *f = format_table; *f != NULL; f++) {
        unsigned bits = (*f)->probe == NULL ? 0 : (*f)->probe(head, length, &source);

        if (bits > surest) {
            surest = bits;
            best = *f;
        }
    }
    if (best == NULL)
        return refuse(head, length, &source, err);
    in->format = slice_of(best->name);
    return best->read(files, limits, in, err);
}

/* ---- gzip around it ---- */

/* Nobody can read the tensors' bytes where they lie. */
static enum status
forget_places(struct inspection *in, struct err *err)
{
    for (size_t i = 0; i < in->container_count; i++) {
        struct container *c = &in->containers[i];
        const struct place *old = c->placement.places;
        struct place *places;

        if (old == NULL)
            continue;
        places = arena_alloc(&in->arena, c->structure.count, sizeof *places);
        if (places == NULL)
            return arena_fail(&in->arena, err);
        for (size_t k = 0; k < c->structure.count; k++)
            if (old[k].file != 0)
                places[k] = old[k];
        c->placement.places = places;
    }
    return OK;
}

static enum status
note_gzip(const struct gzip *gzip, const struct limits *limits, struct inspection *in,
          struct err *err)
{
    const struct slice none = {0};
    struct gzip_state state = gzip_state_of(gzip);

    TRY(inspection_note(in, limits, FINDING_FILE_COMPRESSED, none, err,
                        "the whole file is compressed with gzip: no loader opens it before it is "
                        "unpacked, and its tensors have no byte range"));
    if (state.tail_bytes > 0)
        TRY(inspection_note(in, limits, FINDING_FILE_TRAILING, none, err,
                            "%llu bytes follow the gzip stream; gzip leaves them out",
                            (unsigned long long)state.tail_bytes));
    if (!state.is_cut && !state.is_check_wrong)
        return OK;
    if (in->safety < SAFETY_MALFORMED)
        in->safety = SAFETY_MALFORMED;
    return inspection_note(in, limits, FINDING_FILE_CHECKSUM, none, err,
                           state.is_cut
                               ? "the gzip stream is damaged or cut off; what came before was read"
                               : "the gzip stream's checksum is wrong: its bytes are damaged");
}

static enum status
read_gzip(const struct source *packed, const struct fileset *files, const struct limits *limits,
          struct inspection *in, struct err *err)
{
    CLEANUP(gzip_close_at) struct gzip *gzip = NULL;
    struct fileset_view view = {.whole = files};
    struct fileset unpacked;
    struct source source;
    struct err problem = {0};
    enum status status;

    TRY(gzip_open(packed, limits, &gzip, err));
    source = gzip_source(gzip);
    view.instead = &source;
    unpacked = fileset_of_view(&view);
    status = read_plain(&unpacked, limits, in, &problem);
    if (status != OK) {
        err_set(err, status, problem.offset, "%s gzip stream: %s",
                gzip_state_of(gzip).is_cut ? "in a damaged" : "in a", problem.text);
        return status;
    }
    TRY(forget_places(in, err));
    return note_gzip(gzip, limits, in, err);
}

enum status
format_read_file(const struct fileset *files, const struct limits *limits, struct inspection *in,
                 struct err *err)
{
    struct source source;
    uint8_t head[2];

    in->path = files->path(files->context, 0);
    TRY(files->open(files->context, 0, &source, err));
    if (source.size_bytes >= sizeof head) {
        TRY(source_read(&source, 0, head, sizeof head, err));
        if (gzip_is(head, sizeof head))
            return read_gzip(&source, files, limits, in, err);
    }
    return read_plain(files, limits, in, err);
}

enum status
format_read(const struct fileset *files, const struct limits *limits, struct inspection *ret,
            struct err *err)
{
    *ret = (struct inspection){.arena = arena_with_cap(limits->arena_bytes),
                               .default_container = SIZE_MAX};
    FAIL_IF(files->count == 0, err, UNRECOGNIZED, 0, "there is no file");
    if (files->is_one && files->count > 1)
        return format_read_file(files, limits, ret, err);
    return set_read(files, limits, ret, err);
}
