#pragma once
/*
 * A format is one const struct and one file. probe looks at a file's first bytes, and at more of it
 * where it must, and says how many bits it is sure of; the surest format reads the file. Names and
 * extensions are never trusted. read is a pure function of the set: no files, no logging, no
 * globals; what it finds goes to the inspection, whose arena is ready and capped.
 *
 * Several formats are zip archives. Their directory is read once, before any of them is asked:
 * probe_zip looks at it, read_zip is handed it.
 *
 * A file that is partly readable is no error: the reader keeps what it saw, adds findings, lowers
 * the safety, and returns OK. An error means that nothing could be told.
 */
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/formats/source.h"
#include "common/structure/inspection.h"

struct zip_directory;

/* Of each pair one is NULL, or both pairs are given. */
struct format {
    const char *name; /* as `inspection.format` tells it */
    unsigned (*probe)(const uint8_t *head, size_t length, const struct source *source);
    /* Read file 0 of the set; the others are its siblings, for formats that refer to them. */
    enum status (*read)(const struct fileset *files, const struct limits *limits,
                        struct inspection *in, struct err *err);

    unsigned (*probe_zip)(const struct zip_directory *directory);
    /* What is odd about the archive is noted already, and in->safety lowered by it. */
    enum status (*read_zip)(const struct zip_directory *directory, const struct fileset *files,
                            const struct limits *limits, struct inspection *in, struct err *err);
};

enum { FORMAT_HEAD_BYTES = 512 }; /* of a file's start, given to probe; fewer where it is shorter */

/* The table, NULL-terminated. */
extern const struct format *const format_table[];

/* Find the format and read the set: file 0, or what all of them make together. *ret must be empty; on any outcome it is the caller's to
 * inspection_done. ERR_UNRECOGNIZED says what the file seems to be instead (an HTML page, a git-lfs
 * pointer, a 7z archive, an empty file …). */
enum status format_read(const struct fileset *files, const struct limits *limits,
                        struct inspection *ret, struct err *err) MUST_CHECK;

/* As format_read for file 0 alone, whatever the others are, and without a look at what its containers
 * are for (kind.h). *in must be empty but for its arena and default_container, as format_read prepares
 * them. */
enum status format_read_file(const struct fileset *files, const struct limits *limits,
                             struct inspection *in, struct err *err) MUST_CHECK;

extern const struct format format_gguf;
extern const struct format format_numpy;
extern const struct format format_onnx;
extern const struct format format_keras_hdf5;
extern const struct format format_safetensors;
extern const struct format format_torch_export;
extern const struct format format_torch_legacy;
extern const struct format format_torch_tar;
extern const struct format format_pickle;
extern const struct format format_torch_dcp;
extern const struct format format_torch_zip;
extern const struct format format_torchscript;
