/*
 * Any bytes as a stream of torch.save's old format; or, where they do not begin like a pickle, as what
 * follows the three pickles that every such stream begins with.
 */
#include "tests/support/fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char head[] = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                           "\x80\2M\xe9\3."
                           "\x80\2}.";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_done) struct buf made = buf_with_cap(FUZZ_CAP);

    if (size == 0 || data[0] != 0x80)
        buf_add(&made, head, sizeof head - 1);
    buf_add(&made, data, size);
    fuzz_inspect(buf_slice_of(&made));
    return 0;
}
