/* Bytes: GET …/versions/{ref}/files/{path} and …/tensor-data. */
#include <unistd.h>

#include "common/base/attr.h"
#include "common/base/num.h"
#include "server/api/api.h"
#include "server/api/version_json.h"

/* Whatever an uploader claims, a browser shall save it and not show it. */
static void
set_download_headers(struct reply *reply, const struct request *r)
{
    struct slice ref = request_segment(r, "ref");
    bool is_fixed = slice_starts(ref, slice_of("sha256:"));

    reply_header(reply, "Content-Security-Policy", "sandbox; default-src 'none'");
    reply_header(reply, "Cache-Control", "%s",
                 is_fixed ? "private, max-age=31536000, immutable" : "private, no-cache");
}

/* RFC 9530: the whole file's, whatever range is sent. */
static void
set_repr_digest(struct reply *reply, const struct digest *d)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[45] = {0};

    for (size_t i = 0, at = 0; i < DIGEST_BYTES; i += 3) {
        uint32_t bits = (uint32_t)d->bytes[i] << 16;

        bits |= i + 1 < DIGEST_BYTES ? (uint32_t)d->bytes[i + 1] << 8 : 0U;
        bits |= i + 2 < DIGEST_BYTES ? (uint32_t)d->bytes[i + 2] : 0U;
        for (unsigned shift = 18; at < 43 && shift <= 18; shift -= 6)
            text[at++] = digits[bits >> shift & 63];
    }
    text[43] = '=';
    reply_header(reply, "Repr-Digest", "sha-256=:%s:", text);
}

static enum status
find_file(const struct version *v, struct slice path, const struct version_file **ret_file,
          struct err *err)
{
    for (size_t i = 0; i < v->file_count; i++) {
        if (slice_equal(v->files[i].path, path)) {
            *ret_file = &v->files[i];
            return OK;
        }
    }
    FAIL_IF(v->file_count > 0, err, NOT_FOUND, 0, "the version has no file %.*s; it has %.*s%s",
            SLICE_PRINT(path), SLICE_PRINT(v->files[0].path),
            v->file_count > 1 ? " and others" : "");
    FAIL(err, NOT_FOUND, 0, "the version has no file %.*s", SLICE_PRINT(path));
}

/* The path's last segment, made of characters that ref_check_path allows. */
static struct slice
base_name(struct slice path)
{
    for (size_t i = path.length; i > 0; i--)
        if (path.at[i - 1] == '/')
            return slice_from(path, i);
    return path;
}

enum status
versions_file(const struct request *r, struct reply *ret_reply, struct err *err)
{
    struct app *app = r->app;
    const struct version_file *file;
    struct version v;
    uint64_t size;
    int fd;

    TRY(version_of_request(r, &v, err));
    FAIL_IF(v.state == VERSION_OPEN, err, NOT_READY, 0,
            "the version is open: nothing is certain of it");
    TRY(find_file(&v, request_segment(r, "path"), &file, err));
    TRY(blobs_open_file(app->blobs, &file->digest, &fd, &size, err));
    set_download_headers(ret_reply, r);
    set_repr_digest(ret_reply, &file->digest);
    reply_header(ret_reply, "Content-Disposition", "attachment; filename=\"%.*s\"",
                 SLICE_PRINT(base_name(file->path)));
    reply_etag(ret_reply, slice_of(digest_text(&file->digest).hex));
    reply_file(ret_reply, "application/octet-stream", fd, 0, size);
    return OK;
}

