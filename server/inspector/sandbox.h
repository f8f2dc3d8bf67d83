#pragma once
/*
 * What a child gives up before it sees a byte: memory, time, files, core dumps, new privileges.
 */
#include <stddef.h>

#include "common/base/err.h"

struct sandbox {
    size_t memory_bytes; /* 0: no limit */
    unsigned cpu_seconds;
};

/* For the calling process, for good. ERR_INTERNAL where a limit cannot be set: then nothing may be
 * read. */
enum status sandbox_enter(const struct sandbox *sandbox, struct err *err) MUST_CHECK;

/* In words, for people. */
const char *sandbox_describe(void);
