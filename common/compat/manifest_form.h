#pragma once
/*
 * The parts of the manifest's parser; manifest.c puts them together.
 */
#include "common/base/json.h"
#include "common/compat/manifest.h"

/* Read a manifest's JSON: the schema, a bare {name: [dims]}, or a safetensors header. What it gives is
 * neither sorted nor checked across its parts. */
enum status manifest_json_read(struct slice text, const struct limits *limits, struct arena *arena,
                               struct manifest *ret_manifest, struct err *err) MUST_CHECK;

/* Read the row of "modules" that the tokenizer stands before; the path is set already. */
enum status manifest_module_read(struct json *j, struct arena *arena,
                                 struct manifest_module *module, struct err *err) MUST_CHECK;

/* Turn one YAML document into JSON, in the arena. Aliases, anchors, tags and further documents are
 * refused: nothing in it can stand for more than is written. ERR_BAD_JSON where it is no YAML. */
enum status manifest_yaml_read(struct slice text, const struct limits *limits, struct arena *arena,
                               struct slice *ret_json, struct err *err) MUST_CHECK;

/* The digest of the canonical form: all but name and source, in one spelling. */
enum status manifest_digest(const struct manifest *m, struct digest *ret_digest,
                            struct err *err) MUST_CHECK;

/* Where in a manifest something stands, for messages: "modules", "bn1", "version". */
struct manifest_place {
    const char *section; /* NULL: none */
    bool has_key;
    struct slice key;
    const char *member; /* NULL: none */
};

/* Fail with ERR_BAD_MANIFEST: the place, and what is wrong there. Always returns that status. */
enum status manifest_wrong(const struct manifest_place *place, uint64_t offset, struct err *err,
                           const char *format, ...) MUST_CHECK
    __attribute__((format(printf, 4, 5)));

/* The next token, which must be of that kind; expected says so in words. */
enum status manifest_want(struct json *j, enum json_kind kind, const struct manifest_place *place,
                          const char *expected, struct json_token *ret_token,
                          struct err *err) MUST_CHECK;

enum status manifest_flag_read(struct json *j, const struct manifest_place *place, bool *ret_flag,
                               struct err *err) MUST_CHECK;

/* A list of strings, into the arena. */
enum status manifest_names_read(struct json *j, struct arena *arena,
                                const struct manifest_place *place, struct name_group *ret_names,
                                struct err *err) MUST_CHECK;

/* A vector's items, copied into the arena; ret_items is the address of the list's pointer. */
enum status manifest_keep(const struct vec *items, struct arena *arena, void *ret_items,
                          size_t *ret_count, struct err *err) MUST_CHECK;
