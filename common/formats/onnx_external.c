/*
 * External data (docs/ExternalData.md of ONNX): a tensor names a file beside the model's, an offset
 * and a length. The file is looked for among the set's, and only there; a location that leads out of
 * the model's folder is refused, whoever asks for it: absolute, with "..", a backslash, a drive, or a
 * byte that no name has (CVE-2022-25882, CVE-2024-27318, CVE-2026-27489). The set has no links.
 */
#include <stdlib.h>

#include "common/base/attr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/formats/onnx_work.h"

enum { NUMBER_BYTES = 24 }; /* more than a decimal number of 64 bits has */

/* Why no file can be at that location; NULL: one can. */
static const char *
refusal_of(struct slice location)
{
    struct slice rest = location;

    if (location.length == 0)
        return "it is empty";
    if (location.at[0] == '/')
        return "it is absolute";
    if (memchr(location.at, '\\', location.length) != NULL)
        return "it has a backslash, which some systems take for a folder's end";
    if (location.length >= 2 && location.at[1] == ':')
        return "it names a drive";
    for (size_t i = 0; i < location.length; i++)
        if ((uint8_t)location.at[i] < ' ' || location.at[i] == 0x7f)
            return "it has a control character";
    while (rest.at != NULL)
        if (slice_is(slice_cut(&rest, '/'), ".."))
            return "it leads out of the model's folder";
    return NULL;
}

/* The location below the model's folder, as the set spells its paths: no "." and no "//". */
static enum status
full_path(const struct onnx *o, struct slice location, struct buf *path, struct err *err)
{
    struct slice model = o->files->path(o->files->context, 0), rest = location;
    size_t folder = model.length;

    while (folder > 0 && model.at[folder - 1] != '/')
        folder--;
    buf_slice(path, slice_part(model, 0, folder));
    while (rest.at != NULL) {
        struct slice step = slice_cut(&rest, '/');

        if (step.length == 0 || slice_is(step, "."))
            continue;
        if (path->length > folder)
            buf_char(path, '/');
        buf_slice(path, step);
    }
    return buf_check(path, err);
}

static enum status
index_paths(struct onnx *o, struct err *err)
{
    if (o->has_paths)
        return OK;
    for (size_t i = 0; i < o->files->count; i++)
        TRY(map_set(&o->paths, o->files->path(o->files->context, i), (uint32_t)i, err));
    o->has_paths = true;
    return OK;
}

static enum status
find_file(struct onnx *o, struct onnx_sibling *s, struct err *err)
{
    struct slice model = o->files->path(o->files->context, 0);
    CLEANUP(buf_done) struct buf path = buf_with_cap(model.length + s->location.length + 1);
    struct source source;
    uint32_t file;

    TRY(index_paths(o, err));
    TRY(full_path(o, s->location, &path, err));
    file = map_get(&o->paths, buf_slice_of(&path));
    if (file == MAP_NONE)
        return OK;
    TRY(o->files->open(o->files->context, file, &source, err));
    s->is_there = true;
    s->file = file;
    s->size_bytes = source.size_bytes;
    return OK;
}

/* The sibling at that location, looked for once. Lent until the next call. */
static enum status
find_sibling(struct onnx *o, const struct onnx_tensor *t, struct slice name,
             struct onnx_sibling **ret_sibling, struct err *err)
{
    uint32_t next = (uint32_t)o->siblings.count, found;
    struct slice location;

    TRY(onnx_text(o, t->location, o->limits->name_bytes + 1, &location, err));
    TRY(map_add(&o->locations, location, next, &found, err));
    if (found != MAP_NONE) {
        *ret_sibling = &VEC_AT(&o->siblings, struct onnx_sibling, found);
        return OK;
    }
    TRY(vec_add(&o->siblings, ret_sibling, "files of external data", err));
    (*ret_sibling)->location = location;
    (*ret_sibling)->first = name;
    (*ret_sibling)->refusal =
        location.length > o->limits->name_bytes ? "it is too long" : refusal_of(location);
    return (*ret_sibling)->refusal == NULL ? find_file(o, *ret_sibling, err) : OK;
}

static enum status
read_number(struct onnx *o, bool is_there, struct protobuf_span span, uint64_t otherwise,
            uint64_t *ret_value, bool *ret_is_number, struct err *err)
{
    struct slice text;

    *ret_value = otherwise;
    *ret_is_number = true;
    if (!is_there)
        return OK;
    TRY(protobuf_peek(&o->wire, span, NUMBER_BYTES, &text, err));
    *ret_is_number = num_parse_u64(text, ret_value);
    return OK;
}

