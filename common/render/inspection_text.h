#pragma once
/*
 * An inspection for a person at a terminal: what it is, whether it is safe to load, what is in it.
 * Text from the file goes through utf8_clean.
 */
#include "common/base/buf.h"
#include "common/structure/inspection.h"

/* All of it; the tensors one a line if wanted. Failures are the buffer's. */
void inspection_text(struct buf *out, const struct inspection *in, bool with_tensors);

/* Safety and findings alone. */
void inspection_text_safety(struct buf *out, const struct inspection *in);

/* A number of bytes in binary units, "97.7 MiB"; a count with thousands apart, "25 610 205". */
void inspection_text_bytes(struct buf *out, uint64_t bytes);
void inspection_text_count(struct buf *out, uint64_t count);
