#pragma once
/*
 * What a state dict is for, told by the path where it was found and by what is in it, and which of
 * several a person means by "the weights".
 */
#include "common/formats/builder.h"

/* Whether the key names a running average of the weights: "state_dict_ema", "G_ema", "ema". */
bool torch_kind_is_ema(struct slice path);

/* Whether the key names an optimizer's state: "optimizer", "optimizer_states.0". */
bool torch_kind_is_optimizer(struct slice path);

/* Of a dict whose tensors and entries the builder holds. */
enum container_kind torch_kind_of(const struct builder *b, struct slice path);

/* The index of the default container, SIZE_MAX where none holds weights. */
size_t torch_kind_default(const struct inspection *in);
