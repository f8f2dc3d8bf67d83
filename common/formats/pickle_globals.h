#pragma once
/*
 * What is known of the globals that pickles name. Three tables: what PyTorch's own weights_only loader
 * takes (pickle_torch_table.h), further data classes that are inert (pickle_inert_table.h), and known
 * gadgets (pickle_danger_table.h). What is in none of them is unlisted.
 *
 * Arguments are described by a letter each:
 *
 *     *  anything            i  int                 n  int or float        N  None
 *     s  str                 y  bytes               t  list, tuple, set    d  dict or mapping
 *     g  a global            o  what a call made    p  a storage           b  bool
 *     E  the text latin1     F  a NumPy dtype's text without objects in it
 *     A  numpy.ndarray       V  what numpy.dtype made                      O  builtins.object
 *
 * a|b is one of both; ? before a letter: from here on they may be missing; + behind one: any number.
 */
#include "common/formats/pickle.h"

/* Held against the modern name; dots in a name that is walked are looked behind, too. The machine asks
 * once, at its end, and keeps the answer in g->listed. */
struct pickle_listed pickle_globals_find(const struct pickle_global *g);

/* Whether the call's positional arguments are as the letters say. */
bool pickle_globals_fit(const char *arguments, struct pickle_value call);

enum pickle_torch_kind {
    PICKLE_TORCH_FUNCTION,
    PICKLE_TORCH_CLASS,
    PICKLE_TORCH_DTYPE,   /* and quantization schemes: constants, never called */
    PICKLE_TORCH_STORAGE, /* a storage's class by its old name */
};

/* A row of what weights_only takes. */
struct pickle_torch {
    const char *name;
    enum pickle_torch_kind kind;
    const char *arguments;
    const char
        *result; /* Python's type of what a call gives: "torch.Tensor"; NULL: the class itself */
};

/* By the dotted name as weights_only joins it; NULL where it would be refused. Kept in g->torch. */
const struct pickle_torch *pickle_globals_torch(const struct pickle_global *g);
