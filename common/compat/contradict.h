#pragma once
/*
 * Contradictions: what makes a checkpoint another architecture whatever strict=False would take.
 */
#include "common/compat/weigh.h"

/* Sentences, the outermost first: "layer3 has 6 blocks, the manifest expects 23". s is the state as
 * the best remap makes it, j what the loader says to it, c the container it came from. */
enum status contradict(const struct question *q, const struct container *c, const struct state *s,
                       const struct judgement *j, struct text_list *ret_sentences,
                       struct err *err) MUST_CHECK;
