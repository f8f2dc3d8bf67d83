/* What the daemon carries with it: GET /, /openapi.yaml, /ckptd.py. */
#include "common/base/attr.h"
#include "server/api/api.h"
#include "server/api/app.h"

/* Embedded by documents.S. */
extern const char documents_openapi[], documents_openapi_end[];
extern const char documents_client[], documents_client_end[];

static const char welcome[] =
    "ckptd " CKPTD_VERSION ", a checkpoint registry.\n"
    "\n"
    "Upload a checkpoint:   curl -T model.pth URL/v1/models/NAMESPACE/MODEL/versions/LABEL\n"
    "Would it load?         curl --data-binary @manifest.json \\\n"
    "                            'URL/v1/models/NAMESPACE/MODEL/versions/LABEL/compatibility"
    "?format=text'\n"
    "A manifest from code:  curl -O URL/ckptd.py && python ckptd.py manifest pkg.mod:build\n"
    "What there is:         URL/v1/models\n"
    "The contract:          URL/openapi.yaml\n";

enum status
root(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)r;
    (void)err;
    reply_static(ret_reply, 200, "text/plain; charset=utf-8",
                 (struct slice){welcome, sizeof welcome - 1});
    return OK;
}

/* Bytes that never change while this binary runs: their digest is the ETag. */
static enum status
reply_document(struct reply *reply, const char *media_type, const char *start, const char *end,
               struct err *err)
{
    struct slice bytes = {start, (size_t)(end - start)};
    struct digest d;

    TRY(hash_bytes(bytes.at, bytes.length, &d, err));
    reply_etag(reply, slice_of(digest_text(&d).hex));
    reply_static(reply, 200, media_type, bytes);
    return OK;
}

enum status
openapi(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)r;
    return reply_document(ret_reply, "application/yaml", documents_openapi, documents_openapi_end,
                          err);
}

enum status
client(const struct request *r, struct reply *ret_reply, struct err *err)
{
    (void)r;
    return reply_document(ret_reply, "text/x-python", documents_client, documents_client_end, err);
}
