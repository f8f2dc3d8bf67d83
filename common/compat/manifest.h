#pragma once
/*
 * A manifest tells what an architecture expects (design.md §5). All of these are taken, and made one
 * struct manifest:
 *
 *   ckptd/manifest/1        the schema, JSON or YAML
 *   {name: [dims]}          bare, JSON or YAML; a dimension may be null = any
 *   safetensors header      {name: {"dtype", "shape", "data_offsets"}}
 *   a container             of any inspected checkpoint
 *
 * It lives in an arena of the caller's and is read-only once parsed.
 */
#include "common/base/hash.h"
#include "common/structure/inspection.h"

/* A dimension that may be anything. */
#define MANIFEST_ANY_DIM UINT64_MAX

enum expected_kind { EXPECTED_UNSAID, EXPECTED_PARAMETER, EXPECTED_BUFFER };

struct expected {
    struct slice name;
    bool has_shape;     /* false: any (a lazy parameter, "shape": null) */
    struct shape shape; /* dims may be MANIFEST_ANY_DIM */
    enum dtype dtype;   /* DTYPE_UNKNOWN: not said */
    enum expected_kind kind;
};

/* A row of "modules": a module whose version is not 1, or that has a load hook of its own, extra
 * state, a parametrization, lazy parameters. */
struct manifest_module {
    struct slice path; /* "" is the root */
    struct slice type; /* "torch.nn.BatchNorm2d" */
    bool has_version;
    int64_t version;
    bool custom_load; /* overrides _load_from_state_dict or has pre-hooks that are not known */
    struct slice raw; /* the row's JSON: rules of one class read further members from it */
};

struct name_group {
    const struct slice *names;
    size_t count;
};

struct expectations {
    struct name_group allow_missing; /* globs */
    struct name_group allow_unexpected;
    struct name_group allow_mismatch;
    bool has_min_coverage;
    double min_coverage; /* 0 … 1 */
};

struct manifest {
    struct slice name;
    const struct expected *tensors; /* ascending by name */
    size_t count;
    bool has_modules;                      /* said, if only as an empty list: the answer is exact */
    const struct manifest_module *modules; /* ascending by path */
    size_t module_count;
    const struct name_group *tied;
    size_t tied_count;
    struct name_group optional;    /* globs */
    struct name_group extra_state; /* keys, ascending */
    struct slice loader;           /* "" = not said */
    bool has_container;
    struct slice container;
    struct expectations expect;
    struct slice source;  /* JSON as given; no part of the digest */
    struct digest digest; /* of the canonical form, without name and source */
};

/* Parse a text of any accepted form. ERR_BAD_JSON where it is no JSON or YAML at all, ERR_BAD_MANIFEST
 * where it is, but says something that cannot be, ERR_LIMIT, ERR_NO_MEMORY. text must outlive the
 * manifest. */
enum status manifest_parse(struct slice text, const struct limits *limits, struct arena *arena,
                           struct manifest *ret_manifest, struct err *err) MUST_CHECK;

/* What the checkpoint itself would expect: its tensors, no modules. c must outlive the manifest. */
enum status manifest_of_container(const struct container *c, struct arena *arena,
                                  struct manifest *ret_manifest, struct err *err) MUST_CHECK;

/* Print as ckptd/manifest/1: sorted, a tensor a line. */
void manifest_print(struct buf *out, const struct manifest *m);

/* Find by name or path; NULL if there is none. */
const struct expected *manifest_find(const struct manifest *m, struct slice name);
const struct manifest_module *manifest_module_find(const struct manifest *m, struct slice path);
