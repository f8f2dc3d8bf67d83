#pragma once
/*
 * Which part of a larger save a file of PyTorch's is: DeepSpeed's ZeRO partitions and model states,
 * Megatron-LM's ranks, FSDP's flat shares.
 */
#include "common/formats/torch_storage.h"

/* Told by the object's keys, and the rank by the file's name, r->in->path. What is a part becomes a
 * `fragment`, a finding tells which and what else is needed, r->in->part keeps it as JSON. Where ZeRO
 * stage 3 left placeholders for the parameters, a container `param_shapes` has their shapes. To be
 * called when the object's own containers are there. */
enum status torch_part_read(struct torch_reader *r, struct pickle_value root,
                            struct err *err) MUST_CHECK;
