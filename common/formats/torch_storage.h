#pragma once
/*
 * Storages: the runs of bytes that PyTorch's tensors are views of. A pickle names one by a persistent
 * id, ('storage', class, key, location, elements); where its bytes lie, the container says. All of
 * PyTorch's containers (zip, legacy stream, tar) share what is here.
 */
#include <stdbool.h>
#include <stdint.h>

#include "common/base/vec.h"
#include "common/formats/pickle.h"
#include "common/structure/inspection.h"

struct torch_storage {
    struct slice key;      /* equal keys are one storage; never a path */
    struct slice location; /* "cpu", "cuda:0" */
    enum dtype dtype;      /* its class's element type; UINT8 where it is untyped */
    uint64_t elements;     /* of dtype, as the pickle tells */
    uint64_t bytes;        /* the same, in bytes */
    uint64_t begin, end;   /* of the part that this is a view of, in bytes; else all of it */
    struct slice
        view_key;    /* of such a part, in the formats before zips; at is NULL where it is none */
    uint64_t number; /* the container's: equal for equal keys, bit 62 clear; 0: shared with none */
    bool has_bytes;  /* place is known: all but first_element and strides */
    struct place place;
};

/* What a reader of one file carries along. */
struct torch_reader {
    struct inspection *in;
    const struct limits *limits;
    struct arena *scratch;        /* for what ends with the pickle */
    const struct pickle *pickle;  /* that the values are of */
    struct pickle_budget *budget; /* within it is looked into */
    bool takes_arrays;            /* NumPy's arrays are tensors: no torch.load, but other loaders */

    /* Fill number, has_bytes and place of a storage whose other fields are set, and note what is
     * wrong with its bytes. */
    enum status (*locate)(void *context, struct torch_storage *s, struct err *err);
    /* NULL, or: whether the id, which is no tuple, is a tensor's; if so, what _rebuild_tensor's
     * arguments would be. */
    bool (*find_tensor)(void *context, struct pickle_value id, struct pickle_items *ret_arguments);
    void *context;

    size_t steps_left;        /* values to be looked at: they may stand in many places */
    size_t tensors_left;      /* in all containers together */
    size_t nested_bytes_left; /* of pickles within pickles */
    struct vec devices;       /* struct slice: the locations seen, each once; the first few */
    struct vec classes;       /* struct slice: of modules, so */
};

struct torch_reader torch_reader_of(struct inspection *in, const struct limits *limits,
                                    struct arena *scratch);
void torch_reader_done(struct torch_reader *r);

/* Remember a name among the devices or the classes, once. */
enum status torch_reader_name(struct torch_reader *r, struct vec *names, struct slice name,
                              struct err *err) MUST_CHECK;

/* Whether v is a persistent id of a storage, or a storage that is nested in its pickle; if so, *ret_storage is what it and the container say.
 * subject is what a finding is about. */
enum status torch_storage_read(struct torch_reader *r, struct pickle_value v, struct slice subject,
                               struct torch_storage *ret_storage, bool *ret_is_storage,
                               struct err *err) MUST_CHECK;

/* As torch_storage_read for the id of a folded tensor. */
enum status torch_storage_of_tensor(struct torch_reader *r, const struct pickle_tensor *t,
                                    struct slice subject, struct torch_storage *ret_storage,
                                    bool *ret_is_storage, struct err *err) MUST_CHECK;

/* The same of a persistent id, (…), as a pickle tells it; without number and place. */
enum status torch_storage_of_id(struct torch_reader *r, struct pickle_value v, struct slice subject,
                                struct torch_storage *ret_storage, bool *ret_is_storage,
                                struct err *err) MUST_CHECK;

/* Of a storage's class; UNKNOWN for anything else. */
enum dtype torch_storage_class(const struct pickle_global *g);

/* Bytes of so many elements; false where they are too many. */
bool torch_storage_bytes(uint64_t elements, enum dtype dtype, uint64_t *ret_bytes);

/* The element type that a global `torch float32` names; UNKNOWN for anything else. */
enum dtype torch_storage_dtype(struct pickle_value v);
