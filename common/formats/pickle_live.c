#include "common/formats/pickle_live.h"

#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/num.h"

enum {
    INDEXES_MAX = 1 << 24, /* that have a bit; any index from here on counts as fetched */
    WORD_BITS = 64,
    WORDS_FIRST = 64,
};

/* What follows an opcode. */
enum shape {
    NO_OPCODE,
    NOTHING,
    BYTES_1,
    BYTES_2,
    BYTES_4,
    BYTES_8,
    LINE,
    TWO_LINES,
    COUNTED_1, /* a length of one byte, then that many */
    COUNTED_4,
    COUNTED_8,
    GET_1, /* the index of a memo entry */
    GET_4,
    GET_LINE,
    END,
};

/* CPython's Lib/pickletools.py. */
static const uint8_t shapes[256] = {
    ['('] = NOTHING,   ['0'] = NOTHING,    ['1'] = NOTHING,    ['2'] = NOTHING,
    ['N'] = NOTHING,   ['Q'] = NOTHING,    ['R'] = NOTHING,    ['a'] = NOTHING,
    ['b'] = NOTHING,   ['d'] = NOTHING,    ['}'] = NOTHING,    ['e'] = NOTHING,
    ['l'] = NOTHING,   [']'] = NOTHING,    ['o'] = NOTHING,    ['s'] = NOTHING,
    ['t'] = NOTHING,   [')'] = NOTHING,    ['u'] = NOTHING,    [0x81] = NOTHING,
    [0x85] = NOTHING,  [0x86] = NOTHING,   [0x87] = NOTHING,   [0x88] = NOTHING,
    [0x89] = NOTHING,  [0x8F] = NOTHING,   [0x90] = NOTHING,   [0x91] = NOTHING,
    [0x92] = NOTHING,  [0x93] = NOTHING,   [0x94] = NOTHING,   [0x97] = NOTHING,
    [0x98] = NOTHING,  ['K'] = BYTES_1,    ['q'] = BYTES_1,    [0x80] = BYTES_1,
    [0x82] = BYTES_1,  ['M'] = BYTES_2,    [0x83] = BYTES_2,   ['J'] = BYTES_4,
    ['r'] = BYTES_4,   [0x84] = BYTES_4,   ['G'] = BYTES_8,    [0x95] = BYTES_8,
    ['I'] = LINE,      ['L'] = LINE,       ['F'] = LINE,       ['S'] = LINE,
    ['V'] = LINE,      ['P'] = LINE,       ['p'] = LINE,       ['c'] = TWO_LINES,
    ['i'] = TWO_LINES, [0x8A] = COUNTED_1, ['U'] = COUNTED_1,  [0x8C] = COUNTED_1,
    ['C'] = COUNTED_1, [0x8B] = COUNTED_4, ['T'] = COUNTED_4,  ['X'] = COUNTED_4,
    ['B'] = COUNTED_4, [0x8D] = COUNTED_8, [0x8E] = COUNTED_8, [0x96] = COUNTED_8,
    ['h'] = GET_1,     ['j'] = GET_4,      ['g'] = GET_LINE,   ['.'] = END,
};

void
pickle_live_done(struct pickle_live *live)
{
    mem_free(live->words);
    *live = (struct pickle_live){0};
}

bool
pickle_live_has(const struct pickle_live *live, uint32_t index)
{
    size_t word = index / WORD_BITS;

    if (index >= INDEXES_MAX)
        return true;
    return word < live->count && (live->words[word] >> index % WORD_BITS & 1U) != 0;
}

static enum status
mark(struct pickle_live *live, uint64_t index, struct err *err)
{
    size_t word = (size_t)(index / WORD_BITS);
    size_t count = live->count == 0 ? WORDS_FIRST : live->count;
    uint64_t *words;

    if (index >= INDEXES_MAX)
        return OK;
    while (count <= word)
        count *= 2;
    if (count > live->count) {
        words = mem_resize(live->words, count, sizeof *words);
        FAIL_IF(words == NULL, err, NO_MEMORY, 0, "out of memory");
        memset(words + live->count, 0, (count - live->count) * sizeof *words);
        live->words = words;
        live->count = count;
    }
    live->words[word] |= UINT64_C(1) << index % WORD_BITS;
    return OK;
}

/* A number of that many bytes, little-endian. */
static bool
take_number(struct cursor *c, size_t bytes, uint64_t *ret_number)
{
    const uint8_t *at;

    *ret_number = 0;
    if (cursor_left(c) < bytes)
        return false;
    at = c->at;
    c->at += bytes;
    for (size_t i = 0; i < bytes; i++)
        *ret_number |= (uint64_t)at[i] << 8 * i;
    return true;
}

static bool
take_line(struct cursor *c, struct slice *ret_line)
{
    size_t left = cursor_left(c);
    const uint8_t *newline = left == 0 ? NULL : memchr(c->at, '\n', left);

    if (newline == NULL)
        return false;
    *ret_line = (struct slice){(const char *)c->at, (size_t)(newline - c->at)};
    c->at = newline + 1;
    return true;
}

static bool
skip(struct cursor *c, uint64_t length)
{
    if (length > cursor_left(c))
        return false;
    if (length > 0)
        c->at += length;
    return true;
}

/* Pass over one opcode's argument. False: the machine ends here, too. *ret_gets: it fetches *ret_index. */
static bool
pass(struct cursor *c, enum shape shape, bool *ret_gets, uint64_t *ret_index)
{
    struct slice line;
    uint64_t length;

    *ret_gets = shape == GET_1 || shape == GET_4 || shape == GET_LINE;
    switch (shape) {
    case NO_OPCODE:
    case END:
        return false;
    case NOTHING:
        return true;
    case BYTES_1:
        return skip(c, 1);
    case BYTES_2:
        return skip(c, 2);
    case BYTES_4:
        return skip(c, 4);
    case BYTES_8:
        return skip(c, 8);
    case LINE:
        return take_line(c, &line);
    case TWO_LINES:
        return take_line(c, &line) && take_line(c, &line);
    case COUNTED_1:
        return take_number(c, 1, &length) && skip(c, length);
    case COUNTED_4:
        return take_number(c, 4, &length) && skip(c, length);
    case COUNTED_8:
        return take_number(c, 8, &length) && skip(c, length);
    case GET_1:
        return take_number(c, 1, ret_index);
    case GET_4:
        return take_number(c, 4, ret_index);
    case GET_LINE:
        return take_line(c, &line) && num_parse_u64(line, ret_index);
    }
    return false;
}

enum status
pickle_live_scan(struct slice bytes, struct pickle_live *ret_live, struct err *err)
{
    struct cursor c = cursor_over(bytes.at, bytes.length, 0);
    uint64_t opcode, index = 0;
    bool gets;

    while (take_number(&c, 1, &opcode) && pass(&c, (enum shape)shapes[opcode], &gets, &index))
        if (gets)
            TRY(mark(ret_live, index, err));
    return OK;
}
