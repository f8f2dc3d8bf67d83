#pragma once
/*
 * The binary form of inspections and their parts: what an inspector's process answers, and what the
 * store keeps. Little-endian; lists are counted by a u32, texts by a u32 length; each part begins
 * with a byte for its kind and one for its version.
 *
 * Decoding trusts nothing: counts are held against the bytes left before anything is allocated, order
 * and uniqueness of names are checked, sums recomputed, enums held against their ranges, indexes
 * against their lists, JSON is parsed. Errors are ERR_TRUNCATED, ERR_MALFORMED, ERR_LIMIT,
 * ERR_NO_MEMORY. What is decoded is copied into the arena, so the bytes may go.
 */
#include "common/base/buf.h"
#include "common/structure/inspection.h"

void record_add_structure(struct buf *out, const struct structure *s);
enum status record_read_structure(struct slice bytes, const struct limits *limits,
                                  struct arena *arena, struct structure *ret_structure,
                                  struct err *err) MUST_CHECK;

/* Facts speak of a structure, which must be given again. */
void record_add_facts(struct buf *out, const struct facts *f, const struct structure *s);
enum status record_read_facts(struct slice bytes, const struct structure *s,
                              const struct limits *limits, struct arena *arena,
                              struct facts *ret_facts, struct err *err) MUST_CHECK;

void record_add_placement(struct buf *out, const struct placement *p, const struct structure *s);
enum status record_read_placement(struct slice bytes, const struct structure *s,
                                  const struct limits *limits, struct arena *arena,
                                  struct placement *ret_placement, struct err *err) MUST_CHECK;

/* The whole of it. ret must be empty; on any outcome it is the caller's to inspection_done. */
void record_add_inspection(struct buf *out, const struct inspection *in);
enum status record_read_inspection(struct slice bytes, const struct limits *limits,
                                   struct inspection *ret, struct err *err) MUST_CHECK;
