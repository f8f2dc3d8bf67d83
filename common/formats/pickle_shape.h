#pragma once
/*
 * How long each opcode of the pickle language is, for those who pass over a pickle without running it.
 */
#include <stdint.h>

/* What follows an opcode. */
enum pickle_shape {
    PICKLE_NO_OPCODE,
    PICKLE_NOTHING,
    PICKLE_BYTES_1,
    PICKLE_BYTES_2,
    PICKLE_BYTES_4,
    PICKLE_BYTES_8,
    PICKLE_LINE,
    PICKLE_TWO_LINES,
    PICKLE_COUNTED_1, /* a length of one byte, then that many */
    PICKLE_COUNTED_4,
    PICKLE_COUNTED_8,
    PICKLE_GET_1, /* the index of a memo entry */
    PICKLE_GET_4,
    PICKLE_GET_LINE,
    PICKLE_END,
};

enum pickle_shape pickle_shape_of(uint8_t opcode);
