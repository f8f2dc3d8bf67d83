#pragma once
/*
 * Work within one transaction: private to server/store, the shape of every noun's functions.
 *
 * A write runs on the writer's thread, possibly more than once (when the group it was in had to be
 * undone), so it sets all that it returns each time, and it waits for nothing. A read runs on the
 * caller's thread; what it returns is copied out.
 */
#include "server/store/db.h"
#include "server/store/store.h"

typedef enum status transact_work(struct db *db, void *context, struct err *err);

enum status store_write(struct store *store, transact_work *work, void *context,
                        struct err *err) MUST_CHECK;
enum status store_read(struct store *store, transact_work *work, void *context,
                       struct err *err) MUST_CHECK;
