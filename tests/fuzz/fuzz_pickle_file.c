/* Any bytes as a file that is a bare pickle; where they have no PROTO, with one. */
#include "tests/support/fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_done) struct buf made = buf_with_cap(FUZZ_CAP);

    if (size > 0 && data[0] == 0xff) {
        buf_add(&made, "\x80\4", 2);
        data++;
        size--;
    }
    buf_add(&made, data, size);
    fuzz_inspect(buf_slice_of(&made));
    return 0;
}
