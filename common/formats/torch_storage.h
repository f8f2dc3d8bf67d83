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
    uint64_t number;       /* the container's: equal for equal keys, never 0, bit 62 clear */
    bool has_bytes;        /* place is known: all but first_element and strides */
    struct place place;
};

/* What a reader of one file carries along. */
struct torch_reader {
    struct inspection *in;
    const struct limits *limits;
    struct arena *scratch; /* for what ends with the pickle */

    /* Fill number, has_bytes and place of a storage whose other fields are set, and note what is
     * wrong with its bytes. */
    enum status (*locate)(void *context, struct torch_storage *s, struct err *err);
    void *context;

    size_t steps_left;   /* values to be looked at: they may stand in many places */
    size_t tensors_left; /* in all containers together */
    struct vec devices;  /* struct slice: the locations seen, each once; the first few */
};

struct torch_reader torch_reader_of(struct inspection *in, const struct limits *limits,
                                    struct arena *scratch);
void torch_reader_done(struct torch_reader *r);

/* Whether v is a persistent id of a storage; if so, *ret_storage is what it and the container say.
 * subject is what a finding is about. */
enum status torch_storage_read(struct torch_reader *r, struct pickle_value v, struct slice subject,
                               struct torch_storage *ret_storage, bool *ret_is_storage,
                               struct err *err) MUST_CHECK;

/* As torch_storage_read for the id of a folded tensor. */
enum status torch_storage_of_tensor(struct torch_reader *r, const struct pickle_tensor *t,
                                    struct slice subject, struct torch_storage *ret_storage,
                                    bool *ret_is_storage, struct err *err) MUST_CHECK;

/* The element type that a global `torch float32` names; UNKNOWN for anything else. */
enum dtype torch_storage_dtype(struct pickle_value v);
