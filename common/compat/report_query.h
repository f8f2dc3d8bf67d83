#pragma once
/*
 * The options of a report by the names and texts that people write: the HTTP query's parameters and,
 * with dashes, the command line's flags, so that both say the same.
 *
 *   loader container infer require dtype min_coverage limit
 *   allow_missing allow_unexpected allow_mismatch   (may be repeated)
 *   include=mapping
 */
#include "common/compat/report.h"

/* The defaults. */
struct report_options report_query_begin(void);

/* Set one option. ERR_BAD_REQUEST names it and what it may be; value is copied to the arena. A name
 * that is none of the above is a defect of the caller's: ERR_INTERNAL. */
enum status report_query_set(struct report_options *o, struct slice name, struct slice value,
                             struct arena *arena, struct err *err) MUST_CHECK;
