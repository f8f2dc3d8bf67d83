#pragma once
/*
 * The state dicts in what torch.load would give: the top, and every dict below it that holds tensors,
 * by the path of keys that leads there.
 */
#include "common/formats/torch_storage.h"

/* Walk the root value, append the containers to the inspection and choose the default one. */
enum status torch_containers_read(struct torch_reader *r, struct pickle_value root,
                                  struct err *err) MUST_CHECK;
