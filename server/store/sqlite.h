#pragma once
/* What db.c and stmt.c share: nothing else in the tree sees SQLite. */
#include <sqlite3.h>

#include "server/store/db.h"
#include "server/store/stmt.h"

enum {
    SQLITE_PREPARED_MAX = 256, /* queries of ours: never full */
    SQLITE_PARAMS_MAX = 24,    /* of one query */
};

struct sqlite_prepared {
    const struct query *query;
    sqlite3_stmt *handle;
    bool is_in_use;
    uint8_t param[SQLITE_PARAMS_MAX]; /* SQLite's number of our $1, $2 … */
};

struct db {
    sqlite3 *handle;
    enum db_mode mode;
    int busy_ms;
    uint64_t deadline_ms; /* of the read under way; 0: none */
    uint64_t log_pages;
    struct err suspect; /* code OK: sound */
    struct sqlite_prepared prepared[SQLITE_PREPARED_MAX];
};

/* Turn SQLite's result into ours; what was done stands before the message. */
enum status db_fail(struct db *db, int result, const char *what, struct err *err) MUST_CHECK;
