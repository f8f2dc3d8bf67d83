#pragma once
/*
 * An attempt: one container, one remap, and what the loader says to what comes of them.
 */
#include "common/compat/weigh.h"

struct attempt {
    const struct container *container; /* NULL: the file does not have the one that is opened */
    size_t container_at;
    bool is_as_is;
    bool is_given;          /* the caller's remap */
    struct remap remap;     /* annotated */
    struct remapped result; /* sources is NULL where there are no passes */
    struct judgement judgement;
    struct weighed weighed;
    bool
        is_explained; /* contradictions were looked for: only where they may decide, or are shown */
    struct text_list contradictions;
    enum verdict verdict;
    size_t rule_count;
};

/* The container as it is, without any remap. */
enum status attempt_as_is(const struct question *q, const struct inspection *in,
                          struct attempt *ret_attempt, struct err *err) MUST_CHECK;

/* The container at an index, taken through a remap of any number of passes, which may be none. */
enum status attempt_remap(const struct question *q, const struct inspection *in, size_t container,
                          const struct remap *remap, struct attempt *ret_attempt,
                          struct err *err) MUST_CHECK;

/* Look for contradictions, where that was not done yet. */
enum status attempt_explain(const struct question *q, struct attempt *a,
                            struct err *err) MUST_CHECK;

/* Whether a is to be reported rather than b: verdict, coverage, rules, the loader's order of
 * containers, plain before EMA. */
bool attempt_is_better(const struct question *q, const struct inspection *in,
                       const struct attempt *a, const struct attempt *b);

/* Index of the container with that path; SIZE_MAX: none. */
size_t attempt_container(const struct inspection *in, struct slice path);
