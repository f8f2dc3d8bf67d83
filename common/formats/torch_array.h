#pragma once
/*
 * NumPy's arrays in a pickle, as tensors: what Detectron, Detectron2 and Caffe2 keep their weights in.
 * torch.load makes no tensor of them; loaders that know these files do.
 */
#include "common/formats/builder.h"
#include "common/formats/torch_storage.h"

/* Whether v is an array of numbers. One of objects, texts or records is none that a tensor can be. */
bool torch_array_is(struct pickle_value v);

/* Read one; all of *ret_tensor but its name is set, or *ret_problem says why NumPy would not build it. */
enum status torch_array_read(struct torch_reader *r, struct pickle_value v, struct slice name,
                             struct built_tensor *ret_tensor, const char **ret_problem,
                             struct err *err) MUST_CHECK;
