#pragma once
/*
 * What a colleague would say: the report's summary, warnings and advice.
 */
#include "common/compat/attempt.h"

/* Fill summary, warnings and advice of a report that is complete otherwise. shown is the side that
 * decided. */
enum status advise(const struct question *q, const struct inspection *in,
                   const struct attempt *shown, struct report *r, struct err *err) MUST_CHECK;
