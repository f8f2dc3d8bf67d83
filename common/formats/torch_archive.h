#pragma once
/*
 * PyTorch's zip archives: what torch.save's, TorchScript's and torch.export's have in common. Records
 * by their name below the root folder, the small records, storages, and the judgement of every member
 * that looks like a pickle, all with one budget for the whole file.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/formats/safety.h"
#include "common/formats/torch_storage.h"
#include "common/formats/zip.h"

enum {
    TORCH_RECORD_BYTES_MAX = 64, /* of the small records: a number, "little" */
    TORCH_NOTED_LOADED = 1 << 7, /* a table says that the loader unpickles the member */
};

/* What the archives of one file share: a file may hold archives within its archive. */
struct torch_work {
    const struct limits *limits;
    struct inspection *in;
    struct arena scratch;
    struct pickle_budget budget;
    struct safety_judge judge;
    size_t pickle_bytes_left; /* of the members that are not read for their tensors, together */
    size_t nested_left;       /* members of archives within the archive, together */
    size_t header_bytes_left; /* of JSON, together */
    uint64_t numbers;         /* of storages that were given out */
};

/* A work may not move while it is used. in->safety is what the zip's directory already told. */
void torch_work_begin(struct torch_work *w, const struct limits *limits, struct inspection *in);
void torch_work_done(struct torch_work *w);

/* What a member is to the archive's loader. */
enum torch_member {
    TORCH_MEMBER_STRANGE, /* it does not look at it: a pickle in it is remarked and judged */
    TORCH_MEMBER_KNOWN,   /* it reads it as a pickle, or an archive of one: judged in any case */
    TORCH_MEMBER_DONE,    /* it was judged before */
};

struct torch_archive {
    struct torch_work *work;
    const struct zip_directory *directory;
    struct slice root;  /* at is NULL where the members lie in no folder */
    const char *folder; /* of the storages: "data/" */
    bool is_big_endian;
    struct slice label;  /* of one within another archive: what its data.pkl is called to people */
    bool is_inflated;    /* the archive itself was compressed: nothing has a place in the file */
    bool opens_nested;   /* archives within it are judged; else they are remarked */
    bool remarks_nested; /* both: the format has none of its own */
    uint64_t offset;     /* where the archive begins, in the file */
    size_t judged;       /* members that were judged besides those that were read */
    struct buf name;     /* of the record that is looked for */
    uint64_t *told;      /* bytes, of each member that is a storage: what the first id said */
    uint8_t *noted;      /* of each member: what was said of it, and TORCH_NOTED_LOADED */
    uint64_t first_number; /* of its storages */
};

/* Open the directory's archive. *ret is the caller's to torch_archive_done, whatever is returned. */
enum status torch_archive_open(struct torch_work *w, const struct zip_directory *directory,
                               struct torch_archive *ret, struct err *err) MUST_CHECK;
void torch_archive_done(struct torch_archive *a);

/* As PyTorch's reader does it: the text before the first '/' of the first member; at is NULL where
 * there is no '/'. */
struct slice torch_archive_root(const struct zip_directory *directory);

/* Whether the directory has <root>/<name>, for probes. */
bool torch_archive_has(const struct zip_directory *directory, const char *name);

/* Note what lies outside the root. */
enum status torch_archive_check_root(struct torch_archive *a, struct err *err) MUST_CHECK;

/* The member <root>/<folder><key>, or NULL; <folder><key> where there is no root. */
const struct zip_member *torch_archive_find(struct torch_archive *a, const char *folder,
                                            struct slice key);
const struct zip_member *torch_archive_record(struct torch_archive *a, const char *name);

/* A member's name below the root; empty where it lies outside. */
struct slice torch_archive_name(const struct torch_archive *a, const struct zip_member *m);

/* A short text without the white space at its end; empty where it cannot be read, or m is NULL. text
 * has room for TORCH_RECORD_BYTES_MAX and the NUL. */
enum status torch_archive_small(struct torch_archive *a, const struct zip_member *m, char *text,
                                struct err *err) MUST_CHECK;

/* The records version and byteorder. */
enum status torch_archive_check_version(struct torch_archive *a, struct err *err) MUST_CHECK;
enum status torch_archive_read_byteorder(struct torch_archive *a, struct err *err) MUST_CHECK;

/* A torch_reader's locate; context is the archive. */
enum status torch_archive_locate(void *context, struct torch_storage *s,
                                 struct err *err) MUST_CHECK;

/* Where the member's bytes lie in the file, as they are: a storage that is a member. */
enum status torch_archive_place(struct torch_archive *a, const struct zip_member *m,
                                struct place *ret_place, bool *ret_has_bytes,
                                struct err *err) MUST_CHECK;

/* Read and run the pickle in m and judge it in its role. Its values borrow from *ret_payload, which is
 * the caller's to zip_payload_done in any case. */
enum status torch_archive_run(struct torch_archive *a, const struct zip_member *m,
                              enum safety_role role, struct zip_payload *ret_payload,
                              struct pickle *ret_pickle, struct err *err) MUST_CHECK;

/* Judge every member that looks like a pickle, as extra ones of role SAFETY_EXTRA or SAFETY_SCRIPT.
 * what says what a member is, by its name below the root; NULL: none is known. */
enum status torch_archive_judge(struct torch_archive *a, enum safety_role role,
                                enum torch_member (*what)(struct slice name),
                                const struct zip_member *done, struct err *err) MUST_CHECK;

/* If a finding tells why PyTorch 2.13 gives the archive up, let weights_only say so. */
enum status torch_archive_tell_obstacle(struct torch_work *w, struct err *err) MUST_CHECK;

/* An archive that is a member of another: what torch.save made, in a file of torch.export. May not
 * move while it is open. */
struct torch_nested {
    struct source_part part;
    struct zip_payload payload; /* of a compressed one */
    struct slice bytes;
    struct source source;
    struct zip_directory directory;
    struct torch_archive archive;
    struct zip_payload main; /* its data.pkl */
    struct pickle pickle;    /* the same, run and judged; empty where there is none */
};
void torch_nested_done(struct torch_nested *n);

/* Open m, which lies in outer, run its data.pkl and judge all that is in it. What is wrong with it is
 * noted, and *ret_is_open is false where nothing of it can be read. *n must be empty and is the
 * caller's to torch_nested_done in any case. */
enum status torch_nested_open(struct torch_archive *outer, const struct zip_member *m,
                              enum safety_role role, struct torch_nested *n, bool *ret_is_open,
                              struct err *err) MUST_CHECK;
