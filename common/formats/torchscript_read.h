#pragma once
/*
 * The two generations of TorchScript archives, for torchscript.c alone.
 */
#include "common/formats/torch_archive.h"

/* model.json of PyTorch 1.0 to 1.2: append the container of its state dict. */
enum status torchscript_json_read(struct torch_archive *a, const struct zip_member *model,
                                  struct slice *ret_producer, struct err *err) MUST_CHECK;
