/* multipart/form-data, as browsers and curl -F send files: refused for now, with what to do. */
#include "server/api/uploads.h"

enum status
uploads_form_begin(const struct request *r, struct uploading *u, struct err *err)
{
    u->is_form = false;
    FAIL_IF(slice_starts(request_header(r, "Content-Type"), slice_of("multipart/form-data")), err,
            MEDIA_TYPE, 0, "send the file as the body: curl --data-binary @model.pth …");
    return OK;
}

enum status
uploads_form_write(struct uploading *u, const void *bytes, size_t length, struct err *err)
{
    return uploads_take(u, bytes, length, err);
}

enum status
uploads_form_finish(struct uploading *u, struct err *err)
{
    (void)u;
    (void)err;
    return OK;
}

void
uploads_form_free(struct uploads_form *form)
{
    (void)form;
}
