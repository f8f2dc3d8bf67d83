#pragma once
/*
 * A case of tests/cases/compat: a manifest, a state described in JSON, and what PyTorch's
 * load_state_dict said to the two. tests/interop/pairs.py writes them.
 *
 *   {"name": "…", "loader": "torch", "manifest": {…},
 *    "state": {"metadata": {"bn": {"version": 2}} or null,
 *              "keys": {"w": {"dtype": "float32", "shape": [3], "layout": "strided"},
 *                       "epoch": {"entry": "int", "type": "int"}}},
 *    "torch": {"strict": false, "non_strict": true, "missing": […], "unexpected": […],
 *              "shape_mismatch": […], "not_a_tensor": […], "errors": […], "direct": null}}
 *
 * "direct" is an exception that is none of load_state_dict's own: the lists are not known then. A list
 * that is null is not known either.
 */
#include "common/base/json.h"
#include "common/compat/judge.h"

struct compat_answer {
    bool strict, non_strict;
    bool has_lists; /* missing and unexpected are known */
    bool is_direct;
    struct name_group missing, unexpected, shape_mismatch, not_a_tensor;
    struct name_group errors; /* the keys that further messages name */
};

struct compat_case {
    struct slice name;
    enum loader loader;
    struct slice manifest_text;
    struct manifest manifest;
    struct state state;
    struct compat_answer torch;
};

/* Read the case that the tokenizer stands before. */
enum status compat_case_read(struct json *j, const struct limits *limits, struct arena *arena,
                             struct compat_case *ret_case, struct err *err) MUST_CHECK;

/* Our own answer to it, in the same terms. */
enum status compat_case_judge(const struct compat_case *c, struct arena *arena,
                              struct judgement *ret_judgement, struct compat_answer *ret_answer,
                              struct err *err) MUST_CHECK;

/* Whether two lists hold the same names, in any order. */
bool compat_case_same(const struct name_group *a, const struct name_group *b);
