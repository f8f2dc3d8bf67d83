#pragma once
/*
 * Inspections, kept once for each set of file digests and reader revision, however many versions have
 * those bytes.
 */
#include "common/base/arena.h"
#include "common/base/hash.h"
#include "common/structure/inspection.h"
#include "server/store/job_store.h"
#include "server/store/structure_store.h"
#include "server/store/version_store.h"

/* What became of a claimed job "inspect". */
struct inspection_outcome {
    struct digest fileset;
    uint32_t revision;              /* INSPECTION_REVISION */
    const struct inspection *found; /* may be partial when failed; NULL: nothing at all */
    enum status failure;            /* OK: the versions become ready; else failed with this … */
    struct slice failure_text;      /* … and this sentence */
    int64_t job_id;                 /* and its fence; job_id 0: no job stands behind it */
    int64_t job_fence;
};

struct inspection_recorded {
    int64_t inspection_id;
    size_t settled;                  /* versions that became ready or failed */
    struct version_commit *versions; /* them: id, model_id, serial, label, state, digest */
};

/* Design.md §3 step 7, one transaction: inspection, containers, structures, facts, placements,
 * findings; the versions that wait for these bytes settle; wished aliases move; events; the job ends.
 * Fingerprints and records are made before, on the caller's thread. ERR_CONFLICT: the job is no
 * longer this worker's, and nothing was changed. */
enum status inspection_store_record(struct store *store, const struct inspection_outcome *outcome,
                                    const struct limits *limits, struct arena *arena,
                                    struct inspection_recorded *ret_recorded,
                                    struct err *err) MUST_CHECK;

struct container_row {
    int64_t id; /* its placement goes by it */
    struct slice path;
    enum container_kind kind;
    int64_t structure_id;
    int64_t facts_id;
    uint64_t tensors;
    uint64_t elements; /* saturated at INT64_MAX, as bytes is */
    uint64_t bytes;
    struct fingerprints fingerprints;
};

/* As struct inspection, with rows where that has structures. */
struct inspection_row {
    int64_t id;
    struct digest fileset;
    uint32_t revision;
    struct slice format; /* empty: none was recognised */
    struct container_row *containers;
    size_t container_count;
    size_t default_container; /* index; SIZE_MAX: no weights were found */
    struct slice metadata;    /* a JSON object, or empty */
    struct finding *findings;
    size_t finding_count;
    size_t findings_dropped;
    enum safety safety;
    struct weights_only weights_only;
    int64_t created_at_us;
};

/* ERR_NOT_FOUND. */
enum status inspection_store_get(struct store *store, int64_t id, struct arena *arena,
                                 struct inspection_row *ret_inspection, struct err *err) MUST_CHECK;
