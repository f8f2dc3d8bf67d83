#pragma once
/*
 * Makes allocations fail, for tests that link ckptd_test_heap: mem.h's calloc and realloc go through
 * here. Without a call to heap_fail_after nothing differs.
 */
#include <stddef.h>

/* The allocations after the next successes fail, until heap_heal. */
void heap_fail_after(size_t successes);
void heap_heal(void);
