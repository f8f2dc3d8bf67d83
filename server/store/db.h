#pragma once
/*
 * One connection to the database: private to server/store. One thread at a time may use one; a
 * reader's connection refuses to write.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct db;

enum db_mode { DB_WRITER, DB_READER };

/* The writer creates the file. ERR_CONFLICT: the file is not ours (or no database at all). */
enum status db_open(const char *path, enum db_mode mode, unsigned busy_ms, struct db **ret_db,
                    struct err *err) MUST_CHECK;
void db_free(struct db *db); /* NULL is fine */

/* A transaction for writing waits for other processes, ERR_BUSY after busy_ms; one for reading sees one
 * moment, and ERR_TIMEOUT ends it after limit_ms. */
enum status db_begin_write(struct db *db, struct err *err) MUST_CHECK;
enum status db_begin_read(struct db *db, unsigned limit_ms, struct err *err) MUST_CHECK;
enum status db_commit(struct db *db, struct err *err) MUST_CHECK;
void db_rollback(struct db *db); /* fine without a transaction */

/* A part of a transaction that can be undone alone. */
enum status db_savepoint(struct db *db, struct err *err) MUST_CHECK;
enum status db_release(struct db *db, struct err *err) MUST_CHECK;
void db_undo(struct db *db);

/* False after a failure that made the database roll the whole transaction back. */
bool db_in_transaction(struct db *db);

/* Whether an error has left it open what is on the disk: I/O, corruption, a failed commit. */
bool db_is_suspect(const struct db *db, struct err *err);

/* Several statements, none with parameters: migrations, pragmas. */
enum status db_script(struct db *db, const char *sql, struct err *err) MUST_CHECK;

/* Move the log into the database file: as much as readers allow; whole = empty the log's file too. A
 * failure only puts it off, for what is in the log is safe there; db_is_suspect knows of worse. */
void db_checkpoint(struct db *db, bool whole);
uint64_t db_log_pages(const struct db *db); /* in the log after the last commit here */

/* A copy as a new file. */
enum status db_copy_to(struct db *db, const char *path, struct err *err) MUST_CHECK;
