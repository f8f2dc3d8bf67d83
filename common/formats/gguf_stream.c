#include "common/formats/gguf_stream.h"

#include <stdio.h>

#include "common/base/json_writer.h"
#include "common/base/num.h"
#include "common/base/utf8.h"

enum {
    KEY_BYTES_MAX = 65535,    /* the specification's */
    TEXT_BYTES_MAX = 8 << 10, /* of a value kept as a text */
    ITEMS_MAX = 64,       /* of an array kept whole: vocabularies are longer, settings are not */
    NESTED_MAX = 8,       /* arrays within arrays; ggml takes none, its Python package does */
    FLOAT_DIGITS_MAX = 9, /* that tell any float32 */
    ARRAY_BYTES_LEAST = 4 + 4, /* of an array within an array */
};

enum value_type {
    VALUE_U8,
    VALUE_I8,
    VALUE_U16,
    VALUE_I16,
    VALUE_U32,
    VALUE_I32,
    VALUE_F32,
    VALUE_BOOL,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_U64,
    VALUE_I64,
    VALUE_F64,
    VALUE_COUNT
};

static const struct {
    const char *name;
    uint8_t bytes;
    bool is_signed;
} types[VALUE_COUNT] = {
    [VALUE_U8] = {"uint8", 1, false},    [VALUE_I8] = {"int8", 1, true},
    [VALUE_U16] = {"uint16", 2, false},  [VALUE_I16] = {"int16", 2, true},
    [VALUE_U32] = {"uint32", 4, false},  [VALUE_I32] = {"int32", 4, true},
    [VALUE_F32] = {"float32", 4, false}, [VALUE_BOOL] = {"bool", 1, false},
    [VALUE_STRING] = {"string", 0, 0},   [VALUE_ARRAY] = {"array", 0, 0},
    [VALUE_U64] = {"uint64", 8, false},  [VALUE_I64] = {"int64", 8, true},
    [VALUE_F64] = {"float64", 8, false},
};

/* A number, or a text that is lent. */
struct value {
    uint32_t type;
    uint64_t bits; /* sign-extended */
    struct slice text;
};

/* ---- the stream ---- */

static enum status
take(struct gguf *g, uint64_t length, const uint8_t **ret_bytes, struct err *err)
{
    uint64_t size = g->window.source->size_bytes;

    FAIL_IF(length > size - g->at, err, TRUNCATED, size,
            "%llu bytes expected at offset %llu, but the file ends at %llu",
            (unsigned long long)length, (unsigned long long)g->at, (unsigned long long)size);
    FAIL_IF(g->at + length > g->limits->header_bytes, err, LIMIT, g->at,
            "keys and tensors' names take more than %zu bytes", g->limits->header_bytes);
    TRY(window_at(&g->window, g->at, (size_t)length, ret_bytes, err));
    g->at += length;
    return OK;
}

/* Pass over bytes without reading them. */
static enum status
pass(struct gguf *g, uint64_t length, struct err *err)
{
    uint64_t size = g->window.source->size_bytes;

    FAIL_IF(length > size - g->at, err, TRUNCATED, size,
            "%llu bytes expected at offset %llu, but the file ends at %llu",
            (unsigned long long)length, (unsigned long long)g->at, (unsigned long long)size);
    g->at += length;
    return OK;
}

static enum status
take_number(struct gguf *g, size_t length, uint64_t *ret_value, struct err *err)
{
    const uint8_t *bytes;
    uint64_t value = 0;

    TRY(take(g, length, &bytes, err));
    for (size_t i = 0; i < length; i++)
        value = value << 8 | bytes[g->is_big_endian ? i : length - 1 - i];
    *ret_value = value;
    return OK;
}

enum status
gguf_u32(struct gguf *g, uint32_t *ret_value, struct err *err)
{
    uint64_t value;

    TRY(take_number(g, 4, &value, err));
    *ret_value = (uint32_t)value;
    return OK;
}

enum status
gguf_u64(struct gguf *g, uint64_t *ret_value, struct err *err)
{
    return take_number(g, 8, ret_value, err);
}

