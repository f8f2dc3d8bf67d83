#pragma once
/*
 * The report: the answer to "does this checkpoint load into that architecture" (design.md §5). Made
 * of an inspection and a manifest without any I/O; common/render prints it.
 *
 *     struct report_options options = {.loader = LOADER_COUNT};
 *
 *     TRY(report_make(inspection, &manifest, &options, &limits, &arena, &report, err));
 *     if (verdict_meets(report.verdict, VERDICT_STRICT)) …
 *
 * All-zero options with loader = LOADER_COUNT ask for the defaults.
 */
#include "common/compat/infer.h"
#include "common/compat/judge.h"
#include "common/compat/verdict.h"

enum { REPORT_LIMIT_DEFAULT = 1000, REPORT_LIMIT_MAX = 100000 };

enum infer_mode {
    INFER_DEFAULT,  /* full; none where a remap is given */
    INFER_FULL,     /* look for any remap, besides the given one */
    INFER_COMPLETE, /* keep the given remap and add to it what it leaves open */
    INFER_NONE,     /* judge exactly what was given */
};

enum dtype_policy {
    DTYPE_POLICY_SAFE,  /* a change of kind lowers the verdict to partial */
    DTYPE_POLICY_ANY,   /* nothing does */
    DTYPE_POLICY_EXACT, /* any difference does */
};

/* Who the checkpoint is, as far as the caller knows: printed, never judged. */
struct report_subject {
    struct slice model;   /* "vision/resnet50" */
    struct slice ref;     /* as asked: "@production" */
    struct slice version; /* its label */
    uint64_t serial;      /* 0: none */
    struct slice digest;  /* "sha256:…" */
    struct slice path;    /* of a file, where there is no model */
};

/* Every option of the HTTP query and of `ckptd compat`. */
struct report_options {
    struct report_subject checkpoint;
    struct slice manifest_name; /* shown instead of the manifest's own; may be empty */
    enum loader loader;         /* LOADER_COUNT: the manifest's, else torch */
    bool has_container;
    struct slice container;    /* what the consumer opens, instead of the loader's */
    const struct remap *remap; /* given by the caller; NULL: none */
    enum infer_mode infer;
    enum dtype_policy dtype;
    struct name_group allow_missing; /* globs; besides the manifest's own */
    struct name_group allow_unexpected;
    struct name_group allow_mismatch;
    bool has_min_coverage; /* else the manifest's, else .5 */
    double min_coverage;
    bool has_required; /* a level: printed in the text form's first line */
    enum verdict required;
    bool wants_mapping;
    size_t limit; /* entries printed of each list; 0: REPORT_LIMIT_DEFAULT */
};

/* Options by their names; false where there is none of that name. */
bool report_infer_find(struct slice name, enum infer_mode *ret_mode);
bool report_dtype_find(struct slice name, enum dtype_policy *ret_policy);

struct coverage {
    double tensors;
    double elements;
};

/* One side of the report: a state and what the loader says to it. */
struct report_side {
    struct state state;
    struct judgement judgement;
    struct coverage coverage;
};

struct report_container {
    struct slice path;
    enum container_kind kind;
    enum verdict verdict;
};

enum allowance { ALLOWED_MISSING, ALLOWED_UNEXPECTED, ALLOWED_MISMATCH };

struct allowed {
    enum allowance kind;
    struct slice key;
    struct slice glob; /* that allowed it */
};

/* Where the tensor of a filled key comes from: names of the checkpoint. */
struct mapping_row {
    struct slice to;
    const struct slice *from;
    size_t from_count;
    struct slice op; /* may be empty */
};

struct text_list {
    const struct slice *texts;
    size_t count;
};

struct report {
    enum verdict verdict;
    enum loader loader;
    bool is_exact;
    struct report_options options;
    const struct manifest *manifest;
    struct slice opened; /* the container that the loader opens */

    struct report_side as_is;
    bool has_remap; /* else after_remap and remap are empty */
    struct report_side after_remap;
    struct remap remap; /* annotated */

    uint64_t discarded_tensors;
    uint64_t discarded_elements;
    struct text_list discarded_subtrees;

    const struct report_container *containers;
    size_t container_count;
    const struct allowed *allowed;
    size_t allowed_count;
    const struct ambiguity *ambiguities;
    size_t ambiguity_count;
    struct text_list contradictions; /* "layer3 has 23 blocks, the manifest expects 6" */
    struct text_list warnings;
    struct text_list advice;
    struct slice summary; /* why, in a few words: "2 shape mismatches" */
    const struct mapping_row *mapping;
    size_t mapping_count;
};

/* Make the report. ERR_BAD_REMAP where the given remap cannot be run over this checkpoint,
 * ERR_BAD_REQUEST where it or the options name a container that the file does not have,
 * ERR_BAD_MANIFEST where the manifest names an unknown loader; ERR_LIMIT, ERR_NO_MEMORY. All results
 * live in the arena; everything given must outlive them. Any number of threads may make reports of
 * one inspection and one manifest. */
enum status report_make(const struct inspection *in, const struct manifest *m,
                        const struct report_options *options, const struct limits *limits,
                        struct arena *arena, struct report *ret_report, struct err *err) MUST_CHECK;
