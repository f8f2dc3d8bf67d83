#pragma once
/*
 * What several files make together (design.md §4): the shards of one state dict, with an index or
 * numbered by their names; a distributed checkpoint's directory; or files side by side, as a Trainer
 * or a pipeline leaves them.
 *
 * What belongs together becomes one container. If a single one of the set's parts holds weights, its
 * containers keep their paths; all others stand under "<file>:<path>", or "<file>" for the top. The
 * safety is the worst of all files. What a file's name says is a hint, what it is its bytes say.
 */
#include "common/base/limits.h"
#include "common/formats/source.h"
#include "common/structure/inspection.h"

/* format_read, for the set's one file or its many. *in must be empty but for its arena and
 * default_container. */
enum status set_read(const struct fileset *files, const struct limits *limits,
                     struct inspection *in, struct err *err) MUST_CHECK;
