#pragma once
/*
 * Lifetimes. A local that owns something is declared with CLEANUP(its done function) and is released
 * when it goes out of scope; TAKE hands it over. All-zero is a valid empty value of every struct, and
 * every *_done and *_free accepts it.
 */
#include <stddef.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* The pointer's value; the variable itself becomes NULL, so that its cleanup has nothing to do. */
#define TAKE(pointer) \
    __extension__({ \
        __typeof__(pointer) take_value_ = (pointer); \
        (pointer) = NULL; \
        take_value_; \
    })

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
