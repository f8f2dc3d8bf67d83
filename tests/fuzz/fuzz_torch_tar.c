/*
 * Any bytes as a tar archive, each block at a multiple of 512 that names a checksum given the right one;
 * or, where they begin with a letter, as one member of an archive whose others are sound: p is the
 * pickle, s are the storages, t the tensors.
 */
#include "common/formats/tar.h"
#include "tests/support/fuzz_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_AT = 124, SIZE_LENGTH = 11, SUM_AT = 148, SUM_LENGTH = 8, BLOCKS_MAX = 64 };

static const char pickle[] = "\x80\2}X\1\0\0\0wX\2\0\0\00021Qs.";
static const char storages[] = "\x80\2K\1."
                               "\x80\2K\013X\3\0\0\0cpuctorch\nFloatStorage\n\x87."
                               "\2\0\0\0\0\0\0\00012345678"
                               "\x80\2].";
static const char tensors[] = "\x80\2K\1."
                              "\x80\2K\025K\013ctorch\nFloatTensor\n\x87."
                              "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
                              "\0\0\0\0\0\0\0";

static void
sum_up(char *block)
{
    unsigned sum = 0;
    char text[32];

    memset(block + SUM_AT, ' ', SUM_LENGTH);
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += (uint8_t)block[i];
    (void)snprintf(text, sizeof text, "%06o", sum);
    memcpy(block + SUM_AT, text, SUM_LENGTH - 1);
}

static void
add_member(struct buf *out, const char *name, struct slice content)
{
    static const char zeros[TAR_BLOCK_BYTES];
    char header[TAR_BLOCK_BYTES] = {0}, size[32];

    (void)snprintf(header, 100, "%s", name);
    (void)snprintf(size, sizeof size, "%011zo", content.length);
    memcpy(header + SIZE_AT, size, SIZE_LENGTH);
    sum_up(header);
    buf_add(out, header, sizeof header);
    buf_slice(out, content);
    buf_add(out, zeros, (TAR_BLOCK_BYTES - content.length % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES);
}

static struct slice
choose(char letter, char own, struct slice given, const char *sound, size_t length)
{
    return letter == own ? given : (struct slice){sound, length};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_done) struct buf made = buf_with_cap(FUZZ_CAP);
    char letter = size > 0 ? (char)data[0] : '\0';
    struct slice rest = {(const char *)data + 1, size > 0 ? size - 1 : 0};

    if (letter == 'p' || letter == 's' || letter == 't') {
        add_member(&made, "pickle", choose(letter, 'p', rest, pickle, sizeof pickle - 1));
        add_member(&made, "storages", choose(letter, 's', rest, storages, sizeof storages - 1));
        add_member(&made, "tensors", choose(letter, 't', rest, tensors, sizeof tensors));
    } else {
        buf_add(&made, data, size);
        for (size_t i = 0; i + TAR_BLOCK_BYTES <= made.length && i < BLOCKS_MAX * TAR_BLOCK_BYTES;
             i += TAR_BLOCK_BYTES) {
            if (made.bytes[i + SUM_AT] == '0')
                sum_up(made.bytes + i);
        }
    }
    fuzz_inspect(buf_slice_of(&made));
    return 0;
}
