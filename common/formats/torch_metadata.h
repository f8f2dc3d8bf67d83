#pragma once
/*
 * What people ask of a checkpoint beside its tensors: epoch, step, architecture, arguments, metrics,
 * versions, whether an optimizer is in it, where its tensors lived.
 */
#include "common/formats/torch_storage.h"

/* Write it to the inspection as one JSON object of at most limits->metadata_bytes: the top's plain
 * values, the nested ones of known names, and "has_optimizer", "has_scheduler", "has_random_state",
 * "devices", "module_classes", and what torch_framework.h tells. A value that is too large or too deep is
 * left out. */
enum status torch_metadata_read(struct torch_reader *r, struct pickle_value root,
                                struct err *err) MUST_CHECK;
