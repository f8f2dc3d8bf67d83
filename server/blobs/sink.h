#pragma once
/* The blob store's state and one upload's: private to server/blobs. */
#include <pthread.h>

#include "server/blobs/blobs.h"
#include "server/blobs/local.h"
#include "server/blobs/space.h"
#include "server/work/pool.h"
#include "server/work/ring.h"

struct blobs {
    struct local local;
    struct space space;
    struct pool *hashers;
    pthread_mutex_t lock;
    struct err suspect; /* code OK: sound */
    uint64_t next_number;
    uint64_t sinks;
};

struct blobs_sink {
    struct blobs *blobs;
    uint64_t number;    /* of the staged file */
    int fd;             /* -1 once it is synced */
    uint64_t announced; /* BLOBS_SIZE_UNKNOWN */
    uint64_t granted;   /* of the file system */
    uint64_t written;
    uint64_t pushed; /* towards the disk */
    int folder;      /* of the blob, held against removers; -1 */
    bool is_finished;
    struct digest digest;

    /* shared with the hasher */
    pthread_mutex_t lock;
    pthread_cond_t moved; /* the hasher made room, or came to the end of what there is */
    struct ring ring;
    bool is_waiting; /* the writer, for half of the ring to be free */
    bool is_hashing; /* the task is queued or runs: only then it may touch the hash */
    struct hash hash;
    struct task task;
};

/* A sync has failed, as trouble says: remember it, and answer ERR_STORE_SUSPECT. */
enum status blobs_doubt(struct blobs *blobs, const struct err *trouble, struct err *err) MUST_CHECK;
