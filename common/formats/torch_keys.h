#pragma once
/*
 * The storages of PyTorch's formats before zips: each has a key, is told of in a pickle, and lies
 * somewhere behind it, a count of its elements before its bytes. Parts of one storage may go by keys of
 * their own.
 */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/formats/torch_storage.h"
#include "common/formats/window.h"

struct torch_key {
    struct slice key;
    enum dtype dtype;
    uint64_t elements;
    uint64_t bytes;
    bool is_listed;  /* offset and held are known */
    uint64_t offset; /* of its bytes */
    uint64_t held;   /* bytes that are there */
    bool is_noted;   /* that pickles tell two sizes of it */
};

struct torch_keys {
    struct inspection *in;
    const struct limits *limits;
    struct window window;
    struct vec rows;  /* struct torch_key */
    struct map index; /* of rows, by key */
    struct vec parts; /* the views' */
    struct map part_index;
};

void torch_keys_begin(struct torch_keys *k, const struct source *source, struct inspection *in,
                      const struct limits *limits);
void torch_keys_done(struct torch_keys *k);

/* Add a storage, unless its key is known. key is borrowed. */
enum status torch_keys_add(struct torch_keys *k, struct slice key, enum dtype dtype,
                           uint64_t elements, struct err *err) MUST_CHECK;

/* NULL where there is none; until the next is added. */
struct torch_key *torch_keys_find(struct torch_keys *k, struct slice key);

/* The count that stands at offset; *ret_is_there is false where the source ends before it does. A
 * negative one is as large as can be. */
enum status torch_keys_count(struct torch_keys *k, uint64_t offset, uint64_t *ret_elements,
                             bool *ret_is_there, struct err *err) MUST_CHECK;

/* A storage's bytes begin at offset and have the rest of limit at most; what is missing is noted. */
enum status torch_keys_place(struct torch_keys *k, struct torch_key *row, uint64_t offset,
                             uint64_t limit, struct err *err) MUST_CHECK;

/* A torch_reader's locate, its context a struct torch_keys. */
enum status torch_keys_locate(void *context, struct torch_storage *s, struct err *err);
