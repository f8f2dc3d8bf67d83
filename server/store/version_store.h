#pragma once
/* Versions: immutable sets of files under a label. */
#include "common/base/arena.h"
#include "common/base/hash.h"
#include "server/store/page.h"
#include "server/store/ref.h"
#include "server/store/store.h"
#include "server/work/principal.h"

enum version_state {
    VERSION_OPEN,    /* files are still being added */
    VERSION_PENDING, /* waits for its inspection */
    VERSION_READY,
    VERSION_FAILED,   /* could not be read; failure says why; its bytes stay */
    VERSION_REJECTED, /* a policy refused it */
    VERSION_STATE_COUNT
};

const char *version_state_name(enum version_state state);
enum version_state version_state_find(struct slice name); /* _COUNT: there is none */

struct version_file {
    struct slice path;
    uint64_t size;
    struct digest digest;
};

/* A key of the client's and its value as JSON text ("8" with its quotes). */
struct version_pair {
    struct slice key;
    struct slice json;
};

struct version {
    int64_t id;
    int64_t model_id;
    struct slice namespace;
    struct slice model;
    struct slice label;
    uint64_t serial; /* 1, 2, 3 … within its model */
    enum version_state state;
    struct digest digest;  /* of the version: version_store_digest; zeros while it is open */
    struct digest fileset; /* what was read: the only file's SHA-256; of several a key that is no
                              digest of bytes (version_store_fileset_of) */
    int64_t created_at_us; /* when its first file came, of one that was open */
    int64_t expires_at_us; /* of an open one; 0: never */
    int64_t settled_at_us; /* when it became ready, failed or rejected; 0 before */
    struct slice failure;  /* a sentence; empty unless failed or rejected */
    struct slice failure_type;  /* err_problem_type of it */
    int64_t inspection_id;      /* inspection_store_get; 0: none (yet) */
    struct version_file *files; /* ascending by path */
    size_t file_count;
    struct version_pair *metadata; /* ascending by key */
    size_t metadata_count;
    struct slice *aliases; /* those that point here, "latest" among them; ascending */
    size_t alias_count;
};

/* ---- writing ---- */

/* Files must be ascending by path: SHA-256 over "<sha256> <size> <path>\n" of each. */
enum status version_store_digest(const struct version_file *files, size_t count,
                                 struct digest *ret_digest, struct err *err) MUST_CHECK;

struct version_new {
    struct slice namespace;
    struct slice model;
    struct slice label;               /* checked by ref_check_label; empty: "v<serial>" */
    const struct version_file *files; /* one or more, ascending by path, bytes in the blob store */
    size_t file_count;
    const struct version_pair *metadata;
    size_t metadata_count;
    struct slice wish;     /* an alias to set once the version is ready; or empty */
    bool wants_free_label; /* ?if_exists=new */
    uint32_t
        reader_revision; /* INSPECTION_REVISION: an inspection of equal bytes by it is taken over */
    const char *by;      /* the principal's id */
};

enum version_outcome {
    VERSION_CREATED,
    VERSION_REPEATED, /* the label has these bytes already (or one that wants_free_label tries) */
    VERSION_TAKEN,    /* the label has other bytes; nothing was done */
    VERSION_AGAIN, /* a blob is being deleted right now: wait a little, blobs_keep again, call again */
    VERSION_DIFFERS, /* its files are not those that were expected; nothing was done */
};

struct version_commit {
    enum version_outcome outcome;
    int64_t id; /* of the version that was made, repeated, or has the label */
    int64_t model_id;
    uint64_t serial;
    char label[REF_LABEL_MAX + 1];
    enum version_state
        state; /* VERSION_READY or _FAILED at once where equal bytes were read before */
    struct digest digest;
    bool has_job; /* a job to inspect it waits */
};

/* Design.md §3 step 5, one transaction: blobs (new, or revived), namespace, model, version, files,
 * metadata, job, event. The unique key decides between concurrent uploads.
 * ERR_CONFLICT: the namespace or model differs from one there is only in case. ERR_BAD_NAME: no free
 * label is short enough. */
enum status version_store_commit(struct store *store, const struct version_new *v,
                                 struct version_commit *ret_commit, struct err *err) MUST_CHECK;

/* ---- a version of several files ----
 *
 * Its first file makes the version, in the state open, and with it takes the label and a serial: nobody
 * else gets that label until the version is committed or has expired. Files come in any order, from
 * any number of threads; none can be replaced or taken back. Every file that comes moves the
 * moment at which an open version expires; one that expires goes with its files and frees the label.
 */

struct version_part {
    struct slice namespace;
    struct slice model;
    struct slice label;       /* checked by ref_check_label */
    struct version_file file; /* its path checked by ref_check_path, its bytes in the blob store */
    uint64_t files_max;       /* in one version */
    uint64_t open_us;         /* for which it stays open from now on */
    const char *by;           /* the principal's id */
};

/* What the label has. */
struct version_place {
    int64_t id; /* 0: no version has the label */
    enum version_state state;
    int64_t expires_at_us;
    uint64_t files;
    bool has_file; /* at the path; then its size and digest */
    uint64_t size;
    struct digest digest;
    enum version_outcome outcome; /* of version_store_add_file: _CREATED, _REPEATED, _AGAIN */
};

