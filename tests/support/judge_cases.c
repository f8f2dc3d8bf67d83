/*
 * Judges many cases (compat_case.h), one a line of standard input, and prints our answers, one a line:
 * so that an interop test asks once for all its pairs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json_writer.h"
#include "tests/support/compat_case.h"

static void
write_names(struct json_writer *w, const char *key, const struct name_group *names)
{
    jw_key(w, key);
    jw_array(w);
    for (size_t i = 0; i < names->count; i++)
        jw_slice(w, names->names[i]);
    jw_array_end(w);
}

static void
write_answer(struct buf *out, const struct judgement *j, const struct compat_answer *a)
{
    struct json_writer w = json_writer_to(out, 0);
    const struct name_group warnings = {j->warnings, j->warning_count};

    jw_object(&w);
    jw_pair_bool(&w, "strict", a->strict);
    jw_pair_bool(&w, "non_strict", a->non_strict);
    jw_pair_bool(&w, "unknown", j->is_unknown);
    write_names(&w, "missing", &a->missing);
    write_names(&w, "unexpected", &a->unexpected);
    write_names(&w, "shape_mismatch", &a->shape_mismatch);
    write_names(&w, "not_a_tensor", &a->not_a_tensor);
    write_names(&w, "errors", &a->errors);
    write_names(&w, "warnings", &warnings);
    jw_object_end(&w);
    buf_char(out, '\n');
}

static enum status
answer(struct slice line, struct buf *out, struct err *err)
{
    const struct limits limits = limits_default();
    CLEANUP(arena_done) struct arena arena = arena_with_cap(limits.arena_bytes);
    CLEANUP(json_done) struct json j = {0};
    struct compat_case c;
    struct judgement judgement;
    struct compat_answer a;

    json_open(&j, line, &limits, &arena);
    TRY(compat_case_read(&j, &limits, &arena, &c, err));
    TRY(compat_case_judge(&c, &arena, &judgement, &a, err));
    write_answer(out, &judgement, &a);
    return buf_check(out, err);
}

int
main(void)
{
    struct buf out = buf_with_cap((size_t)1 << 30);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;

    while ((length = getline(&line, &capacity, stdin)) > 0) {
        struct err err = {0};

        buf_clear(&out);
        if (answer((struct slice){line, (size_t)length}, &out, &err) != OK) {
            fprintf(stderr, "judge_cases: %s: %s\n", err_name(err.code), err.text);
            return EXIT_FAILURE;
        }
        fwrite(out.bytes, 1, out.length, stdout);
    }
    free(line);
    buf_done(&out);
    return EXIT_SUCCESS;
}
