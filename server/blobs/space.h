#pragma once
/*
 * Room on the disk: private to server/blobs. What an upload announces is taken from the file system at
 * once by fallocate(2), so that it cannot run out half-way; the reserve stays free for the database.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct space {
    pthread_mutex_t lock;
    int folder; /* on the file system; borrowed */
    uint64_t reserve_bytes;
    uint64_t max_reserved;
    bool is_memory; /* a tmpfs: there, taking costs as much as writing, and only counting is done */
    uint64_t promised; /* granted, but not yet taken from the file system */
    uint64_t reserved; /* granted to uploads under way */
};

void space_init(struct space *s, int folder, uint64_t reserve_bytes, uint64_t max_reserved);
void space_done(struct space *s);

/* Grant bytes: ERR_NO_SPACE. Then take them for fd, from offset on; on failure they are given back. */
enum status space_ask(struct space *s, uint64_t bytes, struct err *err) MUST_CHECK;
enum status space_take(struct space *s, int fd, uint64_t offset, uint64_t bytes,
                       struct err *err) MUST_CHECK;

/* Some of what was granted is written; all of it is done with, so many of it written. */
void space_wrote(struct space *s, uint64_t bytes);
void space_give_back(struct space *s, uint64_t granted, uint64_t written);

/* What may still be asked for. */
uint64_t space_free(struct space *s);
