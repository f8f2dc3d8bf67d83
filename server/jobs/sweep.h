#pragma once
/*
 * Blob files that nobody needs. A crash between linking a file and committing its version leaves the
 * file without a row; a crash while one was being deleted leaves its row. Both are cleared after a
 * restart, while uploads go on: a file is unlinked only by who owns its digest by a row, and a commit
 * that meets such a row waits and links again (design.md §3).
 */
#include <stdatomic.h>

#include "server/blobs/blobs.h"
#include "server/store/store.h"

struct sweep_result {
    uint64_t files;   /* looked at */
    uint64_t removed; /* of them */
    uint64_t bytes;   /* of those */
};

/* All of the blob store; ends early when *stop becomes true (stop may be NULL). */
enum status sweep_run(struct store *store, struct blobs *blobs, const atomic_bool *stop,
                      struct sweep_result *ret_result, struct err *err) MUST_CHECK;

/* One file, if no row speaks of it: for who has linked a file and then could not commit it. */
enum status sweep_blob(struct store *store, struct blobs *blobs, const struct digest *digest,
                       uint64_t size, bool *ret_removed, struct err *err) MUST_CHECK;