/* Whether the range is within the file; noted where it is not. */
static enum status
check_range(struct onnx *o, const struct onnx_sibling *s, struct slice name, uint64_t offset,
            uint64_t bytes, bool has_length, bool *ret_is_within, struct err *err)
{
    *ret_is_within = offset <= s->size_bytes && bytes <= s->size_bytes - offset;
    if (!*ret_is_within)
        return onnx_malformed(
            o, FINDING_STORAGE_SHORT, name, err,
            "it needs %llu bytes from %llu on of %.*s, which has %llu: the file is "
            "cut off, or another one",
            (unsigned long long)bytes, (unsigned long long)offset, SLICE_PRINT(s->location),
            (unsigned long long)s->size_bytes);
    if (!has_length && bytes < s->size_bytes - offset)
        return inspection_note(
            o->in, o->limits, FINDING_STORAGE_LONG, name, err,
            "its data has no length and is followed by others: some readers take "
            "all of the file's rest");
    return OK;
}

enum status
onnx_external_place(struct onnx *o, const struct onnx_tensor *t, struct slice name, uint64_t bytes,
                    struct place *ret_place, struct err *err)
{
    bool is_offset, is_length, is_within;
    struct onnx_sibling *sibling;
    uint64_t offset, length;

    *ret_place = (struct place){0};
    TRY(read_number(o, t->has_offset, t->offset, 0, &offset, &is_offset, err));
    TRY(read_number(o, t->has_length, t->length, bytes, &length, &is_length, err));
    if (t->has_key_twice || !is_offset || !is_length)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, name, err, "its external data has %s",
                              t->has_key_twice ? "a key twice"
                                               : "an offset or length that is no number");
    TRY(find_sibling(o, t, name, &sibling, err));
    sibling->tensors++;
    if (onnx_dtype((uint32_t)t->data_type) != DTYPE_UNKNOWN && length != bytes)
        return onnx_malformed(o, FINDING_TENSOR_MALFORMED, name, err,
                              "its external data has %llu bytes, but its shape and dtype need %llu",
                              (unsigned long long)length, (unsigned long long)bytes);
    if (!sibling->is_there)
        return OK; /* told once for all of the file's */
    TRY(check_range(o, sibling, name, offset, length, t->has_length, &is_within, err));
    if (is_within)
        *ret_place = (struct place){.has_bytes = true,
                                    .file = sibling->file,
                                    .offset = offset,
                                    .stored_bytes = length,
                                    .storage_bytes = length};
    return OK;
}

/* ---- at the end ---- */

static enum status
tell_sibling(struct onnx *o, const struct onnx_sibling *s, struct err *err)
{
    if (s->refusal != NULL)
        return onnx_malformed(o, FINDING_EXTERNAL_PATH, s->location, err,
                              "external data of %.*s%s is said to lie there, but no file is looked "
                              "for: %s",
                              SLICE_PRINT(s->first), s->tensors > 1 ? " and others" : "",
                              s->refusal);
    if (!s->is_there)
        return inspection_note(
            o->in, o->limits, FINDING_EXTERNAL_MISSING, s->location, err,
            "external data of %llu tensors lies there (the first is %.*s), but the "
            "file is not in the set: add it, at this path beside the model",
            (unsigned long long)s->tensors, SLICE_PRINT(s->first));
    if (s->file == 0)
        return onnx_malformed(o, FINDING_EXTERNAL_PATH, s->location, err,
                              "external data of %.*s is said to lie in the model's own file",
                              SLICE_PRINT(s->first));
    return OK;
}

static int
compare_places(const void *a, const void *b)
{
    const struct place *const x = &(*(const struct built_tensor *const *)a)->place;
    const struct place *const y = &(*(const struct built_tensor *const *)b)->place;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->stored_bytes > y->stored_bytes) - (x->stored_bytes < y->stored_bytes);
}

/* Writers let equal tensors share all of their bytes, but never a part of them. */
static enum status
tell_overlaps(struct onnx *o, const struct builder *b, struct err *err)
{
    CLEANUP(mem_free_at)
    const struct built_tensor **sorted = mem_new(b->tensors.count + 1, sizeof *sorted);
    size_t count = 0;

    FAIL_IF(sorted == NULL, err, NO_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < b->tensors.count; i++) {
        const struct built_tensor *t = &VEC_AT(&b->tensors, struct built_tensor, i);

        if (t->place.has_bytes && t->place.file != 0 && t->place.stored_bytes > 0)
            sorted[count++] = t;
    }
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_places);
    for (size_t i = 1; i < count; i++) {
        const struct place *before = &sorted[i - 1]->place, *p = &sorted[i]->place;

        if (compare_places(&sorted[i - 1], &sorted[i]) != 0 && before->file == p->file &&
            p->offset - before->offset < before->stored_bytes)
            TRY(inspection_note(o->in, o->limits, FINDING_TENSOR_OVERLAP, sorted[i]->tensor.name,
                                err, "its bytes and those of %.*s lie partly over one another",
                                SLICE_PRINT(sorted[i - 1]->tensor.name)));
    }
    return OK;
}

enum status
onnx_external_tell(struct onnx *o, struct err *err)
{
    if (o->siblings.count == 0)
        return OK;
    for (size_t i = 0; i < o->siblings.count; i++)
        TRY(tell_sibling(o, &VEC_AT(&o->siblings, struct onnx_sibling, i), err));
    return tell_overlaps(o, &o->weights, err);
}
