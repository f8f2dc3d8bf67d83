#pragma once
/* Time: a clock that never goes back, for deadlines; the wall's, for what people and stores see. */
#include <stdint.h>

#include "common/base/buf.h"

/* Milliseconds and microseconds since some start; they never go back. */
uint64_t clock_ms(void);
uint64_t clock_us(void);

/* Microseconds since 1970, UTC. */
int64_t clock_wall_us(void);

/* Append "2026-11-23T15:04:05.123456Z" (RFC 3339, always six digits); and "Mon, 23 Nov 2026 15:04:05
 * GMT", as HTTP's date headers want it (RFC 9110 §5.6.7). */
void clock_rfc3339(struct buf *b, int64_t wall_us);
void clock_http_date(struct buf *b, int64_t wall_us);
