#pragma once
/*
 * An inspection as JSON: what `ckptd inspect --json` prints and a version's `inspection` is
 * (design.md §7).
 */
#include "common/base/json_writer.h"
#include "common/structure/fingerprint.h"
#include "common/structure/inspection.h"

/* The whole object. The tensors are the default container's. ERR_LIMIT, ERR_NO_MEMORY. */
enum status inspection_json(struct buf *out, const struct inspection *in, bool with_tensors,
                            unsigned indent, const struct limits *limits,
                            struct err *err) MUST_CHECK;

/* Its parts, each one or more members of an object that is open. */
void inspection_json_containers(struct json_writer *w, const struct inspection *in);
void inspection_json_tensors(struct json_writer *w, const struct container *c);
void inspection_json_totals(struct json_writer *w, const struct structure *s);
void inspection_json_fingerprints(struct json_writer *w, const struct fingerprints *f);
void inspection_json_safety(struct json_writer *w, const struct inspection *in);
void inspection_json_finding(struct json_writer *w, const struct finding *f); /* one element */

/* One tensor, an element of a list: its place in the structure tells its facts and placement. */
void inspection_json_tensor(struct json_writer *w, const struct container *c, size_t index);
