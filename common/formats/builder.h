#pragma once
/*
 * A builder collects the tensors of one state dict as its reader meets them, in the file's order, and
 * makes structure, facts and placement of them: sorted, counted, aliases found, every limit kept.
 */
#include "common/base/vec.h"
#include "common/structure/inspection.h"

struct builder {
    struct inspection *in;
    const struct limits *limits;
    struct vec tensors;  /* struct built_tensor */
    struct vec entries;  /* struct entry */
    struct vec versions; /* struct module_version */
    bool has_metadata;
};

/* A tensor on its way. name, shape and strides must live in the inspection's arena. */
struct built_tensor {
    struct tensor tensor; /* elements and bytes are the builder's to fill */
    enum layout layout;
    struct place place;
    uint64_t storage; /* tensors with an equal number share a storage; 0: none known */
    uint32_t order;   /* the builder's */
};

void builder_begin(struct builder *b, struct inspection *in, const struct limits *limits);
void builder_done(struct builder *b);

/* Add. ERR_LIMIT for too many, too long a name, too high a rank; ERR_MALFORMED where the shape
 * overflows. A name that was there before is replaced at its first place, as a Python dict does, with
 * a finding. */
enum status builder_tensor(struct builder *b, const struct built_tensor *t,
                           struct err *err) MUST_CHECK;
enum status builder_entry(struct builder *b, const struct entry *e, struct err *err) MUST_CHECK;
enum status builder_version(struct builder *b, const struct module_version *v,
                            struct err *err) MUST_CHECK;

/* Make a container of it, appended to the inspection's; the builder is empty then. */
enum status builder_finish(struct builder *b, struct slice path, enum container_kind kind,
                           struct err *err) MUST_CHECK;
