#pragma once
/*
 * What the pickles of a file set would do to whoever loads them (design.md §7), and whether
 * torch.load(weights_only=True) would. One judgement for a file set: begin, add each pickle that was
 * run, end. Findings go to the inspection as they are met.
 */
#include "common/base/vec.h"
#include "common/formats/pickle.h"
#include "common/structure/inspection.h"

/* Who would run the pickle. */
enum safety_role {
    SAFETY_MAIN,   /* torch.load does: it decides weights_only */
    SAFETY_LEGACY, /* so, of the format before zips */
    SAFETY_SCRIPT, /* torch.jit.load does: its classes are the archive's own, not Python's */
    SAFETY_EXTRA,  /* another member, which a loader may open: only the safety counts */
};

struct safety_judge {
    struct inspection *in;
    const struct limits *limits;
    struct pickle_budget *budget;
    enum safety level;
    struct vec needs; /* struct slice: globals for add_safe_globals */
    struct vec named; /* struct slice: globals that have their finding */
    size_t nested_bytes_left;
    bool has_main;
    struct slice refusal; /* why no add_safe_globals helps; the first reason */
};

/* in, limits and budget are borrowed until safety_done. */
void safety_begin(struct safety_judge *s, struct inspection *in, const struct limits *limits,
                  struct pickle_budget *budget);
void safety_done(struct safety_judge *s);

/* Judge a pickle that was run, and the pickles in it. member names it in the findings: "data.pkl".
 * Bytes after its end are remarked: where other things follow by right, cut p->bytes at p->end first. */
enum status safety_add(struct safety_judge *s, const struct pickle *p, struct slice member,
                       enum safety_role role, struct err *err) MUST_CHECK;

/* The container's own reason why weights_only refuses: a TorchScript archive, a tar, a storage that is
 * missing. Then weights_only applies, pickle or not. */
enum status safety_refuse(struct safety_judge *s, struct err *err, const char *reason,
                          ...) MUST_CHECK __attribute__((format(printf, 3, 4)));

/* The safety cannot be better than this. */
void safety_at_least(struct safety_judge *s, enum safety level);

/* Write safety and weights_only to the inspection. */
enum status safety_end(struct safety_judge *s, struct err *err) MUST_CHECK;
