#pragma once
/*
 * The parts of an upload: its state, and what uploads.c (a version of one file), uploads_file.c (a file of
 * several) and uploads_commit.c (the end of several) share, with uploads_query.c (parameters and headers)
 * and uploads_form.c (multipart/form-data).
 */
#include "server/api/app.h"
#include "server/store/version_store.h"

enum { UPLOAD_PAIRS_MAX = 64, UPLOAD_VALUE_BYTES_MAX = 4096 };

struct uploads_form;

struct uploading {
    struct app *app;
    struct version_new new;
    struct version_file file;
    struct version_pair pairs[UPLOAD_PAIRS_MAX];
    bool has_expected;
    struct digest expected;
    uint64_t wait_s;
    uint64_t received;

    bool makes_label;   /* POST: the daemon chooses it */
    bool only_compares; /* the label is taken: hash, and see */
    struct hash hash;
    struct blobs_sink *sink;

    bool is_form;
    struct uploads_form *form;

    bool is_committed;
    struct version_commit commit;

    bool is_part; /* of a version of several files */
    struct version_part part;
    struct version_place place;
    uint64_t touched_ms; /* when the open version was last kept from expiring */
};

/* ---- uploads.c ---- */

/* What ?digest= and Repr-Digest announce. */
enum status uploads_parse_expected(const struct request *r, struct uploading *u,
                                   struct err *err) MUST_CHECK;

/* ERR_BAD_REQUEST where the head tells of an empty body. */
enum status uploads_check_length(const struct request *r, struct err *err) MUST_CHECK;

/* Be ready for the body: to keep it, or only to hash it. */
enum status uploads_begin_sink(const struct request *r, struct uploading *u,
                               struct err *err) MUST_CHECK;

/* The body is whole: its digest and size go to u->file; keep the bytes, and commit them by the
 * function, which says in *ret_again that a blob of equal bytes is just being deleted. Where it fails
 * the bytes go. */
typedef enum status uploads_commit_function(struct uploading *u, bool *ret_again, struct err *err);
enum status uploads_keep(struct uploading *u, uploads_commit_function *commit,
                         struct err *err) MUST_CHECK;

/* The bytes were kept, and no version has them: they go, unless another upload wants them. */
void uploads_drop_bytes(const struct uploading *u);

/* For struct upload. */
enum status uploads_write(void *state, const void *bytes, size_t length,
                          struct err *err) MUST_CHECK;
void uploads_abort(void *state, const struct err *why);
void uploads_free(void *state);

/* The next bytes of the file itself. */
enum status uploads_take(struct uploading *u, const void *bytes, size_t length,
                         struct err *err) MUST_CHECK;

/* 201 for a new version, 200 for a repeat; or parked until it has settled. */
enum status uploads_answer(const struct request *r, const struct uploading *u,
                           struct reply *ret_reply, struct err *err) MUST_CHECK;

/* ---- uploads_file.c ---- */

/* Its version stays open while the body comes, however long that takes. Cheap where nothing is due. */
enum status uploads_file_touch(struct uploading *u, struct err *err) MUST_CHECK;

/* ---- uploads_query.c ---- */

/* RFC 9530: "sha-256=:<base64>:" among others; other algorithms are passed over. */
enum status uploads_parse_repr_digest(struct slice header, struct digest *ret_digest,
                                      bool *ret_found, struct err *err) MUST_CHECK;

/* ?meta.KEY=VALUE, into the request's arena. */
enum status uploads_parse_metadata(const struct request *r, struct uploading *u,
                                   struct err *err) MUST_CHECK;

/* One more pair of metadata. */
enum status uploads_add_pair(struct uploading *u, struct arena *arena, struct slice key,
                             struct slice value, struct err *err) MUST_CHECK;

/* ---- uploads_form.c ---- */

/* Is the body a form? Then prepare to read it. */
enum status uploads_form_begin(const struct request *r, struct uploading *u,
                               struct err *err) MUST_CHECK;
enum status uploads_form_write(struct uploading *u, const void *bytes, size_t length,
                               struct err *err) MUST_CHECK;
enum status uploads_form_finish(struct uploading *u, struct err *err) MUST_CHECK;
void uploads_form_free(struct uploads_form *form);
