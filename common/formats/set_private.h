#pragma once
/*
 * What the files set*.c share: the set on its way, and its parts ("units"): one file, or several that
 * make one state dict.
 */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/formats/set.h"

struct set_unit {
    struct slice name;      /* what its containers stand under */
    struct inspection read; /* its arena is empty: the set's holds everything */
};

/* A file that no format reads, and why. */
struct set_other {
    size_t file;
    enum status status;
    struct err why;
};

/* A JSON value to be kept in the set's metadata under a file's name. */
struct set_remark {
    struct slice name;
    struct slice json;
};

struct set {
    const struct fileset *files;
    const struct limits *limits;
    struct inspection *in;
    bool *is_taken;     /* of each file: it is dealt with */
    bool *is_used;      /* of each file: a reader of another one opened it */
    bool is_joining;    /* shards are read, of which it need not be told that they are some */
    struct map paths;   /* of the files, to their numbers */
    struct vec units;   /* struct set_unit */
    struct vec others;  /* struct set_other */
    struct vec remarks; /* struct set_remark */
    struct vec needs;   /* struct slice: of weights_only */
    bool has_pickle, is_refused;
    struct slice refusal;
    size_t steps_left; /* comparisons of chunks */
    struct err first;  /* why the first file that is no checkpoint is none */
};

struct slice set_path(const struct set *s, size_t file);

/* The file of that path, or SIZE_MAX. */
size_t set_find(const struct set *s, struct slice path);

/* Read one file by itself into *ret_read, whose places then name the set's files. Its findings,
 * safety and weights_only are the set's already, also where it fails. */
enum status set_read_file(struct set *s, size_t file, struct inspection *ret_read,
                          struct err *err) MUST_CHECK;

/* Whether a failure is the file's, so that the others can be read all the same. */
bool set_is_local(enum status status);

enum status set_note(struct set *s, enum finding_id id, struct slice subject, struct err *err,
                     const char *message, ...) MUST_CHECK __attribute__((format(printf, 5, 6)));
void set_at_least(struct set *s, enum safety level);

/* Take over what a part's own inspection noted, each message with the path before it. */
enum status set_absorb(struct set *s, const struct inspection *read, struct slice path,
                       struct err *err) MUST_CHECK;

enum status set_add_unit(struct set *s, struct slice name, const struct inspection *read,
                         struct err *err) MUST_CHECK;
enum status set_add_remark(struct set *s, struct slice name, struct slice json,
                           struct err *err) MUST_CHECK;

/* Make the inspection of the units: paths, the default, format, metadata, weights_only. */
enum status set_finish(struct set *s, struct err *err) MUST_CHECK;

/* ---- set_index.c: JSON files ---- */

/* If the file is an index, read its shards as a unit, and the file is taken. If it is a JSON file of a
 * known name (config.json …), keep what it says, and it is taken too. */
enum status set_read_json(struct set *s, size_t file, struct err *err) MUST_CHECK;

/* ---- set_join.c: shards ---- */

struct set_shard {
    struct slice path; /* in the set; as the index or the other shards' names tell it */
    size_t file;       /* SIZE_MAX: it is not there */
    bool is_refused;   /* its path is none that may be opened */
    uint32_t number;   /* for messages: "shard 3 of 5" */
    bool is_read;
    struct inspection read;
    size_t container; /* index in read */
};

/* One row of an index: a tensor, and the shard that has it. */
struct set_row {
    struct slice name;
    uint32_t shard;
};

struct set_join {
    struct slice name;       /* of the unit */
    struct slice index_path; /* empty: there is no index */
    struct vec shards;       /* struct set_shard */
    struct vec rows;         /* struct set_row, of the index */
    struct map by_name;      /* the rows, by their tensors' names */
    uint32_t missing;        /* shards that are not in the list at all */
    bool has_total_size;
    uint64_t total_size;
    bool is_chunked; /* torch.distributed.checkpoint's: ranks wrote chunks of tensors */
};

void set_join_done(struct set_join *j);
enum status set_join_begin(struct set *s, struct set_join *j, struct err *err) MUST_CHECK;

/* Read the shards and make one unit of them. */
enum status set_join_read(struct set *s, struct set_join *j, struct err *err) MUST_CHECK;

/* ---- set_chunks.c ---- */

struct builder;

/* Put the chunks of a chunked join's shards together, into the builder. *ret_is_odd: some tensors are
 * not whole, and findings say so. */
enum status set_chunks_join(struct set *s, const struct set_join *j, struct builder *builder,
                            bool *ret_is_odd, struct err *err) MUST_CHECK;
