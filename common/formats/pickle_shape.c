#include "common/formats/pickle_shape.h"

/* CPython's Lib/pickletools.py. */
static const uint8_t shapes[256] = {
    ['('] = PICKLE_NOTHING,    ['0'] = PICKLE_NOTHING,    ['1'] = PICKLE_NOTHING,
    ['2'] = PICKLE_NOTHING,    ['N'] = PICKLE_NOTHING,    ['Q'] = PICKLE_NOTHING,
    ['R'] = PICKLE_NOTHING,    ['a'] = PICKLE_NOTHING,    ['b'] = PICKLE_NOTHING,
    ['d'] = PICKLE_NOTHING,    ['}'] = PICKLE_NOTHING,    ['e'] = PICKLE_NOTHING,
    ['l'] = PICKLE_NOTHING,    [']'] = PICKLE_NOTHING,    ['o'] = PICKLE_NOTHING,
    ['s'] = PICKLE_NOTHING,    ['t'] = PICKLE_NOTHING,    [')'] = PICKLE_NOTHING,
    ['u'] = PICKLE_NOTHING,    [0x81] = PICKLE_NOTHING,   [0x85] = PICKLE_NOTHING,
    [0x86] = PICKLE_NOTHING,   [0x87] = PICKLE_NOTHING,   [0x88] = PICKLE_NOTHING,
    [0x89] = PICKLE_NOTHING,   [0x8F] = PICKLE_NOTHING,   [0x90] = PICKLE_NOTHING,
    [0x91] = PICKLE_NOTHING,   [0x92] = PICKLE_NOTHING,   [0x93] = PICKLE_NOTHING,
    [0x94] = PICKLE_NOTHING,   [0x97] = PICKLE_NOTHING,   [0x98] = PICKLE_NOTHING,
    ['K'] = PICKLE_BYTES_1,    ['q'] = PICKLE_BYTES_1,    [0x80] = PICKLE_BYTES_1,
    [0x82] = PICKLE_BYTES_1,   ['M'] = PICKLE_BYTES_2,    [0x83] = PICKLE_BYTES_2,
    ['J'] = PICKLE_BYTES_4,    ['r'] = PICKLE_BYTES_4,    [0x84] = PICKLE_BYTES_4,
    ['G'] = PICKLE_BYTES_8,    [0x95] = PICKLE_BYTES_8,   ['I'] = PICKLE_LINE,
    ['L'] = PICKLE_LINE,       ['F'] = PICKLE_LINE,       ['S'] = PICKLE_LINE,
    ['V'] = PICKLE_LINE,       ['P'] = PICKLE_LINE,       ['p'] = PICKLE_LINE,
    ['c'] = PICKLE_TWO_LINES,  ['i'] = PICKLE_TWO_LINES,  [0x8A] = PICKLE_COUNTED_1,
    ['U'] = PICKLE_COUNTED_1,  [0x8C] = PICKLE_COUNTED_1, ['C'] = PICKLE_COUNTED_1,
    [0x8B] = PICKLE_COUNTED_4, ['T'] = PICKLE_COUNTED_4,  ['X'] = PICKLE_COUNTED_4,
    ['B'] = PICKLE_COUNTED_4,  [0x8D] = PICKLE_COUNTED_8, [0x8E] = PICKLE_COUNTED_8,
    [0x96] = PICKLE_COUNTED_8, ['h'] = PICKLE_GET_1,      ['j'] = PICKLE_GET_4,
    ['g'] = PICKLE_GET_LINE,   ['.'] = PICKLE_END,
};

enum pickle_shape
pickle_shape_of(uint8_t opcode)
{
    return (enum pickle_shape)shapes[opcode];
}
