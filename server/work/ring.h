#pragma once
/*
 * A ring carries bytes from one thread to one other within bounded memory. It knows no lock: its
 * owner holds one around every call here, but may copy into or out of a span without it, for the
 * other side never touches such a span. When the ring runs empty it begins anew at its first byte,
 * so that a slow stream touches only its first pages.
 */
#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct ring {
    char *bytes;
    size_t capacity;
    size_t start; /* of what is held */
    size_t held;  /* bytes */
};

enum status ring_init(struct ring *r, size_t capacity, struct err *err) MUST_CHECK;
void ring_done(struct ring *r);

/* Where the next bytes may be written, and how many in one run; 0 = full. Then say how many were. */
size_t ring_room(struct ring *r, char **ret_at);
void ring_wrote(struct ring *r, size_t length);

/* The oldest bytes in one run. Then say how many of them are done with. */
struct slice ring_held(const struct ring *r);
void ring_read(struct ring *r, size_t length);
