#pragma once
/*
 * The local disk: paths, links and syncs; private to server/blobs. It knows no state but two open
 * directories.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"

enum { LOCAL_INSTANCE_MAX = 40 };

struct local {
    int root;    /* DIRECTORY */
    int blobs;   /* DIRECTORY/blobs */
    int staging; /* DIRECTORY/staging/<instance> */
    int lock;    /* DIRECTORY/staging/<instance>.lock, locked */
    char instance[LOCAL_INSTANCE_MAX + 1];
};

/* All descriptors -1. */
struct local local_none(void);

enum status local_open(const char *directory, struct local *ret_local, struct err *err) MUST_CHECK;
void local_done(struct local *l); /* leaves no staging behind */

bool local_is_alive(const struct local *l, const char *instance);

/* A new staged file for writing; its name is a number. */
enum status local_create(const struct local *l, uint64_t number, int *ret_fd,
                         struct err *err) MUST_CHECK;
void local_discard(const struct local *l, uint64_t number);

/* Keep everybody, other processes too, from removing any blob of the digest's folder, until the descriptor
 * is closed. */
enum status local_hold(const struct local *l, const struct digest *digest, int *ret_folder,
                       struct err *err) MUST_CHECK;

/* Give a staged file its digest as its name, durably; a file that has it already and is as long stays.
 * folder: what local_hold gave. *ret_suspect: a sync failed. */
enum status local_link(const struct local *l, int folder, uint64_t number,
                       const struct digest *digest, uint64_t size, bool *ret_suspect,
                       struct err *err) MUST_CHECK;

enum status local_open_blob(const struct local *l, const struct digest *digest, int *ret_fd,
                            uint64_t *ret_size, struct err *err) MUST_CHECK;
/* Waits for those who hold the folder. */
enum status local_remove(const struct local *l, const struct digest *digest, bool *ret_suspect,
                         struct err *err) MUST_CHECK;
enum status local_list(const struct local *l,
                       enum status (*each)(void *context, const struct digest *digest,
                                           uint64_t size, struct err *err),
                       void *context, struct err *err) MUST_CHECK;
