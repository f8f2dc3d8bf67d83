#pragma once
/*
 * Whether torch.load(weights_only=True) of PyTorch 2.13 takes a pickle, by the rules of its unpickler
 * (torch/_weights_only_unpickler.py): the opcodes it reads, the globals it knows, what may be called
 * with what, and what may be filled. tests/interop/check_weights_only.py holds the answers against
 * the real one.
 */
#include "common/base/vec.h"
#include "common/formats/pickle.h"

/* is_legacy: the pickle is of the format before zips, whose storages carry a view.
 * Add to needs (of struct slice) each global that add_safe_globals could allow. *ret_reason says why
 * even that would not help; it is empty where it would, or where nothing is needed. */
enum status weights_only_judge(const struct pickle *p, bool is_legacy, struct arena *arena,
                               struct vec *needs, struct slice *ret_reason,
                               struct err *err) MUST_CHECK;
