#pragma once
/*
 * The only door to the heap: everything that is not in an arena is allocated here, so that sizes are
 * checked in one place and a test can make any allocation fail.
 */
#include <stddef.h>

#include "common/base/err.h"

/* count zeroed objects of size bytes; NULL where there is no memory or the product overflows. */
void *mem_new(size_t count, size_t size) __attribute__((malloc));

/* A NUL-terminated copy of length bytes; NULL where there is no memory. */
char *mem_copy(const void *bytes, size_t length) __attribute__((malloc));

/* As realloc for count objects of size bytes, overflow checked; NULL leaves the old block as it is. */
void *mem_resize(void *block, size_t count, size_t size) MUST_CHECK;

/* Free; NULL is fine. */
void mem_free(void *block);

/* For CLEANUP on any pointer variable: pass the variable's address. */
void mem_free_at(void *pointer_address);

/* For a process that reads one file: what is freed goes back to the system at once, where the heap would
 * keep it as soon as it has seen a few large blocks come and go. */
void mem_keep_little(void);

/* Return what was freed to the system; called after large jobs. */
void mem_trim(void);
