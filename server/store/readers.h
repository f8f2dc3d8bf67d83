#pragma once
/* The connections for reading: private to server/store. Each is opened when it is first needed. */
#include "server/store/transact.h"

struct readers;

/* path is copied. */
enum status readers_start(const char *path, unsigned count, unsigned limit_ms,
                          struct readers **ret_readers, struct err *err) MUST_CHECK;
void readers_free(struct readers *readers); /* NULL is fine */

enum status readers_run(struct readers *readers, transact_work *work, void *context,
                        struct err *err) MUST_CHECK;
void readers_stats(struct readers *readers, struct store_stats *stats);
