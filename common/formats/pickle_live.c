#include "common/formats/pickle_live.h"

#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/pickle_shape.h"

enum {
    INDEXES_MAX = 1 << 24, /* that have a bit; any index from here on counts as fetched */
    WORD_BITS = 64,
    WORDS_FIRST = 64,
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
pass(struct cursor *c, enum pickle_shape shape, bool *ret_gets, uint64_t *ret_index)
{
    struct slice line;
    uint64_t length;

    *ret_gets = shape == PICKLE_GET_1 || shape == PICKLE_GET_4 || shape == PICKLE_GET_LINE;
    switch (shape) {
    case PICKLE_NO_OPCODE:
    case PICKLE_END:
        return false;
    case PICKLE_NOTHING:
        return true;
    case PICKLE_BYTES_1:
        return skip(c, 1);
    case PICKLE_BYTES_2:
        return skip(c, 2);
    case PICKLE_BYTES_4:
        return skip(c, 4);
    case PICKLE_BYTES_8:
        return skip(c, 8);
    case PICKLE_LINE:
        return take_line(c, &line);
    case PICKLE_TWO_LINES:
        return take_line(c, &line) && take_line(c, &line);
    case PICKLE_COUNTED_1:
        return take_number(c, 1, &length) && skip(c, length);
    case PICKLE_COUNTED_4:
        return take_number(c, 4, &length) && skip(c, length);
    case PICKLE_COUNTED_8:
        return take_number(c, 8, &length) && skip(c, length);
    case PICKLE_GET_1:
        return take_number(c, 1, ret_index);
    case PICKLE_GET_4:
        return take_number(c, 4, ret_index);
    case PICKLE_GET_LINE:
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

    while (take_number(&c, 1, &opcode) && pass(&c, pickle_shape_of((uint8_t)opcode), &gets, &index))
        if (gets)
            TRY(mark(ret_live, index, err));
    return OK;
}
