#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"
#include "tests/support/json_subset.h"
#include "tests/support/unit.h"

#define CASES CASES_DIR "/torch-zip"

enum { CASES_MAX = 200, FILE_BYTES_MAX = 1 << 20 };

/* A whole file; false where there is none. */
static bool
read_file(const char *folder, const char *name, struct buf *out)
{
    char path[512], piece[4096];
    FILE *file;
    size_t n;

    (void)snprintf(path, sizeof path, CASES "/%s/%s", folder, name);
    file = fopen(path, "rb");
    if (file == NULL)
        return false;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(out, piece, n);
    (void)fclose(file);
    return buf_check(out, NULL) == OK;
}

static enum status
inspect(struct slice bytes, struct inspection *in, struct err *err)
{
    struct source source = source_of_bytes(&bytes);
    struct fileset files = fileset_of_source(&source);
    struct limits limits = limits_default();

    return format_read(&files, &limits, in, err);
}

/* ---- what the command line does not print: every container's facts, and where its bytes lie ---- */

static void
show_versions(struct json_writer *w, const struct facts *f)
{
    jw_pair_bool(w, "has_metadata", f->has_metadata);
    jw_key(w, "versions");
    jw_array(w);
    for (size_t i = 0; i < f->version_count; i++) {
        jw_object(w);
        jw_pair_slice(w, "module", f->versions[i].module);
        jw_key(w, "version");
        if (f->versions[i].has_version)
            jw_i64(w, f->versions[i].version);
        else
            jw_null(w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
show_order(struct json_writer *w, const struct container *c)
{
    jw_key(w, "order");
    jw_array(w);
    for (size_t i = 0; c->facts.order != NULL && i < c->structure.count; i++)
        jw_slice(w, c->structure.tensors[c->facts.order[i]].name);
    jw_array_end(w);
}

static void
show_places(struct json_writer *w, const struct container *c)
{
    jw_key(w, "places");
    jw_array(w);
    for (size_t i = 0; c->placement.places != NULL && i < c->structure.count; i++) {
        const struct place *p = &c->placement.places[i];

        jw_object(w);
        jw_pair_slice(w, "name", c->structure.tensors[i].name);
        jw_pair_bool(w, "has_bytes", p->has_bytes);
        jw_pair_bool(w, "big_endian", p->is_big_endian);
        jw_pair_text(w, "compression", p->compression == COMPRESSION_DEFLATE ? "deflate" : "none");
        jw_pair_u64(w, "offset", p->offset);
        jw_pair_u64(w, "first_element", p->first_element);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void
show_state_dicts(struct json_writer *w, const struct inspection *in)
{
    jw_key(w, "state_dicts");
    jw_object(w);
    for (size_t i = 0; i < in->container_count; i++) {
        const struct container *c = &in->containers[i];

        jw_key_slice(w, c->path);
        jw_object(w);
        jw_pair_text(w, "kind", container_kind_name(c->kind));
        inspection_json_tensors(w, c);
        show_versions(w, &c->facts);
        show_order(w, c);
        show_places(w, c);
        jw_object_end(w);
    }
    jw_object_end(w);
}

/* The command's object, and our own member at its end. */
static void
show(struct buf *out, const struct inspection *in)
{
    CLEANUP(buf_done) struct buf command = buf_with_cap(FILE_BYTES_MAX);
    CLEANUP(buf_done) struct buf ours = buf_with_cap(FILE_BYTES_MAX);
    struct limits limits = limits_default();
    struct json_writer w = json_writer_to(&ours, 0);

    ck_assert_int_eq(inspection_json(&command, in, true, 0, &limits, NULL), OK);
    jw_object(&w);
    show_state_dicts(&w, in);
    jw_object_end(&w);
    ck_assert_int_eq(buf_check(&ours, NULL), OK);
    while (command.length > 0 && command.bytes[command.length - 1] != '}')
        command.length--;
    buf_add(out, command.bytes, command.length - 1);
    buf_char(out, ',');
    buf_slice(out, slice_from(buf_slice_of(&ours), 1));
    ck_assert_int_eq(buf_check(out, NULL), OK);
}

/* What an inspector's process answers must arrive as it was sent. */
static void
check_record(const char *name, const struct inspection *in)
{
    CLEANUP(buf_done) struct buf once = buf_with_cap(FILE_BYTES_MAX);
    CLEANUP(buf_done) struct buf twice = buf_with_cap(FILE_BYTES_MAX);
    CLEANUP(inspection_done) struct inspection back = {0};
    struct limits limits = limits_default();
    struct err err = {0};

    record_add_inspection(&once, in);
    ck_assert_int_eq(buf_check(&once, NULL), OK);
    ck_assert_msg(record_read_inspection(buf_slice_of(&once), &limits, &back, &err) == OK,
                  "%s: its record is refused: %s", name, err.text);
    record_add_inspection(&twice, &back);
    ck_assert_msg(slice_equal(buf_slice_of(&once), buf_slice_of(&twice)),
                  "%s: its record changes on the way", name);
}

/* ---- the cases ---- */

static bool
check_case(const char *name)
{
    CLEANUP(buf_done) struct buf input = buf_with_cap(FILE_BYTES_MAX);
    CLEANUP(buf_done) struct buf wanted = buf_with_cap(FILE_BYTES_MAX);
    CLEANUP(buf_done) struct buf found = buf_with_cap(FILE_BYTES_MAX);
    CLEANUP(inspection_done) struct inspection in = {0};
    struct subset subset;
    struct err err = {0};

    ck_assert_msg(read_file(name, "input.pt", &input) && read_file(name, "expect.json", &wanted),
                  "%s: its files cannot be read", name);
    if (inspect(buf_slice_of(&input), &in, &err) == OK) {
        check_record(name, &in);
        show(&found, &in);
    } else
        buf_printf(&found, "{\"error\": \"%s\"}", err_problem_type(err.code));
    if (subset_of(&subset, buf_slice_of(&wanted), buf_slice_of(&found)))
        return true;
    (void)fprintf(stderr, "%s: at %s: %s %s\n", name, subset.where, subset.why, err.text);
    return false;
}

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

START_TEST(torch_zip__finds_what_each_case_expects)
{
    char *names[CASES_MAX];
    size_t count = 0, right = 0;
    DIR *folder = opendir(CASES);
    struct dirent *entry;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        ck_assert_uint_lt(count, CASES_MAX);
        names[count++] = mem_copy(entry->d_name, strlen(entry->d_name));
    }
    (void)closedir(folder);
    ck_assert_uint_gt(count, 80);
    qsort(names, count, sizeof names[0], compare_texts);
    for (size_t i = 0; i < count; i++) {
        right += check_case(names[i]);
        mem_free(names[i]);
    }
    ck_assert_uint_eq(right, count);
}
END_TEST

/* A block of exactly that size, so that a sanitizer sees a read past it. */
static enum status
inspect_exactly(const char *bytes, size_t length, struct inspection *in, struct err *err)
{
    char *block = mem_copy(bytes, length);
    struct slice exact = {block, length};
    enum status status = inspect(exact, in, err);

    mem_free(block);
    return status;
}

START_TEST(torch_zip__says_why_when_a_file_is_cut_off_anywhere)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(FILE_BYTES_MAX);

    ck_assert(read_file("hybrid", "input.pt", &file));
    for (size_t length = 0; length < file.length; length++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};

        ck_assert_int_ne(inspect_exactly(file.bytes, length, &in, &err), OK);
        ck_assert_int_ne(err.text[0], '\0');
    }
}
END_TEST

/* Whatever byte is wrong: an error with a text, or an inspection that can be shown. */
START_TEST(torch_zip__survives_any_wrong_byte)
{
    CLEANUP(buf_done) struct buf file = buf_with_cap(FILE_BYTES_MAX);

    ck_assert(read_file("tied", "input.pt", &file));
    for (size_t i = 0; i < file.length; i++) {
        CLEANUP(inspection_done) struct inspection in = {0};
        CLEANUP(buf_done) struct buf shown = buf_with_cap(FILE_BYTES_MAX);
        struct err err = {0};
        char right = file.bytes[i];

        file.bytes[i] = (char)(right ^ (i % 2 == 0 ? 0xff : 0x01));
        if (inspect_exactly(file.bytes, file.length, &in, &err) == OK)
            show(&shown, &in);
        else
            ck_assert_int_ne(err.text[0], '\0');
        file.bytes[i] = right;
    }
}
END_TEST

SUITE(torch_zip)
{
    return suite_with("torch_zip", TEST(torch_zip__finds_what_each_case_expects),
                      TEST(torch_zip__says_why_when_a_file_is_cut_off_anywhere),
                      TEST(torch_zip__survives_any_wrong_byte));
}
