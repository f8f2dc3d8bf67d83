/*
 * For tests/interop: what safety and weights_only say of bare pickles, one JSON line for each file
 * named. `ckptd inspect --json` says the same of whole checkpoints.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/json_writer.h"
#include "common/formats/safety.h"

enum { FILE_BYTES_MAX = 1 << 28, LINE_BYTES_MAX = 1 << 24 };

static bool
read_file(const char *path, struct buf *out)
{
    char block[16384];
    FILE *file = fopen(path, "rb");
    size_t n;

    if (file == NULL)
        return false;
    while ((n = fread(block, 1, sizeof block, file)) > 0)
        buf_add(out, block, n);
    return fclose(file) == 0 && buf_check(out, NULL) == OK;
}

static void
write_verdict(struct json_writer *w, const char *path, const struct inspection *in)
{
    jw_object(w);
    jw_pair_text(w, "file", path);
    jw_pair_text(w, "safety", safety_name(in->safety));
    jw_key(w, "weights_only");
    jw_object(w);
    jw_pair_bool(w, "loads", in->weights_only.loads);
    jw_key(w, "needs");
    jw_array(w);
    for (size_t i = 0; i < in->weights_only.need_count; i++)
        jw_slice(w, in->weights_only.needs[i]);
    jw_array_end(w);
    jw_pair_slice(w, "reason", in->weights_only.reason);
    jw_object_end(w);
    jw_key(w, "findings");
    jw_array(w);
    for (size_t i = 0; i < in->finding_count; i++) {
        jw_object(w);
        jw_pair_text(w, "id", finding_name(in->findings[i].id));
        jw_pair_slice(w, "subject", in->findings[i].subject);
        jw_pair_slice(w, "message", in->findings[i].message);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

static enum status
judge(const char *path, struct slice bytes, struct buf *out, struct err *err)
{
    CLEANUP(inspection_done) struct inspection in = {0};
    CLEANUP(safety_done) struct safety_judge s = {0};
    struct limits limits = limits_default();
    struct pickle_budget budget = pickle_budget(&limits);
    struct json_writer w = json_writer_to(out, 0);
    struct pickle p;

    in.arena = arena_with_cap(limits.arena_bytes);
    safety_begin(&s, &in, &limits, &budget);
    TRY(pickle_run(bytes, &budget, &in.arena, &p, err));
    TRY(safety_add(&s, &p, slice_of("data.pkl"), SAFETY_MAIN, err));
    TRY(safety_end(&s, err));
    write_verdict(&w, path, &in);
    return buf_check(out, err);
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        CLEANUP(buf_done) struct buf bytes = buf_with_cap(FILE_BYTES_MAX);
        CLEANUP(buf_done) struct buf out = buf_with_cap(LINE_BYTES_MAX);
        struct err err = {0};

        if (!read_file(argv[i], &bytes)) {
            (void)fprintf(stderr, "%s cannot be read\n", argv[i]);
            return EXIT_FAILURE;
        }
        if (judge(argv[i], buf_slice_of(&bytes), &out, &err) != OK) {
            (void)fprintf(stderr, "%s: %s\n", argv[i], err.text);
            return EXIT_FAILURE;
        }
        (void)puts(out.bytes);
    }
    return EXIT_SUCCESS;
}
