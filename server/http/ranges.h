#pragma once
/* Range requests and entity tags (RFC 9110 §13, §14). Pure. */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

enum range {
    RANGE_WHOLE, /* no Range, another unit, several ranges, or malformed: send all, with 200 */
    RANGE_PART,
    RANGE_UNSATISFIABLE,
};

/* "bytes=0-99", "bytes=100-", "bytes=-5" of a representation of size bytes. */
enum range range_parse(struct slice header, uint64_t size, uint64_t *ret_offset,
                       uint64_t *ret_length);

/* Is the quoted tag in the header's list, "*" included? Weak comparison where is_weak: W/ is then
 * looked over. A malformed list holds nothing. */
bool etag_listed(struct slice header, struct slice quoted, bool is_weak);
