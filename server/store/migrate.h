#pragma once
/*
 * The schema's history. Each migration is a file migrations/sqlite/NNNN_name.sql, built in, applied in
 * its own transaction and then never changed: its digest is kept in the database, and a database
 * whose history differs from ours is refused, as is one that a newer ckptd has written.
 */
#include <stddef.h>

#include "common/base/err.h"
#include "server/store/db.h"

struct migration {
    int version; /* 1, 2, 3 … without gaps */
    const char *name;
    const unsigned char *text;
    size_t length;
};

/* Generated at build. */
extern const struct migration migrate_known[];
extern const size_t migrate_known_count;

/* Bring the database to the last of these. ERR_CONFLICT: its history is another one, or newer. */
enum status migrate_run(struct db *db, const struct migration *migrations, size_t count,
                        struct err *err) MUST_CHECK;
