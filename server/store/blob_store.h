#pragma once
/*
 * Rows of blobs, and who may unlink a blob's file: nobody who does not own its digest by a row in
 * the state `deleting` (design.md §3). A commit of a version makes the row live, or revives it while it
 * is condemned; while it is deleting, the commit must wait.
 *
 *   live -> condemned -> deleting -> (file unlinked, row gone)
 *   (no row: an orphan) -> deleting -> …
 */
#include "common/base/arena.h"
#include "common/base/hash.h"
#include "server/store/store.h"

enum blob_state { BLOB_LIVE, BLOB_CONDEMNED, BLOB_DELETING, BLOB_STATE_COUNT };

/* *ret_found false: there is no row. */
enum status blob_store_get(struct store *store, const struct digest *digest,
                           enum blob_state *ret_state, uint64_t *ret_size, bool *ret_found,
                           struct err *err) MUST_CHECK;

/* Take a file that no row speaks of: *ret_owned true, and the caller (owner: its blobs_instance) must
 * now remove the file and then call blob_store_release. False: there is a row. */
enum status blob_store_own_orphan(struct store *store, const struct digest *digest, uint64_t size,
                                  const char *owner, bool *ret_owned, struct err *err) MUST_CHECK;

/* Take up to most blobs that are condemned, and needed by no version: to be removed and released as
 * above. */
enum status blob_store_own_condemned(struct store *store, const char *owner, size_t most,
                                     struct arena *arena, struct digest **ret_digests,
                                     size_t *ret_count, struct err *err) MUST_CHECK;

/* Take over what a process that is dead now was deleting: true as above. */
enum status blob_store_own_left(struct store *store, const struct digest *digest,
                                const char *dead_owner, const char *owner, bool *ret_owned,
                                struct err *err) MUST_CHECK;

/* The file is gone: forget the row. ERR_CONFLICT: it was not this owner's. */
enum status blob_store_release(struct store *store, const struct digest *digest, const char *owner,
                               struct err *err) MUST_CHECK;

/* The file could not be unlinked: condemned again, so that an upload of equal bytes need not wait for it,
 * and whoever deletes next tries again. ERR_CONFLICT: it was not this owner's. */
enum status blob_store_give_back(struct store *store, const struct digest *digest,
                                 const char *owner, struct err *err) MUST_CHECK;

struct blob_left {
    struct digest digest;
    struct slice owner;
};

/* Rows in the state deleting: what a crash has left half done, or another process does now. */
enum status blob_store_deleting(struct store *store, struct arena *arena,
                                struct blob_left **ret_left, size_t *ret_count,
                                struct err *err) MUST_CHECK;

struct blob_totals {
    uint64_t blobs; /* live */
    uint64_t bytes;
};
enum status blob_store_totals(struct store *store, struct blob_totals *ret_totals,
                              struct err *err) MUST_CHECK;
