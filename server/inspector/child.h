#pragma once
/*
 * The child: one file set, one answer, then the end.
 */

/* Serve the job on the socket and end the process. */
_Noreturn void child_main(int socket);
