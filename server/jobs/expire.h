#pragma once
/*
 * Versions of several files that were never committed: each goes when nobody has added a file to it
 * for --open-seconds, and with it the blobs that no other version has, by the protocol of
 * store/blob_store.h: condemned with the version's rows, then owned, unlinked, released.
 */
#include <stdatomic.h>

#include "server/blobs/blobs.h"
#include "server/store/store.h"

struct expire_result {
    uint64_t versions;
    uint64_t files; /* of those */
    uint64_t blobs; /* unlinked, also what an earlier round had to leave */
};

/* All that is due; ends early when *stop becomes true (stop may be NULL). */
enum status expire_run(struct store *store, struct blobs *blobs, const atomic_bool *stop,
                       struct expire_result *ret_result, struct err *err) MUST_CHECK;
