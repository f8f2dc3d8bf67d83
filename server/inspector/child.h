#pragma once
/*
 * The child: one file set, one answer, then the end.
 */

#include "server/inspector/sandbox.h"

/* Serve the job on the socket and end the process. */
_Noreturn void child_main(int socket, const struct sandbox *sandbox);
