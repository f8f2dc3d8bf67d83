#pragma once
/*
 * Reading Python's values out of a pickle that torch.save wrote: what they are called, what is a
 * mapping, what is a module, what NumPy's and Python's small wrappers hold.
 */
#include "common/formats/pickle.h"
#include "common/structure/structure.h"

/* The entry's kind and Python's name of its type, made in the arena where it must be composed. */
enum status torch_value_entry(struct pickle_value v, struct arena *arena, struct entry *ret_entry,
                              struct err *err) MUST_CHECK;

/* As pickle_pairs, and of a class derived from dict, too: one that was given items. */
enum status torch_value_pairs(struct pickle_value v, struct arena *arena, bool *ret_is_mapping,
                              struct pickle_pairs *ret_pairs, struct err *err) MUST_CHECK;

/* How many keys a look into v may have to go through: a mapping's, an object's attributes. Who looks
 * bounds the sum, since one value may stand in millions of places. */
size_t torch_value_size(struct pickle_value v);

/* An nn.Module's state: its attributes _parameters, _buffers and _modules; false for anything else. */
struct torch_module {
    struct pickle_value parameters;
    struct pickle_value buffers;
    struct pickle_value modules;
    struct pickle_value transient; /* names of the buffers that state_dict() leaves out */
};
bool torch_value_module(struct pickle_value v, struct torch_module *ret_module);

/* A key as a name: a text as it is; an integer in decimal, and then *ret_is_text is false. *ret_name
 * is empty, with at NULL, for any other key. */
enum status torch_value_key(struct pickle_value key, struct arena *arena, struct slice *ret_name,
                            bool *ret_is_text, struct err *err) MUST_CHECK;

/* What a numpy.dtype of numbers is; false for others, and for other values. */
bool torch_value_dtype(struct pickle_value v, enum dtype *ret_dtype, bool *ret_is_big_endian);

/* The number in a NumPy scalar as a plain value; false for other calls. */
bool torch_value_scalar(struct pickle_value v, struct pickle_value *ret_plain);
