#pragma once
/*
 * Checkpoints within pickles. A tensor that is pickled without torch.save holds its storage as a call
 * of torch.storage._load_from_bytes with a whole stream of torch.save's old format, as bytes; other
 * loaders are handed other pickles in the same way. Here is where such bytes lie, and what storage they
 * are.
 */
#include "common/formats/pickle_stream.h"
#include "common/formats/torch_storage.h"

/* torch.save's old format begins with these: a number, a version, the system's properties, the object,
 * the storages' keys. */
enum {
    TORCH_LEGACY_PICKLES = 5,
    TORCH_LEGACY_VERSION = 1001,
    TORCH_LEGACY_COUNT_BYTES = 8, /* before each storage's bytes: its elements, little-endian */
};

struct torch_bytes {
    const struct source *source; /* the file, or bytes in memory */
    struct pickle_range range;
    bool is_in_file; /* as they lie there */
};

/* Whether v is the number that torch.save's old format begins with. */
bool torch_bytes_is_magic(struct pickle_value v);

/* Whether a loader could take the value for that number: it may be spelled in another way, or be made by a
 * call (int, Decimal). Then it reads on. */
bool torch_bytes_may_be_magic(struct pickle_value v);

/* The bytes that an argument stands for: itself, a text that is encoded, or io.BytesIO of one of them.
 * p is the pickle that v is of. What must be made of it is made in the arena. */
enum status torch_bytes_find(const struct pickle *p, struct pickle_value v, struct arena *arena,
                             struct torch_bytes *ret_nested, bool *ret_is_found,
                             struct err *err) MUST_CHECK;

/* Whether v is a call of torch.storage._load_from_bytes that gives a storage; if so, all of *ret_storage
 * is set. subject is what a finding is about. */
enum status torch_bytes_storage(struct torch_reader *r, struct pickle_value v, struct slice subject,
                                struct torch_storage *ret_storage, bool *ret_is_storage,
                                struct err *err) MUST_CHECK;
