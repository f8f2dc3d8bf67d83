#pragma once
/*
 * Names and refs (design.md §1): what a model, a label, an alias may be called, and how a request
 * names a version.
 */
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/slice.h"

enum {
    REF_PART_MAX = 96, /* of a namespace, a model, an alias */
    REF_LABEL_MAX = 128,
    REF_PATH_MAX = 512, /* of a file in a version */
};

enum ref_kind {
    REF_LABEL,  /* epoch-90 */
    REF_ALIAS,  /* @production */
    REF_SERIAL, /* v7 */
    REF_DIGEST, /* sha256:<hex>: the version's, or its only file's */
};

struct ref {
    enum ref_kind kind;
    struct slice text; /* the label, or the alias without '@'; borrowed */
    uint64_t serial;
    struct digest digest;
};

/* ERR_BAD_NAME, with the rule that is broken; what says what it is: "namespace", "model", "alias". */
enum status ref_check_part(const char *what, struct slice name, struct err *err) MUST_CHECK;
enum status ref_check_label(struct slice label, struct err *err) MUST_CHECK;

/* A file's path within a version: segments of [A-Za-z0-9._+=@,-] joined by '/', none of them "." or
 * ".." or empty. */
enum status ref_check_path(struct slice path, struct err *err) MUST_CHECK;

enum status ref_parse(struct slice text, struct ref *ret_ref, struct err *err) MUST_CHECK;
