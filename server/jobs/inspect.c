/* The job kind "inspect": its key is a file set's digest. Every version that has those bytes settles
 * with what was found. */
#include "common/base/attr.h"
#include "server/jobs/jobs.h"
#include "server/store/inspection_store.h"
#include "server/store/version_store.h"

/* The set's files. */
struct set {
    const struct jobs_config *config;
    struct version_file *files;
    size_t count;
};

/* A set of one is known by its bytes alone, whatever they are called: so its name must say nothing of
 * shards that are not there. */
static struct slice
file_path(void *context, size_t i)
{
    const struct set *set = context;

    return set->count == 1 ? (struct slice){0} : set->files[i].path;
}

static enum status
open_file(void *context, size_t i, int *ret_fd, struct err *err)
{
    const struct set *set = context;
    struct err why = {0};
    uint64_t size;
    enum status status =
        blobs_open_file(set->config->blobs, &set->files[i].digest, ret_fd, &size, &why);

    /* Not the same as a version that is gone: its bytes are. */
    FAIL_IF(status == ERR_NOT_FOUND, err, INTERNAL, 0, "the bytes of %.*s are gone",
            SLICE_PRINT(set->files[i].path));
    err_copy(err, &why);
    return status;
}

static enum status
parse_key(const struct job *job, struct digest *ret_fileset, struct err *err)
{
    FAIL_IF(!digest_parse(job->key, ret_fileset), err, INTERNAL, 0,
            "job %lld has a key that is no digest", (long long)job->id);
    return OK;
}

static enum status
record(const struct jobs_config *config, const struct job *job, struct inspection_outcome *outcome,
       struct err *err)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(config->limits.arena_bytes);
    struct inspection_recorded recorded = {0};

    outcome->revision = INSPECTION_REVISION;
    outcome->job_id = job->id;
    outcome->job_fence = job->fence;
    TRY(inspection_store_record(config->store, outcome, &config->limits, &arena, &recorded, err));
    for (size_t i = 0; i < recorded.settled; i++) {
        LOG(config->log, LOG_INFO, "inspected",
            LOG_U64("version", (uint64_t)recorded.versions[i].id),
            LOG_TEXT("state", version_state_name(recorded.versions[i].state)));
        if (config->settled != NULL)
            config->settled(config->context, recorded.versions[i].id);
    }
    return OK;
}

/* Whether the file itself is to blame, so that another try would end the same. */
static bool
is_final(enum status status)
{
    return status == ERR_TRUNCATED || status == ERR_MALFORMED || status == ERR_UNSUPPORTED ||
           status == ERR_UNRECOGNIZED || status == ERR_LIMIT;
}

/* What no reader takes is found to be just that. */
static enum status
note_unreadable(struct inspection *found, const struct limits *limits, const struct err *why,
                struct err *err)
{
    inspection_done(found);
    *found = (struct inspection){.arena = arena_with_cap(limits->arena_bytes),
                                 .default_container = SIZE_MAX,
                                 .safety = SAFETY_MALFORMED};
    return inspection_note(found, limits, FINDING_UNREADABLE, (struct slice){0}, err, "%s",
                           why->text);
}

enum status
job_inspect(const struct jobs_config *config, const struct job *job, struct err *err)
{
    CLEANUP(arena_done) struct arena arena = arena_with_cap(config->limits.arena_bytes);
    struct set files = {.config = config};
    struct inspector_set set = {.path = file_path, .open = open_file, .context = &files};
    CLEANUP(inspection_done) struct inspection found = {0};
    struct inspection_outcome outcome = {0};
    struct err why = {0};
    enum status status;

    TRY(parse_key(job, &outcome.fileset, err));
    status = version_store_fileset(config->store, &outcome.fileset, &arena, &files.files,
                                   &files.count, &why);
    set.count = files.count;
    if (status == ERR_NOT_FOUND) /* its versions were deleted meanwhile */
        return job_store_finish(config->store, job->id, job->fence, err);
    if (status == OK)
        status = inspector_run_set(config->inspector, &set, &found, &why);
    if (status != OK && !is_final(status)) {
        err_copy(err, &why);
        return status;
    }
    if (status != OK)
        TRY(note_unreadable(&found, &config->limits, &why, err));
    outcome.failure = status;
    outcome.failure_text = slice_of(why.text);
    outcome.found = &found;
    return record(config, job, &outcome, err);
}

enum status
job_inspect_give_up(const struct jobs_config *config, const struct job *job, const struct err *why,
                    struct err *err)
{
    CLEANUP(inspection_done)
    struct inspection found = {.arena = arena_with_cap(config->limits.arena_bytes),
                               .default_container = SIZE_MAX,
                               .safety = SAFETY_MALFORMED};
    struct inspection_outcome outcome = {.failure = why->code};

    TRY(parse_key(job, &outcome.fileset, err));
    TRY(inspection_note(&found, &config->limits, FINDING_INSPECTOR_FAILED, (struct slice){0}, err,
                        "after %u attempts: %s", job->attempts, why->text));
    outcome.found = &found;
    outcome.failure_text = slice_of(why->text);
    return record(config, job, &outcome, err);
}
