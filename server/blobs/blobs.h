#pragma once
/*
 * The blob store: a file's bytes, kept once under their SHA-256, on the local disk.
 *
 *     DIRECTORY/blobs/ab/abcd…           the bytes, read-only for ever
 *     DIRECTORY/staging/<instance>/…     what is being received
 *     DIRECTORY/staging/<instance>.lock  held while that instance lives
 *
 * A file is received into staging (space taken first), hashed by another thread meanwhile, synced,
 * linked under its digest, and the directory synced. Only then may a row of the store speak of it. Order:
 *
 *     blobs_begin, blobs_write …, blobs_finish, blobs_keep, version_store_commit, blobs_let_go,
 *     blobs_sink_free
 *
 * From blobs_keep to blobs_let_go no file of the same folder is removed: without that, one could be owned
 * as an orphan, removed and forgotten between the link and the commit. When the commit answers
 * VERSION_AGAIN, let go, wait a little, blobs_keep again (the staged copy is still there), commit again.
 *
 * Any thread may call, one thread at a time for one sink; all may block for seconds. ERR_NO_SPACE:
 * there is no room. ERR_STORE_SUSPECT: a sync failed once, so nothing is acknowledged until a restart.
 * ERR_IO otherwise.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/hash.h"

struct blobs;
struct blobs_sink;

/* A size_hint that says nothing. */
#define BLOBS_SIZE_UNKNOWN UINT64_MAX

struct blobs_config {
    const char *directory;
    uint64_t reserve_bytes; /* of the file system that stay free */
    uint64_t max_reserved;  /* bytes that uploads under way may have announced, together */
    unsigned hash_threads;
};

struct blobs_config blobs_config_default(void); /* everything but the directory */

/* Make the directories, lock an instance of our own, empty what dead instances have left in staging. */
enum status blobs_open(const struct blobs_config *config, struct blobs **ret_blobs,
                       struct err *err) MUST_CHECK;
void blobs_free(struct blobs *blobs); /* all sinks must be gone; NULL is fine */

/* The name of this instance, for rows that say who deletes. Whether a named one still lives. */
const char *blobs_instance(const struct blobs *blobs);
bool blobs_is_alive(struct blobs *blobs, const char *instance);

bool blobs_is_suspect(struct blobs *blobs, struct err *err);

struct blobs_stats {
    uint64_t free_bytes;     /* that uploads may still take: the reserve is off */
    uint64_t reserved_bytes; /* announced by uploads under way and not yet written */
    uint64_t sinks;          /* uploads under way */
};
struct blobs_stats blobs_stats(struct blobs *blobs);

/* Would a body of that size be taken now? ERR_NO_SPACE if not. Cheap: for the early refusal. */
enum status blobs_has_room(struct blobs *blobs, uint64_t size, struct err *err) MUST_CHECK;

/* Take the space for size_hint bytes (BLOBS_SIZE_UNKNOWN: it is taken as bytes come). */
enum status blobs_begin(struct blobs *blobs, uint64_t size_hint, struct blobs_sink **ret_sink,
                        struct err *err) MUST_CHECK;

/* Append. ERR_LIMIT: more bytes than were announced. */
enum status blobs_write(struct blobs_sink *sink, const void *bytes, size_t length,
                        struct err *err) MUST_CHECK;

/* All bytes were written: sync them, give their digest. expected may be NULL; else ERR_DIGEST_MISMATCH
 * when it differs. ERR_TRUNCATED: fewer bytes than were announced. */
enum status blobs_finish(struct blobs_sink *sink, const struct digest *expected,
                         struct digest *ret_digest, uint64_t *ret_size, struct err *err) MUST_CHECK;

/* Link the finished bytes under their digest, durably. May be called again. Nothing is held where it
 * fails. */
enum status blobs_keep(struct blobs_sink *sink, struct err *err) MUST_CHECK;

/* The commit was done, with whatever outcome: what is kept may be removed by who owns it. */
void blobs_let_go(struct blobs_sink *sink);

/* Forget the staged file, kept or not (abort). NULL is fine. */
void blobs_sink_free(struct blobs_sink *sink);

/* Open a blob for reading: a new descriptor (O_RDONLY, O_CLOEXEC), the caller's to close. For
 * sendfile, and for an inspector. ERR_NOT_FOUND. */
enum status blobs_open_file(struct blobs *blobs, const struct digest *digest, int *ret_fd,
                            uint64_t *ret_size, struct err *err) MUST_CHECK;

/* Unlink a blob's file durably; one that is not there is fine. Only for who owns its digest by a row
 * in the state deleting (store/blob_store.h). Waits for uploads between blobs_keep and blobs_let_go, so
 * never call it from one. */
enum status blobs_remove(struct blobs *blobs, const struct digest *digest,
                         struct err *err) MUST_CHECK;

/* Call each for every file under blobs/, in no order, until it fails. Files with other names are
 * not ours and are passed over. */
enum status blobs_list(struct blobs *blobs,
                       enum status (*each)(void *context, const struct digest *digest,
                                           uint64_t size, struct err *err),
                       void *context, struct err *err) MUST_CHECK;
