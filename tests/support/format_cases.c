#include "tests/support/format_cases.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/formats/format.h"
#include "common/render/inspection_json.h"
#include "common/structure/record.h"
#include "tests/support/json_subset.h"

enum { CASES_MAX = 300, FILES_MAX = 64, PATH_MAX_BYTES = 600 };

/* A set of files in memory, as source.h wants it. */
struct set {
    char *paths[FILES_MAX];
    struct slice bytes[FILES_MAX];
    size_t count;
};

static void
set_done(struct set *s)
{
    for (size_t i = 0; i < s->count; i++) {
        mem_free(s->paths[i]);
        mem_free((char *)(uintptr_t)s->bytes[i].at);
    }
}

static struct slice
set_path(void *context, size_t i)
{
    const struct set *s = context;

    return slice_of(s->paths[i]);
}

static enum status
set_open(void *context, size_t i, struct source *ret_source, struct err *err)
{
    const struct set *s = context;

    (void)err;
    *ret_source = source_of_bytes(&s->bytes[i]);
    return OK;
}

static enum status
set_read(struct set *s, struct inspection *ret, struct err *err)
{
    struct fileset files = {.count = s->count, .path = set_path, .open = set_open, .context = s};
    struct limits limits = limits_default();

    return format_read(&files, &limits, ret, err);
}

/* A whole file; false where there is none. */
static bool
read_file(const char *path, struct buf *out)
{
    char piece[4096];
    FILE *file = fopen(path, "rb");
    size_t n;

    if (file == NULL)
        return false;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(out, piece, n);
    (void)fclose(file);
    return buf_check(out, NULL) == OK;
}

static void
set_add(struct set *s, const char *name, const char *path)
{
    CLEANUP(buf_done) struct buf bytes = buf_with_cap(FORMAT_CASES_FILE_MAX);

    ck_assert_uint_lt(s->count, FILES_MAX);
    ck_assert_msg(read_file(path, &bytes), "%s cannot be read", path);
    s->paths[s->count] = mem_copy(name, strlen(name));
    s->bytes[s->count] = (struct slice){mem_copy(bytes.bytes, bytes.length), bytes.length};
    s->count++;
}

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted; each is the caller's to mem_free. */
static size_t
list(const char *path, char **names, size_t room)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    ck_assert_msg(folder != NULL, "%s cannot be listed", path);
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        ck_assert_uint_lt(count, room);
        names[count++] = mem_copy(entry->d_name, strlen(entry->d_name));
    }
    (void)closedir(folder);
    qsort(names, count, sizeof names[0], compare_texts);
    return count;
}

/* All that lies in input/, folders within it too, one level deep. */
static void
set_add_folder(struct set *s, const char *path, const char *prefix)
{
    char *names[FILES_MAX];
    size_t count = list(path, names, FILES_MAX);

    for (size_t i = 0; i < count; i++) {
        char inner[PATH_MAX_BYTES], name[PATH_MAX_BYTES];
        DIR *folder;

        (void)snprintf(inner, sizeof inner, "%s/%s", path, names[i]);
        (void)snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        folder = prefix[0] == '\0' ? opendir(inner) : NULL;
        if (folder != NULL) {
            (void)closedir(folder);
            (void)snprintf(name, sizeof name, "%s/", names[i]);
            set_add_folder(s, inner, name);
        } else
            set_add(s, name, inner);
        mem_free(names[i]);
    }
}

