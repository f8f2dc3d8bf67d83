#pragma once
/*
 * A tensor that JSON tells of: shape, strides and offset over a member of the archive that is the
 * storage, where torch.save would have a pickle's call.
 */
#include "common/base/json.h"
#include "common/formats/builder.h"
#include "common/formats/torch_archive.h"

struct torch_view {
    struct slice name; /* of the tensor, in the inspection's arena */
    enum dtype dtype;
    struct shape shape;     /* in the inspection's arena */
    const int64_t *strides; /* one a dimension, in the inspection's arena; NULL: contiguous */
    uint64_t first_element;
};

/* Make a row of it. m is the storage's member, NULL where the archive has none: record then names it in
 * the finding. A view that PyTorch could not make is noted, and *ret_is_tensor is false. */
enum status torch_view_build(struct torch_archive *a, const struct torch_view *v,
                             const struct zip_member *m, struct slice record,
                             struct built_tensor *ret_tensor, bool *ret_is_tensor,
                             struct err *err) MUST_CHECK;

/* An integer as protobuf and PyTorch spell it in JSON: a number, or one in quotes. */
enum status torch_view_int(struct json *j, const char *what, int64_t *ret_value,
                           struct err *err) MUST_CHECK;