enum status
gguf_size(struct gguf *g, uint64_t *ret_value, struct err *err)
{
    return take_number(g, g->version == 1 ? 4 : 8, ret_value, err);
}

enum status
gguf_text(struct gguf *g, uint64_t most_bytes, const char *what, struct slice *ret_text,
          struct err *err)
{
    const uint8_t *bytes;
    uint64_t length;

    TRY(gguf_size(g, &length, err));
    FAIL_IF(length > most_bytes, err, MALFORMED, g->at, "%s of %llu bytes, where %llu are the most",
            what, (unsigned long long)length, (unsigned long long)most_bytes);
    TRY(take(g, length, &bytes, err));
    *ret_text = (struct slice){(const char *)bytes, (size_t)length};
    return OK;
}

enum status
gguf_malformed(struct gguf *g, enum finding_id id, struct slice subject, struct err *err,
               const char *message)
{
    g->in->safety = SAFETY_MALFORMED;
    return inspection_note(g->in, g->limits, id, subject, err, "%s", message);
}

/* ---- values ---- */

static enum status
take_value(struct gguf *g, uint32_t type, struct value *v, struct err *err)
{
    unsigned unused;

    *v = (struct value){.type = type};
    if (type == VALUE_STRING)
        return gguf_text(g, UINT64_MAX, "a text", &v->text, err);
    TRY(take_number(g, types[type].bytes, &v->bits, err));
    unused = 64 - 8U * types[type].bytes;
    if (types[type].is_signed)
        v->bits = (uint64_t)((int64_t)(v->bits << unused) >> unused);
    return OK;
}

/* The shortest decimal that reads back as the float32: 1e-05, not 9.999999747378752e-06. */
static double
as_double(float number)
{
    char text[40];
    double value;
    float back;

    for (int digits = 1; digits <= FLOAT_DIGITS_MAX; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)number);
        if (!num_parse_double(slice_of(text), &value))
            break; /* infinite, or none */
        back = (float)value;
        if (memcmp(&back, &number, sizeof back) == 0)
            return value;
    }
    return (double)number;
}

static bool
is_spellable(struct slice text)
{
    return utf8_is_valid(text) && (text.length == 0 || memchr(text.at, '\0', text.length) == NULL);
}

static void
write_value(struct json_writer *w, const struct value *v)
{
    double real;
    float number;
    uint32_t half = (uint32_t)v->bits;

    if (v->type == VALUE_STRING && v->text.length <= TEXT_BYTES_MAX && is_spellable(v->text))
        jw_slice(w, v->text);
    else if (v->type == VALUE_STRING) {
        jw_object(w);
        jw_pair_text(w, "type", types[v->type].name);
        jw_pair_u64(w, "bytes", v->text.length);
        jw_object_end(w);
    } else if (v->type == VALUE_F32) {
        memcpy(&number, &half, sizeof number);
        jw_double(w, as_double(number));
    } else if (v->type == VALUE_F64) {
        memcpy(&real, &v->bits, sizeof real);
        jw_double(w, real);
    } else if (v->type == VALUE_BOOL)
        jw_bool(w, v->bits != 0);
    else if (types[v->type].is_signed)
        jw_i64(w, (int64_t)v->bits);
    else
        jw_u64(w, v->bits);
}

/* What stands for an array that is not kept. */
static void
write_summary(struct gguf *g, uint32_t type, uint64_t count)
{
    struct json_writer w = json_writer_to(&g->value, 0);

    buf_clear(&g->value);
    jw_object(&w);
    jw_pair_text(&w, "type", types[type].name);
    jw_pair_u64(&w, "count", count);
    jw_object_end(&w);
}

/* ---- arrays ---- */

static enum status
take_array_head(struct gguf *g, uint32_t *ret_type, uint64_t *ret_count, struct err *err)
{
    uint64_t least, all, size = g->window.source->size_bytes;

    TRY(gguf_u32(g, ret_type, err));
    FAIL_IF(*ret_type >= VALUE_COUNT, err, MALFORMED, g->at,
            "an array of values of the unknown type %u", *ret_type);
    TRY(gguf_size(g, ret_count, err));
    least = *ret_type == VALUE_ARRAY ? ARRAY_BYTES_LEAST
                                     : (types[*ret_type].bytes != 0 ? types[*ret_type].bytes
                                        : g->version == 1           ? 4
                                                                    : 8);
    FAIL_IF(!num_mul(*ret_count, least, &all) || all > size - g->at, err, TRUNCATED, g->at,
            "an array tells of %llu elements, for which the file has no room",
            (unsigned long long)*ret_count);
    return OK;
}

