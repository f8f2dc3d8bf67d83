/*
 * Any bytes as a torch.save archive; or, where they do not begin like a zip, as the data.pkl of one,
 * which gets the search past checks that only an archive's writer would meet.
 */
#include "tests/support/fuzz_format.h"
#include "tests/support/zip_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_done) struct buf made = buf_with_cap(FUZZ_CAP);
    struct slice bytes = {(const char *)data, size};
    const struct made_member members[] = {
        {.name = "a/data.pkl", .bytes = bytes.at, .length = size},
        {.name = "a/data/0", .bytes = "0123456789abcdefghijklmn"},
        {.name = "a/data/1", .bytes = "0123"},
        {.name = "a/version", .bytes = "3\n"},
    };

    if (!slice_starts(bytes, slice_of("PK")) && size > 0) {
        made_zip(&made, members, ARRAY_LENGTH(members), (struct made_end){0});
        bytes = buf_slice_of(&made);
    }
    fuzz_inspect(bytes);
    return 0;
}