/* Where a tensor's bytes lie in one run, in the file that holds them. */
static enum status
tensor_range(const struct tensor *t, const struct place *p, uint64_t *ret_offset, struct err *err)
{
    uint64_t first;

    FAIL_IF(p == NULL || !p->has_bytes, err, NOT_IMPLEMENTED, 0,
            "%.*s has no bytes of its own in the file", SLICE_PRINT(t->name));
    FAIL_IF(p->compression != COMPRESSION_NONE, err, NOT_IMPLEMENTED, 0,
            "%.*s lies in a compressed member of the archive", SLICE_PRINT(t->name));
    FAIL_IF(p->strides != NULL, err, NOT_IMPLEMENTED, 0,
            "%.*s is a strided view: its elements do not lie in one run", SLICE_PRINT(t->name));
    FAIL_IF(p->is_big_endian, err, NOT_IMPLEMENTED, 0, "%.*s is big-endian in the file",
            SLICE_PRINT(t->name));
    FAIL_IF(dtype_bits(t->dtype) % 8 != 0 || (dtype_bits(t->dtype) == 0 && p->first_element > 0),
            err, NOT_IMPLEMENTED, 0, "%.*s has elements of less than a byte", SLICE_PRINT(t->name));
    FAIL_IF(!num_mul(p->first_element, dtype_bits(t->dtype) / 8, &first) ||
                !num_add(p->offset, first, ret_offset),
            err, MALFORMED, 0, "the place of %.*s overflows", SLICE_PRINT(t->name));
    return OK;
}

static void
set_tensor_headers(struct reply *reply, const struct tensor *t)
{
    CLEANUP(buf_done) struct buf shape = buf_with_cap((size_t)TENSOR_RANK_MAX * 22 + 2);

    shape_print(&shape, t->shape);
    reply_header(reply, "Ckptd-Dtype", "%s", dtype_name(t->dtype));
    reply_header(reply, "Ckptd-Shape", "%s", shape.length > 0 ? shape.bytes : "[]");
}

static enum status
find_tensor(const struct request *r, const struct loaded *loaded, size_t *ret_container,
            size_t *ret_index, struct err *err)
{
    struct slice name = request_query(r, "name");

    FAIL_IF(name.at == NULL, err, BAD_REQUEST, 0, "which tensor? ?name=NAME");
    TRY(loaded_container(loaded, request_query(r, "container"), ret_container, err));
    *ret_index = structure_find(&loaded->in.containers[*ret_container].structure, name);
    FAIL_IF(*ret_index == SIZE_MAX, err, NOT_FOUND, 0, "the state dict has no tensor %.*s",
            SLICE_PRINT(name));
    return OK;
}

/* Send length bytes of the file from offset, if the file is that long. */
static enum status
reply_range(struct app *app, const struct version_file *file, uint64_t offset, uint64_t length,
            struct reply *ret_reply, struct err *err)
{
    uint64_t size;
    int fd;

    TRY(blobs_open_file(app->blobs, &file->digest, &fd, &size, err));
    if (offset > size || length > size - offset) {
        (void)close(fd);
        FAIL(err, TRUNCATED, size, "the tensor's bytes lie past the end of the file");
    }
    reply_file(ret_reply, "application/octet-stream", fd, offset, length);
    return OK;
}

enum status
versions_tensor_data(const struct request *r, struct reply *ret_reply, struct err *err)
{
    CLEANUP(loaded_release) struct cache_item *item = NULL;
    struct app *app = r->app;
    struct placement placement = {0};
    const struct loaded *loaded;
    const struct tensor *t;
    struct version v;
    size_t container, index;
    uint64_t offset;
    struct slice etag;

    TRY(version_of_request(r, &v, err));
    TRY(version_need_loaded(app, &v, true, &item, err));
    loaded = cache_value(item);
    TRY(find_tensor(r, loaded, &container, &index, err));
    t = &loaded->in.containers[container].structure.tensors[index];
    TRY(loaded_placement(app, loaded, container, r->arena, &placement, err));
    TRY(tensor_range(t, placement.places == NULL ? NULL : &placement.places[index], &offset, err));
    FAIL_IF(placement.places[index].file >= v.file_count, err, MALFORMED, 0,
            "the tensor lies in a file that the version does not have");
    set_tensor_headers(ret_reply, t);
    set_download_headers(ret_reply, r);
    TRY(arena_printf(r->arena, &etag, err, "%s-%llx-%llx",
                     digest_text(&v.files[placement.places[index].file].digest).hex,
                     (unsigned long long)offset, (unsigned long long)t->bytes));
    reply_etag(ret_reply, etag);
    return reply_range(app, &v.files[placement.places[index].file], offset, t->bytes, ret_reply,
                       err);
}
