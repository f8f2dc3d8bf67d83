#include "common/base/hash.h"

#include <openssl/evp.h>
#include <string.h>

enum status
hash_begin(struct hash *h, struct err *err)
{
    if (h->context == NULL)
        h->context = EVP_MD_CTX_new();
    FAIL_IF(h->context == NULL, err, NO_MEMORY, 0, "out of memory");
    FAIL_IF(EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) != 1, err, INTERNAL, 0,
            "libcrypto has no SHA-256");
    return OK;
}

void
hash_add(struct hash *h, const void *bytes, size_t length)
{
    /* Cannot fail for an initialised SHA-256 context. */
    if (length > 0)
        (void)EVP_DigestUpdate(h->context, bytes, length);
}

struct digest
hash_end(struct hash *h)
{
    struct digest d = {0};

    (void)EVP_DigestFinal_ex(h->context, d.bytes, NULL);
    return d;
}

void
hash_done(struct hash *h)
{
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->context);
    h->context = NULL;
}

enum status
hash_bytes(const void *bytes, size_t length, struct digest *ret_digest, struct err *err)
{
    FAIL_IF(EVP_Digest(bytes, length, ret_digest->bytes, NULL, EVP_sha256(), NULL) != 1, err,
            INTERNAL, 0, "libcrypto has no SHA-256");
    return OK;
}

struct digest_text
digest_text(const struct digest *d)
{
    static const char digits[] = "0123456789abcdef";
    struct digest_text text = {0};

    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        text.hex[2 * i] = digits[d->bytes[i] >> 4];
        text.hex[2 * i + 1] = digits[d->bytes[i] & 15];
    }
    return text;
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool
digest_parse(struct slice hex, struct digest *ret_digest)
{
    struct digest d = {0};

    if (hex.length != DIGEST_HEX)
        return false;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(hex.at[2 * i]), low = hex_value(hex.at[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        d.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_digest = d;
    return true;
}

bool
digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}
