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

struct name_group {
    const struct slice *names;
    size_t count;
};

/* torch.nn.utils.spectral_norm on one parameter: its load hook upgrades old files. */
struct spectral_norm {
    struct slice name; /* "weight" */
    uint32_t dim;      /* the dimension that the matrix's rows are */
};

/* A row of "modules": a module whose version is not 1, or that has a load hook of its own, extra
 * state, a parametrization, lazy parameters.
 *
 *   {"type": "torch.nn.BatchNorm2d", "version": 2}
 *   {"type": "my.Norm", "base": "torch.nn.InstanceNorm2d", "track_running_stats": false}
 *   {"type": "torch.nn.Conv2d", "weight_norm": ["weight"]}            (the parametrization's hook)
 *   {"type": "torch.nn.Conv2d", "spectral_norm": {"weight": 0}}       (the old hook; name: dim)
 *   {"type": "my.Head", "custom_load": true, "hooks": ["my.Head._load_from_state_dict"]}
 *   {"type": null}                          (registered as None: all keys below are passed over)
 */
struct manifest_module {
    struct slice path; /* "" is the root */
    struct slice type; /* "torch.nn.BatchNorm2d" */
    struct slice base; /* the class of torch whose load rule it has, where type itself has none */
    bool is_none;      /* registered as None */
    bool has_version;
    int64_t version;
    bool is_lazy;
    bool custom_load; /* overrides _load_from_state_dict or has pre-hooks that are not known */
    bool post_hook;   /* a hook that may edit what is missing and unexpected in the whole model */
    bool says_stats;  /* track_running_stats is said */
    bool track_running_stats;
    struct name_group weight_norm; /* parameters under torch's parametrization of that name */
    const struct spectral_norm *spectral;
    size_t spectral_count;
    struct name_group hooks; /* what custom_load stands for, to be named to people */
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

/* Parse a text of any accepted form. ERR_BAD_JSON where it is no JSON or YAML at all or holds a key
 * twice, ERR_BAD_MANIFEST where it is well-formed but says something that cannot be (the message
 * names the key and what belongs there), ERR_LIMIT, ERR_NO_MEMORY. text must outlive the manifest. */
enum status manifest_parse(struct slice text, const struct limits *limits, struct arena *arena,
                           struct manifest *ret_manifest, struct err *err) MUST_CHECK;

/* What the checkpoint itself would expect: its tensors and extra state, no modules. c must outlive the
 * manifest. */
enum status manifest_of_container(const struct container *c, struct arena *arena,
                                  struct manifest *ret_manifest, struct err *err) MUST_CHECK;

/* Print as ckptd/manifest/1: sorted, a tensor a line. */
void manifest_print(struct buf *out, const struct manifest *m);

/* Find by name or path; NULL if there is none. */
const struct expected *manifest_find(const struct manifest *m, struct slice name);
const struct manifest_module *manifest_module_find(const struct manifest *m, struct slice path);
