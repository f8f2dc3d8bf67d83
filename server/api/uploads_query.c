/* What the query and the headers of an upload say. */
#include "common/base/attr.h"
#include "common/base/json_writer.h"
#include "common/base/utf8.h"
#include "server/api/uploads.h"

enum { KEY_BYTES_MAX = 64 };

static int
base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c == '\0' ? NULL : strchr(digits, c);

    return found == NULL ? -1 : (int)(found - digits);
}

/* 32 bytes are 43 digits and one '='. */
static bool
parse_base64(struct slice text, struct digest *ret_digest)
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t at = 0;

    if (text.length != 44 || text.at[43] != '=')
        return false;
    for (size_t i = 0; i < 43; i++) {
        int value = base64_value(text.at[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            ret_digest->bytes[at++] = (uint8_t)(bits >> count);
        }
    }
    return at == DIGEST_BYTES && (bits & ((1U << count) - 1)) == 0;
}

static struct slice
trim(struct slice s)
{
    while (s.length > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = slice_from(s, 1);
    while (s.length > 0 && (s.at[s.length - 1] == ' ' || s.at[s.length - 1] == '\t'))
        s.length--;
    return s;
}

enum status
uploads_parse_repr_digest(struct slice header, struct digest *ret_digest, bool *ret_found,
                          struct err *err)
{
    *ret_found = false;
    while (header.at != NULL) {
        struct slice value = trim(slice_cut(&header, ','));
        struct slice name = slice_cut(&value, '=');

        if (!slice_is(name, "sha-256"))
            continue;
        FAIL_IF(value.length < 2 || value.at[0] != ':' || value.at[value.length - 1] != ':' ||
                    !parse_base64(slice_part(value, 1, value.length - 2), ret_digest),
                err, BAD_REQUEST, 0,
                "Repr-Digest must read sha-256=:<44 characters of base64>: (RFC 9530)");
        *ret_found = true;
    }
    return OK;
}

static bool
is_key(struct slice key)
{
    if (key.length == 0 || key.length > KEY_BYTES_MAX)
        return false;
    for (size_t i = 0; i < key.length; i++) {
        char c = key.at[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!is_word && (i == 0 || strchr("._-", c) == NULL))
            return false;
    }
    return true;
}

enum status
uploads_add_pair(struct uploading *u, struct arena *arena, struct slice key, struct slice value,
                 struct err *err)
{
    CLEANUP(buf_done) struct buf json = buf_with_cap((size_t)8 * UPLOAD_VALUE_BYTES_MAX);
    struct version_pair *pair;

    FAIL_IF(!is_key(key), err, BAD_REQUEST, 0,
            "a metadata key has 1 to %d of [A-Za-z0-9._-] and begins with a letter or digit",
            KEY_BYTES_MAX);
    FAIL_IF(value.length > UPLOAD_VALUE_BYTES_MAX, err, BAD_REQUEST, 0,
            "the value of meta.%.*s has %zu bytes; the limit is %d", SLICE_PRINT(key), value.length,
            UPLOAD_VALUE_BYTES_MAX);
    FAIL_IF(!utf8_is_valid(value), err, BAD_REQUEST, 0, "the value of meta.%.*s is not UTF-8",
            SLICE_PRINT(key));
    for (size_t i = 0; i < u->new.metadata_count; i++)
        FAIL_IF(slice_equal(u->pairs[i].key, key), err, BAD_REQUEST, 0, "meta.%.*s is given twice",
                SLICE_PRINT(key));
    FAIL_IF(u->new.metadata_count == UPLOAD_PAIRS_MAX, err, BAD_REQUEST, 0,
            "more than %d metadata keys", UPLOAD_PAIRS_MAX);
    json_quote(&json, value);
    TRY(buf_check(&json, err));
    pair = &u->pairs[u->new.metadata_count];
    TRY(arena_copy(arena, key, &pair->key, err));
    TRY(arena_copy(arena, buf_slice_of(&json), &pair->json, err));
    u->new.metadata = u->pairs;
    u->new.metadata_count++;
    return OK;
}

enum status
uploads_parse_metadata(const struct request *r, struct uploading *u, struct err *err)
{
    struct slice prefix = slice_of("meta.");

    for (size_t i = 0; i < r->query_count; i++)
        if (slice_starts(r->query[i].name, prefix))
            TRY(uploads_add_pair(u, r->arena, slice_from(r->query[i].name, prefix.length),
                                 r->query[i].value, err));
    return OK;
}
