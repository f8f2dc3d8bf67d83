#pragma once
/*
 * Tensors in a pickle are calls of PyTorch's rebuild functions. Here the call's arguments become a
 * row: dtype, outer shape, layout, place. Nothing is rebuilt, no storage's bytes are read.
 */
#include "common/formats/builder.h"
#include "common/formats/torch_storage.h"

enum torch_answer {
    TORCH_NO_TENSOR,
    TORCH_TENSOR,
    TORCH_BROKEN, /* a tensor that PyTorch would refuse to build; a finding says why */
};

/* Whether v would be a tensor, without a look at its arguments. */
bool torch_tensor_is(const struct torch_reader *r, struct pickle_value v);

/* A size: a tuple, a list or a torch.Size of integers that are not negative; else *ret_problem says what
 * is wrong. */
enum status torch_tensor_shape(struct torch_reader *r, struct pickle_value v, struct slice name,
                               struct shape *ret_shape, const char **ret_problem,
                               struct err *err) MUST_CHECK;

/* Read v. Where the answer is TORCH_TENSOR, all of *ret_tensor but its name is set; shape and strides
 * are in the inspection's arena. name is the subject of findings. */
enum status torch_tensor_read(struct torch_reader *r, struct pickle_value v, struct slice name,
                              struct built_tensor *ret_tensor, enum torch_answer *ret_answer,
                              struct err *err) MUST_CHECK;
