#pragma once
/*
 * Files of the command line: read whole, written whole, or handed to a reader.
 */
#include <stdbool.h>

#include "common/base/limits.h"
#include "common/base/slice.h"
#include "common/structure/vouched.h"

/* A regular file's bytes, at most cap of them, now the caller's to mem_free; "-" is the standard
 * input. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT, each with the path in its text. */
enum status files_read(const char *path, size_t cap_bytes, struct slice *ret_bytes,
                       struct err *err) MUST_CHECK;

/* Write all of it to a file beside path, sync, and move it there. */
enum status files_write(const char *path, struct slice bytes, struct err *err) MUST_CHECK;

/* The list that --inert-globals names (common/formats/vouched_read.h), in the arena; path NULL or "": an
 * empty one. Errors name path and line: ERR_NOT_FOUND, ERR_IO, ERR_LIMIT, ERR_BAD_REQUEST. */
enum status files_vouched(const char *path, const struct limits *limits, struct arena *arena,
                          struct vouched *ret_vouched, struct err *err) MUST_CHECK;

bool files_is_directory(const char *path);

/* Inspect the file, or the files of a directory together (confined.h). An index (*.index.json) stands
 * for the files that it names, .metadata and *.onnx for all of their folder. ERR_NOT_FOUND and ERR_IO speak of the path, any other error of
 * the file. ret is the caller's to inspection_done on any outcome. */
enum status files_inspect(const char *path, const struct limits *limits, struct inspection *ret,
                          struct err *err) MUST_CHECK;

/* Print to stdout; ERR_IO if that fails. */
enum status files_print(struct slice text, struct err *err) MUST_CHECK;
