#pragma once
/*
 * Folding of tensors, inside the pickle machine. A checkpoint is mostly calls of _rebuild_tensor_v2, each
 * of them half a dozen tuples and records of which nothing but a few numbers differs. As its REDUCE runs,
 * such a call is folded into one struct pickle_tensor, and the memory of its parts is taken back.
 *
 * Nobody can tell the difference: a call is folded only if nothing of it can be met again (no part of it
 * is in a memo entry that is fetched, or was duplicated), if it is just what torch.save writes, and if the
 * lists of calls and persistent ids have one of its kind. A folded tensor stands in one place only; where
 * an opcode is about to fill it, or to hold it twice, it is unfolded first.
 */
#include "common/formats/pickle_machine.h"

/* A tuple is about to be made of these: remember where, if a storage's id may begin with it. */
void pickle_tensor_begin(struct machine *m, struct pickle_items items);

/* Before a REDUCE of what lies on top: fold it, if it can be; *ret_folded says so. */
enum status pickle_tensor_fold(struct machine *m, bool *ret_folded) MUST_CHECK;

/* The value on top, which is there: a call again, if it was folded. */
enum status pickle_tensor_unfold_top(struct machine *m) MUST_CHECK;