static void
set_of_case(struct set *s, const char *format, const char *name)
{
    char path[PATH_MAX_BYTES], *names[FILES_MAX];
    size_t count;

    (void)snprintf(path, sizeof path, CASES_DIR "/%s/%s", format, name);
    count = list(path, names, FILES_MAX);
    for (size_t i = 0; i < count; i++) {
        char inner[PATH_MAX_BYTES + 300];

        (void)snprintf(inner, sizeof inner, "%s/%s", path, names[i]);
        if (strcmp(names[i], "input") == 0)
            set_add_folder(s, inner, "");
        else if (strncmp(names[i], "input.", 6) == 0)
            set_add(s, names[i], inner);
        mem_free(names[i]);
    }
    ck_assert_msg(s->count > 0, "%s/%s has no input", format, name);
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
        jw_pair_u64(w, "file", p->file);
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
void
format_cases_show(struct buf *out, const struct inspection *in)
{
    CLEANUP(buf_done) struct buf command = buf_with_cap(FORMAT_CASES_FILE_MAX);
    CLEANUP(buf_done) struct buf ours = buf_with_cap(FORMAT_CASES_FILE_MAX);
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
    CLEANUP(buf_done) struct buf once = buf_with_cap(FORMAT_CASES_FILE_MAX);
    CLEANUP(buf_done) struct buf twice = buf_with_cap(FORMAT_CASES_FILE_MAX);
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
check_case(const char *format, const char *name)
{
    CLEANUP(set_done) struct set set = {.count = 0};
    CLEANUP(buf_done) struct buf wanted = buf_with_cap(FORMAT_CASES_FILE_MAX);
    CLEANUP(buf_done) struct buf found = buf_with_cap(FORMAT_CASES_FILE_MAX);
    CLEANUP(inspection_done) struct inspection in = {0};
    char path[PATH_MAX_BYTES];
    struct subset subset;
    struct err err = {0};

    set_of_case(&set, format, name);
    (void)snprintf(path, sizeof path, CASES_DIR "/%s/%s/expect.json", format, name);
    ck_assert_msg(read_file(path, &wanted), "%s cannot be read", path);
    if (set_read(&set, &in, &err) == OK) {
        check_record(name, &in);
        format_cases_show(&found, &in);
    } else
        buf_printf(&found, "{\"error\": \"%s\"}", err_problem_type(err.code));
    if (subset_of(&subset, buf_slice_of(&wanted), buf_slice_of(&found)))
        return true;
    (void)fprintf(stderr, "%s/%s: at %s: %s %s\n", format, name, subset.where, subset.why,
                  err.text);
    return false;
}

void
format_cases_check(const char *format, size_t least)
{
    char path[PATH_MAX_BYTES], *names[CASES_MAX];
    size_t count, right = 0;

    (void)snprintf(path, sizeof path, CASES_DIR "/%s", format);
    count = list(path, names, CASES_MAX);
    ck_assert_uint_ge(count, least);
    for (size_t i = 0; i < count; i++) {
        right += check_case(format, names[i]);
        mem_free(names[i]);
    }
    ck_assert_uint_eq(right, count);
}

struct buf
format_cases_input(const char *format, const char *name)
{
    CLEANUP(set_done) struct set set = {.count = 0};
    struct buf bytes = buf_with_cap(FORMAT_CASES_FILE_MAX);

    set_of_case(&set, format, name);
    ck_assert_uint_eq(set.count, 1);
    buf_slice(&bytes, set.bytes[0]);
    return bytes;
}

enum status
format_cases_read(const char *bytes, size_t length, struct inspection *ret, struct err *err)
{
    char *block = mem_copy(bytes, length);
    struct slice exact = {block, length};
    struct source source = source_of_bytes(&exact);
    struct fileset files = fileset_of_source(&source);
    struct limits limits = limits_default();
    enum status status = format_read(&files, &limits, ret, err);

    mem_free(block);
    return status;
}

/* Memcheck takes thirty times as long: there every so many bytes must do. */
static size_t
step(void)
{
    return getenv("CKPTD_VALGRIND") == NULL ? 1 : 97;
}

void
format_cases_cut(const char *format, const char *name, bool (*may_be_whole)(size_t length))
{
    CLEANUP(buf_done) struct buf file = format_cases_input(format, name);

    for (size_t length = 0; length < file.length; length += step()) {
        CLEANUP(inspection_done) struct inspection in = {0};
        struct err err = {0};
        enum status status = format_cases_read(file.bytes, length, &in, &err);

        if (status != OK)
            ck_assert_int_ne(err.text[0], '\0');
        else if (may_be_whole == NULL || !may_be_whole(length))
            ck_assert_msg(in.safety >= SAFETY_MALFORMED, "%s/%s cut at %zu is %s", format, name,
                          length, safety_name(in.safety));
    }
}

void
format_cases_spoil(const char *format, const char *name)
{
    CLEANUP(buf_done) struct buf file = format_cases_input(format, name);

    for (size_t i = 0; i < file.length; i += step()) {
        CLEANUP(inspection_done) struct inspection in = {0};
        CLEANUP(buf_done) struct buf shown = buf_with_cap(FORMAT_CASES_FILE_MAX);
        struct err err = {0};
        char right = file.bytes[i];

        file.bytes[i] = (char)(right ^ (i % 2 == 0 ? 0xff : 0x01));
        if (format_cases_read(file.bytes, file.length, &in, &err) == OK) {
            check_record(name, &in);
            format_cases_show(&shown, &in);
        } else
            ck_assert_int_ne(err.text[0], '\0');
        file.bytes[i] = right;
    }
}
