#pragma once
/*
 * The one thread that writes: private to server/store. It takes what waits, up to a group, runs each in
 * a savepoint, commits once, and only then answers all of them. When nothing waits it moves the log into
 * the database. It keeps the ballast.
 */
#include "server/store/transact.h"

struct writer;

/* Takes the connection over, on any outcome. directory holds the ballast. */
enum status writer_start(struct db *db, const char *directory, uint64_t ballast_bytes,
                         struct writer **ret_writer, struct err *err) MUST_CHECK;
void writer_free(struct writer *w); /* NULL is fine */

enum status writer_run(struct writer *w, transact_work *todo, void *context,
                       struct err *err) MUST_CHECK;

/* As writer_run, but alone and outside of any transaction. */
enum status writer_run_alone(struct writer *w, transact_work *todo, void *context,
                             struct err *err) MUST_CHECK;

bool writer_is_suspect(struct writer *w, struct err *err);
void writer_stats(struct writer *w, struct store_stats *stats);
