#pragma once
/*
 * Room on the disk: private to server/blobs. What an upload announces is taken from the file system at
 * once by fallocate(2), so that it cannot run out half-way; the reserve stays free for the database.
 */
#include <pthread.h>
#include <stdint.h>

#include "common/base/err.h"

struct space {
    pthread_mutex_t lock;
    int folder; /* on the file system; borrowed */
    uint64_t reserve_bytes;
    uint64_t max_reserved;
    uint64_t promised; /* granted, but not yet taken from the file system */
    uint64_t reserved; /* granted to uploads under way */
};

void space_init(struct space *s, int folder, uint64_t reserve_bytes, uint64_t max_reserved);
void space_done(struct space *s);

/* Grant bytes: ERR_NO_SPACE. Then either take them for fd, from offset on, or give them back. */
enum status space_ask(struct space *s, uint64_t bytes, struct err *err) MUST_CHECK;
enum status space_take(struct space *s, int fd, uint64_t offset, uint64_t bytes,
                       struct err *err) MUST_CHECK;
void space_give_back(struct space *s, uint64_t bytes); /* of what was taken */

/* What may still be asked for. */
uint64_t space_free(struct space *s);
