#pragma once
/*
 * What an inspector found in a file set (design.md §7). A reader fills one; the record format below
 * takes it from the inspector's process to the daemon, which trusts none of it and decodes it with
 * the same checks as any other input.
 */
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/structure/structure.h"

/* Bumped when a reader finds more or other things than before: inspections are kept per revision. */
enum { INSPECTION_REVISION = 2 };

enum container_kind {
    CONTAINER_WEIGHTS,
    CONTAINER_EMA,
    CONTAINER_ADAPTER,
    CONTAINER_QUANTIZED,
    CONTAINER_OPTIMIZER,
    CONTAINER_FRAGMENT, /* of a sharded or ranked save */
    CONTAINER_MODULE,   /* a whole pickled nn.Module */
    CONTAINER_OUTER,    /* the file's top where it is a dict without tensors: kept, because a loader
                           opens it and finds its entries; not listed to people */
    CONTAINER_KIND_COUNT
};

/* A state dict and the path at which it was found: "" is the top, "state_dict", "models.0.ema" … */
struct container {
    struct slice path;
    enum container_kind kind;
    struct structure structure;
    struct facts facts;
    struct placement placement;
};

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR, SEVERITY_COUNT };

enum finding_id {
#define FINDING(code, id, severity) FINDING_##code,
#include "common/structure/finding_table.h"
#undef FINDING
    FINDING_COUNT
};

struct finding {
    enum finding_id id;
    struct slice subject; /* the global, the member, the tensor it is about; may be empty */
    struct slice message; /* a sentence for a person */
    bool is_vouched;      /* the site vouches for the subject (vouched.h): an information, then */
};

/* Worst last, so that the worst is the largest. */
enum safety { SAFETY_CLEAN, SAFETY_UNLISTED, SAFETY_MALFORMED, SAFETY_DANGEROUS, SAFETY_COUNT };

/* Whether torch.load(weights_only=True) takes the file. */
struct weights_only {
    bool applies; /* false: no pickle in it (safetensors …) */
    bool loads;
    const struct slice *needs; /* globals to hand to add_safe_globals, "module.name", ascending */
    size_t need_count;
    struct slice reason; /* why it can never load, whatever globals are added; or empty */
};

struct inspection {
    struct arena arena;  /* owns all that follows */
    struct slice format; /* "torch-zip" */
    struct container *containers;
    size_t container_count;
    size_t default_container; /* index; SIZE_MAX: no weights were found */
    struct slice metadata;    /* a JSON object, or empty */
    struct finding *findings;
    size_t finding_count;
    size_t findings_dropped; /* beyond the limit */
    enum safety safety;
    struct weights_only weights_only;

    /* Between the readers of one set; not part of the record. */
    struct slice path; /* of the file that is read, in its set; borrowed; may be empty */
    struct slice part; /* a JSON object: which part of a larger save it is; or empty */
};

void inspection_done(struct inspection *in);

/* Add a finding: message is a printf format; subject is copied. Past limits->findings it is only
 * counted. */
enum status inspection_note(struct inspection *in, const struct limits *limits, enum finding_id id,
                            struct slice subject, struct err *err, const char *message,
                            ...) MUST_CHECK __attribute__((format(printf, 6, 7)));

/* The container with that path, or NULL; "" finds the top. */
const struct container *inspection_container(const struct inspection *in, struct slice path);
const struct container *inspection_default(const struct inspection *in); /* or NULL */

const char *container_kind_name(enum container_kind kind);
const char *severity_name(enum severity severity);
const char *safety_name(enum safety safety);
const char *finding_name(enum finding_id id);
enum severity finding_severity(enum finding_id id);
enum severity finding_level(const struct finding *finding); /* of this one */

/* By their names; the _COUNT value where there is none. */
enum container_kind container_kind_find(struct slice name);
enum safety safety_find(struct slice name);
enum finding_id finding_find(struct slice name);
