#pragma once
/*
 * The store: models, versions, jobs and what inspectors found, in one SQL database. This header and
 * those of the nouns (model_store.h, version_store.h …) are the interface that a second engine will
 * stand behind: no type of a database library is in them.
 *
 * Any thread may call any function here; each may block for as long as the disk takes (never call
 * one from a polling thread). Writes of all threads go through one writer thread, which puts those that
 * wait into one transaction (one fdatasync), each in a savepoint of its own: a write that fails does
 * not touch its neighbours, and when a function returns OK its change is on the disk.
 *
 * What is returned lives in the arena given, copied: no function holds a connection when it returns.
 *
 * Errors that every function may return, besides its own:
 *   ERR_STORE          the database refused: a defect of ours or of the file
 *   ERR_STORE_SUSPECT  an earlier write to the disk failed, so that nobody knows what is on it: nothing
 *                      is acknowledged any more until a restart has read the state again. Reads go on
 *   ERR_NO_SPACE       the disk is full; nothing was changed
 *   ERR_TIMEOUT        a read took longer than it may
 *   ERR_NO_MEMORY, ERR_LIMIT (the arena's cap)
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct store;

struct store_config {
    const char *directory;  /* holds ckptd.db, ckptd.db-wal, ckptd.db-shm and ckptd.ballast */
    unsigned readers;       /* connections for reading; more readers than that wait */
    unsigned query_ms;      /* that one read may take */
    unsigned busy_ms;       /* to wait for another process that writes (ckptd gc …) */
    uint64_t ballast_bytes; /* kept in a file that is given up when the disk is full, so that what
                               must be written then can be; 0: none */
};

/* Everything but the directory. */
struct store_config store_config_default(void);

/* Open or create the database and bring its schema up to date. Refused: a network file system, a file
 * that is not ours, one of a newer ckptd, one whose applied migrations are not ours. */
enum status store_open(const struct store_config *config, struct store **ret_store,
                       struct err *err) MUST_CHECK;

/* End the writer when it has written what waits; no other call may be under way. NULL is fine. */
void store_free(struct store *store);

/* Whether a write to the disk has failed; err then tells which (err may be NULL). */
bool store_is_suspect(struct store *store, struct err *err);

struct store_stats {
    uint64_t writes;    /* requests that were committed */
    uint64_t commits;   /* transactions that they were in */
    uint64_t reads;     /* reads that were done */
    uint64_t timeouts;  /* reads that took too long */
    uint64_t wal_bytes; /* of the log that waits to be moved into the database */
    uint64_t db_bytes;  /* of the database file */
    bool has_ballast;
    bool is_suspect;
};

struct store_stats store_stats(struct store *store);

/* A copy of the database as it is now, as one file that must not exist; the store stays in use. */
enum status store_backup(struct store *store, const char *path, struct err *err) MUST_CHECK;
