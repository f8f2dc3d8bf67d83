#pragma once
/*
 * A GGUF file as its reader walks it: numbers of either byte order, texts, and the keys with their
 * values, which become the inspection's metadata. Everything up to the tensors' bytes is one stream;
 * `at` only moves forward.
 */
#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/formats/builder.h"
#include "common/formats/window.h"

struct gguf {
    struct inspection *in;
    const struct limits *limits;
    struct window window;
    uint64_t at; /* in the file */

    uint32_t version;
    bool is_big_endian;
    uint64_t tensor_count, key_count; /* as the header tells */
    uint64_t keys_read;

    /* What the keys told. */
    uint32_t alignment; /* 0: it cannot be one, and no tensor can be located */
    bool has_architecture, is_adapter;
    uint64_t split_number, split_count, split_tensors;

    struct map keys;     /* those seen */
    struct buf metadata; /* a JSON object, still open */
    struct buf value;    /* one key's, as JSON */
    bool is_full;        /* a value did not fit into metadata: arrays are summed up from here on */

    struct builder builder;
};

enum status gguf_u32(struct gguf *g, uint32_t *ret_value, struct err *err) MUST_CHECK;
enum status gguf_u64(struct gguf *g, uint64_t *ret_value, struct err *err) MUST_CHECK;

/* A count, a length or a dimension: 32 bits in version 1, 64 since. */
enum status gguf_size(struct gguf *g, uint64_t *ret_value, struct err *err) MUST_CHECK;

/* Lent until the next read. ERR_MALFORMED where it is longer than most_bytes; what names it for the
 * message. */
enum status gguf_text(struct gguf *g, uint64_t most_bytes, const char *what, struct slice *ret_text,
                      struct err *err) MUST_CHECK;

/* Read all keys. An error stops at the key that it is about; the metadata of those before is kept. */
enum status gguf_keys(struct gguf *g, struct err *err) MUST_CHECK;

/* Note what breaks the format's rules: then the file is malformed. */
enum status gguf_malformed(struct gguf *g, enum finding_id id, struct slice subject,
                           struct err *err, const char *message) MUST_CHECK;
