#pragma once
/*
 * Which program wrote a checkpoint, and on how many devices it trained, as far as the file tells. Programs
 * are told apart by the keys that they alone write; parallel set-ups by what training wrappers do to
 * names, and by the sizes that arguments and configurations keep.
 */
#include "common/base/json_writer.h"
#include "common/formats/pickle.h"
#include "common/structure/inspection.h"

/* Write what is known into the open object of w: "framework": "pytorch-lightning", "parallel": {"kind":
 * "data-parallel", "gpus": 8}, "compiled": true. in has its containers already. steps_left bounds the
 * looks, and is taken from. */
void torch_framework_tell(const struct inspection *in, struct pickle_value root, size_t *steps_left,
                          struct json_writer *w);
