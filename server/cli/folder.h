#pragma once
/*
 * A directory's files, as a set that readers see: names relative to it, opened when they are handed
 * over. A symbolic link counts where it leads to a regular file, wherever that is (a Hugging
 * Face cache is made of such links): the user named this directory by hand and reads what they may read
 * anyway. Links to directories are not followed, so there are no loops.
 */
#include "common/base/arena.h"
#include "common/base/limits.h"
#include "common/base/slice.h"
#include "server/inspector/inspector.h"

struct folder;

struct folder_wish {
    bool is_deep;              /* what is below, too */
    const char *first;         /* stands before all others, which ascend; NULL: nothing does */
    const struct slice *names; /* only these, ascending, and first; NULL: all */
    size_t name_count;
    bool is_first_alone; /* first is what is read; the others are there for what it refers to */
};

/* ERR_NOT_FOUND and ERR_IO speak of the path. ERR_LIMIT: it has more files, or is deeper, than is read. */
enum status folder_open(const char *path, const struct folder_wish *wish,
                        struct folder **ret_folder, struct err *err) MUST_CHECK;
void folder_free(struct folder *folder); /* NULL is fine */

/* The set, which lives as long as the folder. */
struct inspector_set folder_files(struct folder *folder);

/* The names in "weight_map" of an index file's text (Hugging Face's *.index.json), ascending, each once;
 * *ret_found false: it is no such text. Names that would lead out of the folder are left out. */
enum status folder_index_names(struct slice text, const struct limits *limits, struct arena *arena,
                               struct slice **ret_names, size_t *ret_count, bool *ret_found,
                               struct err *err) MUST_CHECK;
