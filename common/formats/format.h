#pragma once
/*
 * A format is one const struct and one file. probe looks at a file's first bytes, and at more of it
 * where it must, and says how many bits it is sure of; the surest format reads the set. Names and
 * extensions are never trusted. read is a pure function of the set: no files, no logging, no
 * globals; what it finds goes to the inspection, whose arena is ready and capped.
 *
 * A file that is partly readable is no error: the reader keeps what it saw, adds findings, lowers
 * the safety, and returns OK. An error means that nothing could be told.
 */
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/formats/source.h"
#include "common/structure/inspection.h"

struct format {
    const char *name; /* as `inspection.format` tells it */
    unsigned (*probe)(const uint8_t *head, size_t length, const struct source *source);
    enum status (*read)(const struct fileset *files, const struct limits *limits,
                        struct inspection *in, struct err *err);
};

enum { FORMAT_HEAD_BYTES = 512 }; /* of a file's start, given to probe; fewer where it is shorter */

/* The table, NULL-terminated. */
extern const struct format *const format_table[];

/* Find the format and read the set. *ret must be empty; on any outcome it is the caller's to
 * inspection_done. ERR_UNRECOGNIZED says what the file seems to be instead (an HTML page, a git-lfs
 * pointer, a 7z archive, an empty file …). */
enum status format_read(const struct fileset *files, const struct limits *limits,
                        struct inspection *ret, struct err *err) MUST_CHECK;

extern const struct format format_safetensors;
extern const struct format format_torch_zip;
