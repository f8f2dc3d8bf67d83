#pragma once
/*
 * Fingerprints (design.md §4): SHA-256 over a canonical text, written "structure1:<hex>" and so on.
 * The digit is the algorithm's version; the wrapper and benign lists below are frozen with it.
 *
 *   structure1     "ckptd structure1\n", then a line for each tensor, ascending bytewise by line:
 *                  <length of name>:<name> <dtype> <d0>,<d1>…\n
 *   architecture1  the same under its own header, names without wrapper segments, no dtype
 *                  (<length>:<name> <dims>\n), benign buffers left out
 *   skeleton1      no names: a leaf is its shape, a module the sorted multiset of its children's
 *                  hashes, but children that are consecutive integers stay in order; a module
 *                  with one child is that child; benign buffers left out
 */
#include "common/base/hash.h"
#include "common/structure/structure.h"

struct fingerprints {
    struct digest structure;
    struct digest architecture;
    struct digest skeleton;
};

enum fingerprint_kind { FINGERPRINT_STRUCTURE, FINGERPRINT_ARCHITECTURE, FINGERPRINT_SKELETON };

/* All three; working memory is taken and given back. ERR_NO_MEMORY or ERR_LIMIT only. */
enum status fingerprint_structure(const struct structure *s, const struct limits *limits,
                                  struct fingerprints *ret, struct err *err) MUST_CHECK;

/* "structure1:" + hex, NUL-terminated. */
struct fingerprint_text {
    char text[16 + DIGEST_HEX + 1];
};
struct fingerprint_text fingerprint_text(enum fingerprint_kind kind, const struct digest *d);

/* A buffer that code makes rather than learns, by its name and its shape together, so that files of
 * different versions of a model differ in it without meaning anything: num_batches_tracked,
 * position_ids, inv_freq, causal masks, relative position indexes. */
bool fingerprint_is_benign(const struct tensor *t);

/* Segments that training wrappers put into names: module, _orig_mod, _fsdp_wrapped_module … */
bool fingerprint_is_wrapper(struct slice segment);
