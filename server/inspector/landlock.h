#pragma once
/*
 * Landlock, Linux's sandbox for those without privileges: a process gives up, for good, whatever it
 * handles and has no rule for. Here there is never a rule, so nothing can be opened, made, removed or
 * run by any path (ABI 1), no TCP port bound or reached (ABI 4), and neither a signal nor a connection
 * to an abstract UNIX socket leaves for a process outside (ABI 6). What is open stays usable.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* The newest version that is known here. */
enum { LANDLOCK_ABI_MAX = 7 };

/* Make the set of rules once, for any number of processes to enter: a descriptor, the caller's. False
 * where the kernel has no Landlock or it is not switched on. *ret_abi is what is made use of. */
bool landlock_make(int *ret_ruleset, uint32_t *ret_abi);

/* For the calling process, which must have set no_new_privs. ERR_INTERNAL. */
enum status landlock_enter(int ruleset, struct err *err) MUST_CHECK;