static enum status
pass_items(struct gguf *g, uint32_t type, uint64_t count, struct err *err)
{
    struct slice text;

    if (type != VALUE_STRING)
        return pass(g, count * types[type].bytes, err); /* their product is a part of the file's */
    for (uint64_t i = 0; i < count; i++)
        TRY(gguf_text(g, UINT64_MAX, "a text", &text, err));
    return OK;
}

/* An array of arrays, to any depth up to NESTED_MAX. */
static enum status
pass_nested(struct gguf *g, uint64_t count, struct err *err)
{
    uint64_t left[NESTED_MAX] = {count};
    size_t depth = 1;

    while (depth > 0) {
        uint32_t type;

        if (left[depth - 1] == 0) {
            depth--;
            continue;
        }
        left[depth - 1]--;
        TRY(take_array_head(g, &type, &count, err));
        if (type != VALUE_ARRAY)
            TRY(pass_items(g, type, count, err));
        else {
            FAIL_IF(depth == NESTED_MAX, err, MALFORMED, g->at, "arrays within arrays, %d deep",
                    NESTED_MAX);
            left[depth++] = count;
        }
    }
    return OK;
}

static enum status
take_array(struct gguf *g, struct slice key, bool is_wanted, struct err *err)
{
    struct json_writer w = json_writer_to(&g->value, 0);
    struct value v;
    uint64_t count;
    uint32_t type;

    TRY(take_array_head(g, &type, &count, err));
    if (type == VALUE_ARRAY) {
        TRY(inspection_note(g->in, g->limits, FINDING_HEADER_ODD, key, err,
                            "an array of arrays: the specification allows it, ggml refuses it"));
        TRY(pass_nested(g, count, err));
    } else if (count > ITEMS_MAX || !is_wanted)
        TRY(pass_items(g, type, count, err));
    else {
        jw_flat_array(&w);
        for (uint64_t i = 0; i < count; i++) {
            TRY(take_value(g, type, &v, err));
            write_value(&w, &v);
        }
        jw_array_end(&w);
        if (buf_check(&g->value, NULL) == OK)
            return OK;
    }
    write_summary(g, type, count);
    return OK;
}

/* ---- keys ---- */

static enum status
read_alignment(struct gguf *g, struct slice key, const struct value *v, struct err *err)
{
    bool is_power = v->bits != 0 && (v->bits & (v->bits - 1)) == 0;

    g->alignment = 0;
    if (v->type != VALUE_U32)
        return gguf_malformed(g, FINDING_HEADER_MALFORMED, key, err,
                              "the alignment is no uint32: where tensors lie cannot be told");
    if (!is_power)
        return gguf_malformed(g, FINDING_HEADER_MALFORMED, key, err,
                              "the alignment is no power of two: where tensors lie cannot be told");
    g->alignment = (uint32_t)v->bits;
    if (v->bits % 8 == 0)
        return OK;
    return inspection_note(g->in, g->limits, FINDING_HEADER_ODD, key, err,
                           "the alignment is no multiple of 8, as the specification asks; ggml "
                           "takes it");
}

/* Keys that decide how the rest is read, or what it is. */
static enum status
use_value(struct gguf *g, struct slice key, const struct value *v, struct err *err)
{
    bool is_text = v->type == VALUE_STRING;
    bool is_count = !is_text && v->type != VALUE_F32 && v->type != VALUE_F64 &&
                    (!types[v->type].is_signed || (int64_t)v->bits >= 0);

    if (slice_is(key, "general.alignment"))
        return read_alignment(g, key, v, err);
    if (v->type == VALUE_BOOL && v->bits > 1)
        return gguf_malformed(g, FINDING_HEADER_MALFORMED, key, err,
                              "a bool that is neither 0 nor 1");
    if (slice_is(key, "general.architecture"))
        g->has_architecture = is_text;
    else if (slice_is(key, "general.type"))
        g->is_adapter |= is_text && slice_is(v->text, "adapter");
    else if (slice_is(key, "adapter.type"))
        g->is_adapter |= is_text;
    else if (slice_is(key, "split.no") && is_count)
        g->split_number = v->bits;
    else if (slice_is(key, "split.count") && is_count)
        g->split_count = v->bits;
    else if (slice_is(key, "split.tensors.count") && is_count)
        g->split_tensors = v->bits;
    return OK;
}

