#pragma once
/*
 * What containers of weights are for, told by their tensors' names, dtypes and shapes alone, so for
 * every format: adapters that want a base model, and weights that were quantized. What a format knows
 * by itself (optimizers, averages, fragments …) its reader has told before.
 */
#include "common/structure/inspection.h"

/* Look at each container of plain weights: an adapter or a quantized model gets its kind, and a
 * finding says of what rank or scheme it is, what it attaches to, and what loads it. To be called once
 * all files of the set are read. */
enum status kind_settle(struct inspection *in, const struct limits *limits,
                        struct err *err) MUST_CHECK;
