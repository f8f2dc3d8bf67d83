/*
 * multipart/form-data, as browsers and curl -F send it: one part with a filename is the file, parts
 * named meta.KEY are metadata; others are refused.
 */
#include "common/base/attr.h"
#include "common/base/mem.h"
#include "server/api/uploads.h"
#include "server/http/multipart.h"

enum { FIELD_ARENA_BYTES = 1 << 20 };

enum field { FIELD_NONE, FIELD_FILE, FIELD_METADATA };

struct uploads_form {
    struct multipart multipart;
    struct arena arena; /* of names and values */
    enum field field;   /* that is being read */
    struct slice key;   /* of the metadata */
    struct buf value;
    bool has_file;
    bool says_filename; /* the query names the file already */
};

void
uploads_form_free(struct uploads_form *form)
{
    if (form == NULL)
        return;
    multipart_done(&form->multipart);
    arena_done(&form->arena);
    buf_done(&form->value);
    mem_free(form);
}

enum status
uploads_form_begin(const struct request *r, struct uploading *u, struct err *err)
{
    struct slice type = request_header(r, "Content-Type");

    u->is_form = slice_starts(type, slice_of("multipart/form-data"));
    if (!u->is_form)
        return OK;
    u->form = mem_new(1, sizeof *u->form);
    FAIL_IF(u->form == NULL, err, NO_MEMORY, 0, "out of memory");
    u->form->arena = arena_with_cap(FIELD_ARENA_BYTES);
    u->form->value = buf_with_cap(UPLOAD_VALUE_BYTES_MAX);
    u->form->says_filename = request_has_query(r, "filename");
    return multipart_init(&u->form->multipart, type, UPLOAD_PAIRS_MAX + 1, err);
}

/* Browsers may send a whole path: what follows the last slash or backslash names the file. */
static struct slice
base_name(struct slice filename)
{
    for (size_t i = filename.length; i > 0; i--)
        if (filename.at[i - 1] == '/' || filename.at[i - 1] == '\\')
            return slice_from(filename, i);
    return filename;
}

static enum status
begin_file(struct uploading *u, struct slice filename, struct err *err)
{
    struct uploads_form *form = u->form;

    FAIL_IF(form->has_file, err, BAD_REQUEST, 0,
            "the form has two files; a version of several files is made by …/files/{path}");
    form->has_file = true;
    form->field = FIELD_FILE;
    if (form->says_filename || base_name(filename).length == 0)
        return OK;
    TRY(arena_copy(&form->arena, base_name(filename), &u->file.path, err));
    return ref_check_path(u->file.path, err);
}

static enum status
begin_part(struct uploading *u, struct err *err)
{
    struct uploads_form *form = u->form;
    const struct multipart_part *part = &form->multipart.part;
    struct slice prefix = slice_of("meta.");

    if (part->filename.at != NULL)
        return begin_file(u, part->filename, err);
    FAIL_IF(!slice_starts(part->name, prefix), err, BAD_REQUEST, 0,
            "the form has the unknown field %.*s; it takes one file and fields meta.KEY",
            SLICE_PRINT(part->name));
    form->field = FIELD_METADATA;
    buf_clear(&form->value);
    return arena_copy(&form->arena, slice_from(part->name, prefix.length), &form->key, err);
}

static enum status
take_data(struct uploading *u, struct slice data, struct err *err)
{
    struct uploads_form *form = u->form;

    if (form->field == FIELD_FILE)
        return uploads_take(u, data.at, data.length, err);
    buf_slice(&form->value, data);
    FAIL_IF(form->value.failed == ERR_LIMIT, err, BAD_REQUEST, 0,
            "the value of meta.%.*s has more than %d bytes", SLICE_PRINT(form->key),
            UPLOAD_VALUE_BYTES_MAX);
    return buf_check(&form->value, err);
}

static enum status
end_part(struct uploading *u, struct err *err)
{
    struct uploads_form *form = u->form;
    enum field field = form->field;

    form->field = FIELD_NONE;
    if (field != FIELD_METADATA)
        return OK;
    return uploads_add_pair(u, &form->arena, form->key, buf_slice_of(&form->value), err);
}

enum status
uploads_form_write(struct uploading *u, const void *bytes, size_t length, struct err *err)
{
    struct slice piece = {bytes, length}, data;
    enum multipart_event event;

    while (piece.length > 0) {
        TRY(multipart_next(&u->form->multipart, &piece, &event, &data, err));
        if (event == MULTIPART_PART)
            TRY(begin_part(u, err));
        else if (event == MULTIPART_DATA)
            TRY(take_data(u, data, err));
        else if (event == MULTIPART_PART_END)
            TRY(end_part(u, err));
        else if (event == MULTIPART_END)
            return OK;
    }
    return OK;
}

enum status
uploads_form_finish(struct uploading *u, struct err *err)
{
    TRY(multipart_finish(&u->form->multipart, err));
    FAIL_IF(!u->form->has_file, err, BAD_REQUEST, 0,
            "the form has no file: curl -F file=@model.pth …");
    FAIL_IF(u->received == 0, err, BAD_REQUEST, 0, "the form's file is empty");
    return OK;
}
