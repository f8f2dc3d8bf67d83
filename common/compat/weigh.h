#pragma once
/*
 * Weighing: what a judgement is worth under the question's own terms (what is allowed to be missing,
 * to be too much, to differ; the dtype policy; the coverage asked for).
 */
#include "common/compat/report.h"

/* The question, its defaults resolved. */
struct question {
    const struct manifest *manifest;
    const struct report_options *options;
    const struct limits *limits;
    struct arena *arena;
    enum loader loader;
    struct slice opened; /* the container that the consumer opens */
    double min_coverage;
    struct name_group allow_missing, allow_unexpected, allow_mismatch; /* all globs that hold */
};

/* What stands in the way, without what is allowed. */
struct weighed {
    size_t missing, unexpected, shapes, dtypes, not_tensors, errors;
    bool is_unknown;
    bool strict;
    bool non_strict;
    struct coverage coverage;
};

/* ERR_BAD_MANIFEST where the manifest names a loader that there is not; ERR_LIMIT, ERR_NO_MEMORY. */
enum status question_make(const struct manifest *m, const struct report_options *options,
                          const struct limits *limits, struct arena *arena,
                          struct question *ret_question, struct err *err) MUST_CHECK;

enum status weigh(const struct question *q, const struct state *s, const struct judgement *j,
                  struct weighed *ret_weighed, struct err *err) MUST_CHECK;

/* The level of one side by itself: strict, non_strict, partial, incompatible or unknown. */
enum verdict weigh_level(const struct question *q, const struct weighed *w, bool is_contradicted);

/* What was allowed, and by which glob. */
enum status weigh_allowed(const struct question *q, const struct judgement *j,
                          const struct allowed **ret_allowed, size_t *ret_count,
                          struct err *err) MUST_CHECK;
