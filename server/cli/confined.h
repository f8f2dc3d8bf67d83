#pragma once
/*
 * Readers on the command line: the files are opened by this process, and read by one that can do
 * nothing else, as in the daemon (server/inspector/inspector.h). What it answers is checked anew here.
 */
#include "server/inspector/inspector.h"

/*
 * For inspector_run and inspector_run_set; inspector_free ends it. Whatever layer of the sandbox the
 * system lacks is done without: there are always limits of memory and time. It is a fork of this
 * process, which must be of one thread yet. May raise the number of descriptors that may be open, up
 * to what the user may have. ERR_NO_MEMORY, ERR_INTERNAL.
 */
enum status confined_start(const struct limits *limits, struct inspector **ret_inspector,
                           struct err *err) MUST_CHECK;

/* For CLEANUP. */
void confined_done(struct inspector **inspector);
