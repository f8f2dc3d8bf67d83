#pragma once
/*
 * The parts of torch.export's reader, for torch_export.c alone: the tables of weights and constants,
 * and the program.
 */
#include "common/base/json_writer.h"
#include "common/formats/builder.h"
#include "common/formats/torch_archive.h"

enum {
    EXPORT_NAMES_MAX = 64,   /* of inputs, outputs, extra files and oddities that are told */
    EXPORT_NAME_BYTES = 200, /* of one of them */
};

struct export_names {
    struct slice at[EXPORT_NAMES_MAX]; /* in the inspection's arena */
    size_t count;
};

/* What a program tells of itself. */
struct export_program {
    struct slice torch_version;
    uint64_t schema_major, schema_minor;
    bool has_schema;
    struct export_names opsets; /* "aten 10" */
    struct export_names inputs, outputs;
    struct export_names strangers; /* what it calls that is no operator on tensors */
    bool has_guards;               /* Python code that is to be run */
};

/* Add a copy of the name, once, unless there are too many or it is too long. */
enum status export_names_add(struct export_names *names, struct torch_work *w, struct slice name,
                             struct err *err) MUST_CHECK;

/* models/<name>.json, or serialized_exported_program.json. What is wrong with it is noted. */
enum status export_program_read(struct torch_archive *a, const struct zip_member *m,
                                struct export_program *ret, struct err *err) MUST_CHECK;

/* <name>_weights_config.json or <name>_constants_config.json, whose payloads lie in folder: add what
 * it tells to the builder. */
enum status export_config_read(struct torch_archive *a, const struct zip_member *m,
                               const char *folder, struct torch_reader *r, struct builder *b,
                               struct err *err) MUST_CHECK;

/* A member's JSON, out of the bytes that all may have together. */
enum status export_header_read(struct torch_archive *a, const struct zip_member *m,
                               struct zip_payload *ret_payload, struct err *err) MUST_CHECK;

/* A problem with a member's JSON as a finding, or as the error that it is for the whole file. */
enum status export_note_problem(struct torch_archive *a, const struct zip_member *m,
                                const struct err *problem, struct err *err) MUST_CHECK;
