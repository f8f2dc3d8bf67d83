#pragma once
/*
 * The wire format of Protocol Buffers, read field by field through a window: a message is a span of
 * the source, and what a field holds is read only where it is asked for. So a message of a gigabyte
 * costs what its tags cost. The rules are those of the common parsers (upb, C++): tags and lengths of
 * at most five bytes, varints of ten, no field number 0, groups that end with their own number.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/limits.h"
#include "common/formats/window.h"

enum protobuf_wire {
    PROTOBUF_VARINT = 0,
    PROTOBUF_I64 = 1,
    PROTOBUF_BYTES = 2, /* a text, a message, or numbers packed */
    PROTOBUF_GROUP = 3,
    PROTOBUF_GROUP_END = 4, /* never lent */
    PROTOBUF_I32 = 5,
};

/* A run of the source's bytes; protobuf_next makes it shorter from its start. */
struct protobuf_span {
    uint64_t offset;
    uint64_t length;
};

struct protobuf_field {
    uint32_t number;
    enum protobuf_wire wire;
    uint64_t value;             /* of VARINT, I64 and I32 */
    struct protobuf_span bytes; /* of BYTES; of a GROUP, up to the end of its last tag */
};

struct protobuf {
    struct window window;
    uint64_t fields_left; /* that may still be read of the source */
    uint64_t fields_limit;
};

/* Over a source, which must outlive it. */
struct protobuf protobuf_over(const struct source *source, const struct limits *limits);
void protobuf_done(struct protobuf *p);

/* The next field of a message, of which *left is what is left. Groups are passed over whole.
 * ERR_MALFORMED, ERR_LIMIT for too many fields; ERR_TRUNCATED where the message ends within the field,
 * and then bytes of a BYTES field are those that are there. */
enum status protobuf_next(struct protobuf *p, struct protobuf_span *left,
                          struct protobuf_field *ret_field, bool *ret_is_end,
                          struct err *err) MUST_CHECK;

/* The next number of a packed field of varints. */
enum status protobuf_varint(struct protobuf *p, struct protobuf_span *left, uint64_t *ret_value,
                            struct err *err) MUST_CHECK;

/* Lend the first bytes of a span, at most cap of them; they live until the next call. */
enum status protobuf_peek(struct protobuf *p, struct protobuf_span span, size_t cap,
                          struct slice *ret_bytes, struct err *err) MUST_CHECK;
