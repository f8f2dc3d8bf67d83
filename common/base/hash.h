#pragma once
/*
 * SHA-256, the only digest of this project (FIPS 180-4), by OpenSSL's libcrypto. One struct hash
 * belongs to one thread at a time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

enum {
    DIGEST_BYTES = 32,
    DIGEST_HEX = 64, /* characters, without a terminator */
};

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* Lower-case hex, NUL-terminated. */
struct digest_text {
    char hex[DIGEST_HEX + 1];
};

struct hash {
    void *context; /* NULL when all-zero; libcrypto's */
};

enum status hash_begin(struct hash *h, struct err *err) MUST_CHECK;
void hash_add(struct hash *h, const void *bytes, size_t length);
struct digest hash_end(struct hash *h); /* h may be begun again */
void hash_done(struct hash *h);

/* Of one run of bytes. */
enum status hash_bytes(const void *bytes, size_t length, struct digest *ret_digest,
                       struct err *err) MUST_CHECK;

struct digest_text digest_text(const struct digest *d);
bool digest_parse(struct slice hex, struct digest *ret_digest); /* 64 lower-case hex digits */
bool digest_equal(const struct digest *a, const struct digest *b);
