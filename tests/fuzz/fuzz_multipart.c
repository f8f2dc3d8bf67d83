/*
 * Any bytes as a multipart body. The first byte says how large the pieces are; whole or in pieces, the
 * events are the same, or the same refusal comes.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "server/http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAP = 1 << 24, PARTS_MAX = 100 };

static enum status
read_in_pieces(struct slice body, size_t piece_bytes, struct buf *out)
{
    CLEANUP(multipart_done) struct multipart m = {0};
    uint64_t content = 0;

    TRY(multipart_init(&m, slice_of("multipart/form-data; boundary=B"), PARTS_MAX, NULL));
    while (body.length > 0) {
        size_t length = body.length < piece_bytes ? body.length : piece_bytes;
        struct slice piece = slice_part(body, 0, length);

        body = slice_from(body, length);
        while (piece.length > 0) {
            enum multipart_event event;
            struct slice bytes;

            TRY(multipart_next(&m, &piece, &event, &bytes, NULL));
            if (event == MULTIPART_DATA) {
                buf_slice(out, bytes);
                content += bytes.length;
                if (bytes.length == 0)
                    abort();
            } else if (event != MULTIPART_NEED)
                buf_printf(out, "<%d %.*s %.*s %.*s>", (int)event, SLICE_PRINT(m.part.name),
                           SLICE_PRINT(m.part.filename), SLICE_PRINT(m.part.media_type));
        }
    }
    if (content > m.offset)
        abort();
    return multipart_finish(&m, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_done) struct buf whole = buf_with_cap(CAP);
    CLEANUP(buf_done) struct buf pieces = buf_with_cap(CAP);
    struct slice body;

    if (size < 2)
        return 0;
    body = (struct slice){.at = (const char *)data + 1, .length = size - 1};
    if (read_in_pieces(body, body.length, &whole) !=
        read_in_pieces(body, data[0] % 7 + 1U, &pieces))
        abort();
    if (!slice_equal(buf_slice_of(&whole), buf_slice_of(&pieces)))
        abort();
    return 0;
}
