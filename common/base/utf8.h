#pragma once
/*
 * UTF-8 (RFC 3629). Names from files are hostile: they are shown to people and terminals only
 * through utf8_clean.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

/* Bytes of the well-formed sequence at the slice's start, its code point in *ret_code; 0 if there is
 * none (overlong, surrogate, beyond U+10FFFF, cut off). */
size_t utf8_next(struct slice s, uint32_t *ret_code);

bool utf8_is_valid(struct slice s);

/* Whether a character moves the cursor, hides, or turns text round: C0, DEL, C1, bidi controls,
 * zero-width characters, tags. */
bool utf8_is_unseemly(uint32_t code);

/* Append one code point; anything that is not one becomes U+FFFD. */
void utf8_add(struct buf *b, uint32_t code);

/* Append the text as a person or a terminal may see it: unseemly characters become
 * \u{N}, bytes that are not UTF-8 \xNN. */
void utf8_clean(struct buf *b, struct slice s);
