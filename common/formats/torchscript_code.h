#pragma once
/*
 * What the code in a TorchScript archive says of its classes: which are modules, and which of their
 * attributes are parameters and buffers. Lines are looked at, nothing is parsed beyond them: the
 * writer spells each of these one way (torch/csrc/jit/serialization/python_print.cpp).
 *
 *     class Linear(Module):
 *       __parameters__ = ["weight", "bias", ]
 *       __buffers__ = []
 */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/formats/torch_archive.h"

enum script_class {
    SCRIPT_UNKNOWN, /* the archive has no code for it */
    SCRIPT_MODULE,
    SCRIPT_OTHER, /* a plain class, a named tuple, an enumeration, an interface */
};

enum script_role { SCRIPT_PLAIN, SCRIPT_PARAMETER, SCRIPT_BUFFER };

struct script_code {
    struct map names;     /* of a class, or of a class and an attribute */
    struct buf key;       /* that is looked up */
    struct vec operators; /* struct slice: of other libraries, or that reach files; each once */
    size_t files;
    size_t classes;
    size_t modules;
    size_t bytes_left;
    bool lists_buffers; /* PyTorch before 1.7 did not */
};

/* Read every code/…py of the archive. What is odd is noted. *ret is the caller's to script_code_done
 * in any case; names live in the work's scratch arena. */
enum status script_code_read(struct torch_archive *a, struct script_code *ret,
                             struct err *err) MUST_CHECK;
void script_code_done(struct script_code *c);

/* The class as pickles name it: "__torch__.torch.nn.modules.linear", "Linear". */
enum script_class script_code_class(struct script_code *c, const struct pickle_global *g);
enum script_role script_code_role(struct script_code *c, const struct pickle_global *g,
                                  struct slice attribute);
