#pragma once
/*
 * Steps that several nouns take within one transaction: private to server/store. Each is in the file
 * that its name begins with.
 */
#include "common/base/arena.h"
#include "common/base/hash.h"
#include "common/structure/fingerprint.h"
#include "server/store/db.h"
#include "server/store/version_store.h"

/* The counter's next number. */
enum status counter_store_next(struct db *db, const char *name, int64_t *ret_number,
                               struct err *err) MUST_CHECK;

/* The model's id, made if need be. ERR_CONFLICT: it differs from one there is only in case. */
enum status model_store_ensure(struct db *db, struct slice namespace, struct slice name,
                               int64_t now_us, int64_t *ret_id, struct err *err) MUST_CHECK;

/* The model's id; ERR_NOT_FOUND. */
enum status model_store_find(struct db *db, struct slice namespace, struct slice name,
                             int64_t *ret_id, struct err *err) MUST_CHECK;

/* The blob's row, made or revived; *ret_free false: it is being deleted. */
enum status blob_store_attach(struct db *db, const struct digest *digest, uint64_t size,
                              int64_t now_us, int64_t *ret_id, bool *ret_free,
                              struct err *err) MUST_CHECK;

/* Queue a job unless there is one of that kind and key. */
enum status job_store_put(struct db *db, const char *kind, struct slice key, int64_t now_us,
                          struct err *err) MUST_CHECK;

/* ERR_CONFLICT unless the job runs under that fence. */
enum status job_store_check(struct db *db, int64_t id, int64_t fence, struct err *err) MUST_CHECK;
enum status job_store_remove(struct db *db, const char *kind, struct slice key,
                             struct err *err) MUST_CHECK;

/* Carry out a version's wish, unless the alias is at a later version. */
enum status alias_store_wish(struct db *db, int64_t model_id, struct slice name, int64_t version_id,
                             uint64_t serial, int64_t now_us, bool *ret_moved,
                             struct err *err) MUST_CHECK;

/* The last step of a transaction, but for a version's deletion: its row must be there. detail: a JSON
 * object, or empty. */
enum status event_store_add(struct db *db, const char *kind, int64_t version_id, int64_t now_us,
                            const char *by, struct slice detail, struct err *err) MUST_CHECK;

/* The model's next serial and the next version's id, for one that comes into being. */
enum status version_store_number(struct db *db, int64_t model_id, int64_t now_us, int64_t *ret_id,
                                 int64_t *ret_serial, struct err *err) MUST_CHECK;

/* A file's row and its blob's; *ret_free false: the blob is being deleted, and the transaction fails with
 * ERR_BUSY. */
enum status version_store_put_file(struct db *db, int64_t version_id,
                                   const struct version_file *file, int64_t now_us, bool *ret_free,
                                   struct err *err) MUST_CHECK;

enum status version_store_read_files(struct db *db, int64_t version_id, struct arena *arena,
                                     struct version_file **ret_files, size_t *ret_count,
                                     struct err *err) MUST_CHECK;

/* What inspections of these files are kept under: struct version's fileset. */
struct digest version_store_fileset_of(const struct version_file *files, size_t count,
                                       const struct digest *version) MUST_CHECK;

/* The state in which a version begins whose bytes were inspected before, or were not. */
struct inspection_found;
enum version_state version_store_first_state(const struct inspection_found *found);

/* The rest of a commit, once the version's row and its files' are there: metadata, event, and either the
 * job, or the end of waiting where equal bytes were read before. Sets result->has_job. */
struct committed {
    struct version_commit *result;
    struct digest fileset;
    const struct version_pair *metadata;
    size_t metadata_count;
    struct slice wish;
    const char *by;
    int64_t now_us;
};
enum status version_store_follow_up(struct db *db, const struct committed *c,
                                    struct err *err) MUST_CHECK;

/* A version that became ready or failed, and its wish: the alias and the events. */
struct settled {
    int64_t id;
    int64_t model_id;
    uint64_t serial;
    struct slice wish;
    bool is_ready;
};
enum status version_store_settled(struct db *db, const struct settled *s, int64_t now_us,
                                  struct err *err) MUST_CHECK;

/* The inspection of those bytes by that revision: its id, 0 if there is none; and how it ended. */
struct inspection_found {
    int64_t id;
    struct slice failure_type; /* empty: it succeeded */
    struct slice failure;
};
enum status inspection_store_find(struct db *db, const struct digest *fileset, uint32_t revision,
                                  struct arena *arena, struct inspection_found *ret_found,
                                  struct err *err) MUST_CHECK;

/* Ids of a structure and of facts with these records, made if need be. */
enum status structure_store_put(struct db *db, const struct fingerprints *fingerprints,
                                uint64_t tensors, uint64_t elements, uint64_t bytes,
                                struct slice record, int64_t *ret_id, struct err *err) MUST_CHECK;
enum status structure_store_put_facts(struct db *db, const struct digest *digest,
                                      struct slice record, int64_t *ret_id,
                                      struct err *err) MUST_CHECK;
enum status structure_store_put_placement(struct db *db, int64_t container_id, struct slice record,
                                          struct err *err) MUST_CHECK;