/* Bytes of the key in JSON, at most. */
static size_t
quoted_bytes(struct slice key)
{
    size_t length = key.length;

    for (size_t i = 0; i < key.length; i++) {
        unsigned char c = (unsigned char)key.at[i];

        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            length += strlen("\\u0001") - 1;
    }
    return length;
}

/* The value into g->value, as JSON. */
static enum status
take_any(struct gguf *g, struct slice key, bool is_first, struct err *err)
{
    struct json_writer w = json_writer_to(&g->value, 0);
    struct value v;
    uint32_t type;

    buf_clear(&g->value);
    TRY(gguf_u32(g, &type, err));
    FAIL_IF(type >= VALUE_COUNT, err, MALFORMED, g->at, "%.*s has a value of the unknown type %u",
            SLICE_PRINT(key), type);
    if (type == VALUE_ARRAY)
        return take_array(g, key, is_first && !g->is_full && is_spellable(key), err);
    TRY(take_value(g, type, &v, err));
    write_value(&w, &v);
    return is_first ? use_value(g, key, &v, err) : OK;
}

/* As long as it fits: then it says less, but what it says is whole. */
static void
keep(struct gguf *g, struct slice key)
{
    size_t length = g->metadata.length + quoted_bytes(key) + g->value.length;

    g->is_full |= length > g->limits->metadata_bytes / 2;
    if (buf_check(&g->value, NULL) != OK || length > g->limits->metadata_bytes / 2)
        return;
    buf_char(&g->metadata, ',');
    json_quote(&g->metadata, key);
    buf_char(&g->metadata, ':');
    buf_slice(&g->metadata, buf_slice_of(&g->value));
}

static enum status
check_key(struct gguf *g, struct slice key, bool is_first, struct err *err)
{
    if (key.length == 0)
        TRY(gguf_malformed(g, FINDING_HEADER_MALFORMED, key, err, "a key without a name"));
    if (!is_first)
        TRY(gguf_malformed(g, FINDING_HEADER_MALFORMED, key, err,
                           "the key is there more than once: readers take one or the other, or "
                           "refuse the file"));
    if (!is_spellable(key))
        TRY(inspection_note(g->in, g->limits, FINDING_HEADER_ODD, key, err,
                            "a key that is no text is left out of the metadata"));
    return OK;
}

static enum status
take_key(struct gguf *g, struct err *err)
{
    struct slice key;
    uint32_t present;

    FAIL_IF(g->keys_read == g->limits->header_keys, err, LIMIT, g->at, "more than %zu keys",
            g->limits->header_keys);
    TRY(gguf_text(g, KEY_BYTES_MAX, "a key", &key, err));
    TRY(arena_copy(&g->in->arena, key, &key, err));
    TRY(map_add(&g->keys, key, 0, &present, err));
    TRY(check_key(g, key, present == MAP_NONE, err));
    TRY(take_any(g, key, present == MAP_NONE, err));
    if (present == MAP_NONE && is_spellable(key))
        keep(g, key);
    g->keys_read++;
    return OK;
}

enum status
gguf_keys(struct gguf *g, struct err *err)
{
    struct slice version = slice_of("GGUF.version"); /* as GGUFReader names the header's own */

    buf_char(&g->metadata, '{');
    json_quote(&g->metadata, version);
    buf_printf(&g->metadata, ":%u", g->version);
    TRY(map_set(&g->keys, version, 0, err));
    for (uint64_t i = 0; i < g->key_count; i++)
        TRY(take_key(g, err));
    return OK;
}