/* Before a body is read, knowing neither digest nor size: what is at the path? ERR_CONFLICT and
 * ERR_LIMIT where no file could be added there (see below); that an equal one is there, or another one,
 * is no error yet. */
enum status version_store_peek_file(struct store *store, const struct version_part *part,
                                    struct version_place *ret_place, struct err *err) MUST_CHECK;

/* Add the file. ERR_LABEL_TAKEN: the version is committed, and does not have this file. ERR_CONFLICT: the
 * path has other bytes, differs from another only in case, or one would be the other's folder; or
 * the namespace or model differs from one there is only in case. ERR_LIMIT: it has files_max files. */
enum status version_store_add_file(struct store *store, const struct version_part *part,
                                   struct version_place *ret_place, struct err *err) MUST_CHECK;

/* The error of a file that differs from what stands in its place, or that comes after the commit. */
enum status version_store_refuse_file(const struct version_part *part,
                                      const struct version_place *place,
                                      struct err *err) MUST_CHECK;

/* A long upload is under way: let the open version live for open_us from now. One that is gone or
 * committed is left alone. */
enum status version_store_touch(struct store *store, int64_t id, uint64_t open_us,
                                struct err *err) MUST_CHECK;

struct version_wanted {
    struct slice path;
    bool has_size;
    uint64_t size;
    bool has_digest;
    struct digest digest;
};

struct version_close {
    struct slice namespace;
    struct slice model;
    struct slice label;
    uint64_t count; /* of the files that there must be */
    const struct version_wanted
        *wanted; /* which, ascending by path, each once; NULL: any so many */
    const struct version_pair *metadata;
    size_t metadata_count;
    struct slice wish;
    uint32_t reader_revision;
    const char *by;
};

enum version_misfit { MISFIT_MISSING, MISFIT_UNEXPECTED, MISFIT_DIFFERENT, MISFIT_KINDS };
enum { VERSION_MISFITS_MAX = 1000 }; /* of each kind, told one by one */

struct version_misfits {
    uint64_t files; /* that the version has */
    struct {
        uint64_t count;             /* of all */
        struct version_file *files; /* what the version has; of a missing one the path alone */
        size_t listed;
    } kinds[MISFIT_KINDS];
};

/* Commit the open version, in one transaction as version_store_commit, if its files are those expected:
 * VERSION_CREATED. VERSION_DIFFERS: they are not, and *ret_misfits tells how; the same of a version that
 * is committed already, VERSION_REPEATED where they are. ERR_NOT_FOUND: no version has the label. */
enum status version_store_commit_open(struct store *store, const struct version_close *close,
                                      struct arena *arena, struct version_commit *ret_commit,
                                      struct version_misfits *ret_misfits,
                                      struct err *err) MUST_CHECK;

struct version_expired {
    int64_t id; /* 0: none was due */
    uint64_t files;
};

/* Delete one open version that is due at now_us; blobs that no other version has are condemned. */
enum status version_store_expire(struct store *store, int64_t now_us,
                                 struct version_expired *ret_expired, struct err *err) MUST_CHECK;

/* ---- reading ---- */

/* ERR_NOT_FOUND says what is missing: the model, the alias, the version. */
enum status version_store_get(struct store *store, struct slice namespace, struct slice model,
                              const struct ref *ref, struct arena *arena,
                              struct version *ret_version, struct err *err) MUST_CHECK;
enum status version_store_get_id(struct store *store, int64_t id, struct arena *arena,
                                 struct version *ret_version, struct err *err) MUST_CHECK;

/* Before a body is read: the version that has the label; ERR_NOT_FOUND where it is free (or the model is
 * not there). */
enum status version_store_peek(struct store *store, struct slice namespace, struct slice model,
                               struct slice label, struct arena *arena, struct version *ret_version,
                               struct err *err) MUST_CHECK;

/* The state alone, for those who wait: cheap. */
enum status version_store_state(struct store *store, int64_t id, enum version_state *ret_state,
                                struct err *err) MUST_CHECK;

/* The files that a job's key (a fileset) stands for; ERR_NOT_FOUND if no version has it any more. */
enum status version_store_fileset(struct store *store, const struct digest *fileset,
                                  struct arena *arena, struct version_file **ret_files,
                                  size_t *ret_count, struct err *err) MUST_CHECK;

struct version_list {
    struct version *versions; /* descending by serial */
    size_t count;
    struct slice next; /* cursor; empty: this was the last page */
};

/* ERR_NOT_FOUND: no such model. ERR_BAD_REQUEST: not a cursor of this list. */
enum status version_store_list(struct store *store, struct slice namespace, struct slice model,
                               const struct page *page, struct arena *arena,
                               struct version_list *ret_list, struct err *err) MUST_CHECK;

struct version_counts {
    uint64_t by_state[VERSION_STATE_COUNT];
    uint64_t jobs_queued;
    uint64_t jobs_running;
};

/* Of all models: for /readyz and metrics. */
enum status version_store_count(struct store *store, struct version_counts *ret_counts,
                                struct err *err) MUST_CHECK;
