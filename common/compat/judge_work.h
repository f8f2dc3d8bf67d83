#pragma once
/*
 * The judge's work in progress, shared by its rules. First every tensor is paired with the key of its
 * name; then the rules of modules change pairs and pass keys over; at the end each pair is held
 * against the rules of copying, and what has no partner is listed.
 */
#include "common/base/buf.h"
#include "common/base/vec.h"
#include "common/compat/judge.h"

/* A module made a value that does not fit: it is not missing, and becomes FILLED_BY_NONE at the end. */
#define FILLED_WRONGLY (UINT32_MAX - 2)

struct hearing {
    const struct manifest *m;
    const struct state *s;
    struct arena *arena;
    uint32_t *filled_by;   /* of each tensor: a key's index, or FILLED_… */
    bool *is_used;         /* of each key: it fills something, or is passed over in silence */
    struct vec missing;    /* struct slice */
    struct vec unexpected; /* struct slice */
    struct vec errors;     /* struct slice */
    struct vec warnings;   /* struct slice */
    struct vec shape, dtype, not_a_tensor; /* struct mismatch */
    struct buf scratch;                    /* for names that are put together */
};

/* What several tensors share, told in one warning: how many, and the first of them. */
struct tally {
    size_t count;
    struct slice first;
};

/* A name below a module: path, a dot unless the path is the root's, before, member, after; in the
 * scratch buffer, good until the next. */
struct slice hearing_name(struct hearing *h, struct slice path, const char *before,
                          struct slice member, const char *after);

/* The index of the key or of the tensor with that name; UINT32_MAX if there is none. */
uint32_t hearing_key(const struct hearing *h, struct slice name);
uint32_t hearing_tensor(const struct hearing *h, struct slice name);

/* A load rule takes the key out of the dict: it no longer fills the tensor of its name, and is not
 * unexpected. */
void hearing_take(struct hearing *h, uint32_t key);

/* The version in the file's row of that module; false where it is None. */
bool hearing_version(const struct hearing *h, struct slice module, int64_t *ret_version);

/* Add to a list; the name or text is copied. */
enum status hearing_add(struct hearing *h, struct vec *list, struct slice text,
                        struct err *err) MUST_CHECK;
enum status hearing_say(struct hearing *h, struct vec *list, struct err *err, const char *format,
                        ...) MUST_CHECK __attribute__((format(printf, 4, 5)));

void tally_add(struct tally *t, struct slice name);

/* The rules of a module's class, and of torch's reparametrizations. */
enum status judge_class(struct hearing *h, const struct manifest_module *module,
                        struct err *err) MUST_CHECK;
enum status judge_weight_norm(struct hearing *h, struct slice path, struct slice name,
                              struct err *err) MUST_CHECK;
enum status judge_spectral_norm(struct hearing *h, struct slice path,
                                const struct spectral_norm *norm, struct err *err) MUST_CHECK;

/* The same, guessed from names where the manifest has no modules; each guess is a warning. */
enum status judge_by_guess(struct hearing *h, struct err *err) MUST_CHECK;

/* Copying keys into the tensors that they are paired with: shapes, dtypes, layouts. */
enum status judge_copies(struct hearing *h, struct err *err) MUST_CHECK;
